//! The store in memory keeps the contract that every store keeps: the same suite runs on it.

#[path = "../store/events.rs"]
mod events;
#[path = "../store/fixture.rs"]
mod fixture;
#[path = "../store/history.rs"]
mod history;
#[path = "../store/jobs.rs"]
mod jobs;
#[path = "../store/list.rs"]
mod list;
#[path = "../store/quarantine.rs"]
mod quarantine;
#[path = "../store/retention.rs"]
mod retention;

use super::memory::{MemoryStore, Sound};
use queen::store::Store;
use std::sync::Arc;

struct Bench(MemoryStore);

impl Bench {
    fn new() -> Self {
        Self(MemoryStore::new(Sound))
    }

    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.0.clone())
    }
}
