//! The one connection that writes, and what is remembered with it.
//!
//! Writes queue here, in order, rather than at SQLite's lock. It is no pool of one: a pool asks a connection how it is
//! whenever it comes back, which takes as long as a small write.
//!
//! A write that fails forgets what was remembered. A failure of the database, or a caller who is dropped half-way, takes
//! the connection along: it is closed, and only then does the next write begin, on a new one.

use super::place::Place;
use crate::store::{StoreError, memory::Memory};
use sqlx::{
    ConnectOptions, Connection,
    sqlite::{SqliteConnectOptions, SqliteConnection},
};
use std::sync::Arc;
use tokio::{
    runtime::Handle,
    sync::{Mutex, OwnedMutexGuard},
};

/// The writing side of an open database.
#[derive(Debug)]
pub struct Writer {
    options: SqliteConnectOptions,
    place: Place,
    session: Arc<Mutex<Option<Session>>>,
}

/// The connection that writes.
#[derive(Debug)]
pub struct Session {
    /// The connection.
    pub sql: SqliteConnection,
    /// What is known of the rows.
    pub memory: Memory,
}

impl Writer {
    /// Takes over the first connection; `options` are for those that follow it.
    pub fn new(options: SqliteConnectOptions, place: Place, sql: SqliteConnection) -> Self {
        Self {
            options,
            place,
            session: Arc::new(Mutex::new(Some(session(sql)))),
        }
    }

    /// Waits for its turn and does `work`, which was done only if the database's file is still in its place.
    pub async fn run<T>(&self, work: impl AsyncFnOnce(&mut Session) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut place = self.session.clone().lock_owned().await;
        let session = match place.take() {
            Some(session) => session,
            None => {
                self.place.check()?;
                session(self.options.connect().await?)
            }
        };
        let mut turn = Turn(None);
        let (session, _) = turn.0.insert((session, place));
        let done = match work(session).await {
            // SQLite may have rolled back by itself (a full disk), which sqlx does not see: it would count a transaction
            // that is not there on this connection for ever.
            Err(error @ StoreError::Database(_)) => return Err(error),
            done => done.and_then(|answer| self.place.check().map(|()| answer)),
        };
        match done {
            Ok(_) => session.memory.bound(),
            Err(_) => session.memory.forget(),
        }
        turn.end();
        done
    }

    /// Does all of `work` in one transaction, or nothing of it; what is remembered of the rows may not be so afterwards.
    pub async fn transact<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.run(async |session| {
            session.memory.forget();
            let mut transaction = session.sql.begin_with("BEGIN IMMEDIATE").await?;
            let done = work(&mut transaction).await?;
            transaction.commit().await?;
            Ok(done)
        })
        .await
    }

    /// Closes the connection. Whoever closes last copies the write-ahead log into the database and removes it.
    pub async fn close(&self) {
        if let Some(session) = self.session.lock().await.take() {
            // What it had to write it wrote with each commit.
            let _ = session.sql.close().await;
        }
    }
}

/// The connection while a write has it, and its place, which nobody else has.
struct Turn(Option<(Session, OwnedMutexGuard<Option<Session>>)>);

impl Turn {
    /// Puts the connection back.
    fn end(mut self) {
        if let Some((session, mut place)) = self.0.take() {
            *place = Some(session);
        }
    }
}

impl Drop for Turn {
    /// What was begun on the connection has ended when it is closed.
    fn drop(&mut self) {
        if let (Some((session, place)), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(async move {
                let _ = session.sql.close().await;
                drop(place);
            });
        }
    }
}

fn session(sql: SqliteConnection) -> Session {
    Session {
        sql,
        memory: Memory::default(),
    }
}
