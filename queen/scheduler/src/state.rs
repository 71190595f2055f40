//! Jobs, drones, leases: all that the scheduler knows.
//!
//! Owns the doors of [`State`]. What happens behind them is in `step.rs` and the rooms that it names.

use crate::{Action, DroneStatus, Explain, FileRow, Input, JobRow, LeaseRow, NewJob, Waiting};
use shared::{DroneId, Incarnation, JobId, LeaseToken, Num, Timestamp};

/// Milliseconds that a drone may be away before its leases end.
pub const GRACE_MS: u64 = 30_000;

/// All that the scheduler knows.
#[derive(Debug)]
pub struct State {
    grace: u64,
}

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    /// Nothing known, with the usual grace for drones that are away.
    #[must_use]
    pub fn new() -> Self {
        Self::with_grace(GRACE_MS)
    }

    /// Nothing known; a drone may be away for `grace` milliseconds.
    #[must_use]
    pub fn with_grace(grace: u64) -> Self {
        Self { grace }
    }

    /// Puts back what the store has: unfinished jobs and known drones (its last incarnation, whether it is draining, its
    /// learned factor). Every lease comes back suspended; what no drone answers for is handed out again after the
    /// grace. Feed [`Input::Wake`] at once: what was due while the queen was away happens then.
    #[must_use]
    pub fn restore(
        self,
        jobs: Vec<(NewJob, JobRow, Vec<FileRow>, Vec<LeaseRow>)>,
        drones: Vec<(DroneId, Option<Incarnation>, bool, Option<f64>)>,
        now: Timestamp,
    ) -> Self {
        let _ = (jobs, drones, now, self.grace);
        self
    }

    /// One input, and what follows from it. The same inputs give the same actions.
    pub fn step(&mut self, now: Timestamp, input: Input) -> Vec<Action> {
        let _ = (now, input);
        Vec::new()
    }

    /// When [`Input::Wake`] is due next.
    #[must_use]
    pub fn next_wake(&self) -> Option<Timestamp> {
        None
    }

    /// May what `drone` says of `job` be recorded: is its lease (this one, or whichever it holds) not over?
    #[must_use]
    pub fn fence(&self, job: &JobId, drone: &DroneId, lease: Option<LeaseToken>) -> bool {
        let _ = (job, drone, lease);
        false
    }

    /// Is `num` a command of `job` that was given to `drone` or that it has begun of its own accord?
    #[must_use]
    pub fn started_num(&self, job: &JobId, drone: &DroneId, num: Num) -> bool {
        let _ = (job, drone, num);
        false
    }

    /// How a job stands; `None` if it is unknown or over and forgotten.
    #[must_use]
    pub fn job(&self, job: &JobId) -> Option<&JobRow> {
        let _ = job;
        None
    }

    /// Why a job waits and when it is expected to end.
    #[must_use]
    pub fn explain(&self, job: &JobId, now: Timestamp) -> Option<Explain> {
        let _ = (job, now);
        None
    }

    /// All drones by id.
    #[must_use]
    pub fn drones(&self) -> Vec<DroneStatus> {
        Vec::new()
    }

    /// One drone.
    #[must_use]
    pub fn drone(&self, drone: &DroneId) -> Option<DroneStatus> {
        let _ = drone;
        None
    }

    /// Jobs that wait for a drone, first in order first.
    #[must_use]
    pub fn queue(&self, now: Timestamp) -> Vec<Waiting> {
        let _ = now;
        Vec::new()
    }
}
