//! Pages of a job list: many jobs with many events, every filter, first pages, deep ones and the last.

use crate::{Done, line, median, per_second};
use queen::{
    clock::Stopwatch,
    store::{Batch, Cursor, JobFilter, Store, Submitted},
};
use scheduler::{JobRow, NewJob, Record};
use serde_json::json;
use shared::{JobData, JobId, JobState, JobType, Project, Timestamp};
use std::{sync::Arc, time::Duration};

/// Jobs of one commit while the store is filled.
const AT_ONCE: usize = 200;
/// Times that each page is asked for, after one that warms up.
const RUNS: usize = 9;

/// Fills the store and asks for pages.
pub async fn measure(store: &dyn Store, jobs: usize, events: usize) -> Done<()> {
    let watch = Stopwatch::start();
    let mut written = 0;
    for first in (0..jobs).step_by(AT_ONCE) {
        let mut batch = Batch::default();
        for n in first..(first + AT_ONCE).min(jobs) {
            submit(&mut batch, n)?;
            // One job in ten has ten times the output of the others.
            let share = events / jobs * if n % 10 == 0 { 100 } else { 10 } / 19;
            let id = batch.submitted[batch.submitted.len() - 1].spec.id.clone();
            batch.events.extend((1..=share as u64).map(|seq| line(&id, seq)));
            written += share;
        }
        store.commit(batch).await?;
    }
    println!(
        "  filled  {jobs} jobs, {written} events: {:.0} jobs/s",
        per_second(jobs, watch.elapsed())
    );
    let mut worst_of_all = Duration::ZERO;
    for (name, filter) in filters()? {
        let (found, middle, worst) = pages(store, jobs, filter).await?;
        println!(
            "  page    {name:<30} {found:>4} jobs  median {:>6.2} ms  worst {:>6.2} ms",
            ms(middle),
            ms(worst)
        );
        worst_of_all = worst_of_all.max(worst);
    }
    println!("  page    the worst of all {:.2} ms", ms(worst_of_all));
    Ok(())
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// The first page, one in the middle, one near the end and the last one. Answers with the jobs of the first, with a plus if
/// it ended early, the median and the worst.
async fn pages(store: &dyn Store, jobs: usize, mut filter: JobFilter) -> Done<(String, Duration, Duration)> {
    let mut all = Vec::new();
    let mut first = String::new();
    for before in [None, Some(jobs / 2), Some(jobs / 50), Some(jobs / 2_000)] {
        let cursor = |n: usize| Ok::<_, std::num::TryFromIntError>(Timestamp(i64::try_from(n)?));
        filter.before = match before {
            Some(n) => Some(Cursor {
                submitted: cursor(n)?,
                id: JobId::new("0")?,
            }),
            None => None,
        };
        let warm = store.jobs(&filter).await?;
        if before.is_none() {
            let count = warm.jobs.len();
            let early = warm.next.is_some() && count < filter.limit as usize;
            first = format!("{count}{}", if early { "+" } else { "" });
        }
        for _ in 0..RUNS {
            let watch = Stopwatch::start();
            store.jobs(&filter).await?;
            all.push(watch.elapsed());
        }
    }
    let worst = all.iter().max().copied().unwrap_or_default();
    Ok((first, median(all), worst))
}

/// Adds the `n`th job to a batch; few are unfinished.
pub fn submit(batch: &mut Batch, n: usize) -> Done<()> {
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
    let row = JobRow {
        state,
        ..JobRow::new(id.clone())
    };
    batch.records.push(Record::Job(row));
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

fn filters() -> Done<Vec<(&'static str, JobFilter)>> {
    let none = || JobFilter {
        limit: 50,
        ..JobFilter::default()
    };
    let text = |text: &str| JobFilter {
        text: Some(text.into()),
        ..none()
    };
    let states = |states: &[JobState]| JobFilter {
        states: states.to_vec(),
        ..none()
    };
    let author = || JobFilter {
        author: Some("p7@example.org".into()),
        ..none()
    };
    let trigger = || JobFilter {
        trigger: Some("schedule".into()),
        ..none()
    };
    let name = Project::new("org/project-7")?;
    let project = || JobFilter {
        project: Some(name.clone()),
        ..none()
    };
    let branch = |branch: &str, filter: JobFilter| JobFilter {
        branch: Some(branch.into()),
        ..filter
    };
    Ok(vec![
        ("all", none()),
        ("all, long pages", JobFilter { limit: 500, ..none() }),
        ("project", project()),
        ("branch", branch("branch-7", none())),
        ("project, branch", branch("branch-57", project())),
        ("state", states(&[JobState::Failed])),
        ("state, rare", states(&[JobState::Running])),
        (
            "states",
            states(&[JobState::Passed, JobState::Failed, JobState::Running]),
        ),
        (
            "project, states",
            JobFilter {
                states: vec![JobState::Errored, JobState::Failed],
                ..project()
            },
        ),
        ("author", author()),
        (
            "author, states",
            JobFilter {
                states: vec![JobState::Errored, JobState::Failed],
                ..author()
            },
        ),
        ("trigger", trigger()),
        (
            "project, trigger",
            JobFilter {
                project: Some(name.clone()),
                ..trigger()
            },
        ),
        (
            "trigger, state, none",
            JobFilter {
                states: vec![JobState::Queued],
                ..trigger()
            },
        ),
        ("text, common", text("module 9")),
        ("text, everywhere", text("number")),
        ("text, in one of 100", text("number 77")),
        ("text, rare", text("number 77123 ")),
        ("text, an id", text("00077123-")),
        ("text, nowhere", text("no such words")),
        ("text, nowhere, common parts", text("change module words")),
        ("text, nowhere, all its parts", text("module number")),
        ("text, signs, nowhere", text("50%_")),
        ("text, two characters, nowhere", text("zq")),
        ("text, one character", text("z")),
        ("text, one letter that most have", text("e")),
        (
            "text, common, project",
            JobFilter {
                text: Some("module 9".into()),
                ..project()
            },
        ),
        (
            "text, rare, author",
            JobFilter {
                text: Some("number 77".into()),
                ..author()
            },
        ),
    ])
}
