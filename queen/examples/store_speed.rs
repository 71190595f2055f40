//! Measures the store: event lines a second by batch size, and a page of each filter over 100,000 jobs.
//!
//! `cargo run --release -p queen --example store_speed [JOBS]`. It prints a table and writes to a temporary folder only.

use queen::{
    clock::Stopwatch,
    store::{Batch, Event, JobFilter, SqliteStore, Store, StoreError, Submitted},
};
use scheduler::{JobRow, NewJob, Record};
use serde_json::json;
use shared::{JobData, JobId, JobState, JobType, Project, Seq, Timestamp};
use std::{error::Error, sync::Arc, time::Duration};

type Done<T> = Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Done<()> {
    let jobs = std::env::args().nth(1).map_or(Ok(100_000), |text| text.parse())?;
    let dir = tempfile::tempdir()?;
    let store = SqliteStore::open(dir.path()).await?;
    for size in [1, 10, 100, 1_000, 10_000] {
        let lines = if size == 1 { 20_000 } else { 300_000 };
        let took = append(&store, size, lines).await?;
        println!("events  batches of {size:>6}: {:>9.0} lines/s", per_second(lines, took));
    }
    let watch = Stopwatch::start();
    for first in (0..jobs).step_by(500) {
        let mut batch = Batch::default();
        for n in first..(first + 500).min(jobs) {
            submit(&mut batch, n)?;
        }
        store.commit(batch).await?;
    }
    println!(
        "jobs    {jobs} submitted: {:>9.0} jobs/s",
        per_second(jobs, watch.elapsed())
    );
    for (name, filter) in filters()? {
        let (found, took) = page(&store, &filter).await?;
        println!(
            "page    {name:<24} {found:>3} jobs {:>8.2} ms",
            took.as_secs_f64() * 1_000.0
        );
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn per_second(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

/// Lines of about 120 bytes, as test runners write them.
async fn append(store: &SqliteStore, size: usize, lines: usize) -> Done<Duration> {
    let mut batch = Batch::default();
    submit(&mut batch, 10_000_000 + size)?;
    let id = batch.submitted[0].spec.id.clone();
    store.commit(batch).await?;
    let mut all = (1..=lines as u64).map(|seq| {
        let text = format!(
            "tests/test_{:03}.py::test_case_{seq} PASSED [{:>3}%]\n",
            seq / 90,
            seq % 100
        );
        let line = json!({"seq": seq, "at": seq / 7, "type": "job:cmd:stdout", "args": [id, seq / 90, text]});
        Event {
            job: id.clone(),
            seq: Seq(seq),
            at: Timestamp((seq / 7).cast_signed()),
            line: line.to_string().into(),
        }
    });
    let mut batches = Vec::new();
    loop {
        let events: Vec<_> = all.by_ref().take(size).collect();
        if events.is_empty() {
            break;
        }
        batches.push(Batch {
            events,
            ..Batch::default()
        });
    }
    let watch = Stopwatch::start();
    for batch in batches {
        store.commit(batch).await?;
    }
    Ok(watch.elapsed())
}

fn submit(batch: &mut Batch, n: usize) -> Done<()> {
    const STATES: [JobState; 4] = [
        JobState::Passed,
        JobState::Failed,
        JobState::Errored,
        JobState::Cancelled,
    ];
    let state = match n % 1_000 {
        0 => JobState::Running,
        rest => STATES[if rest % 10 < 7 { 0 } else { rest % 4 }],
    };
    let job = json!({
        "job_id": format!("{n:08}-{:x}", n.wrapping_mul(2_654_435_761)), "project": format!("org/project-{}", n % 50),
        "repo": {"url": "https://example.org/org/project.git"}, "ref": {"branch": format!("branch-{}", n % 300)},
        "trigger": {"type": (["push", "manual", "schedule"][n % 3]), "timestamp": n, "author": {
            "name": format!("Person {}", n % 200), "email": format!("p{}@example.org", n % 200)},
            "message": format!("Change number {n} of module {}\n\nIt says why in a few words more.", n % 977)},
    });
    let data = JobData::parse(&job.to_string())?;
    let id = data.job_id.clone().ok_or("the job has an id")?;
    batch.records.push(Record::Job(row(id.clone(), state)));
    let spec = NewJob {
        id,
        project: data.project.clone(),
        job_type: JobType::Test,
        priority: 0,
        labels: Vec::new(),
        plugins: Vec::new(),
        spread: None,
        retries: 0,
        timeout: None,
        delay_until: None,
        submitted: Timestamp(i64::try_from(n)?),
    };
    batch.submitted.push(Submitted {
        data: Arc::new(data),
        digest: [0; 32],
        spec,
    });
    Ok(())
}

fn row(id: JobId, state: JobState) -> JobRow {
    JobRow {
        state,
        ..JobRow::new(id)
    }
}

fn filters() -> Done<Vec<(&'static str, JobFilter)>> {
    let none = || JobFilter {
        limit: 50,
        ..JobFilter::default()
    };
    let text = |text: &str| JobFilter {
        text: Some(text.into()),
        ..none()
    };
    let project = Some(Project::new("org/project-7")?);
    Ok(vec![
        ("all", none()),
        (
            "project",
            JobFilter {
                project: project.clone(),
                ..none()
            },
        ),
        (
            "branch",
            JobFilter {
                branch: Some("branch-7".into()),
                ..none()
            },
        ),
        (
            "project, branch",
            JobFilter {
                project: project.clone(),
                branch: Some("branch-57".into()),
                ..none()
            },
        ),
        (
            "state, rare",
            JobFilter {
                states: vec![JobState::Running],
                ..none()
            },
        ),
        (
            "states",
            JobFilter {
                states: vec![JobState::Passed, JobState::Failed, JobState::Running],
                ..none()
            },
        ),
        (
            "project, states",
            JobFilter {
                project,
                states: vec![JobState::Errored, JobState::Failed],
                ..none()
            },
        ),
        (
            "author",
            JobFilter {
                author: Some("p7@example.org".into()),
                ..none()
            },
        ),
        (
            "trigger",
            JobFilter {
                trigger: Some("schedule".into()),
                ..none()
            },
        ),
        (
            "trigger, state, rare",
            JobFilter {
                trigger: Some("schedule".into()),
                states: vec![JobState::Queued],
                ..none()
            },
        ),
        ("text, common", text("module 9")),
        ("text, everywhere", text("number")),
        ("text, rare", text("number 77123 ")),
        ("text, nowhere", text("no such words")),
        ("text, nowhere, common parts", text("change module words")),
        ("text, short", text("zq")),
    ])
}

/// The median of some runs, the first of them with a cold cache left out.
async fn page(store: &SqliteStore, filter: &JobFilter) -> Result<(usize, Duration), StoreError> {
    let mut found = store.jobs(filter).await?.len();
    let mut runs = Vec::new();
    for _ in 0..9 {
        let watch = Stopwatch::start();
        found = store.jobs(filter).await?.len();
        runs.push(watch.elapsed());
    }
    runs.sort();
    Ok((found, runs[runs.len() / 2]))
}
