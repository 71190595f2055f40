//! What is durable, and how it is asked for. One trait, one implementation a database.
//!
//! Only the engine's writer calls [`Store::commit`]; everybody may read. Nothing here decides anything, and nothing
//! outside knows SQL. Read next: `model` (what goes in and out), `stream` and `chunk` (how events lie on the disk), `seal`
//! (how secrets do), `estimate` (how durations are learned), `pulse` (how files are counted), `home` (the data directory),
//! `rows`, `texts` and `newest` (what databases read alike), `past`, `unfinished`, `access`, `retention` and `quarantine` (what
//! they are asked alike), `sqlite/`, `postgres/`.

mod access;
mod chunk;
mod estimate;
mod home;
mod memory;
mod model;
mod newest;
mod past;
mod postgres;
mod pulse;
mod quarantine;
mod retention;
mod rows;
mod seal;
mod sql;
mod sqlite;
mod stream;
mod texts;
mod unfinished;
mod value;

pub use estimate::Learned;
pub use home::{Home, RESTORING};
pub use model::*;
pub use postgres::{
    Address, PgStore, copy as copy_postgres, newest_known as newest_postgres, put_back as put_back_postgres,
};
pub use sqlite::{SqliteStore, after_copy as after_copy_sqlite, copy as copy_sqlite, newest_known as newest_sqlite};

use async_trait::async_trait;
use scheduler::Expect;
use shared::{Attempt, JobData, JobId, Num, Project, Seq, Timestamp, outcome::CaseResult};
use sqlx::migrate::MigrateError;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Leases that a drone may still hold were given out after a backup was made. Once it is put back, the tokens of unfinished
/// jobs go on so far behind those, so that none of them is ever given out again.
const FAR: i64 = 1_000_000_000;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is newer than the program.
    #[error(
        "the database has schema {found}, this queen knows up to {known}: start the newer queen that wrote it, or give another data directory"
    )]
    Newer {
        /// Version found.
        found: i64,
        /// Newest version known.
        known: i64,
    },
    /// Another queen has the data directory.
    #[error("{} is in use by another queen: stop it, or give another data directory", .0.display())]
    InUse(PathBuf),
    /// The address of the database makes no sense.
    #[error(
        "--database takes postgres://USER:PASSWORD@HOST:PORT/NAME (NAME?host=/FOLDER for a socket), and of this one: {0}"
    )]
    Address(String),
    /// The database server cannot be used.
    #[error("the database {place} cannot be used: {why}; {advice}")]
    Server {
        /// Its address without a password.
        place: String,
        /// Why.
        why: String,
        /// What to do.
        advice: String,
    },
    /// Another queen has the database.
    #[error("the database {0} is in use by another queen: stop it, or give another database")]
    Taken(String),
    /// Another queen took the database over while this one could not reach it.
    #[error("the database {0} was taken over by another queen; this one writes no more: stop one of the two")]
    Lost(String),
    /// A restore was killed between the old data and the new.
    #[error("a restore into {} was broken off: run `queen restore` again, what was there before is put aside in it", .0.display())]
    HalfRestored(PathBuf),
    /// What was to be written clashes with what is there: a job that exists, an event out of order, a job that is not
    /// there. Nothing of the batch was written.
    #[error("the write was refused: {0}")]
    Refused(String),
    /// The database said no.
    #[error("the database failed: {0}{advice}", advice = advice(.0))]
    Database(#[from] sqlx::Error),
    /// The database's file is not the one that was opened.
    #[error("{} {what}", path.display())]
    Moved {
        /// Which.
        path: PathBuf,
        /// What became of it, and what to do.
        what: &'static str,
    },
    /// What was read makes no sense.
    #[error("the database holds {what} that cannot be read: {why}")]
    Corrupt {
        /// What.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// Files around the database.
    #[error("{}: {error}; the queen must be able to read and write its data directory", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
}

/// What to do about an error of a database, where its own words do not say it.
fn advice(error: &sqlx::Error) -> &'static str {
    if let sqlx::Error::Migrate(error) = error
        && let MigrateError::Execute(inner) | MigrateError::ExecuteMigration(inner, _) = &**error
    {
        return advice(inner);
    }
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    let code = code.unwrap_or_default();
    // PostgreSQL's codes have five characters; SQLite's are shorter numbers, with the kind in the last byte.
    let kind = code
        .parse::<u32>()
        .ok()
        .filter(|_| code.len() < 5)
        .map(|code| code & 0xff);
    match kind {
        None if code == "53100" => ": free space where PostgreSQL keeps its data",
        Some(13) => ": free space where the data directory is",
        Some(8 | 14) => ": the queen must be able to read and write its data directory",
        Some(10) => ": look at the disk that holds the data directory",
        Some(11 | 26) => ": the file is damaged: stop the queen and put back a backup of the data directory",
        _ => "",
    }
}

/// Opens the store of the data directory `dir`: the database at `address`, or without one SQLite in the directory.
///
/// # Errors
/// Those of [`PgStore::open`] and [`SqliteStore::open`].
pub async fn open(dir: &Path, address: Option<&Address>) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match address {
        Some(address) => Arc::new(PgStore::open(dir, address).await?),
        None => Arc::new(SqliteStore::open(dir).await?),
    })
}

/// The durable side of a queen. Every call is safe to abandon half-way: what it does happens wholly or not at all.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Tells two texts apart without keeping either: a hash under a key of the store's own, so that nobody who reads the
    /// database can try out guesses.
    fn fingerprint(&self, text: &str) -> [u8; 32];
    /// Writes all of `batch` in one transaction; on an error nothing of it is there.
    async fn commit(&self, batch: Batch) -> Result<(), StoreError>;
    /// Everything unfinished, for a queen that starts or has lost a write.
    async fn restore(&self) -> Result<Restored, StoreError>;
    /// A cheap write and read: is the store well?
    async fn ping(&self) -> Result<(), StoreError>;

    /// One job.
    async fn job(&self, id: &JobId) -> Result<Option<StoredJob>, StoreError>;
    /// One job's data with its secrets, to repeat it.
    async fn job_data(&self, id: &JobId) -> Result<Option<JobData>, StoreError>;
    /// A page of jobs, newest first; one of those with a text may be short and have a [`next`](Page::next).
    async fn jobs(&self, filter: &JobFilter) -> Result<Page, StoreError>;
    /// A job's files by index, each with its last result.
    async fn files(&self, id: &JobId) -> Result<Vec<StoredFile>, StoreError>;
    /// All attempts of a job's file that have a result, in the order in which these came.
    async fn attempts(&self, id: &JobId, path: &str) -> Result<Vec<PastAttempt>, StoreError>;
    /// The cases of one attempt.
    async fn cases(&self, id: &JobId, num: Num, attempt: Attempt) -> Result<Vec<CaseResult>, StoreError>;
    /// The cases of each file's last attempt, by the files' index from `from` on, of all files or of the one at `path`.
    /// Whole files, as many as about `limit_bytes` of the database hold (at least one if there is one).
    async fn cases_by_file(
        &self,
        id: &JobId,
        path: Option<&str>,
        from: u32,
        limit_bytes: usize,
    ) -> Result<Vec<FileCases>, StoreError>;
    /// Events `from..=to` of a job in order, at most about `limit_bytes` of text (at least one event if there is one).
    async fn events(&self, id: &JobId, from: Seq, to: Seq, limit_bytes: usize) -> Result<Vec<Event>, StoreError>;

    /// What history says of a project's files, in the order of `paths`.
    async fn expectations(&self, project: &Project, paths: &[String]) -> Result<Vec<Option<Expect>>, StoreError>;
    /// All projects by name.
    async fn projects(&self) -> Result<Vec<StoredProject>, StoreError>;
    /// A project's files, slowest first.
    async fn history(&self, project: &Project) -> Result<Vec<FileHistory>, StoreError>;
    /// How many flaky files each of these jobs had, in their order.
    async fn flaky(&self, jobs: &[JobId]) -> Result<Vec<u64>, StoreError>;
    /// Files that drones have run to their end, by the minute, from the one of `from` on; minutes without any are left
    /// out. Of the last day.
    async fn throughput(&self, from: Timestamp) -> Result<Vec<Minute>, StoreError>;
    /// Past runs of one file, newest first, at most 100.
    async fn past_runs(&self, project: &Project, path: &str) -> Result<Vec<PastRun>, StoreError>;

    /// Which of a project's files are under quarantine, in the order of `paths`.
    async fn quarantined(&self, project: &Project, paths: &[String]) -> Result<Vec<bool>, StoreError>;
    /// A project's files under quarantine, by path.
    async fn quarantine(&self, project: &Project) -> Result<Vec<Quarantined>, StoreError>;
    /// Puts a file under quarantine, or changes why it is there; at most `limit` files of a project are. A project that has
    /// had no job refuses it.
    async fn put_in_quarantine(
        &self,
        project: &Project,
        entry: &Quarantine,
        limit: usize,
    ) -> Result<Entered, StoreError>;
    /// Takes a file out of quarantine; false if it was not there.
    async fn lift_quarantine(&self, project: &Project, path: &str) -> Result<bool, StoreError>;

    /// Keeps a token by the SHA-256 of its value.
    async fn add_token(&self, token: &AccessToken, hash: [u8; 32]) -> Result<(), StoreError>;
    /// All tokens, oldest first.
    async fn tokens(&self) -> Result<Vec<AccessToken>, StoreError>;
    /// Takes a token away; false if there was none.
    async fn remove_token(&self, id: &str) -> Result<bool, StoreError>;
    /// The token whose value has this SHA-256.
    async fn token(&self, hash: [u8; 32]) -> Result<Option<AccessToken>, StoreError>;

    /// What finished jobs hold, and when the first of it comes of age.
    async fn holdings(&self) -> Result<Holdings, StoreError>;
    /// Removes logs (events and cases) of finished jobs, of those first that ended first; jobs and results stay, and
    /// [`StoredJob::log_removed`] says `now`. One short transaction: call it again while [`Removed::more`].
    async fn remove_logs(&self, which: Oldest, now: Timestamp) -> Result<Removed, StoreError>;
    /// Removes finished jobs with everything of them but what was learned, of those first that ended first. One short
    /// transaction: call it again while [`Removed::more`].
    async fn remove_jobs(&self, which: Oldest, now: Timestamp) -> Result<Removed, StoreError>;
    /// Forgets what was learned of files that last ran before `before`, and lives of drones that are long over. One
    /// short transaction; answers how many files were forgotten, 0 when there is nothing left to forget.
    async fn forget(&self, before: Timestamp) -> Result<u64, StoreError>;
    /// Gives some space that is free inside the database back to the disk. Answers bytes; 0 when there is nothing left
    /// to give back, or the database does that by itself.
    async fn compact(&self) -> Result<u64, StoreError>;
    /// Writes back what the database keeps beside its files and lets go of it; afterwards nothing can be asked.
    async fn close(&self);
}
