//! What is PostgreSQL's own, by subject: who may write, the server, what it has at the start, what a write leaves in the tables.

#![expect(clippy::unwrap_used, reason = "a test fails where its set-up fails")]

#[path = "store/fixture.rs"]
mod fixture;
#[path = "postgres/mod.rs"]
mod postgres;

#[path = "store_postgres/owner.rs"]
mod owner;
#[path = "store_postgres/schema.rs"]
mod schema;
#[path = "store_postgres/server.rs"]
mod server;
#[path = "store_postgres/writes.rs"]
mod writes;

use fixture::event;
use postgres::shared;
use queen::store::{Address, Batch, PgStore, StoreError};
use std::path::Path;
use tempfile::TempDir;

/// A database of the shared server and a data directory.
struct Place {
    dir: TempDir,
    name: String,
}

impl Place {
    async fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            name: shared().database().await,
        }
    }

    fn address(&self) -> Address {
        shared().url(&self.name).parse().unwrap()
    }

    async fn open(&self) -> Result<PgStore, StoreError> {
        self.open_in(self.dir.path()).await
    }

    async fn open_in(&self, dir: &Path) -> Result<PgStore, StoreError> {
        PgStore::open(dir, &self.address()).await
    }

    async fn run(&self, statements: &str) {
        shared().run(&self.name, statements).await;
    }

    async fn count(&self, query: &'static str) -> i64 {
        let mut sql = shared().connect(&self.name).await;
        sqlx::query_scalar(query).fetch_one(&mut sql).await.unwrap()
    }

    /// Ends the connections whose name begins so, as an operator or a failing network would.
    async fn cut(&self, name: &str) {
        let query = format!(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name LIKE '{name}%' AND pid != pg_backend_pid()"
        );
        self.run(&query).await;
    }
}

fn output(seqs: std::ops::RangeInclusive<u64>) -> Batch {
    Batch {
        events: seqs.map(|seq| event("j", seq, "x")).collect(),
        ..Batch::default()
    }
}

async fn error(dir: &Path, url: &str) -> String {
    PgStore::open(dir, &url.parse().unwrap()).await.unwrap_err().to_string()
}
