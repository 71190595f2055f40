//! The store in one SQLite file: one writer, a few readers, write-ahead log.
//!
//! Owns the data directory: `skep.db`, `secret.key` and `queen.lock`. Every batch is one transaction. Read next: `open`,
//! `session` (the connection that writes), then `write` (a batch), then the SQL by subject: `jobs`, `list`, `search`, `events`, `history`, `restore`, `retention`, `copy`.

mod copy;
mod events;
mod history;
mod jobs;
mod list;
mod open;
mod place;
mod restore;
mod retention;
mod search;
mod session;
mod value;
mod write;

use super::{
    AccessToken, Batch, Entered, Event, FileCases, FileHistory, Holdings, JobFilter, Minute, Oldest, Page, PastAttempt,
    PastRun, Quarantine, Quarantined, Removed, Restored, Store, StoreError, StoredFile, StoredJob, StoredProject,
    access, past, quarantine, retention as removal, unfinished,
};
use async_trait::async_trait;
pub use copy::{after_copy, copy};
use open::Opened;
pub use open::newest_known;
use retention::WORDS;
use scheduler::Expect;
use shared::{Attempt, JobData, JobId, Num, Project, Seq, Timestamp, outcome::CaseResult};
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use std::{path::Path, sync::Arc};

/// A store in a data directory. Cloning shares it.
#[derive(Debug, Clone)]
pub struct SqliteStore(Arc<Opened>);

impl SqliteStore {
    /// Opens a data directory and makes what is missing in it; it stays locked until the last clone is dropped.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another queen has it, [`StoreError::Newer`] if a newer queen wrote it,
    /// [`StoreError::File`] if a file cannot be used or the key is not the database's.
    pub async fn open(dir: &Path) -> Result<Self, StoreError> {
        Ok(Self(Arc::new(open::open(dir).await?)))
    }

    /// The pool of those that read, which to clone is to share.
    fn readers(&self) -> SqlitePool {
        self.0.readers.clone()
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn fingerprint(&self, text: &str) -> [u8; 32] {
        self.0.sealer.fingerprint(text.as_bytes())
    }

    async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        write::commit(&self.0.writer, &self.0.sealer, &batch).await
    }

    async fn restore(&self) -> Result<Restored, StoreError> {
        restore::restore(&self.0.readers, &self.0.sealer).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        write::ping(&self.0.writer).await
    }

    async fn job(&self, id: &JobId) -> Result<Option<StoredJob>, StoreError> {
        list::job(&self.0.readers, id).await
    }

    async fn job_data(&self, id: &JobId) -> Result<Option<JobData>, StoreError> {
        unfinished::job_data(&mut self.readers(), &self.0.sealer, id).await
    }

    async fn jobs(&self, filter: &JobFilter) -> Result<Page, StoreError> {
        list::page(&self.0.readers, filter).await
    }

    async fn files(&self, id: &JobId) -> Result<Vec<StoredFile>, StoreError> {
        list::files(&self.0.readers, id).await
    }

    async fn attempts(&self, id: &JobId, path: &str) -> Result<Vec<PastAttempt>, StoreError> {
        past::attempts(&mut self.readers(), id, path).await
    }

    async fn cases(&self, id: &JobId, num: Num, attempt: Attempt) -> Result<Vec<CaseResult>, StoreError> {
        past::cases(&mut self.readers(), id, num, attempt).await
    }

    async fn cases_by_file(
        &self,
        id: &JobId,
        path: Option<&str>,
        from: u32,
        limit_bytes: usize,
    ) -> Result<Vec<FileCases>, StoreError> {
        history::cases_by_file(&self.0.readers, id, path, from, limit_bytes).await
    }

    async fn events(&self, id: &JobId, from: Seq, to: Seq, limit_bytes: usize) -> Result<Vec<Event>, StoreError> {
        events::window(&self.0.readers, id, from, to, limit_bytes).await
    }

    async fn expectations(&self, project: &Project, paths: &[String]) -> Result<Vec<Option<Expect>>, StoreError> {
        history::expectations(&self.0.readers, project, paths).await
    }

    async fn projects(&self) -> Result<Vec<StoredProject>, StoreError> {
        history::projects(&self.0.readers).await
    }

    async fn history(&self, project: &Project) -> Result<Vec<FileHistory>, StoreError> {
        past::history(&mut self.readers(), project).await
    }

    async fn flaky(&self, jobs: &[JobId]) -> Result<Vec<u64>, StoreError> {
        history::flaky(&self.0.readers, jobs).await
    }

    async fn throughput(&self, from: Timestamp) -> Result<Vec<Minute>, StoreError> {
        past::throughput(&mut self.readers(), from).await
    }

    async fn past_runs(&self, project: &Project, path: &str) -> Result<Vec<PastRun>, StoreError> {
        past::runs(&mut self.readers(), project, path).await
    }

    async fn quarantined(&self, project: &Project, paths: &[String]) -> Result<Vec<bool>, StoreError> {
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        quarantine::of(&mut self.readers(), project, &paths).await
    }

    async fn quarantine(&self, project: &Project) -> Result<Vec<Quarantined>, StoreError> {
        quarantine::all(&mut self.readers(), history::NEWEST_RUNS, project).await
    }

    async fn put_in_quarantine(
        &self,
        project: &Project,
        entry: &Quarantine,
        limit: usize,
    ) -> Result<Entered, StoreError> {
        let put = async |sql: &mut SqliteConnection| quarantine::put(sql, project, entry, limit).await;
        self.0.writer.transact(put).await
    }

    async fn lift_quarantine(&self, project: &Project, path: &str) -> Result<bool, StoreError> {
        let lift = async |sql: &mut SqliteConnection| quarantine::lift(sql, project, path).await;
        self.0.writer.transact(lift).await
    }

    async fn add_token(&self, token: &AccessToken, hash: [u8; 32]) -> Result<(), StoreError> {
        let add = async |sql: &mut SqliteConnection| access::add(sql, token, &token.name, hash).await;
        self.0.writer.transact(add).await
    }

    async fn tokens(&self) -> Result<Vec<AccessToken>, StoreError> {
        access::all(&mut self.readers()).await
    }

    async fn remove_token(&self, id: &str) -> Result<bool, StoreError> {
        let remove = async |sql: &mut SqliteConnection| access::remove(sql, id).await;
        self.0.writer.transact(remove).await
    }

    async fn token(&self, hash: [u8; 32]) -> Result<Option<AccessToken>, StoreError> {
        access::find(&mut self.readers(), hash).await
    }

    async fn holdings(&self) -> Result<Holdings, StoreError> {
        removal::holdings(&mut self.readers()).await
    }

    async fn remove_logs(&self, which: Oldest, now: Timestamp) -> Result<Removed, StoreError> {
        let step = async |sql: &mut SqliteConnection| removal::remove_logs(sql, which, now).await;
        self.0.writer.transact(step).await
    }

    async fn remove_jobs(&self, which: Oldest, now: Timestamp) -> Result<Removed, StoreError> {
        let step = async |sql: &mut SqliteConnection| removal::remove_jobs(sql, &WORDS, which, now).await;
        self.0.writer.transact(step).await
    }

    async fn forget(&self, before: Timestamp) -> Result<u64, StoreError> {
        let step = async |sql: &mut SqliteConnection| removal::forget(sql, before).await;
        self.0.writer.transact(step).await
    }

    async fn compact(&self) -> Result<u64, StoreError> {
        retention::compact(&self.0.writer).await
    }

    async fn close(&self) {
        // The writer last: whoever closes last copies the write-ahead log into the database and removes it.
        self.0.readers.close().await;
        self.0.writer.close().await;
    }
}
