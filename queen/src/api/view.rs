//! What the REST API answers, as types: the API writes them, the command line reads them, OpenAPI describes them.
//!
//! Times are Unix milliseconds, durations milliseconds. Secrets are never in here. Read next: `past.rs` (what is told of
//! what is over), `present.rs`, which fills them.

mod past;

pub use past::*;

use crate::store::AccessRole;
use scheduler::FileState;
use serde::{Deserialize, Serialize};
use shared::{
    JobState, JobType,
    outcome::{CaseCounts, CaseResult, FileOutcome},
    protocol::event::JobError,
    trigger::Trigger,
};

/// A job as lists and pages show it.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JobView {
    /// Its id.
    pub id: String,
    /// `owner/name`.
    pub project: String,
    /// Where it stands.
    #[schema(value_type = String)]
    pub state: JobState,
    /// What it is to do.
    #[schema(value_type = String)]
    pub job_type: JobType,
    /// Branch or ref asked for.
    pub branch: Option<String>,
    /// Commit asked for.
    pub commit: Option<String>,
    /// Address of the source, without credentials.
    pub repo: Option<String>,
    /// Why it exists.
    #[schema(value_type = Object)]
    pub trigger: Trigger,
    /// Who asked, in the client's terms.
    pub user_id: Option<String>,
    /// Higher first.
    pub priority: i32,
    /// What a drone must have.
    pub labels: Vec<String>,
    /// Which try of the whole job, from 1.
    pub attempt: u32,
    /// When it was submitted.
    pub submitted: i64,
    /// When a drone first began it.
    pub started: Option<i64>,
    /// When it reached a final state.
    pub finished: Option<i64>,
    /// How the tests ended.
    pub test_code: Option<i32>,
    /// How the deploy ended.
    pub deploy_code: Option<i32>,
    /// Why it errored.
    #[schema(value_type = Option<Object>)]
    pub error: Option<JobError>,
    /// Why somebody stopped it.
    pub cancel_reason: Option<String>,
    /// The runner that was chosen or detected.
    pub runner: Option<String>,
    /// Files listed.
    pub files_total: u32,
    /// Files accounted for.
    pub files_done: u32,
    /// Files that count against the job.
    pub files_bad: u32,
    /// The job that this one repeats.
    pub rerun_of: Option<String>,
    /// Number of its last event.
    pub last_seq: u64,
    /// When its log (output and cases) was removed, if it is kept no longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_removed: Option<i64>,
    /// What is known only while it goes on; absent in lists and for jobs that have ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<NowView>,
}

/// What is known of a job only while it goes on.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NowView {
    /// Why it waits, in words.
    pub waits: Option<String>,
    /// When it is expected to end.
    pub expected_end: Option<i64>,
    /// No schedule could end it in less than this many more milliseconds.
    pub lower_bound: Option<u64>,
    /// Files that run.
    pub running: Vec<RunningView>,
    /// Drones that work on it.
    pub drones: Vec<String>,
}

/// A file that runs.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunningView {
    /// Its command.
    pub num: u32,
    /// Path.
    pub path: String,
    /// Where.
    pub drone: String,
    /// Which try.
    pub attempt: u32,
    /// Since when; absent while it waits on the drone for a slot.
    pub since: Option<i64>,
}

/// A file of a job.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FileView {
    /// Path; of a part of a file the part's own.
    pub path: String,
    /// The path of the file that it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_of: Option<String>,
    /// `pending`, `out` or `done`.
    #[schema(value_type = String)]
    pub state: FileState,
    /// How it ended.
    #[schema(value_type = Option<String>)]
    pub outcome: Option<FileOutcome>,
    /// The command of its last attempt.
    pub num: Option<u32>,
    /// Its last attempt.
    pub attempt: u32,
    /// Who ran it.
    pub drone: Option<String>,
    /// Milliseconds of its last attempt.
    pub duration: Option<f64>,
    /// CPU milliseconds.
    pub cpu: Option<f64>,
    /// Bytes.
    pub peak_memory: Option<u64>,
    /// Exit code.
    pub exit: Option<i32>,
    /// Counts of cases.
    #[schema(value_type = Object)]
    pub cases: CaseCounts,
    /// Cases that count against it.
    #[schema(value_type = Vec<Object>)]
    pub failures: Vec<CaseResult>,
    /// The end of stderr, when no case says why it is bad.
    pub stderr_tail: String,
    /// Expected milliseconds at speed 100.
    pub expected: Option<u64>,
    /// It was under quarantine when the job listed it: a failure is tried again up to twice. Absent: it was not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub quarantined: bool,
}

/// One page of jobs.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JobPage {
    /// Newest first.
    pub jobs: Vec<JobView>,
    /// Ask for the next page with `?before=` this; absent on the last page. With a text a page may have it and yet fewer
    /// jobs than its limit.
    pub next: Option<String>,
}

/// A drone.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DroneView {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// It has a connection now.
    pub connected: bool,
    /// It takes nothing new.
    pub draining: bool,
    /// Speed that it reports.
    pub speed: u32,
    /// Speed corrected by what its files really took.
    pub effective_speed: f64,
    /// Slots.
    pub capacity: u32,
    /// Slots in use.
    pub active: u32,
    /// Jobs that wait for it.
    pub queued: u32,
    /// What a job can ask for.
    pub labels: Vec<String>,
    /// Plugins that it has.
    pub plugins: Vec<String>,
    /// Runners that it has.
    pub runners: Vec<String>,
    /// Operating system and processor.
    pub platform: String,
    /// The program's version.
    pub version: String,
    /// Jobs that it works on.
    pub jobs: Vec<String>,
    /// What its slots run, those first that began first; never more than it has slots.
    #[serde(default)]
    pub running: Vec<SlotView>,
}

/// A file in a slot.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SlotView {
    /// Its job.
    pub job: String,
    /// Its command.
    pub num: u32,
    /// Path.
    pub path: String,
    /// Which try.
    pub attempt: u32,
    /// Since when; null while the drone has not said so.
    pub since: Option<i64>,
}

/// The fleet at a glance.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FleetView {
    /// The last 60 minutes, oldest first, the last one still going on: when each began, and how many files ended in it.
    #[schema(value_type = Vec<Vec<i64>>)]
    pub throughput: Vec<(i64, u64)>,
    /// Slots of connected drones.
    pub slots: u32,
    /// Of these, in use.
    pub busy: u32,
    /// Jobs that run.
    pub running: u64,
    /// Jobs that wait.
    pub waiting: u64,
}

/// The answer to a submission.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Submitted {
    /// The job's id.
    pub id: String,
    /// The same job was there already.
    pub repeated: bool,
    /// Where to look at it.
    pub url: String,
}

/// A job that waits.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WaitingView {
    /// Which.
    pub job: String,
    /// Why, in words that follow "waits".
    pub waits: String,
    /// Since when.
    pub since: i64,
    /// The drone in whose backlog it is.
    pub backlog: Option<String>,
}

/// A token without its value.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TokenView {
    /// For revoking.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// What it may do.
    #[schema(value_type = String)]
    pub role: AccessRole,
    /// When it was made.
    pub created: i64,
}

/// A new token; its value is shown this once.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NewToken {
    /// For revoking.
    pub id: String,
    /// What it may do.
    #[schema(value_type = String)]
    pub role: AccessRole,
    /// Its value.
    pub token: String,
}

/// Who asks.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SessionView {
    /// `admin`, `trigger`, `read`, `drone`, or `open` where no token is needed; null for somebody who has to sign in.
    pub role: Option<String>,
    /// What the token is for, in its maker's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// They have a token or a session.
    pub signed_in: bool,
    /// Of `read`, `submit`, `cancel`, `rerun`, `quarantine`, `drain` and `tokens` what they may do.
    pub may: Vec<String>,
}

/// The answer to a sign-in.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SignedIn {
    /// `admin`, `trigger` or `read`.
    pub role: String,
    /// What the token is for, in its maker's words.
    pub name: String,
}

/// Every error of the API.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ErrorView {
    /// What happened and what to do.
    pub error: String,
    /// A short word for programs.
    pub kind: String,
}
