//! What the REST API answers, as types: the API writes them, the command line reads them, OpenAPI describes them.
//!
//! Times are Unix milliseconds, durations milliseconds. Secrets are never in here.

use crate::store::{AccessRole, FileHistory, StoredFile, StoredJob, StoredProject};
use scheduler::{DroneStatus, Explain, FileState};
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
    /// Path.
    pub path: String,
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
}

/// One page of jobs.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JobPage {
    /// Newest first.
    pub jobs: Vec<JobView>,
    /// Ask for the next page with `?before=` this; absent on the last page.
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
}

/// A project.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ProjectView {
    /// In short.
    #[schema(value_type = Object)]
    #[serde(flatten)]
    pub project: StoredProject,
    /// Its files, slowest first; absent in lists.
    #[schema(value_type = Option<Vec<Object>>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<FileHistory>>,
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

/// Every error of the API.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ErrorView {
    /// What happened and what to do.
    pub error: String,
    /// A short word for programs.
    pub kind: String,
}

impl JobView {
    /// From what the store has.
    #[must_use]
    pub fn of(job: &StoredJob) -> Self {
        let (data, row) = (&job.data, &job.row);
        Self {
            id: row.id.to_string(),
            project: data.project.to_string(),
            state: row.state,
            job_type: data.job_type,
            branch: data.branch().map(Into::into),
            commit: data.commit().map(Into::into),
            repo: data.repo.as_ref().map(|repo| repo.url.clone()),
            trigger: data.trigger.clone(),
            user_id: data.user_id.clone(),
            priority: data.priority,
            labels: data.labels.clone(),
            attempt: row.attempt,
            submitted: job.submitted.0,
            started: row.started.map(|at| at.0),
            finished: row.finished.map(|at| at.0),
            test_code: row.test_code,
            deploy_code: row.deploy_code,
            error: row.error.clone(),
            cancel_reason: row.cancel.clone(),
            runner: row.plan.as_ref().map(|plan| plan.runner.clone()),
            files_total: row.files_total,
            files_done: row.files_done,
            files_bad: row.files_bad,
            rerun_of: data.rerun_of.as_ref().map(ToString::to_string),
            last_seq: job.last_seq.0,
            now: None,
        }
    }
}

impl FileView {
    /// From what the store has.
    #[must_use]
    pub fn of(file: StoredFile) -> Self {
        let row = file.row;
        let result = file.result;
        Self {
            path: row.path,
            state: row.state,
            outcome: row.outcome,
            num: row.num.map(|num| num.0),
            attempt: row.attempt.0,
            drone: row.drone.map(Into::into),
            duration: result.as_ref().map(|result| result.duration),
            cpu: result.as_ref().and_then(|result| result.cpu),
            peak_memory: result.as_ref().and_then(|result| result.peak_memory),
            exit: result.as_ref().and_then(|result| result.exit),
            cases: result.as_ref().map(|result| result.cases).unwrap_or_default(),
            failures: result
                .as_ref()
                .map(|result| result.failures.clone())
                .unwrap_or_default(),
            stderr_tail: result.map(|result| result.stderr_tail).unwrap_or_default(),
            expected: row.expect,
        }
    }
}

impl NowView {
    /// From what the scheduler says.
    #[must_use]
    pub fn of(explain: Explain) -> Self {
        Self {
            waits: explain.waits,
            expected_end: explain.expected_end.map(|at| at.0),
            lower_bound: explain.lower_bound_ms,
            running: explain
                .running
                .into_iter()
                .map(|file| RunningView {
                    num: file.num.0,
                    path: file.path,
                    drone: file.drone.into(),
                    attempt: file.attempt.0,
                    since: file.since.map(|at| at.0),
                })
                .collect(),
            drones: explain.drones.into_iter().map(Into::into).collect(),
        }
    }
}

impl DroneView {
    /// From what the scheduler says.
    #[must_use]
    pub fn of(status: &DroneStatus) -> Self {
        let info = &status.info;
        Self {
            id: status.drone.to_string(),
            name: status.name.clone(),
            connected: status.connected,
            draining: status.draining,
            speed: info.speed,
            effective_speed: status.speed,
            capacity: info.capacity,
            active: status.active,
            queued: status.queued,
            labels: info.labels.clone(),
            plugins: info.plugins.clone(),
            runners: info.runners.clone(),
            platform: info.platform.clone(),
            version: info.version.clone(),
            jobs: status.jobs.iter().map(ToString::to_string).collect(),
        }
    }
}
