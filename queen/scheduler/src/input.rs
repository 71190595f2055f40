//! All that enters the scheduler.

use serde::{Deserialize, Serialize};
use shared::{
    Attempt, DroneId, Incarnation, JobId, JobType, LeaseToken, Num, Project, Timestamp,
    outcome::{FileOutcome, Group},
    protocol::{
        event::{Edge, JobError, Phase, Plan},
        to_queen::{Info, Resume},
    },
};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A job was submitted; its id is new.
    Submit(Box<NewJob>),
    /// Somebody wants a job stopped.
    Cancel {
        /// The job.
        job: JobId,
        /// For people.
        reason: String,
    },
    /// Something from or about a drone.
    Drone {
        /// Which.
        drone: DroneId,
        /// What.
        what: DroneInput,
    },
    /// Time has passed: at or after [`State::next_wake`](crate::State::next_wake).
    Wake,
}

/// What the scheduler needs to know of a job. Stored with the job, for restarts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewJob {
    /// Its id.
    pub id: JobId,
    /// Whose share it uses and whose history it has.
    pub project: Project,
    /// What it is to do.
    pub job_type: JobType,
    /// Higher first.
    pub priority: i32,
    /// What a drone must have.
    pub labels: Vec<String>,
    /// Which plugins a drone must have.
    pub plugins: Vec<String>,
    /// How many drones may share it (the job's own word; it wins over the plan's).
    pub spread: Option<u32>,
    /// How often the whole job is tried again.
    pub retries: u32,
    /// Milliseconds that it may take from its start.
    pub timeout: Option<u64>,
    /// Not before this time.
    pub delay_until: Option<Timestamp>,
    /// When it was submitted.
    pub submitted: Timestamp,
}

/// Something from or about a drone.
#[derive(Debug, Clone, PartialEq)]
pub enum DroneInput {
    /// It has connected and said who it is. A new incarnation has lost what the old one held.
    Connected {
        /// Which life of it.
        incarnation: Incarnation,
        /// What people call it.
        name: String,
        /// True if messages of it are missing for ever: its leases cannot be trusted and end.
        gap: bool,
    },
    /// It says what it can do.
    Info(Info),
    /// It says what it still holds; answered by `drone:resumed`.
    Resume(Resume),
    /// Its connection is gone. Its grace begins.
    Disconnected,
    /// It has said goodbye and does not come back as the one that it is: there is no grace to wait for.
    Left,
    /// An operator wants it drained, or takes that back.
    Drain(bool),
    /// It speaks of a job.
    Job {
        /// The job.
        job: JobId,
        /// The lease that it speaks under; absent: the one that it holds.
        lease: Option<LeaseToken>,
        /// What it says.
        what: JobInput,
    },
}

/// What a drone says of a job, as far as decisions hang on it. Output never comes here.
#[derive(Debug, Clone, PartialEq)]
pub enum JobInput {
    /// `job:queued`: it has the lease.
    Receipt,
    /// `job:started`
    Started,
    /// `job:phase`
    Phase {
        /// Which.
        phase: Phase,
        /// Which end.
        edge: Edge,
        /// The code at its end.
        code: Option<i32>,
    },
    /// `job:cmd:start`
    CmdStart {
        /// The number that it claims.
        num: Num,
    },
    /// `job:files`, with what the store knows of each.
    Files {
        /// In the order of the list.
        files: Vec<ListedFile>,
        /// The list goes on.
        more: bool,
        /// With the last part.
        plan: Option<Plan>,
    },
    /// `job:file:start`
    FileStart {
        /// Its command.
        num: Num,
        /// Which try.
        attempt: Attempt,
    },
    /// `job:file:done`
    FileDone {
        /// Its command.
        num: Num,
        /// Which try.
        attempt: Attempt,
        /// How it ended, in the drone's words.
        outcome: FileOutcome,
        /// Its process died of a signal that nobody sent.
        died: bool,
        /// Milliseconds on that drone.
        duration: u64,
        /// What it can be split into.
        groups: Vec<Group>,
    },
    /// `job:returned`: handed out ahead, not begun, given back.
    Returned {
        /// Their commands.
        nums: Vec<Num>,
    },
    /// `job:deployed`
    Deployed {
        /// The code.
        code: i32,
    },
    /// `job:done`: nothing of the lease goes on any more on that drone.
    Done,
    /// `job:errored`: the lease is over because the drone could not do its work.
    Errored {
        /// Why.
        error: JobError,
    },
    /// `job:cancelled`: the lease is over because it was told so.
    Cancelled,
}

/// A test file with its history.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedFile {
    /// Path as the drone lists it.
    pub path: String,
    /// What is known; absent for a new file.
    pub expect: Option<Expect>,
    /// It is under quarantine: a bad result of it may be chance.
    pub quarantined: bool,
}

/// What history says of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Expect {
    /// Expected milliseconds on a drone of speed 100.
    pub duration: u64,
    /// It was bad when it last ran.
    pub failed: bool,
    /// What it can be split into, as its last whole run has said.
    pub groups: Vec<Group>,
}
