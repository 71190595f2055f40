//! What happens in a job: the `job:*` events, from a drone or from the queen itself, as browsers see them.
//!
//! The queen records each with the job's sequence number and proxies it as it is.

use super::messages;
use crate::{
    Attempt, DroneId, JobId, Num, Timestamp,
    outcome::{CaseResult, FileResult},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A part of a job's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Variables and PATH are put together.
    Environment,
    /// The source is fetched and made ready.
    Prepare,
    /// Test files run.
    Test,
    /// The deploy runs.
    Deploy,
    /// What has to be left behind is.
    Cleanup,
}

impl Phase {
    /// The word of the contract.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::Prepare => "prepare",
            Self::Test => "test",
            Self::Deploy => "deploy",
            Self::Cleanup => "cleanup",
        }
    }
}

/// Which end of a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Edge {
    /// It begins.
    Start,
    /// It is over.
    Done,
}

/// Where a command belongs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CmdDetail {
    /// The phase that it runs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// The plugin or section of `skep.toml` that asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// The drone that runs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drone: Option<DroneId>,
}

/// Why a job errored: the system could not do its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobError {
    /// A short word for programs: `source`, `settings`, `no-tests`, `plugin`, `runner`, `lost`, `timeout`, `internal`.
    pub kind: String,
    /// What happened and what to do, for people.
    pub message: String,
}

impl JobError {
    /// Puts one together.
    pub fn new(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            message: message.into(),
        }
    }
}

/// Something that a person should know, which changes no state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// Who says it: a plugin, a runner, `log`, `queen`.
    pub source: String,
    /// What it is.
    pub message: String,
}

/// What the settings in the repository say of how its files are run; the home drone has read them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plan {
    /// The runner that was chosen or detected.
    pub runner: String,
    /// Seconds that one file may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// How often a bad file is tried again.
    pub retries: u32,
    /// How many drones may share the job; absent: as many as help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spread: Option<u32>,
    /// Hand out nothing more after the first bad file.
    pub fail_fast: bool,
    /// Which files go first.
    pub order: crate::settings::Order,
    /// A file that is far longer than the rest may be run in parts.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub split: bool,
    /// Commands that a helper will run to prepare: as many as the home drone ran.
    pub prepare_commands: u32,
    /// Commands of the cleanup phase.
    pub cleanup_commands: u32,
}

/// When and why the whole job is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Which try comes next, from 2.
    pub attempt: u32,
    /// Not before this time.
    pub at: Timestamp,
    /// What went wrong in the last one.
    pub reason: String,
}

messages! {
    /// An event of a job.
    pub enum JobEvent {
        /// It is known and durable. The queen says it; a drone's own is the receipt of a lease.
        Queued = "job:queued" { job: JobId, at: Timestamp },
        /// A drone has begun it.
        Started = "job:started" { job: JobId, at: Timestamp, drone: Option<DroneId> },
        /// A phase begins, or ends with a code.
        Phase = "job:phase" { job: JobId, phase: Phase, edge: Edge, code: Option<i32>, at: Timestamp, drone: Option<DroneId> },
        /// The test files, from the home drone. `more`: the list goes on in the next one; the last one has the plan.
        Files = "job:files" { job: JobId, paths: Vec<String>, more: Option<bool>, plan: Option<Plan> },
        /// Listed files that are under quarantine: one that fails is tried again in the same job. The queen's, after the list.
        Quarantined = "job:quarantine" { job: JobId, paths: Vec<String> },
        /// A file is run in parts, each of which counts as a file and takes its place in the list.
        Split = "job:split" { job: JobId, path: String, parts: Vec<String> },
        /// A file begins on a worker.
        FileStart = "job:file:start" { job: JobId, num: Num, path: String, worker: u32, attempt: Attempt, drone: Option<DroneId> },
        /// A file has ended.
        FileDone = "job:file:done" { job: JobId, num: Num, path: String, attempt: Attempt, result: FileResult, drone: Option<DroneId> },
        /// Cases of a file, as they become known.
        Cases = "job:cases" { job: JobId, num: Num, attempt: Attempt, cases: Vec<CaseResult> },
        /// A command begins. `screencmd` is what to show in its place.
        CmdStart = "job:cmd:start" { job: JobId, num: Num, command: String, screencmd: Option<String>, detail: Option<CmdDetail> },
        /// A command has ended; 128+n for the signal n.
        CmdDone = "job:cmd:done" { job: JobId, num: Num, exit_code: i32, elapsed: Option<u64> },
        /// A piece of a command's standard output.
        CmdStdout = "job:cmd:stdout" { job: JobId, num: Num, text: String },
        /// A piece of a command's standard error.
        CmdStderr = "job:cmd:stderr" { job: JobId, num: Num, text: String },
        /// Output of the command that runs now.
        Stdout = "job:stdout" { job: JobId, text: String },
        /// Error output of the command that runs now.
        Stderr = "job:stderr" { job: JobId, text: String },
        /// Whatever a plugin passes in.
        Plugin = "job:plugin" { job: JobId, plugin: String, data: Value },
        /// All test files are accounted for.
        Tested = "job:tested" { job: JobId, code: i32, at: Timestamp },
        /// The deploy has ended.
        Deployed = "job:deployed" { job: JobId, code: i32, at: Timestamp },
        /// Nothing of the job goes on any more.
        Done = "job:done" { job: JobId, at: Timestamp },
        /// The system could not do its work.
        Errored = "job:errored" { job: JobId, error: JobError },
        /// It was stopped on request and nothing of it is left.
        Cancelled = "job:cancelled" { job: JobId, at: Timestamp },
        /// A person should know.
        Warned = "job:warning" { job: JobId, warning: Warning },
        /// The whole job is tried again.
        Retried = "job:retry" { job: JobId, retry: Retry },
        /// Files handed out ahead that the drone had not begun and gives back.
        Returned = "job:returned" { job: JobId, nums: Vec<Num> },
        /// The answer to `job:query-info`.
        Info = "job:info" { job: JobId, data: Value },
        /// Something happened to a worker of a drone's pool.
        Worker = "pool:worker" { job: JobId, worker: u32, event: String, detail: Option<Value> },
    }
}

impl JobEvent {
    /// The job that it belongs to.
    #[must_use]
    pub fn job(&self) -> &JobId {
        match self {
            Self::Queued { job, .. }
            | Self::Started { job, .. }
            | Self::Phase { job, .. }
            | Self::Files { job, .. }
            | Self::Split { job, .. }
            | Self::FileStart { job, .. }
            | Self::FileDone { job, .. }
            | Self::Cases { job, .. }
            | Self::CmdStart { job, .. }
            | Self::CmdDone { job, .. }
            | Self::CmdStdout { job, .. }
            | Self::CmdStderr { job, .. }
            | Self::Stdout { job, .. }
            | Self::Stderr { job, .. }
            | Self::Plugin { job, .. }
            | Self::Tested { job, .. }
            | Self::Deployed { job, .. }
            | Self::Done { job, .. }
            | Self::Errored { job, .. }
            | Self::Cancelled { job, .. }
            | Self::Warned { job, .. }
            | Self::Retried { job, .. }
            | Self::Quarantined { job, .. }
            | Self::Returned { job, .. }
            | Self::Info { job, .. }
            | Self::Worker { job, .. } => job,
        }
    }
}
