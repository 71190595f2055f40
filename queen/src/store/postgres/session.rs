//! The one connection that writes, and the right to write.
//!
//! Two things keep a second queen off. The connection holds an advisory lock of the schema as long as it lives, so that
//! a queen that starts is turned away while another one is there. And every transaction holds the row in `owner` with
//! this queen's name in it: where a lock is lost without the connection, or sits in another one (a pooler between), a
//! queen whose database was taken over still writes nothing.
//!
//! A connection that failed in any way is dropped, with what is remembered of the rows. The next write makes a new one,
//! which takes the lock again and looks whether the database is still ours. By then nothing that was under way on the
//! old one can happen any more: the server gives the lock away when that one is gone.

use super::address::Address;
use crate::store::{StoreError, memory::Memory};
use sqlx::{ConnectOptions, Connection, postgres::PgConnection};
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};

/// How long to wait for a server that does not answer, and for another queen that is about to end.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How long one write may take before the connection counts as dead.
const LONGEST: Duration = Duration::from_secs(30);
/// Tells the locks of queens from those of others: "skep" in ASCII.
const LOCK: i32 = 0x736b_6570;

/// The writing side of an open database.
pub struct Writer {
    address: Address,
    /// Names this queen in the database: nobody else has this name.
    name: String,
    session: Mutex<Option<Session>>,
}

/// A connection that may write.
pub struct Session {
    /// The connection.
    pub sql: PgConnection,
    /// What is known of the rows.
    pub memory: Memory,
}

/// The writer, ours until this is dropped. One that was not told how it went leaves no connection behind.
pub struct Turn<'a> {
    place: MutexGuard<'a, Option<Session>>,
    session: Session,
}

impl Writer {
    /// Connects and takes the lock; what is in the database is not looked at yet.
    pub async fn open(address: Address) -> Result<(Self, Session), StoreError> {
        let id: [u8; 8] = rand::random();
        let writer = Self {
            address,
            name: format!("queen-{:016x}", u64::from_be_bytes(id)),
            session: Mutex::new(None),
        };
        let session = writer.connect().await?;
        Ok((writer, session))
    }

    /// This queen's name in the database.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Puts the first connection in its place, once the database is ready and says that it is ours.
    pub async fn begin(&self, session: Session) {
        *self.session.lock().await = Some(session);
    }

    /// Waits for the writer and sees to it that there is a connection.
    pub async fn turn(&self) -> Result<Turn<'_>, StoreError> {
        let mut place = self.session.lock().await;
        let session = match place.take() {
            Some(session) => session,
            None => self.again().await?,
        };
        Ok(Turn { place, session })
    }

    /// Does all of `work` in one transaction, or nothing of it; what is remembered of the rows may not be so afterwards.
    pub async fn transact<T>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let turn = self.turn().await?;
        turn.run(async |session| {
            session.memory.forget();
            let mut transaction = session.sql.begin().await?;
            self.fence(&mut transaction).await?;
            let done = work(&mut transaction).await?;
            transaction.commit().await?;
            Ok(done)
        })
        .await
    }

    /// What every transaction begins with: fails unless the database is ours, and keeps it ours until the end.
    pub async fn fence(&self, sql: &mut PgConnection) -> Result<(), StoreError> {
        let ours = sqlx::query("SELECT 1 FROM owner WHERE name = $1 FOR SHARE")
            .bind(&self.name)
            .fetch_optional(sql)
            .await?;
        ours.map(drop).ok_or_else(|| self.lost())
    }

    /// Lets go of the connection and with it of the lock. What is asked later connects anew.
    pub async fn close(&self) {
        if let Some(session) = self.session.lock().await.take() {
            // The server lets go of a broken one by itself.
            let _ = session.sql.close().await;
        }
    }

    /// The error of a queen whose database was taken over.
    pub fn lost(&self) -> StoreError {
        StoreError::Lost(self.address.place().to_owned())
    }

    async fn again(&self) -> Result<Session, StoreError> {
        let mut session = self.connect().await?;
        let owner: Option<String> = sqlx::query_scalar("SELECT name FROM owner")
            .fetch_optional(&mut session.sql)
            .await?;
        match owner {
            Some(owner) if owner == self.name => Ok(session),
            _ => Err(self.lost()),
        }
    }

    async fn connect(&self) -> Result<Session, StoreError> {
        let session = tokio::time::timeout(PATIENCE, async {
            let options = self.address.options().clone().application_name(&self.name);
            let mut sql = options
                .statement_cache_capacity(200)
                .disable_statement_logging()
                .connect()
                .await?;
            // The server notices soon that a queen's machine is gone, or that it stopped within a transaction; and no
            // plan is worth compiling.
            sqlx::query(
                "SELECT set_config(name, value, false) FROM (VALUES
                     ('tcp_keepalives_idle', '10'), ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3'),
                     ('idle_in_transaction_session_timeout', '60s'), ('lock_timeout', '4s'), ('jit', 'off'),
                     ('client_min_messages', 'warning')) AS settings (name, value)",
            )
            .execute(&mut sql)
            .await?;
            Ok(sql)
        });
        let mut sql = match session.await {
            Ok(connected) => connected.map_err(|error| self.address.explain(error))?,
            Err(_) => return Err(self.address.explain(sqlx::Error::Io(timed_out("it does not answer")))),
        };
        let locked = tokio::time::timeout(PATIENCE, self.lock(&mut sql));
        locked
            .await
            .unwrap_or_else(|_| Err(sqlx::Error::Io(timed_out("it does not answer")).into()))?;
        Ok(Session {
            sql,
            memory: Memory::default(),
        })
    }

    async fn lock(&self, sql: &mut PgConnection) -> Result<(), StoreError> {
        // A connection of this very queen that the server does not know to be dead yet.
        sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE application_name = $1 AND usename = current_user AND pid != pg_backend_pid()",
        )
        .bind(&self.name)
        .execute(&mut *sql)
        .await?;
        // Waits a little: a queen that was killed has its lock until the server has noticed.
        let locked = sqlx::query(
            "SELECT pg_advisory_lock($1, (SELECT oid FROM pg_namespace WHERE nspname = current_schema())::int)",
        )
        .bind(LOCK)
        .execute(sql)
        .await;
        match locked {
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("55P03") => {
                Err(StoreError::Taken(self.address.place().to_owned()))
            }
            other => Ok(other.map(drop)?),
        }
    }
}

impl Turn<'_> {
    /// Does `work` on the connection; keeps it only if nothing about it is in doubt.
    pub async fn run<T>(
        mut self,
        work: impl AsyncFnOnce(&mut Session) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let done = tokio::time::timeout(LONGEST, work(&mut self.session)).await;
        let done = done.unwrap_or_else(|_| Err(sqlx::Error::Io(timed_out("the write took too long")).into()));
        match &done {
            Ok(_) | Err(StoreError::Refused(_)) => {
                self.session.memory.bound();
                *self.place = Some(self.session);
            }
            Err(_) => {}
        }
        done
    }
}

/// An error for what took longer than it may.
pub fn timed_out(why: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::TimedOut, why)
}
