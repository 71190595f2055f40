//! Reads a long stretch of a job's events, the next window while the one before is worked on.
//!
//! Owns the reading ahead; what the events say is its users' business. Read next: `cache.rs`, `search.rs`.

use crate::store::{Event, Store, StoreError};
use shared::{JobId, Seq};
use std::sync::Arc;
use tokio_util::task::AbortOnDropHandle;

/// About how many bytes of events are read at once.
const WINDOW: usize = 1024 * 1024;

/// Events of a job that are still to be read.
pub struct Scan {
    store: Arc<dyn Store>,
    job: JobId,
    next: Seq,
    until: Seq,
    ahead: Option<AbortOnDropHandle<Result<Vec<Event>, StoreError>>>,
}

impl Scan {
    /// Events `from..=until`, all of which there must be.
    #[must_use]
    pub fn new(store: &Arc<dyn Store>, job: &JobId, from: Seq, until: Seq) -> Self {
        Self {
            store: Arc::clone(store),
            job: job.clone(),
            next: from,
            until,
            ahead: None,
        }
    }

    /// The next events; `None` after the last one.
    pub async fn next(&mut self) -> Result<Option<Vec<Event>>, StoreError> {
        if self.next > self.until {
            return Ok(None);
        }
        let ahead = self.ahead.take().unwrap_or_else(|| self.read());
        let missing = |why| StoreError::Corrupt {
            what: "a job's events",
            why,
        };
        let events = ahead.await.map_err(|error| missing(error.to_string()))??;
        let Some(last) = events.last() else {
            return Err(missing(format!("{}: event {} is missing", self.job, self.next)));
        };
        self.next = last.seq.next();
        if self.next <= self.until {
            self.ahead = Some(self.read());
        }
        Ok(Some(events))
    }

    fn read(&self) -> AbortOnDropHandle<Result<Vec<Event>, StoreError>> {
        let (store, job, next, until) = (Arc::clone(&self.store), self.job.clone(), self.next, self.until);
        AbortOnDropHandle::new(tokio::spawn(
            async move { store.events(&job, next, until, WINDOW).await },
        ))
    }
}
