//! How often the queen commits.
//!
//! Owns when gathered work goes to the writer. Must not know what is in it. Read next: `core.rs`, which asks.

use shared::Timestamp;
use std::time::Duration;

/// Under steady load, the least time from commit to commit.
const PACE_MS: u64 = 4;
/// Commits that follow each other within [`GAP_MS`], after which the load counts as steady: more than a small job has from
/// its trigger to its first test.
const STEADY: u32 = 16;
/// Milliseconds without a commit after which the load is steady no more.
const GAP_MS: u64 = 2 * PACE_MS;

/// When the next work goes to the writer: at once if the queen has little to do; under steady load a little later, so that
/// one commit serves many.
#[derive(Default)]
pub(super) struct Pace {
    /// When the work that is being written was handed over.
    began: Timestamp,
    is_writing: bool,
    /// How many commits have followed each other.
    in_a_row: u32,
}

impl Pace {
    /// How long what has been gathered is to wait; nothing while the work before is being written.
    pub fn wait(&self, now: Timestamp) -> Option<Duration> {
        let is_steady = self.in_a_row >= STEADY;
        let due = self.began.plus(if is_steady { PACE_MS } else { 0 });
        (!self.is_writing).then(|| Duration::from_millis(due.since(now)))
    }

    /// Work was handed over.
    pub fn begun(&mut self, now: Timestamp) {
        let follows = now.since(self.began) <= GAP_MS;
        self.in_a_row = if follows { self.in_a_row.saturating_add(1) } else { 0 };
        (self.began, self.is_writing) = (now, true);
    }

    /// It was written.
    pub fn written(&mut self) {
        self.is_writing = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_commit_follows_the_other_at_once_until_the_load_is_steady() {
        let mut pace = Pace::default();
        let now = Timestamp(1_000_000);
        for _ in 0..=STEADY {
            assert_eq!(pace.wait(now), Some(Duration::ZERO));
            pace.begun(now);
            assert_eq!(pace.wait(now), None, "one at a time");
            pace.written();
        }
        assert_eq!(pace.wait(now), Some(Duration::from_millis(PACE_MS)));
        let later = now.plus(PACE_MS + 1);
        assert_eq!(
            pace.wait(later),
            Some(Duration::ZERO),
            "a slow commit has been wait enough"
        );
        pace.begun(later);
        pace.written();
        assert_eq!(pace.wait(later), Some(Duration::from_millis(PACE_MS)), "it goes on");
        let quiet = later.plus(GAP_MS + 1);
        pace.begun(quiet);
        pace.written();
        assert_eq!(pace.wait(quiet), Some(Duration::ZERO), "there was little to do");
    }
}
