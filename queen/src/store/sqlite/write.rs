//! One batch, one transaction, in the order in which its parts refer to each other.
//!
//! A call to SQLite goes to a thread and back, which takes as long as a small write: a little output is a single call. What
//! is written is in the files by subject; `session` owns the connection.

use super::{
    events, history, jobs, retention,
    session::{Session, Writer},
};
use crate::store::{Batch, StoreError, rows::no_job, seal::Sealer, stream::Stream};
use shared::{JobId, Project};
use sqlx::{Connection, sqlite::SqliteConnection};
use std::collections::HashMap;

/// Writes `batch` wholly or not at all.
pub async fn commit(writer: &Writer, sealer: &Sealer, batch: &Batch) -> Result<(), StoreError> {
    writer
        .run(async |session| {
            if batch.is_output() && events::at_once(session, batch).await? {
                return Ok(());
            }
            transact(session, sealer, batch).await
        })
        .await
}

async fn transact(session: &mut Session, sealer: &Sealer, batch: &Batch) -> Result<(), StoreError> {
    let mut transaction = session.sql.begin_with("BEGIN IMMEDIATE").await?;
    let mut write = Write {
        sql: &mut transaction,
        sealer,
        known: &session.memory.streams,
        streams: HashMap::new(),
        projects: HashMap::new(),
    };
    match write.all(batch).await {
        Ok(()) => {
            let Write { streams, .. } = write;
            transaction.commit().await?;
            session.memory.keep(streams, &batch.records, &batch.applied);
            Ok(())
        }
        Err(error) => {
            // What failed first is what matters; a transaction that is dropped is rolled back as well.
            let _ = transaction.rollback().await;
            Err(error)
        }
    }
}

/// A transaction on its way.
#[derive(Debug)]
pub struct Write<'a> {
    /// The connection, inside the transaction.
    pub sql: &'a mut SqliteConnection,
    /// For secrets.
    pub sealer: &'a Sealer,
    known: &'a HashMap<JobId, Stream>,
    streams: HashMap<JobId, Stream>,
    projects: HashMap<Project, i64>,
}

impl Write<'_> {
    async fn all(&mut self, batch: &Batch) -> Result<(), StoreError> {
        jobs::submit(self, batch).await?;
        jobs::record(self, &batch.records).await?;
        events::append(self, &batch.events).await?;
        events::close_ended(self, &batch.records).await?;
        history::results(self, &batch.results).await?;
        history::cases(self, &batch.cases).await?;
        retention::weigh_ended(self, &batch.records).await?;
        jobs::applied(self, &batch.applied).await
    }

    /// Remembers how a job's stream stands.
    pub fn know(&mut self, job: &JobId, stream: Stream) {
        self.streams.insert(job.clone(), stream);
    }

    /// How a job's stream stands; a job that is not there refuses the batch.
    pub async fn stream(&mut self, id: &JobId) -> Result<Stream, StoreError> {
        if let Some(stream) = self.streams.get(id).or_else(|| self.known.get(id)) {
            return Ok(*stream);
        }
        let stream = events::load(self.sql, id).await?.ok_or_else(|| no_job(id))?;
        self.know(id, stream);
        Ok(stream)
    }

    /// The key of a job; a job that is not there refuses the batch.
    pub async fn job(&mut self, id: &JobId) -> Result<i64, StoreError> {
        Ok(self.stream(id).await?.job)
    }

    /// The key of a project, which is made if it is new.
    pub async fn project(&mut self, name: &Project) -> Result<i64, StoreError> {
        if let Some(key) = self.projects.get(name) {
            return Ok(*key);
        }
        let found = sqlx::query_scalar("SELECT key FROM projects WHERE name = ?")
            .bind(name.as_str())
            .fetch_optional(&mut *self.sql)
            .await?;
        let key = match found {
            Some(key) => key,
            None => {
                sqlx::query_scalar("INSERT INTO projects (name) VALUES (?) RETURNING key")
                    .bind(name.as_str())
                    .fetch_one(&mut *self.sql)
                    .await?
            }
        };
        self.projects.insert(name.clone(), key);
        Ok(key)
    }
}

/// Writes and reads one row, as cheaply as can be: is the database well?
pub async fn ping(writer: &Writer) -> Result<(), StoreError> {
    writer
        .run(async |session| {
            let ping = "INSERT INTO meta (name, value) VALUES ('ping', 1)
                ON CONFLICT (name) DO UPDATE SET value = value + 1";
            sqlx::query(ping).execute(&mut session.sql).await?;
            Ok(())
        })
        .await
}
