//! The store in a PostgreSQL database: one connection that writes, a few that read.
//!
//! The data directory has the key and the lock, the database everything else. Every write is one transaction in a task
//! of its own, so that a caller who is dropped never leaves one half-way (and never poisons its connection). Read next:
//! `session` (the right to write), `open`, then `write` (a batch), then the SQL by subject: `jobs`, `list`, `search`,
//! `events`, `history`, `restore`, `retention`, `copy`.

mod address;
mod copy;
mod events;
mod history;
mod jobs;
mod list;
mod open;
mod restore;
mod retention;
mod search;
mod session;
mod write;

#[cfg(test)]
#[path = "../../../tests/postgres/mod.rs"]
#[expect(dead_code, reason = "the store's own tests use the rest")]
mod server;

pub use address::Address;
pub use copy::{copy, put_back};
pub use open::newest_known;

use super::{
    AccessToken, Batch, Entered, Event, FileCases, FileHistory, Holdings, JobFilter, Minute, Oldest, Page, PastAttempt,
    PastRun, Quarantine, Quarantined, Removed, Restored, Store, StoreError, StoredFile, StoredJob, StoredProject,
    access, past, quarantine, retention as removal, unfinished,
};
use async_trait::async_trait;
use open::Opened;
use retention::WORDS;
use scheduler::Expect;
use shared::{Attempt, JobData, JobId, Num, Project, Seq, Timestamp, outcome::CaseResult};
use sqlx::postgres::{PgConnection, PgPool};
use std::{fmt, path::Path, sync::Arc, time::Duration};
use write::{indexed, plain};

/// How long a question may take before the server counts as not answering. It gives up by itself before.
const LONGEST: Duration = Duration::from_secs(40);

/// A store in a PostgreSQL database. Cloning shares it.
#[derive(Clone)]
pub struct PgStore(Arc<Opened>);

impl PgStore {
    /// Opens the database at `address`, with the key in `dir`, and makes what is missing in both. The directory and the
    /// database stay locked until the last clone is dropped.
    ///
    /// # Errors
    /// [`StoreError::InUse`] or [`StoreError::Taken`] if another queen has one of them, [`StoreError::Newer`] if a newer
    /// queen wrote the database, [`StoreError::Server`] if it cannot be reached or used, [`StoreError::File`] if a file
    /// cannot be used or the key is not the database's.
    pub async fn open(dir: &Path, address: &Address) -> Result<Self, StoreError> {
        let (dir, address) = (dir.to_owned(), address.clone());
        apart(async move { Ok(Self(Arc::new(open::open(&dir, &address).await?))) }).await
    }

    /// The pool of those that read, which to clone is to share.
    fn readers(&self) -> PgPool {
        self.0.readers.clone()
    }
}

impl fmt::Debug for PgStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PgStore({:?})", self.0.writer.address())
    }
}

/// Runs a write in a task of its own: a caller that is dropped leaves no transaction half-way.
async fn apart<T: Send + 'static>(
    write: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::spawn(write).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime ends; whether the batch is there is known after the next start.
        Err(_) => Err(StoreError::Database(sqlx::Error::PoolClosed)),
    }
}

/// Does all of `$work` in one transaction and in a task of its own, or nothing of it.
macro_rules! changed {
    ($store:expr, |$sql:ident| $work:expr) => {{
        let opened = $store.0.clone();
        apart(async move {
            let work = async |$sql: &mut PgConnection| $work.await;
            opened.writer.transact(work).await
        })
        .await
    }};
}

/// Waits for an answer as long as it makes sense.
async fn answer<T>(question: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    match tokio::time::timeout(LONGEST, question).await {
        Ok(answer) => answer,
        Err(_) => Err(sqlx::Error::Io(session::timed_out("the server does not answer")).into()),
    }
}

#[async_trait]
impl Store for PgStore {
    fn fingerprint(&self, text: &str) -> [u8; 32] {
        self.0.sealer.fingerprint(text.as_bytes())
    }

    async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let opened = self.0.clone();
        apart(async move { write::commit(&opened.writer, &opened.sealer, &batch).await }).await
    }

    async fn restore(&self) -> Result<Restored, StoreError> {
        let opened = self.0.clone();
        apart(async move { restore::restore(&opened.writer, &opened.sealer).await }).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let opened = self.0.clone();
        apart(async move { write::ping(&opened.writer).await }).await
    }

    async fn job(&self, id: &JobId) -> Result<Option<StoredJob>, StoreError> {
        answer(list::job(&self.0.readers, id)).await
    }

    async fn job_data(&self, id: &JobId) -> Result<Option<JobData>, StoreError> {
        answer(unfinished::job_data(&mut self.readers(), &self.0.sealer, id)).await
    }

    async fn jobs(&self, filter: &JobFilter) -> Result<Page, StoreError> {
        answer(list::page(&self.0.readers, filter)).await
    }

    async fn files(&self, id: &JobId) -> Result<Vec<StoredFile>, StoreError> {
        answer(list::files(&self.0.readers, id)).await
    }

    async fn attempts(&self, id: &JobId, path: &str) -> Result<Vec<PastAttempt>, StoreError> {
        answer(past::attempts(&mut self.readers(), id, &indexed(path))).await
    }

    async fn cases(&self, id: &JobId, num: Num, attempt: Attempt) -> Result<Vec<CaseResult>, StoreError> {
        answer(past::cases(&mut self.readers(), id, num, attempt)).await
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
        answer(events::window(&self.0.readers, id, from, to, limit_bytes)).await
    }

    async fn expectations(&self, project: &Project, paths: &[String]) -> Result<Vec<Option<Expect>>, StoreError> {
        answer(history::expectations(&self.0.readers, project, paths)).await
    }

    async fn projects(&self) -> Result<Vec<StoredProject>, StoreError> {
        answer(history::projects(&self.0.readers)).await
    }

    async fn history(&self, project: &Project) -> Result<Vec<FileHistory>, StoreError> {
        answer(past::history(&mut self.readers(), project)).await
    }

    async fn flaky(&self, jobs: &[JobId]) -> Result<Vec<u64>, StoreError> {
        history::flaky(&self.0.readers, jobs).await
    }

    async fn throughput(&self, from: Timestamp) -> Result<Vec<Minute>, StoreError> {
        past::throughput(&mut self.readers(), from).await
    }

    async fn past_runs(&self, project: &Project, path: &str) -> Result<Vec<PastRun>, StoreError> {
        answer(past::runs(&mut self.readers(), project, &indexed(path))).await
    }

    async fn quarantined(&self, project: &Project, paths: &[String]) -> Result<Vec<bool>, StoreError> {
        let names: Vec<String> = paths.iter().map(|path| indexed(path)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        answer(quarantine::of(&mut self.readers(), project, &names)).await
    }

    async fn quarantine(&self, project: &Project) -> Result<Vec<Quarantined>, StoreError> {
        answer(quarantine::all(&mut self.readers(), history::NEWEST_RUNS, project)).await
    }

    async fn put_in_quarantine(
        &self,
        project: &Project,
        entry: &Quarantine,
        limit: usize,
    ) -> Result<Entered, StoreError> {
        let project = project.clone();
        let entry = Quarantine {
            path: indexed(&entry.path),
            reason: plain(&entry.reason),
            who: entry.who.as_deref().map(plain),
            since: entry.since,
        };
        changed!(self, |sql| quarantine::put(sql, &project, &entry, limit))
    }

    async fn lift_quarantine(&self, project: &Project, path: &str) -> Result<bool, StoreError> {
        let (project, path) = (project.clone(), indexed(path));
        changed!(self, |sql| quarantine::lift(sql, &project, &path))
    }

    async fn add_token(&self, token: &AccessToken, hash: [u8; 32]) -> Result<(), StoreError> {
        let (token, name) = (token.clone(), plain(&token.name));
        changed!(self, |sql| access::add(sql, &token, &name, hash))
    }

    async fn tokens(&self) -> Result<Vec<AccessToken>, StoreError> {
        answer(access::all(&mut self.readers())).await
    }

    async fn remove_token(&self, id: &str) -> Result<bool, StoreError> {
        let id = plain(id);
        changed!(self, |sql| access::remove(sql, &id))
    }

    async fn token(&self, hash: [u8; 32]) -> Result<Option<AccessToken>, StoreError> {
        answer(access::find(&mut self.readers(), hash)).await
    }

    async fn holdings(&self) -> Result<Holdings, StoreError> {
        answer(removal::holdings(&mut self.readers())).await
    }

    async fn remove_logs(&self, which: Oldest, now: Timestamp) -> Result<Removed, StoreError> {
        changed!(self, |sql| removal::remove_logs(sql, which, now))
    }

    async fn remove_jobs(&self, which: Oldest, now: Timestamp) -> Result<Removed, StoreError> {
        changed!(self, |sql| removal::remove_jobs(sql, &WORDS, which, now))
    }

    async fn forget(&self, before: Timestamp) -> Result<u64, StoreError> {
        changed!(self, |sql| removal::forget(sql, before))
    }

    async fn compact(&self) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn close(&self) {
        self.0.readers.close().await;
        self.0.writer.close().await;
    }
}
