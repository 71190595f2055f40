//! Pages of jobs: every filter, alone and together, equals what a plain walk over all jobs says.

use super::{Bench, fixture::*};
use queen::store::{Batch, Cursor, JobFilter, Page, Store};
use serde_json::json;
use shared::{JobData, JobId, JobState, Timestamp};

const STATES: [JobState; 6] = [
    JobState::Queued,
    JobState::Running,
    JobState::Passed,
    JobState::Failed,
    JobState::Errored,
    JobState::Cancelled,
];

/// A job whose every property comes from its number.
fn job(n: usize) -> (JobData, i64, JobState) {
    let branch = ["main", "dev", "50%_x"][n % 3];
    let mut job = json!({
        "job_id": format!("job-{}", n * 7_919 % 1_000), "project": (["a/b", "a/c", "Org/Sub/x"][n / 2 % 3]),
        "trigger": {"type": (["manual", "push"][n % 2]), "timestamp": 1, "message": format!("Message {} \"q\" naïve", n % 10)},
    });
    if !n.is_multiple_of(5) {
        job["ref"] = json!({"branch": branch});
    }
    if !n.is_multiple_of(4) {
        let name = ["Ann", "Bob"][n % 2];
        job["trigger"]["author"] = json!({"name": name, "username": name, "email": format!("{n}@x.org")});
    }
    // Some are submitted in the same millisecond.
    let at = i64::try_from(n / 3).unwrap();
    (JobData::parse(&job.to_string()).unwrap(), at, STATES[n % STATES.len()])
}

fn wanted(filter: &JobFilter, (data, at, state): &(JobData, i64, JobState)) -> bool {
    let id = data.job_id.as_ref().unwrap();
    let author = data.trigger.author.clone().unwrap_or_default();
    let has = |text: &str, part: &str| text.to_ascii_lowercase().contains(&part.to_ascii_lowercase());
    filter.project.as_ref().is_none_or(|project| *project == data.project)
        && filter
            .branch
            .as_deref()
            .is_none_or(|branch| data.branch() == Some(branch))
        && filter.trigger.as_ref().is_none_or(|kind| *kind == data.trigger.kind)
        && (filter.states.is_empty() || filter.states.contains(state))
        && filter
            .author
            .as_ref()
            .is_none_or(|name| [author.name, author.username, author.email].contains(&Some(name.clone())))
        && filter
            .before
            .as_ref()
            .is_none_or(|before| (*at, id) < (before.submitted.0, &before.id))
        && filter.text.as_ref().is_none_or(|text| {
            has(id.as_str(), text)
                || has(data.project.as_str(), text)
                || data.branch().is_some_and(|branch| has(branch, text))
                || has(&data.trigger.message, text)
        })
}

async fn fill(store: &dyn Store, count: usize) -> Vec<(JobData, i64, JobState)> {
    let mut jobs: Vec<_> = (0..count).map(job).collect();
    for part in jobs.chunks(500) {
        let mut batch = Batch::default();
        for (data, at, state) in part {
            let one = submit(data.clone(), *at, *state);
            batch.submitted.extend(one.submitted);
            batch.records.extend(one.records);
        }
        store.commit(batch).await.unwrap();
    }
    jobs.sort_by(|a, b| (b.1, &b.0.job_id).cmp(&(a.1, &a.0.job_id)));
    jobs
}

fn filters() -> Vec<JobFilter> {
    let none = JobFilter::default;
    let text = |text: &str| JobFilter {
        text: Some(text.into()),
        ..none()
    };
    let author = |name: &str| JobFilter {
        author: Some(name.into()),
        ..none()
    };
    let states = |states: &[JobState]| JobFilter {
        states: states.to_vec(),
        ..none()
    };
    vec![
        none(),
        JobFilter {
            project: Some(project("a/b")),
            ..none()
        },
        JobFilter {
            project: Some(project("no/such")),
            ..none()
        },
        JobFilter {
            branch: Some("main".into()),
            ..none()
        },
        states(&[JobState::Failed]),
        states(&[JobState::Passed, JobState::Queued, JobState::Passed]),
        states(&STATES),
        author("Ann"),
        author("7@x.org"),
        author("Nobody"),
        JobFilter {
            trigger: Some("push".into()),
            ..none()
        },
        text("message 3"),
        text("ORG/"),
        text("job-7"),
        text("%_"),
        text("\\"),
        text("a"),
        text("\"q\" NAïVE"),
        text("no such text"),
        text("9 \"q\" naïve"),
        text("/B"),
        text("ve"),
        text("ï"),
        text("0"),
        text("zq"),
        text("~"),
        text(""),
        text(&"long".repeat(30_000)),
        JobFilter {
            states: vec![JobState::Failed, JobState::Running],
            author: Some("Bob".into()),
            ..none()
        },
        JobFilter {
            project: Some(project("a/c")),
            branch: Some("dev".into()),
            states: vec![JobState::Failed, JobState::Running, JobState::Passed],
            trigger: Some("manual".into()),
            ..none()
        },
        JobFilter {
            project: Some(project("a/b")),
            states: vec![JobState::Queued, JobState::Failed],
            author: Some("Ann".into()),
            text: Some("job-".into()),
            ..none()
        },
    ]
}

#[tokio::test]
async fn every_filter_pages_through_what_a_plain_walk_finds() {
    let bench = Bench::new();
    let store = bench.open().await;
    let jobs = fill(&*store, 300).await;
    for mut filter in filters() {
        for limit in [1, 7, 500] {
            let expected: Vec<_> = jobs
                .iter()
                .filter(|job| wanted(&filter, job))
                .map(|job| job.0.job_id.clone().unwrap())
                .collect();
            // A page of one is asked for a few times only.
            let expected = &expected[..expected.len().min(usize::try_from(limit).unwrap() * 9)];
            filter.limit = limit;
            let mut found = Vec::new();
            while found.len() <= expected.len() {
                let page = store.jobs(&filter).await.unwrap();
                assert!(page.jobs.len() <= usize::try_from(limit).unwrap());
                assert!(
                    page.jobs
                        .iter()
                        .all(|job| job.data.job_id.as_ref() == Some(&job.row.id))
                );
                found.extend(page.jobs.into_iter().map(|job| job.row.id));
                if page.next.is_none() {
                    break;
                }
                filter.before = page.next;
            }
            found.truncate(expected.len());
            assert_eq!(found, expected, "{filter:?}");
            filter.before = None;
        }
    }
}

#[tokio::test]
async fn a_text_in_very_many_jobs_is_found_as_well() {
    let bench = Bench::new();
    let store = bench.open().await;
    let mut batch = Batch::default();
    for n in 0..2_500 {
        let one = submit(data(&format!("needle-{n:04}"), "a/b"), n, JobState::Passed);
        batch.submitted.extend(one.submitted);
        batch.records.extend(one.records);
    }
    store.commit(batch).await.unwrap();
    let mut filter = JobFilter {
        text: Some("Needle-".into()),
        limit: 2,
        ..JobFilter::default()
    };
    let ids = |page: Page| page.jobs.into_iter().map(|job| job.row.id).collect::<Vec<_>>();
    let newest = [job_id("needle-2499"), job_id("needle-2498")];
    assert_eq!(ids(store.jobs(&filter).await.unwrap()), newest);
    filter.before = Some(Cursor {
        submitted: Timestamp(1),
        id: job_id("needle-0001"),
    });
    assert_eq!(ids(store.jobs(&filter).await.unwrap()), [job_id("needle-0000")]);
    filter.limit = 0;
    assert_eq!(store.jobs(&filter).await.unwrap().jobs.len(), 1, "a limit of 0 is 1");
    (filter.before, filter.limit) = (None, 9_999);
    assert_eq!(store.jobs(&filter).await.unwrap().jobs.len(), 500);
}

/// Old jobs that have a text, below many that have not, in a store that jobs came into in this order of their times.
async fn old_texts(time: impl Fn(usize) -> usize) {
    let bench = Bench::new();
    let store = bench.open().await;
    let mut jobs = Vec::new();
    for n in 0..1_500 {
        let at = time(n);
        let what = if at < 700 && at.is_multiple_of(3) {
            "a needle"
        } else {
            "hay"
        };
        let job = json!({
            "job_id": format!("j{}", n * 7_919 % 1_500), "project": (["a/b", "a/c"][n / 3 % 2]),
            "trigger": {"type": "push", "timestamp": 1, "message": format!("{what} {}", at % 10), "author": {"name": "Ann"}},
        });
        let data = JobData::parse(&job.to_string()).unwrap();
        jobs.push((data, i64::try_from(at).unwrap(), STATES[2 + n % 2]));
    }
    for part in jobs.chunks(50) {
        let mut batch = Batch::default();
        for (data, at, state) in part {
            let one = submit(data.clone(), *at, *state);
            batch.submitted.extend(one.submitted);
            batch.records.extend(one.records);
        }
        store.commit(batch).await.unwrap();
    }
    jobs.sort_by(|a, b| (b.1, &b.0.job_id).cmp(&(a.1, &a.0.job_id)));
    let text = |text: &str| JobFilter {
        text: Some(text.into()),
        ..JobFilter::default()
    };
    for mut filter in [
        text("needle"),
        text("Needle 3"),
        text("ee"),
        text("needle of hay"),
        text("needle hay"),
        JobFilter {
            project: Some(project("a/c")),
            states: vec![JobState::Passed, JobState::Failed],
            ..text("needle")
        },
        JobFilter {
            author: Some("Ann".into()),
            states: vec![JobState::Failed],
            ..text("needle")
        },
    ] {
        let expected: Vec<_> = jobs.iter().filter(|job| wanted(&filter, job)).collect();
        for limit in [20, 500] {
            filter.limit = limit;
            let found = to_the_end(&*store, filter.clone()).await;
            let expected: Vec<_> = expected.iter().map(|job| job.0.job_id.clone().unwrap()).collect();
            assert_eq!(found, expected, "{filter:?}");
        }
    }
}

/// All jobs that `filter` asks for, page by page, each of which goes on.
async fn to_the_end(store: &dyn Store, mut filter: JobFilter) -> Vec<JobId> {
    let mut found = Vec::new();
    loop {
        let page = store.jobs(&filter).await.unwrap();
        found.extend(page.jobs.into_iter().map(|job| job.row.id));
        let Some(next) = page.next else { return found };
        if let Some(before) = &filter.before {
            assert!(
                (next.submitted, &next.id) < (before.submitted, &before.id),
                "{filter:?}"
            );
        }
        filter.before = Some(next);
    }
}

/// Jobs in which each part of "one two" is, but the whole in one only; they came in this order of their times.
async fn common_parts(whole: usize, time: impl Fn(usize) -> usize) {
    let bench = Bench::new();
    let store = bench.open().await;
    for first in (0..2_500).step_by(500) {
        let mut batch = Batch::default();
        for n in first..first + 500 {
            let what = if n == whole { "one two" } else { "two one" };
            let job = json!({
                "job_id": format!("j{n}"), "project": "a/b", "trigger": {
                    "type": "push", "timestamp": 1, "message": format!("{what} tonne two"),
            }});
            let data = JobData::parse(&job.to_string()).unwrap();
            let one = submit(data, i64::try_from(time(n)).unwrap(), JobState::Passed);
            batch.submitted.extend(one.submitted);
            batch.records.extend(one.records);
        }
        store.commit(batch).await.unwrap();
    }
    let filter = JobFilter {
        text: Some("one two".into()),
        limit: 50,
        ..JobFilter::default()
    };
    let page = store.jobs(&filter).await.unwrap();
    assert_eq!(page.jobs.len(), 0);
    assert!(page.next.is_some(), "one page does not look at all of them");
    assert_eq!(to_the_end(&*store, filter).await, [job_id(&format!("j{whole}"))]);
}

#[tokio::test]
async fn a_text_whose_parts_are_common_is_looked_for_over_several_pages() {
    common_parts(0, |n| n).await;
    // Many in the same millisecond.
    common_parts(0, |n| n / 700).await;
}

#[tokio::test]
async fn a_page_goes_on_also_where_a_clock_went_back() {
    common_parts(0, |n| if n % 400 < 200 { n } else { n - 190 }).await;
    // It was far ahead at first, for many jobs.
    common_parts(1_400, |n| if n < 1_400 { n / 5 + 5_000 } else { n }).await;
}

#[tokio::test]
async fn a_text_of_old_jobs_is_found_where_jobs_came_in_their_order() {
    // Some in the same millisecond.
    old_texts(|n| n - n % 3).await;
}

#[tokio::test]
async fn a_text_of_old_jobs_is_found_where_a_clock_went_back() {
    old_texts(|n| if n % 400 < 200 { n } else { n - 90 }).await;
}

#[tokio::test]
async fn a_text_of_old_jobs_is_found_where_jobs_came_in_any_order() {
    old_texts(|n| n * 7_907 % 1_500).await;
}

#[tokio::test]
async fn a_list_follows_the_state_of_its_jobs() {
    let bench = Bench::new();
    let store = bench.open().await;
    store.commit(new_job("j", "a/b", 1)).await.unwrap();
    let with = |state| JobFilter {
        states: vec![state],
        limit: 5,
        ..JobFilter::default()
    };
    assert_eq!(store.jobs(&with(JobState::Queued)).await.unwrap().jobs.len(), 1);
    let failed = scheduler::Record::Job(row("j", JobState::Failed));
    store.commit(records([failed])).await.unwrap();
    assert_eq!(store.jobs(&with(JobState::Queued)).await.unwrap().jobs.len(), 0);
    let found = store.jobs(&with(JobState::Failed)).await.unwrap().jobs;
    assert_eq!(found[0].row, row("j", JobState::Failed));
}
