//! What the queen says to a drone.

use super::{event::Phase, messages};
use crate::{Attempt, JobData, JobId, LeaseToken, Num};
use serde::{Deserialize, Serialize, Serializer};

/// The right to run a piece of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Fences off whoever held the piece before.
    pub token: LeaseToken,
    /// What the drone is in this job.
    pub role: Role,
    /// The number of the first command that the drone runs of its own accord under this lease.
    pub num: Num,
}

/// What a drone is in a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Prepares, lists the test files, deploys.
    Home,
    /// Prepares and runs files.
    Helper,
}

/// One file to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFile {
    /// The number of its command.
    pub num: Num,
    /// Path from the root of the tests, as `job:files` named it.
    pub path: String,
    /// Which try it is.
    pub attempt: Attempt,
    /// Seconds that it may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// Only these of its cases, by the names that `job:cases` had; absent: the whole file. A runner that cannot choose
    /// cases runs the whole file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cases: Option<Vec<String>>,
    /// `path` names a part of a file: what to run of which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
}

/// A part of a file that is run in parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The file's own path, as `job:files` named it.
    pub file: String,
    /// Groups of its cases, by the names that an earlier result of the file has. One that is there no longer is no error.
    pub groups: Vec<String>,
    /// True: all cases but these; so that none is in no part, also of those that are new.
    pub rest: bool,
}

/// Job data that shows its secrets when it is serialized: the drone needs them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Exposed(pub Box<JobData>);

impl Serialize for Exposed {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        self.0.exposed().serialize(out)
    }
}

/// What the queen says to each lease that a drone resumed with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeAnswer {
    /// The job.
    pub id: JobId,
    /// The drone's token.
    pub lease: LeaseToken,
    /// True: go on. False: the lease is gone, drop the work.
    pub go_on: bool,
}

messages! {
    /// A message to a drone.
    pub enum ToDrone {
        /// Answer with `drone:info`.
        QueryInfo = "drone:query-info" {},
        /// Prepare this job.
        QueueNew = "queue:new" { job: Exposed, lease: Lease },
        /// Run these files in free slots, in this order.
        JobRun = "job:run" { job: JobId, lease: LeaseToken, files: Vec<RunFile> },
        /// Give back those of these files that have not begun; answered by `job:returned`. `running`: stop those that have,
        /// each of which is answered by one `job:returned` more, or by its result if it was quicker.
        TakeBack = "job:take-back" { job: JobId, lease: LeaseToken, nums: Vec<Num>, running: Option<bool> },
        /// Go on to `deploy` or `cleanup`; `num` is the number of the phase's first command.
        JobPhase = "job:phase" { job: JobId, lease: LeaseToken, phase: Phase, num: Num },
        /// Answer with `job:info`.
        JobQueryInfo = "job:query-info" { job: JobId },
        /// Stop it, clean up.
        JobCancel = "job:cancel" { job: JobId, reason: String, lease: Option<LeaseToken> },
        /// What to go on with after a reconnect.
        Resumed = "drone:resumed" { jobs: Vec<ResumeAnswer> },
        /// Finish, take nothing new, leave. `false`: take it back.
        Drain = "drone:drain" { on: Option<bool> },
        /// Everything up to `n` is durable here.
        Ack = "ack" { n: u64 },
    }
}
