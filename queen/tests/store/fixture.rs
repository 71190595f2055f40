//! Jobs, rows and batches for tests of the store, each with values that no default has.

use queen::store::{AttemptResult, Batch, Event, Submitted};
use scheduler::{FilePart, FileRow, FileState, JobRow, LeaseRow, LeaseState, NewJob, Record};
use serde_json::json;
use shared::{
    Attempt, DroneId, Incarnation, JobData, JobId, JobState, JobType, LeaseToken, Num, Project, Seq, Timestamp,
    outcome::{FileOutcome, FileResult, Group},
    protocol::{Role, event::JobError, to_drone::Part},
};
use std::sync::Arc;

pub fn job_id(id: &str) -> JobId {
    JobId::new(id).unwrap()
}

pub fn project(name: &str) -> Project {
    Project::new(name).unwrap()
}

pub fn drone(id: &str) -> DroneId {
    DroneId::new(id).unwrap()
}

pub fn data(id: &str, project: &str) -> JobData {
    let job = json!({
        "job_id": id, "project": project, "trigger": {"type": "manual", "timestamp": 5, "message": "why not"},
        "ref": {"branch": "main"}, "labels": ["big"], "config": {"test": {"timeout": 9}},
    });
    JobData::parse(&job.to_string()).unwrap()
}

pub fn submitted(data: JobData, at: i64) -> Submitted {
    let spec = NewJob {
        id: data.job_id.clone().unwrap(),
        project: data.project.clone(),
        job_type: JobType::TestAndDeploy,
        priority: -3,
        labels: data.labels.clone(),
        plugins: vec!["shell".into()],
        spread: Some(2),
        retries: 1,
        timeout: Some(60_000),
        delay_until: None,
        submitted: Timestamp(at),
    };
    Submitted {
        data: Arc::new(data),
        digest: [at.to_le_bytes()[0]; 32],
        spec,
    }
}

pub fn row(id: &str, state: JobState) -> JobRow {
    JobRow {
        id: job_id(id),
        state,
        attempt: 2,
        not_before: Some(Timestamp(7)),
        started: None,
        began: Some(Timestamp(6)),
        lost: 1,
        finished: None,
        next_token: LeaseToken(4),
        next_num: Num(9),
        plan: None,
        test_code: Some(1),
        deploy_code: None,
        deploy_given: true,
        error: Some(JobError::new("source", "gone")),
        cancel: None,
        files_total: 3,
        files_done: 2,
        files_bad: 1,
    }
}

pub fn file(id: &str, index: u32, attempt: u32) -> FileRow {
    FileRow {
        job: job_id(id),
        index,
        path: format!("tests/ü {index}.py"),
        state: FileState::Out,
        attempt: Attempt(attempt),
        num: Some(Num(index + attempt)),
        token: Some(LeaseToken(3)),
        drone: Some(drone("d1")),
        outcome: Some(FileOutcome::Flaky),
        bad: 1,
        lost: 2,
        expect: Some(1_234),
        failed_before: true,
        quarantined: true,
        part: index.is_multiple_of(2).then(|| FilePart {
            part: Part {
                file: "tests/ü.py".into(),
                groups: vec!["TestÜ".into(), "b\0".into()],
                rest: index == 0,
            },
            number: 1,
            of: 2,
            took: Some(7),
            groups: vec![Group {
                name: "TestÜ".into(),
                duration: 1.5,
            }],
        }),
    }
}

pub fn lease(id: &str, token: u64, state: LeaseState) -> LeaseRow {
    LeaseRow {
        job: job_id(id),
        token: LeaseToken(token),
        drone: drone("d1"),
        incarnation: Incarnation::new("i1").unwrap(),
        role: Role::Helper,
        num: Num(5),
        state,
        prepared: true,
        closing: false,
    }
}

pub fn result(id: &str, path: &str, attempt: u32, at: i64, outcome: FileOutcome) -> AttemptResult {
    let mut result = FileResult::bare(outcome);
    result.duration = 12.5;
    result.stderr_tail = format!("attempt {attempt}\n");
    AttemptResult {
        job: job_id(id),
        project: project("a/b"),
        num: Num(attempt),
        path: path.into(),
        attempt: Attempt(attempt),
        drone: Some(drone("d1")),
        at: Timestamp(at),
        normal_duration: Some(20),
        is_part: false,
        result,
    }
}

pub fn event(id: &str, seq: u64, text: &str) -> Event {
    let at = 1_000 + i64::try_from(seq).unwrap() * 3;
    let line = json!({"seq": seq, "at": at, "type": "job:stdout", "args": [id, text]});
    Event {
        job: job_id(id),
        seq: Seq(seq),
        at: Timestamp(at),
        line: line.to_string().into(),
    }
}

/// A batch with one new job that is queued.
pub fn new_job(id: &str, project: &str, at: i64) -> Batch {
    submit(data(id, project), at, JobState::Queued)
}

pub fn submit(data: JobData, at: i64, state: JobState) -> Batch {
    let record = Record::Job(row(data.job_id.as_ref().unwrap().as_str(), state));
    Batch {
        submitted: vec![submitted(data, at)],
        records: vec![record],
        ..Batch::default()
    }
}

/// A batch of nothing but rows.
pub fn records(records: impl IntoIterator<Item = Record>) -> Batch {
    Batch {
        records: records.into_iter().collect(),
        ..Batch::default()
    }
}

/// A batch of nothing but results.
pub fn results(results: impl IntoIterator<Item = AttemptResult>) -> Batch {
    Batch {
        results: results.into_iter().collect(),
        ..Batch::default()
    }
}
