//! Rows to the model's types and back to words: the same for both databases, which name their columns alike.

use super::{
    AccessRole, AccessToken, FileCases, FileHistory, PastAttempt, PastRun, RestoredDrone, RestoredJob, StoreError,
    StoredFile, StoredJob, StoredProject, Submitted, chunk,
    estimate::{File, Learned},
    seal::Sealer,
    value::{Cells, corrupt, from_json, get_hash, get_json, get_maybe_uint, get_maybe_word, get_uint, get_word},
};
use scheduler::{Expect, FileRow, FileState, JobRow, LeaseState, Record};
use shared::{
    Attempt, DroneId, Incarnation, JobData, JobId, JobState, LeaseToken, Num, Project, Seq, Timestamp,
    outcome::{CaseResult, FileOutcome},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Jobs on a page, at most.
const PAGE_LIMIT: u32 = 500;
/// The most bytes of JSON of one part of the cases: a frame is smaller.
pub const CASES_LIMIT: usize = 64 * 1024 * 1024;

/// The words of the columns.
const FILE_STATES: [(FileState, &str); 3] = [
    (FileState::Pending, "pending"),
    (FileState::Out, "out"),
    (FileState::Done, "done"),
];
const ROLES: [(AccessRole, &str); 4] = [
    (AccessRole::Admin, "admin"),
    (AccessRole::Trigger, "trigger"),
    (AccessRole::Read, "read"),
    (AccessRole::Drone, "drone"),
];

fn word_of<T: PartialEq>(words: &[(T, &'static str)], value: &T) -> &'static str {
    words
        .iter()
        .find(|(known, _)| known == value)
        .map_or("", |(_, word)| word)
}

fn of_word<T: Copy>(words: &[(T, &'static str)], word: &str) -> Result<T, &'static str> {
    let known = words.iter().find(|(_, known)| *known == word);
    known.map(|(value, _)| *value).ok_or("no such word")
}

/// The word for a file's state.
pub fn file_state(state: FileState) -> &'static str {
    word_of(&FILE_STATES, &state)
}

/// The word for a lease's state.
pub fn lease_state(state: LeaseState) -> &'static str {
    match state {
        LeaseState::Live => "live",
        LeaseState::Suspended => "suspended",
        LeaseState::Ended => "ended",
    }
}

/// The word for a role.
pub fn role(role: AccessRole) -> &'static str {
    word_of(&ROLES, &role)
}

/// How many jobs a page that asks for `limit` has at most.
pub fn page_limit(limit: u32) -> u32 {
    limit.clamp(1, PAGE_LIMIT)
}

/// What a job's sealed data is bound to.
fn seal_of(id: &JobId) -> String {
    format!("job:{id}")
}

/// A new job's data with its secrets, encrypted; nothing if it has none.
pub fn sealed(job: &Submitted, sealer: &Sealer) -> Result<Option<Vec<u8>>, StoreError> {
    if !job.data.has_secrets() {
        return Ok(None);
    }
    let id = &job.spec.id;
    let sealed = sealer.seal(&seal_of(id), job.data.exposed().to_string().as_bytes());
    sealed
        .map(Some)
        .map_err(|error| StoreError::Refused(format!("job {id} cannot be sealed: {error}")))
}

/// A job's data with its secrets.
pub fn data_of(row: &impl Cells, id: &JobId, sealer: &Sealer) -> Result<JobData, StoreError> {
    match row.maybe_bytes("sealed")? {
        None => get_json(row, "data"),
        Some(sealed) => {
            let plain = sealer
                .open(&seal_of(id), sealed)
                .map_err(|error| corrupt("the secrets of a job", format!("{id}: {error}")))?;
            from_json("the secrets of a job", &plain)
        }
    }
}

/// What the author is found by, each once.
pub fn authors(data: &JobData) -> Vec<&str> {
    let Some(author) = &data.trigger.author else {
        return Vec::new();
    };
    let mut names: Vec<_> = [&author.name, &author.username, &author.email]
        .into_iter()
        .filter_map(|name| name.as_deref())
        .filter(|name| !name.is_empty())
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Of each job's rows in a batch, the last.
pub fn last_rows(records: &[Record]) -> HashMap<&JobId, &JobRow> {
    let rows = records.iter().filter_map(|record| match record {
        Record::Job(row) => Some((&row.id, row)),
        _ => None,
    });
    rows.collect()
}

/// The jobs that a batch says have ended, with their last rows.
pub fn ended(records: &[Record]) -> BTreeMap<&JobId, &JobRow> {
    let last = last_rows(records).into_iter();
    last.filter(|(_, row)| row.state.is_final()).collect()
}

/// The refusal of a batch that speaks of a job that is not there.
pub fn no_job(id: &JobId) -> StoreError {
    StoreError::Refused(format!("there is no job {id}"))
}

/// The refusal of a batch with a job that is there.
pub fn job_twice(id: &JobId) -> StoreError {
    StoreError::Refused(format!("there is a job {id} already"))
}

/// The refusal of a batch with a new job that has no row.
pub fn no_row(id: &JobId) -> StoreError {
    StoreError::Refused(format!("job {id} was submitted without saying how it stands"))
}

/// The refusal of a batch with a second result of one attempt.
pub fn result_twice(job: &JobId, attempt: Attempt, path: &str) -> StoreError {
    StoreError::Refused(format!("job {job} has a result of attempt {attempt} of {path} already"))
}

/// The last event of a job: what its stream says to be packed, or what comes after that.
macro_rules! last_seq {
    () => {
        "coalesce((SELECT last FROM events WHERE events.job = streams.job AND first > packed_to
             ORDER BY first DESC LIMIT 1), packed_to) AS last_seq"
    };
}

pub(crate) use last_seq;

/// What [`stored`] reads; joins and conditions are to follow.
pub const JOB: &str = concat!(
    "SELECT jobs.submitted, jobs.standing, digest, data, log_removed, ",
    last_seq!(),
    " FROM jobs JOIN job_data ON job_data.job = jobs.key JOIN streams ON streams.job = jobs.key
      LEFT JOIN endings ON endings.job = jobs.key"
);

/// A job as lists and pages show it.
pub fn stored(row: &impl Cells) -> Result<StoredJob, StoreError> {
    Ok(StoredJob {
        data: get_json(row, "data")?,
        submitted: Timestamp(row.int("submitted")?),
        row: get_json(row, "standing")?,
        last_seq: Seq(get_uint(row, "last_seq")?),
        digest: get_hash(row, "digest")?,
        log_removed: row.maybe_int("log_removed")?.map(Timestamp),
    })
}

/// See [`Texts::ahead`](super::texts::Texts::ahead).
pub const AHEAD: &str = "SELECT job AS key, submitted, id FROM ahead WHERE (submitted, id) < ($1, $2)
     ORDER BY submitted DESC, id DESC LIMIT $3";
/// See [`Texts::keys`](super::texts::Texts::keys).
pub const KEYS: &str = "SELECT coalesce((SELECT min(key) FROM jobs), 0), coalesce(
     (SELECT key FROM jobs WHERE submitted > $1 AND (SELECT job FROM ahead WHERE job = jobs.key) IS NULL
      ORDER BY submitted, id LIMIT 1),
     (SELECT max(key) + 1 FROM jobs), 0)";
/// See [`Texts::submitted`](super::texts::Texts::submitted).
pub const SUBMITTED: &str =
    "SELECT submitted FROM jobs WHERE key >= $1 AND (SELECT job FROM ahead WHERE job = jobs.key) IS NULL
     ORDER BY key LIMIT 1";

/// Notes which jobs are ahead of a new one: those of a later time than `submitted`, but no later than the one that came last.
/// Any that is later still was noted when that one came.
macro_rules! note_ahead {
    ($submitted:literal, $key:literal) => {
        concat!(
            "INSERT INTO ahead (job, submitted, id) SELECT key, submitted, id FROM jobs WHERE submitted > ",
            $submitted,
            " AND key < ",
            $key,
            " AND submitted <= (SELECT submitted FROM jobs WHERE key < ",
            $key,
            " ORDER BY key DESC LIMIT 1) ON CONFLICT DO NOTHING"
        )
    };
}
pub(crate) use note_ahead;

/// The columns of a file's row.
macro_rules! file_columns {
    () => {
        "files.path, files.idx, files.state, files.attempt, files.num, files.token, files.drone,
         files.outcome, files.bad, files.lost, files.expect, files.failed_before, files.quarantined,
         files.part"
    };
}
pub(crate) use file_columns;

/// A job's files with their last results. What an earlier try of the whole job left under the same attempt has another command
/// and does not count. `$name`: the column with a file's path as results have it.
macro_rules! files_of {
    ($name:literal) => {
        concat!(
            "SELECT ",
            $crate::store::rows::file_columns!(),
            ", results.at, results.result FROM jobs JOIN files ON files.job = jobs.key
             LEFT JOIN results ON results.key =
                 (SELECT max(key) FROM results WHERE job = files.job AND path = ",
            $name,
            " AND (attempt < files.attempt OR attempt = files.attempt AND num = coalesce(files.num, num)))
             WHERE jobs.id = $1 ORDER BY files.idx"
        )
    };
}
pub(crate) use files_of;

/// A file's row, read.
pub fn file(row: &impl Cells, job: &JobId) -> Result<FileRow, StoreError> {
    Ok(FileRow {
        job: job.clone(),
        index: get_uint(row, "idx")?,
        path: row.text("path")?.to_owned(),
        state: get_word(row, "state", |word| of_word(&FILE_STATES, word))?,
        attempt: Attempt(get_uint(row, "attempt")?),
        num: get_maybe_uint(row, "num")?.map(Num),
        token: get_maybe_uint(row, "token")?.map(LeaseToken),
        drone: get_maybe_word(row, "drone", DroneId::new)?,
        outcome: get_maybe_word(row, "outcome", outcome)?,
        bad: get_uint(row, "bad")?,
        lost: get_uint(row, "lost")?,
        expect: get_maybe_uint(row, "expect")?,
        failed_before: row.flag("failed_before")?,
        quarantined: row.flag("quarantined")?,
        part: match row.maybe_text("part")? {
            Some(text) => Some(from_json("a part of a file", text.as_bytes())?),
            None => None,
        },
    })
}

fn outcome(word: &str) -> Result<FileOutcome, &'static str> {
    FileOutcome::parse(word).ok_or("no such outcome")
}

/// A file with its last result.
pub fn stored_file(row: &impl Cells, job: &JobId) -> Result<StoredFile, StoreError> {
    let at = row.maybe_int("at")?;
    Ok(StoredFile {
        row: file(row, job)?,
        result: at.map(|_| get_json(row, "result")).transpose()?,
        at: at.map(Timestamp),
    })
}

/// What is learned of a file.
pub fn learned(row: &impl Cells) -> Result<Learned, StoreError> {
    Ok(Learned {
        mean: row.real("mean")?,
        timed: get_uint(row, "timed")?,
        runs: get_uint(row, "runs")?,
        bad: get_uint(row, "bad")?,
        flaky: get_uint(row, "flaky")?,
        failed: row.flag("failed")?,
        failed_at: row.maybe_int("failed_at")?.map(Timestamp),
    })
}

/// A file and what is known of it.
pub fn learned_of(row: &impl Cells) -> Result<(File, Learned), StoreError> {
    Ok(((row.int("project")?, row.text("path")?.to_owned()), learned(row)?))
}

/// What is known of files with these names, in their order, from rows with their paths and what is learned of each.
pub fn expects<C: Cells>(rows: &[C], names: &[String]) -> Result<Vec<Option<Expect>>, StoreError> {
    let mut known = HashMap::with_capacity(rows.len());
    for row in rows {
        known.insert(row.text("path")?, expect(row)?);
    }
    Ok(names.iter().map(|name| known.get(name.as_str()).cloned()).collect())
}

/// What history says of a file.
fn expect(row: &impl Cells) -> Result<Expect, StoreError> {
    let learned = learned(row)?;
    let splits = row.maybe_text("splits")?;
    Ok(Expect {
        duration: learned.duration(),
        failed: learned.failed,
        groups: splits.map_or(Ok(Vec::new()), |text| {
            from_json("what a file can be split into", text.as_bytes())
        })?,
    })
}

/// The same as pages show it.
pub fn file_history(row: &impl Cells) -> Result<FileHistory, StoreError> {
    let learned = learned(row)?;
    Ok(FileHistory {
        path: row.text("path")?.to_owned(),
        duration: learned.duration(),
        runs: learned.runs,
        bad: learned.bad,
        flaky: learned.flaky,
        failed: learned.failed,
        last: Timestamp(row.int("last")?),
    })
}

/// One of a file's attempts in a job.
pub fn past_attempt(row: &impl Cells) -> Result<PastAttempt, StoreError> {
    Ok(PastAttempt {
        num: Num(get_uint(row, "num")?),
        attempt: Attempt(get_uint(row, "attempt")?),
        result: get_json(row, "result")?,
    })
}

/// What [`add_cases`] reads; conditions are to follow.
pub const FILE_CASES: &str = "SELECT files.idx, files.path, files.num, files.attempt, cases.body FROM files
    JOIN cases ON cases.job = files.job AND cases.num = files.num AND cases.attempt = files.attempt WHERE files.job = ";

/// Adds a part of a file's cases to those of the same file, which come one after the other.
pub fn add_cases(files: &mut Vec<FileCases>, row: &impl Cells) -> Result<(), StoreError> {
    let index = get_uint(row, "idx")?;
    let text = chunk::unpack(row.bytes("body")?, CASES_LIMIT)?;
    let cases: Vec<CaseResult> = from_json("cases", &text)?;
    match files.last_mut() {
        Some(file) if file.index == index => file.cases.extend(cases),
        _ => files.push(FileCases {
            index,
            path: row.text("path")?.to_owned(),
            num: Num(get_uint(row, "num")?),
            attempt: Attempt(get_uint(row, "attempt")?),
            cases,
        }),
    }
    Ok(())
}

/// In the order of `jobs` what `rows` count.
pub fn counts_of(rows: &[impl Cells], jobs: &[JobId]) -> Result<Vec<u64>, StoreError> {
    let mut counts = HashMap::with_capacity(rows.len());
    for row in rows {
        counts.insert(row.text("id")?, get_uint(row, "count")?);
    }
    let count = |job: &JobId| counts.get(job.as_str()).copied().unwrap_or_default();
    Ok(jobs.iter().map(count).collect())
}

/// A past run of a file.
pub fn past_run(row: &impl Cells) -> Result<PastRun, StoreError> {
    Ok(PastRun {
        job: get_word(row, "id", JobId::new)?,
        outcome: get_word(row, "outcome", outcome)?,
        duration: row.real("duration")?,
        at: Timestamp(row.int("at")?),
    })
}

/// A project with its newest job.
pub fn project(row: &impl Cells) -> Result<StoredProject, StoreError> {
    Ok(StoredProject {
        project: get_word(row, "name", Project::new)?,
        jobs: get_uint(row, "jobs")?,
        last_job: get_maybe_word(row, "id", JobId::new)?,
        last_state: get_maybe_word(row, "state", |word| JobState::parse(word).ok_or("no such state"))?,
        last_submitted: row.maybe_int("submitted")?.map(Timestamp),
    })
}

/// A token.
pub fn token(row: &impl Cells) -> Result<AccessToken, StoreError> {
    Ok(AccessToken {
        id: row.text("id")?.to_owned(),
        name: row.text("name")?.to_owned(),
        role: get_word(row, "role", |word| of_word(&ROLES, word))?,
        created: Timestamp(row.int("created")?),
    })
}

/// An unfinished job, its files and leases still to come.
pub fn unfinished(row: &impl Cells, sealer: &Sealer) -> Result<RestoredJob, StoreError> {
    let id = get_word(row, "id", JobId::new)?;
    Ok(RestoredJob {
        data: Arc::new(data_of(row, &id, sealer)?),
        spec: get_json(row, "spec")?,
        row: get_json(row, "standing")?,
        files: Vec::new(),
        leases: Vec::new(),
        last_seq: Seq(get_uint(row, "last_seq")?),
    })
}

/// A known drone.
pub fn drone(row: &impl Cells) -> Result<RestoredDrone, StoreError> {
    Ok(RestoredDrone {
        drone: get_word(row, "id", DroneId::new)?,
        incarnation: get_maybe_word(row, "incarnation", Incarnation::new)?,
        applied: get_uint(row, "applied")?,
        draining: row.flag("draining")?,
        learned: row.maybe_real("learned")?,
    })
}
