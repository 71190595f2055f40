//! The line indexes of the jobs that somebody looks at.
//!
//! Owns how many are kept, and that each is built once however many ask for it. An index that is forgotten is built again
//! when it is wanted. Read next: `index.rs`.

use super::{index::LineIndex, scan::Scan};
use crate::store::{Event, Store, StoreError, StoredJob};
use shared::{JobId, Seq, Timestamp};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Semaphore;

/// Indexes that are kept at most.
const JOBS: usize = 32;
/// Bytes that they may take together; the one asked for last stays whatever it takes.
const BYTES: usize = 64 * 1024 * 1024;

/// The indexes, the one asked for last at the end. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct LineCache(Arc<Mutex<Vec<Kept>>>);

#[derive(Debug)]
struct Kept {
    job: JobId,
    /// A job that was removed may be followed by another one with its id.
    submitted: Timestamp,
    lines: Arc<Lines>,
}

/// One job's index.
#[derive(Debug)]
pub struct Lines {
    index: Mutex<LineIndex>,
    /// Whoever reads on takes the only permit, so that nobody reads the same beside him.
    turn: Semaphore,
}

impl LineCache {
    fn lock(&self) -> MutexGuard<'_, Vec<Kept>> {
        // A panic while the list is held cannot leave it half-changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index of a job as far as it goes; a new one is empty.
    #[must_use]
    pub fn of(&self, job: &StoredJob) -> Arc<Lines> {
        let mut all = self.lock();
        let found = all.iter().position(|kept| kept.job == job.row.id);
        let known = found
            .map(|at| all.remove(at))
            .filter(|kept| kept.submitted == job.submitted);
        let kept = known.unwrap_or_else(|| Kept {
            job: job.row.id.clone(),
            submitted: job.submitted,
            lines: Arc::new(Lines {
                index: Mutex::default(),
                turn: Semaphore::new(1),
            }),
        });
        let lines = Arc::clone(&kept.lines);
        all.push(kept);
        let mut bytes = bytes(&all);
        while all.len() > 1 && (all.len() > JOBS || bytes > BYTES) {
            bytes -= all.remove(0).lines.look(LineIndex::bytes).min(bytes);
        }
        lines
    }

    /// About how much memory all of them take, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        bytes(&self.lock())
    }

    /// Drops the index of a job whose log is gone.
    pub fn forget(&self, job: &JobId) {
        self.lock().retain(|kept| kept.job != *job);
    }
}

fn bytes(all: &[Kept]) -> usize {
    all.iter().map(|kept| kept.lines.look(LineIndex::bytes)).sum()
}

impl Lines {
    fn lock(&self) -> MutexGuard<'_, LineIndex> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the index as it stands.
    pub fn look<T>(&self, ask: impl FnOnce(&LineIndex) -> T) -> T {
        ask(&self.lock())
    }

    /// Takes in events that somebody has read for himself, if they follow on what is in it.
    pub fn take(&self, events: &[Event]) {
        self.lock().take(events);
    }

    /// Reads on until event `until` is in it.
    pub async fn reach(&self, store: &Arc<dyn Store>, job: &JobId, until: Seq) -> Result<(), StoreError> {
        if self.look(LineIndex::seq) >= until {
            return Ok(());
        }
        // It is never closed.
        let _turn = self.turn.acquire().await;
        let mut scan = Scan::new(store, job, self.look(LineIndex::seq).next(), until);
        while let Some(events) = scan.next().await? {
            self.take(&events);
        }
        Ok(())
    }
}
