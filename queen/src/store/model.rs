//! What goes into the store and what comes out of it.
//!
//! Plain data without a word of SQL; both databases and everybody who reads speak in these types. Read next: the
//! [`Store`](super::Store) trait, then `sqlite/`.

use scheduler::{FileRow, JobRow, LeaseRow, NewJob, Record};
use serde::{Deserialize, Serialize};
use shared::{
    Attempt, DroneId, Incarnation, JobData, JobId, JobState, Num, Project, Seq, Timestamp,
    outcome::{CaseResult, FileOutcome, FileResult},
};
use std::sync::Arc;

/// Everything of one write, in one transaction.
#[derive(Debug, Default, Clone)]
pub struct Batch {
    /// Jobs that are new.
    pub submitted: Vec<Submitted>,
    /// Rows of the scheduler, later ones over earlier ones.
    pub records: Vec<Record>,
    /// Events, each job's in order and without gaps.
    pub events: Vec<Event>,
    /// Results of file attempts.
    pub results: Vec<AttemptResult>,
    /// Cases of file attempts.
    pub cases: Vec<CasePart>,
    /// The last number applied of each drone's messages.
    pub applied: Vec<Applied>,
}

impl Batch {
    /// True if there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.submitted.is_empty()
            && self.records.is_empty()
            && self.events.is_empty()
            && self.results.is_empty()
            && self.cases.is_empty()
            && self.applied.is_empty()
    }

    /// True if there are events, at the most with what was applied by them, and nothing else.
    #[must_use]
    pub fn is_output(&self) -> bool {
        !self.events.is_empty()
            && self.submitted.is_empty()
            && self.records.is_empty()
            && self.results.is_empty()
            && self.cases.is_empty()
    }
}

/// A job that is new.
#[derive(Debug, Clone)]
pub struct Submitted {
    /// What the client sent, with its id. Its secrets are sealed before they reach the disk.
    pub data: Arc<JobData>,
    /// [`Store::fingerprint`](super::Store::fingerprint) of what the client sent, to tell a repeat from a clash.
    pub digest: [u8; 32],
    /// What the scheduler was told.
    pub spec: NewJob,
}

/// One recorded event.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its job.
    pub job: JobId,
    /// Its number.
    pub seq: Seq,
    /// When the queen received it.
    pub at: Timestamp,
    /// The whole event as JSON text, `{"seq", "at", "type", "args"}`, without a line break.
    pub line: Arc<str>,
}

/// The result of one attempt of a file.
#[derive(Debug, Clone)]
pub struct AttemptResult {
    /// The job.
    pub job: JobId,
    /// Its project, for history.
    pub project: Project,
    /// The command.
    pub num: Num,
    /// Path.
    pub path: String,
    /// Which try.
    pub attempt: Attempt,
    /// Who ran it; absent if the queen itself says the result.
    pub drone: Option<DroneId>,
    /// When it was received.
    pub at: Timestamp,
    /// Milliseconds that it would have taken at speed 100; absent if it says nothing about the file's usual duration.
    pub normal_duration: Option<u64>,
    /// It is a part of a file, of which nothing is learned by itself.
    pub is_part: bool,
    /// What it came to.
    pub result: FileResult,
}

/// Some cases of one attempt.
#[derive(Debug, Clone)]
pub struct CasePart {
    /// The job.
    pub job: JobId,
    /// The command.
    pub num: Num,
    /// Which try.
    pub attempt: Attempt,
    /// The cases, after those already stored.
    pub cases: Vec<CaseResult>,
}

/// Everything up to `n` of one drone's life is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The drone.
    pub drone: DroneId,
    /// Which life.
    pub incarnation: Incarnation,
    /// The number.
    pub n: u64,
}

/// What a queen finds at its start: everything unfinished.
#[derive(Debug, Default, Clone)]
pub struct Restored {
    /// Jobs that are not final.
    pub jobs: Vec<RestoredJob>,
    /// Drones known, with what was applied.
    pub drones: Vec<RestoredDrone>,
}

/// One unfinished job.
#[derive(Debug, Clone)]
pub struct RestoredJob {
    /// Its data with secrets.
    pub data: Arc<JobData>,
    /// What the scheduler was told.
    pub spec: NewJob,
    /// How it stands.
    pub row: JobRow,
    /// Its files by index.
    pub files: Vec<FileRow>,
    /// Its leases by token.
    pub leases: Vec<LeaseRow>,
    /// Its last event.
    pub last_seq: Seq,
}

/// One known drone.
#[derive(Debug, Clone)]
pub struct RestoredDrone {
    /// Who.
    pub drone: DroneId,
    /// Its last life.
    pub incarnation: Option<Incarnation>,
    /// The last number applied of it.
    pub applied: u64,
    /// An operator wants it drained.
    pub draining: bool,
    /// Real speed over reported speed.
    pub learned: Option<f64>,
}

/// Which jobs to list, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Only this project.
    pub project: Option<Project>,
    /// Only this branch.
    pub branch: Option<String>,
    /// Only these states.
    pub states: Vec<JobState>,
    /// Only by this author (name, user name or mail address).
    pub author: Option<String>,
    /// Only of this trigger type.
    pub trigger: Option<String>,
    /// Only with this text in id, project, branch or message.
    pub text: Option<String>,
    /// Only older than this job: the cursor of the page before.
    pub before: Option<Cursor>,
    /// At most this many, 1 to 500.
    pub limit: u32,
}

/// Where a page ended: opaque to clients as `<ms>~<id>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Submission time of the last job on the page, or of where a text was looked for at last.
    pub submitted: Timestamp,
    /// Its id; there need not be a job of it.
    pub id: JobId,
}

/// A page of jobs.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Newest first.
    pub jobs: Vec<StoredJob>,
    /// Where to go on, if there may be more. A page of jobs with a text can have it without being full, even without a
    /// job: as far as this is how far the text was looked for.
    pub next: Option<Cursor>,
}

impl Page {
    /// A page of at most `limit` jobs, of a list in which nothing was left out.
    pub fn of(jobs: Vec<StoredJob>, limit: usize) -> Self {
        let last = jobs.last().filter(|_| jobs.len() >= limit);
        let next = last.map(StoredJob::cursor);
        Self { jobs, next }
    }
}

/// A job as lists and pages show it.
#[derive(Debug, Clone)]
pub struct StoredJob {
    /// Its data, without secrets.
    pub data: JobData,
    /// When it was submitted.
    pub submitted: Timestamp,
    /// How it stands.
    pub row: JobRow,
    /// Its last event.
    pub last_seq: Seq,
    /// [`Store::fingerprint`](super::Store::fingerprint) of what the client sent.
    pub digest: [u8; 32],
    /// When its log (events and cases) was removed, if it was: then there are none although `last_seq` counts them.
    pub log_removed: Option<Timestamp>,
}

impl StoredJob {
    /// The jobs that come after this one are those before the cursor.
    pub fn cursor(&self) -> Cursor {
        Cursor {
            submitted: self.submitted,
            id: self.row.id.clone(),
        }
    }
}

/// A file of a job with the result of its last attempt.
#[derive(Debug, Clone)]
pub struct StoredFile {
    /// How it stands.
    pub row: FileRow,
    /// When the last attempt's result was received.
    pub at: Option<Timestamp>,
    /// What the last attempt came to.
    pub result: Option<FileResult>,
}

/// A project with its recent past.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoredProject {
    /// Its name.
    pub project: Project,
    /// Jobs it has had.
    pub jobs: u64,
    /// Its newest job.
    pub last_job: Option<JobId>,
    /// Where that one stands.
    pub last_state: Option<JobState>,
    /// When that one was submitted.
    pub last_submitted: Option<Timestamp>,
}

/// One of a file's attempts in a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PastAttempt {
    /// Its command: no two attempts share one, also when the whole job was tried again.
    pub num: Num,
    /// Which try of the file.
    pub attempt: Attempt,
    /// What it came to.
    pub result: FileResult,
}

/// The cases of a file's last attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct FileCases {
    /// The file's place in the job.
    pub index: u32,
    /// Path.
    pub path: String,
    /// The command.
    pub num: Num,
    /// Which try.
    pub attempt: Attempt,
    /// Its cases, in the order in which they were reported.
    pub cases: Vec<CaseResult>,
}

/// A minute and what was done in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Minute {
    /// When it began.
    pub start: Timestamp,
    /// Files that drones ran to their end.
    pub files: u64,
}

/// One past run of a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PastRun {
    /// The job.
    pub job: JobId,
    /// How it ended.
    pub outcome: FileOutcome,
    /// Milliseconds.
    pub duration: f64,
    /// When.
    pub at: Timestamp,
}

/// A file that somebody has put under quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantine {
    /// Path.
    pub path: String,
    /// Why, in the words of whoever did it.
    pub reason: String,
    /// Who that was; absent where nobody is asked for a token.
    pub who: Option<String>,
    /// Since when; a new reason leaves it as it is.
    pub since: Timestamp,
}

/// The same with what tells whether it may leave.
#[derive(Debug, Clone)]
pub struct Quarantined {
    /// What was put there.
    pub entry: Quarantine,
    /// When it was bad the last time, before the quarantine or in it; absent: never, as far as is known.
    pub failed_at: Option<Timestamp>,
    /// Its newest runs, newest first, a few.
    pub runs: Vec<PastRun>,
}

/// What became of a wish to put a file under quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entered {
    /// It is there now.
    Added,
    /// It was there; the reason is the new one.
    Changed,
    /// Nothing was changed: the project has as many there as it may have.
    Full,
}

/// What is known of one file of a project.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FileHistory {
    /// Path.
    pub path: String,
    /// Robust mean of milliseconds at speed 100.
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
    pub last: Timestamp,
}

/// What finished jobs hold. Bytes are about what their rows take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Finished jobs.
    pub jobs: u64,
    /// Bytes of their logs: events and cases.
    pub log_bytes: u64,
    /// Bytes of everything else of them.
    pub rest_bytes: u64,
    /// When the first of those that still have a log ended.
    pub oldest_log: Option<Timestamp>,
    /// When the first of them ended.
    pub oldest_job: Option<Timestamp>,
    /// When the file ran that has not run for the longest time, of those that something is known of.
    pub oldest_learned: Option<Timestamp>,
}

/// Which finished jobs, in the order in which they ended: all that ended before `before`, and beyond them as many more as
/// free `bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Oldest {
    /// A time.
    pub before: Timestamp,
    /// Bytes that are to be freed, whatever the age; 0: age alone counts.
    pub bytes: u64,
}

/// What one step of a removal did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Jobs that are gone, or whose log is gone, wholly.
    pub jobs: u64,
    /// What they held, as [`Holdings`] counts it; it is to be taken off [`Oldest::bytes`] of the next step. What was
    /// begun counts when it has ended.
    pub bytes: u64,
    /// Another step would find something to do.
    pub more: bool,
}

/// What a token may do; each role includes those after it, except that `drone` stands alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessRole {
    /// Everything.
    Admin,
    /// Submit, cancel, rerun, and read.
    Trigger,
    /// Read.
    Read,
    /// Connect as a drone, and fetch sources that the queen holds.
    Drone,
}

/// A token without its value.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccessToken {
    /// For lists and for revoking.
    pub id: String,
    /// What it is for, in its maker's words.
    pub name: String,
    /// What it may do.
    pub role: AccessRole,
    /// When it was made.
    pub created: Timestamp,
}
