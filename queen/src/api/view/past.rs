//! What is told of what is over: cases, comparisons, projects and their history, as types.
//!
//! Read next: `present.rs`, which fills some of them.

use super::JobView;
use serde::{Deserialize, Serialize};
use shared::{
    JobState,
    outcome::{CaseCounts, CaseResult, FileOutcome},
};

/// A case of a job.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CaseView {
    /// Its file.
    pub path: String,
    /// The file's command.
    pub num: u32,
    /// The file's attempt.
    pub attempt: u32,
    /// `name`, `outcome`, and where they are known `duration`, `message`, `file`, `line`.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub case: CaseResult,
}

/// One page of a job's cases.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CasePage {
    /// In the order of the files, and within a file as reported.
    pub cases: Vec<CaseView>,
    /// Ask for the next page with `?after=` this; absent on the last page.
    pub next: Option<String>,
    /// How many there are of each outcome, with the text and path asked for; on the first page only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub counts: Option<CaseCounts>,
}

/// A job beside an earlier one.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CompareView {
    /// The earlier one; null if there is none, and then nothing else is told.
    pub with: Option<JobView>,
    /// Bad here and not there, case by case where they are known.
    pub new_failures: Vec<ComparedFile>,
    /// Bad there and not here.
    pub fixed: Vec<ComparedFile>,
    /// Bad in neither and slower here, by a quarter and 100 ms at least; most first.
    pub slower: Vec<TimedFile>,
    /// The same, faster here.
    pub faster: Vec<TimedFile>,
    /// Files that only this job has.
    pub added: Vec<String>,
    /// Files that only the other one has.
    pub removed: Vec<String>,
}

/// A file, or a case of one, that ended otherwise.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ComparedFile {
    /// Its path.
    pub path: String,
    /// The case; absent if the whole file is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The file's command in this job.
    pub num: Option<u32>,
    /// The file's command in the other one.
    pub with_num: Option<u32>,
}

/// A file that took another time.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TimedFile {
    /// Its path.
    pub path: String,
    /// Milliseconds in the other job.
    pub before: f64,
    /// Milliseconds in this one.
    pub after: f64,
    /// Milliseconds that it would have taken in the other job on the drone that ran it in this one, by both drones' speeds.
    pub expected: f64,
    /// The file's command in this job.
    pub num: Option<u32>,
    /// The file's command in the other one.
    pub with_num: Option<u32>,
}

/// A job as a project's trend shows it.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TrendJobView {
    /// Its id.
    pub id: String,
    /// When it was submitted.
    pub submitted: i64,
    /// How it ended.
    #[schema(value_type = String)]
    pub state: JobState,
    /// Milliseconds from its start to its end; null if it never started.
    pub duration: Option<u64>,
    /// Files listed.
    pub files: u32,
    /// Files that counted against it.
    pub bad: u32,
    /// Files that passed only when they were tried again.
    pub flaky: u64,
}

/// A project's jobs that have ended.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TrendView {
    /// Oldest first.
    pub jobs: Vec<TrendJobView>,
}

/// A project.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ProjectView {
    /// `owner/name`.
    pub project: String,
    /// Jobs it has had.
    pub jobs: u64,
    /// Its newest job.
    pub last_job: Option<String>,
    /// Where that one stands.
    #[schema(value_type = Option<String>)]
    pub last_state: Option<JobState>,
    /// When that one was submitted.
    pub last_submitted: Option<i64>,
    /// Files that were flaky, those first that most often are; absent in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flaky: Option<Vec<FileHistoryView>>,
    /// The slowest files, slowest first; absent in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slowest: Option<Vec<FileHistoryView>>,
    /// Its files, slowest first; absent in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<FileHistoryView>>,
}

/// What is known of one test file of a project.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FileHistoryView {
    /// Path.
    pub path: String,
    /// Usual milliseconds at speed 100.
    pub duration: u64,
    /// Runs counted.
    pub runs: u64,
    /// Runs that were bad.
    pub bad: u64,
    /// Runs that were flaky.
    pub flaky: u64,
    /// It was bad when it last ran.
    pub failed: bool,
    /// When it last ran.
    pub last: i64,
}

/// One past run of a test file.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PastRunView {
    /// The job.
    pub job: String,
    /// How it ended.
    #[schema(value_type = String)]
    pub outcome: FileOutcome,
    /// Milliseconds.
    pub duration: f64,
    /// When.
    pub at: i64,
}

/// A test file under quarantine.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct QuarantineView {
    /// Path.
    pub path: String,
    /// Why, in the words of whoever put it there.
    pub reason: String,
    /// Who that was: what their token is for; null if they needed none.
    pub by: Option<String>,
    /// Since when.
    pub since: i64,
    /// When a run of it last failed, also one after which it passed; null: never, as far as is known.
    pub failed_at: Option<i64>,
    /// Its newest runs, newest first, at most 10.
    pub runs: Vec<PastRunView>,
}
