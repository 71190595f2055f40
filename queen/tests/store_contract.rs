//! What every store must do, whatever database is under it: the suite is written against `&dyn Store`.
//!
//! Each database has a file with a `Bench` of its own and the same modules: this one is for SQLite, the next one is
//! `store_contract_postgres.rs`. What is SQLite's own (files, locks, the key) is in
//! `store_sqlite.rs`.

#![expect(clippy::unwrap_used, reason = "a test fails where its set-up fails")]

#[path = "store/events.rs"]
mod events;
#[path = "store/fixture.rs"]
mod fixture;
#[path = "store/history.rs"]
mod history;
#[path = "store/jobs.rs"]
mod jobs;
#[path = "store/list.rs"]
mod list;
#[path = "store/quarantine.rs"]
mod quarantine;
#[path = "store/retention.rs"]
mod retention;

use queen::store::{SqliteStore, Store};
use std::sync::Arc;

/// A fresh database and a way to open it again.
struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// Opens the database, as a queen that starts does.
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(self.dir.path()).await.unwrap())
    }
}
