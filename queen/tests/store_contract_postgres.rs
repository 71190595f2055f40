//! The suite of `store_contract.rs` on PostgreSQL. What is PostgreSQL's own (its server, owners, addresses) is in
//! `store_postgres.rs`.

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
#[path = "postgres/mod.rs"]
#[expect(dead_code, reason = "the server is never ended within these tests")]
mod postgres;
#[path = "store/quarantine.rs"]
mod quarantine;
#[path = "store/retention.rs"]
mod retention;

use queen::store::{PgStore, Store};
use std::sync::Arc;
use tokio::sync::OnceCell;

/// A fresh database and a way to open it again.
struct Bench {
    dir: tempfile::TempDir,
    database: OnceCell<String>,
}

impl Bench {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            database: OnceCell::new(),
        }
    }

    /// Opens the database, as a queen that starts does.
    async fn open(&self) -> Arc<dyn Store> {
        let server = postgres::shared();
        let database = self.database.get_or_init(|| server.database()).await;
        let address = server.url(database).parse().unwrap();
        let store = PgStore::open(self.dir.path(), &address).await.unwrap();
        if store.projects().await.unwrap().is_empty() {
            // So that jobs of one test are in two blocks of the index of texts.
            let keys = "ALTER TABLE jobs ALTER COLUMN key RESTART WITH 1900";
            server.run(database, keys).await;
        }
        Arc::new(store)
    }
}
