//! All that leaves the scheduler, in the order in which it must be made durable and carried out.

use serde::{Deserialize, Serialize};
use shared::{
    Attempt, DroneId, Incarnation, JobId, JobState, LeaseToken, Num, Timestamp,
    outcome::{FileOutcome, Group},
    protocol::{
        JobEvent, Lease, ToDrone,
        event::{JobError, Plan},
        to_drone::{Part, Role},
    },
};

/// One consequence of an input.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Record and proxy the very event that came in. Comes before every action that follows from it.
    Accept {
        /// For `job:file:done`: the outcome to record in place of the drone's (`flaky` after an earlier bad attempt).
        outcome: Option<FileOutcome>,
    },
    /// The event that came in counts for nothing: stale lease, unknown job, bad number. It is counted, and logged.
    ///
    /// An event of a drone that gets neither `Accept` nor `Drop` was for the queen's ears only: not recorded, not an
    /// error. So are receipts, `job:returned`, a helper's `job:started`, and the last word of every lease (`job:done`,
    /// `job:errored`, `job:cancelled`): the queen emits those itself when they hold for the whole job.
    Drop {
        /// A short word for the metric: `stale`, `unknown-job`, `bad-num`, `duplicate`, `not-home`.
        why: &'static str,
    },
    /// Record and proxy an event of the queen's own.
    Emit(JobEvent),
    /// Make a row durable.
    Save(Record),
    /// A file that was run in parts has ended: history is to have it as one.
    Whole(Whole),
    /// Send `queue:new`: the engine adds the job's data.
    Start {
        /// To whom.
        drone: DroneId,
        /// What.
        job: JobId,
        /// Under which right.
        lease: Lease,
    },
    /// Send a message. To `job:run` the engine adds the cases that the job's data names.
    Send {
        /// To whom.
        drone: DroneId,
        /// What.
        message: ToDrone,
    },
}

/// A row that replaces its older self.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// How a job stands.
    Job(JobRow),
    /// How a file stands.
    File(FileRow),
    /// The job's file rows are gone, those of this batch before it included: it is tried again from its list on.
    NoFiles(JobId),
    /// How a lease stands.
    Lease(LeaseRow),
    /// An operator's wish about a drone.
    Drain {
        /// Which.
        drone: DroneId,
        /// What.
        on: bool,
    },
    /// The queen's correction of a drone's speed.
    Learned {
        /// Which.
        drone: DroneId,
        /// Real speed over reported speed.
        factor: f64,
    },
}

/// How a job stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobRow {
    /// Which.
    pub id: JobId,
    /// Where it stands.
    pub state: JobState,
    /// Which try of the whole job, from 1.
    pub attempt: u32,
    /// Not to be started before this time (delay or backoff).
    pub not_before: Option<Timestamp>,
    /// When a drone first began it.
    pub started: Option<Timestamp>,
    /// When a drone began this attempt of it: what `timeout` counts from.
    pub began: Option<Timestamp>,
    /// Times its home drone was lost in this attempt.
    pub lost: u32,
    /// When it reached a final state.
    pub finished: Option<Timestamp>,
    /// The next token to give.
    pub next_token: LeaseToken,
    /// The next command number to give.
    pub next_num: Num,
    /// What the repository's settings say; there once the files are listed whole.
    pub plan: Option<Plan>,
    /// How the tests ended, when all are accounted for.
    pub test_code: Option<i32>,
    /// How the deploy ended.
    pub deploy_code: Option<i32>,
    /// True from the moment the deploy was handed out: it is never handed out again.
    pub deploy_given: bool,
    /// Why it errored.
    pub error: Option<JobError>,
    /// Set when somebody wants it stopped.
    pub cancel: Option<String>,
    /// Files listed.
    pub files_total: u32,
    /// Files accounted for.
    pub files_done: u32,
    /// Files that count against the job.
    pub files_bad: u32,
}

impl JobRow {
    /// A job that was just submitted: nothing of it has begun.
    #[must_use]
    pub fn new(id: JobId) -> Self {
        Self {
            id,
            state: JobState::Queued,
            attempt: 1,
            not_before: None,
            started: None,
            began: None,
            lost: 0,
            finished: None,
            next_token: LeaseToken(1),
            next_num: Num(0),
            plan: None,
            test_code: None,
            deploy_code: None,
            deploy_given: false,
            error: None,
            cancel: None,
            files_total: 0,
            files_done: 0,
            files_bad: 0,
        }
    }
}

/// Where a file stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileState {
    /// In the heap.
    Pending,
    /// Handed out under a lease.
    Out,
    /// Accounted for.
    Done,
}

/// Which part of a file, and what its last run told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FilePart {
    /// What to run.
    pub part: Part,
    /// Which of the parts, from 1.
    pub number: u32,
    /// How many there are.
    pub of: u32,
    /// Milliseconds at speed 100, if they say something of its usual duration.
    pub took: Option<u64>,
    /// What it can be split into.
    pub groups: Vec<Group>,
}

/// What a file came to that was run in parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Whole {
    /// The job.
    pub job: JobId,
    /// The file's own path.
    pub path: String,
    /// The command of the part that ended last.
    pub num: Num,
    /// As bad as its worst part.
    pub outcome: FileOutcome,
    /// Milliseconds at speed 100, if they are known of all parts.
    pub duration: Option<u64>,
    /// What it can be split into; empty if one part did not say.
    pub groups: Vec<Group>,
}

/// How a file stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileRow {
    /// The job.
    pub job: JobId,
    /// Its place in the list, from 0: with the job, the key.
    pub index: u32,
    /// Path.
    pub path: String,
    /// Where it stands.
    pub state: FileState,
    /// The current or last attempt; 0 before the first.
    pub attempt: Attempt,
    /// The command of that attempt.
    pub num: Option<Num>,
    /// The lease of that attempt.
    pub token: Option<LeaseToken>,
    /// The drone of that attempt.
    pub drone: Option<DroneId>,
    /// How it ended, when it is done.
    pub outcome: Option<FileOutcome>,
    /// Bad results so far (for `retries`).
    pub bad: u32,
    /// Times its drone was lost or its process died.
    pub lost: u32,
    /// Expected milliseconds at speed 100.
    pub expect: Option<u64>,
    /// It was bad when it last ran in an earlier job.
    pub failed_before: bool,
    /// It was under quarantine when it was listed: it has two retries at least.
    pub quarantined: bool,
    /// There if it is a part of a file; then `path` is the part's own.
    pub part: Option<FilePart>,
}

/// Where a lease stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LeaseState {
    /// The drone works under it.
    Live,
    /// The drone is away, its grace runs.
    Suspended,
    /// Over; whatever still comes under it is stale.
    Ended,
}

/// How a lease stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeaseRow {
    /// The job: with the token, the key.
    pub job: JobId,
    /// The fencing token.
    pub token: LeaseToken,
    /// Who holds it.
    pub drone: DroneId,
    /// Which life of the drone.
    pub incarnation: Incarnation,
    /// What the drone is in the job.
    pub role: Role,
    /// The number of its first command.
    pub num: Num,
    /// Where it stands.
    pub state: LeaseState,
    /// True once the drone can take files.
    pub prepared: bool,
    /// True once the drone was told to clean up.
    pub closing: bool,
}
