//! One batch, one transaction, in the order in which its parts refer to each other.
//!
//! Owns the transaction and the short names (`key`s) of jobs and projects; what is written is in the files by subject.

use super::{events, history, jobs, open::Opened, retention};
use crate::store::{Batch, StoreError, rows::no_job, seal::Sealer};
use shared::{JobId, Project};
use sqlx::{
    Connection,
    sqlite::{SqliteConnection, SqlitePool},
};
use std::collections::HashMap;

/// Writes `batch` wholly or not at all.
pub async fn commit(opened: &Opened, batch: &Batch) -> Result<(), StoreError> {
    if batch.is_output() {
        let mut connection = opened.writer.acquire().await?;
        let done = events::at_once(&mut connection, &batch.events).await;
        if matches!(done, Err(StoreError::Database(_))) {
            connection.close_on_drop();
        }
        if done? {
            return opened.place.check();
        }
    }
    transact(&opened.writer, async |sql| {
        let mut write = Write {
            sql,
            sealer: &opened.sealer,
            jobs: HashMap::new(),
            projects: HashMap::new(),
        };
        write.all(batch).await
    })
    .await?;
    opened.place.check()
}

/// Does all of `work` in one transaction, or nothing of it.
pub async fn transact<T>(
    writer: &SqlitePool,
    work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut connection = writer.acquire().await?;
    let done = attempt(&mut connection, work).await;
    if matches!(done, Err(StoreError::Database(_))) {
        // SQLite may have rolled back by itself (a full disk), which sqlx does not see: it would count a transaction
        // that is not there on this connection for ever. The next write opens a fresh one.
        connection.close_on_drop();
    }
    done
}

async fn attempt<T>(
    connection: &mut SqliteConnection,
    work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    match work(&mut transaction).await {
        Ok(answer) => {
            transaction.commit().await?;
            Ok(answer)
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
    jobs: HashMap<JobId, i64>,
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

    /// Remembers the key of a job.
    pub fn know(&mut self, job: &JobId, key: i64) {
        self.jobs.insert(job.clone(), key);
    }

    /// The key of a job; a job that is not there refuses the batch.
    pub async fn job(&mut self, id: &JobId) -> Result<i64, StoreError> {
        if let Some(key) = self.jobs.get(id) {
            return Ok(*key);
        }
        let key = sqlx::query_scalar("SELECT key FROM jobs WHERE id = ?")
            .bind(id.as_str())
            .fetch_optional(&mut *self.sql)
            .await?
            .ok_or_else(|| no_job(id))?;
        self.know(id, key);
        Ok(key)
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
pub async fn ping(opened: &Opened) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO meta (name, value) VALUES ('ping', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1")
        .execute(&opened.writer)
        .await?;
    opened.place.check()
}
