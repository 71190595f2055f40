//! Faults that a simulation switches on to see that it would find them. None is ever on outside of tests.
//!
//! Owns the switches, and what a missing fence would do. Where each one bites: `step.rs`, `lease.rs`, `files.rs`,
//! `retry.rs`.

use crate::{FileState, JobInput, State};
use shared::JobId;

/// Which promises are broken on purpose.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// A result counts whoever says it, under whatever lease.
    pub unfenced: bool,
    /// A job that has lost all its leases gets the last token again.
    pub same_token: bool,
    /// What was handed out ahead and is taken back, or loses its lease, is not entered again.
    pub forget_ahead: bool,
}

impl State {
    /// The same state, with these faults.
    #[doc(hidden)]
    #[must_use]
    pub fn with_faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// What the fence holds back.
    pub(crate) fn on_stale(&mut self, id: &JobId, what: &JobInput) {
        let job = self.jobs.get_mut(id).filter(|_| self.faults.unfenced);
        let (Some(job), JobInput::FileDone { num, outcome, died, .. }) = (job, what) else {
            return self.out.drop("stale");
        };
        let Some((index, _)) = job.nums.get(num).copied() else {
            return self.out.drop("stale");
        };
        let row = &job.files[index as usize].row;
        match (row.state, row.num, row.token) {
            (FileState::Done, ..) => return self.out.drop("stale"),
            (FileState::Out, Some(num), Some(token)) => {
                self.resize(id, token, |job| job.take_out(index, num, token));
            }
            _ => {
                let turn = job.turn(index);
                job.pop_pending(&turn);
            }
        }
        self.judge(id, index, *outcome, *died);
        self.after_file(id);
    }
}
