//! What finished jobs hold, and its removal: by age, by size, in steps, and never anything of an unfinished job.

use super::{Bench, fixture::*};
use queen::store::{Batch, CasePart, Holdings, JobFilter, Oldest, Removed, Store};
use scheduler::{LeaseState, Record};
use serde_json::json;
use shared::{
    Attempt, JobData, JobState, Num, Seq, Timestamp,
    outcome::{CaseOutcome, CaseResult, FileOutcome},
};

const NOW: Timestamp = Timestamp(99_000);

fn before(at: i64) -> Oldest {
    Oldest {
        before: Timestamp(at),
        bytes: 0,
    }
}

fn worth(bytes: u64) -> Oldest {
    Oldest {
        before: Timestamp(i64::MIN),
        bytes,
    }
}

/// A job with something in every place, `ended` at a time or not at all.
async fn full_job(store: &dyn Store, id: &str, ended: Option<i64>) {
    let job = json!({
        "job_id": id, "project": "a/b", "ref": {"branch": "main"},
        "trigger": {"type": "push", "timestamp": 5, "message": format!("why {id} is here"),
            "author": {"name": "Ann", "email": format!("{id}@example.org")}},
    });
    let at = ended.unwrap_or(500);
    store
        .commit(submit(JobData::parse(&job.to_string()).unwrap(), at, JobState::Running))
        .await
        .unwrap();
    let case = CaseResult {
        name: "case".into(),
        outcome: CaseOutcome::Passed,
        duration: None,
        message: None,
        file: None,
        line: None,
    };
    let path = format!("only in {id}.py");
    let text = "a line of output\n".repeat(20);
    let batch = Batch {
        events: (1..=200).map(|n| event(id, n, &text)).collect(),
        records: vec![
            Record::File(file(id, 0, 1)),
            Record::Lease(lease(id, 1, LeaseState::Ended)),
        ],
        results: vec![
            result(id, &path, 1, at, FileOutcome::Passed),
            result(id, "shared.py", 1, at, FileOutcome::Passed),
        ],
        cases: vec![CasePart {
            job: job_id(id),
            num: Num(1),
            attempt: Attempt(1),
            cases: vec![case],
        }],
        ..Batch::default()
    };
    store.commit(batch).await.unwrap();
    if let Some(at) = ended {
        store.commit(end(id, at)).await.unwrap();
    }
}

fn end(id: &str, at: i64) -> Batch {
    let mut row = row(id, JobState::Failed);
    row.finished = Some(Timestamp(at));
    records([Record::Job(row)])
}

async fn ids(store: &dyn Store) -> Vec<String> {
    let filter = JobFilter {
        limit: 500,
        ..JobFilter::default()
    };
    let jobs = store.jobs(&filter).await.unwrap().jobs;
    jobs.iter().map(|job| job.row.id.to_string()).collect()
}

async fn lines(store: &dyn Store, id: &str) -> usize {
    let events = store.events(&job_id(id), Seq(1), Seq(u64::MAX), usize::MAX).await;
    events.unwrap().len()
}

/// All steps of a removal.
async fn all(store: &dyn Store, which: Oldest, jobs_too: bool) -> Removed {
    let mut sum = Removed::default();
    let mut left = which;
    loop {
        let one = match jobs_too {
            true => store.remove_jobs(left, NOW).await.unwrap(),
            false => store.remove_logs(left, NOW).await.unwrap(),
        };
        sum.jobs += one.jobs;
        sum.bytes += one.bytes;
        left.bytes = left.bytes.saturating_sub(one.bytes);
        if !one.more {
            return sum;
        }
    }
}

#[tokio::test]
async fn logs_go_by_age_and_results_stay() {
    let bench = Bench::new();
    let store = &*bench.open().await;
    assert_eq!(store.holdings().await.unwrap(), Holdings::default());
    full_job(store, "runs", None).await;
    let nothing = store.holdings().await.unwrap();
    assert_eq!((nothing.jobs, nothing.log_bytes, nothing.rest_bytes), (0, 0, 0));
    full_job(store, "old", Some(1_000)).await;
    full_job(store, "new", Some(2_000)).await;
    let held = store.holdings().await.unwrap();
    assert_eq!(held.jobs, 2);
    assert!(held.log_bytes > 500 && held.rest_bytes > 2_000, "{held:?}");
    assert_eq!(
        (held.oldest_job, held.oldest_log),
        (Some(Timestamp(1_000)), Some(Timestamp(1_000)))
    );
    assert_eq!(held.oldest_learned, Some(Timestamp(500)));

    let removed = all(store, before(1_000), false).await;
    assert_eq!(removed, Removed::default(), "what ended at that time is not older");
    let removed = all(store, before(1_001), false).await;
    assert_eq!(removed.jobs, 1);
    assert_eq!(lines(store, "old").await, 0);
    assert_eq!(store.cases(&job_id("old"), Num(1), Attempt(1)).await.unwrap(), []);
    let old = store.job(&job_id("old")).await.unwrap().unwrap();
    assert_eq!((old.log_removed, old.last_seq), (Some(NOW), Seq(200)));
    assert_eq!(store.files(&job_id("old")).await.unwrap().len(), 1);
    assert_eq!(
        store.past_runs(&project("a/b"), "only in old.py").await.unwrap().len(),
        1
    );
    for kept in ["new", "runs"] {
        assert_eq!(lines(store, kept).await, 200, "{kept}");
        assert_eq!(store.job(&job_id(kept)).await.unwrap().unwrap().log_removed, None);
    }
    let left = store.holdings().await.unwrap();
    assert_eq!((left.jobs, left.rest_bytes), (2, held.rest_bytes));
    assert_eq!(left.log_bytes, held.log_bytes - removed.bytes);
    assert_eq!(left.oldest_log, Some(Timestamp(2_000)));
    assert_eq!(all(store, before(1_001), false).await, Removed::default());
}

#[tokio::test]
async fn jobs_go_with_everything_but_what_was_learned() {
    let bench = Bench::new();
    let store = &*bench.open().await;
    full_job(store, "runs", None).await;
    full_job(store, "old", Some(1_000)).await;
    full_job(store, "new", Some(2_000)).await;
    let held = store.holdings().await.unwrap();
    let removed = all(store, before(2_000), true).await;
    assert_eq!(removed.jobs, 1);
    assert_eq!(ids(store).await, ["new", "runs"]);
    let id = job_id("old");
    assert!(store.job(&id).await.unwrap().is_none() && store.job_data(&id).await.unwrap().is_none());
    assert_eq!(
        (lines(store, "old").await, store.files(&id).await.unwrap().len()),
        (0, 0)
    );
    for (author, text) in [
        (Some("old@example.org".to_owned()), None),
        (None, Some("why old".to_owned())),
    ] {
        let filter = JobFilter {
            author,
            text,
            limit: 9,
            ..JobFilter::default()
        };
        assert_eq!(store.jobs(&filter).await.unwrap().jobs.len(), 0, "{filter:?}");
    }
    let runs = async |path: &str| store.past_runs(&project("a/b"), path).await.unwrap().len();
    assert_eq!((runs("only in old.py").await, runs("shared.py").await), (0, 2));
    let learned = store.history(&project("a/b")).await.unwrap();
    assert!(learned.iter().any(|file| file.path == "only in old.py"));
    let projects = store.projects().await.unwrap();
    assert_eq!(
        (projects[0].jobs, projects[0].last_job.clone()),
        (3, Some(job_id("new")))
    );
    let left = store.holdings().await.unwrap();
    assert_eq!(left.jobs, 1);
    assert_eq!(
        left.log_bytes + left.rest_bytes + removed.bytes,
        held.log_bytes + held.rest_bytes
    );
    // Its id is free again, for another job.
    store.commit(new_job("old", "a/b", 3_000)).await.unwrap();
    assert_eq!(store.job(&job_id("old")).await.unwrap().unwrap().last_seq, Seq(0));

    let removed = all(store, before(i64::MAX), true).await;
    assert_eq!(removed.jobs, 1);
    assert_eq!(ids(store).await, ["old", "runs"], "unfinished jobs stay, however old");
    assert_eq!(lines(store, "runs").await, 200);
    store.commit(end("runs", 4_000)).await.unwrap();
    assert_eq!(all(store, before(i64::MAX), true).await.jobs, 1);
}

#[tokio::test]
async fn by_size_the_oldest_go_until_it_is_enough() {
    let bench = Bench::new();
    let store = &*bench.open().await;
    for (id, at) in [("c", 3_000), ("a", 1_000), ("d", 4_000), ("b", 2_000)] {
        full_job(store, id, Some(at)).await;
    }
    let held = store.holdings().await.unwrap();
    let removed = all(store, worth(held.log_bytes / 2), false).await;
    assert!(removed.bytes >= held.log_bytes / 2 && removed.jobs <= 3, "{removed:?}");
    assert_eq!((lines(store, "a").await, lines(store, "d").await), (0, 200));
    assert_eq!(ids(store).await.len(), 4);
    assert_eq!(all(store, worth(1), true).await.jobs, 1);
    assert_eq!(ids(store).await, ["d", "c", "b"]);
    assert_eq!(all(store, worth(0), true).await, Removed::default());
    assert_eq!(all(store, worth(u64::MAX), true).await.jobs, 3);
    assert_eq!(store.holdings().await.unwrap().jobs, 0);
}

#[tokio::test]
async fn what_is_large_goes_in_steps_and_what_was_begun_is_ended() {
    let bench = Bench::new();
    let store = bench.open().await;
    full_job(&*store, "large", None).await;
    let path = |n: u32| format!("tests/{n}.py");
    for part in 0..5_u32 {
        let numbers = || part * 1_000..(part + 1) * 1_000;
        let batch = Batch {
            results: numbers()
                .map(|n| result("large", &path(n), 2, 5, FileOutcome::Passed))
                .collect(),
            records: numbers().map(|n| Record::File(file("large", 10 + n, 1))).collect(),
            ..Batch::default()
        };
        store.commit(batch).await.unwrap();
    }
    store.commit(end("large", 1_000)).await.unwrap();
    full_job(&*store, "small", Some(2_000)).await;

    let one = store.remove_jobs(worth(1), NOW).await.unwrap();
    assert_eq!((one.jobs, one.bytes, one.more), (0, 0, true));
    let large = store.job(&job_id("large")).await.unwrap().unwrap();
    assert_eq!(large.log_removed, Some(NOW), "it is said from the first step on");
    // As after a kill, with limits that ask for nothing any more.
    drop(store);
    let store = bench.open().await;
    let rest = all(&*store, before(i64::MIN), true).await;
    assert_eq!(rest.jobs, 1);
    assert_eq!(ids(&*store).await, ["small"]);
    assert_eq!(lines(&*store, "small").await, 200);
}

#[tokio::test]
async fn what_was_learned_goes_when_the_file_has_not_run_for_long() {
    let bench = Bench::new();
    let store = &*bench.open().await;
    store.commit(new_job("j", "a/b", 1)).await.unwrap();
    let runs = (0..2_500).map(|n| result("j", &format!("{n}.py"), 1, n, FileOutcome::Passed));
    store.commit(results(runs)).await.unwrap();
    let mut forgotten = 0;
    loop {
        match store.forget(Timestamp(2_000)).await.unwrap() {
            0 => break,
            count => forgotten += count,
        }
    }
    assert_eq!(forgotten, 2_000);
    let left = store.history(&project("a/b")).await.unwrap();
    assert_eq!(left.len(), 500);
    assert!(left.iter().all(|file| file.last >= Timestamp(2_000)));
    assert_eq!(store.holdings().await.unwrap().oldest_learned, Some(Timestamp(2_000)));
}

#[tokio::test]
async fn a_job_is_charged_with_what_it_holds_and_nothing_else() {
    let bench = Bench::new();
    let store = &*bench.open().await;
    // Text that does not shrink much when it is packed.
    let noise = |seed: u64, length: usize| -> String {
        let step = |state: &mut u64| {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            Some(char::from(b'!' + u8::try_from((*state >> 33) % 90).unwrap()))
        };
        std::iter::repeat_n((), length)
            .scan(seed, |state, ()| step(state))
            .collect()
    };
    let mut held = Vec::new();
    for (id, lines) in [("small", 1), ("large", 300), ("none", 0), ("medium", 20)] {
        store
            .commit(submit(data(id, "a/b"), 1, JobState::Running))
            .await
            .unwrap();
        for n in 1..=lines {
            let batch = Batch {
                events: vec![event(id, n, &noise(n, 1_000))],
                ..Batch::default()
            };
            store.commit(batch).await.unwrap();
        }
        let before = store.holdings().await.unwrap().log_bytes;
        store.commit(end(id, 1_000)).await.unwrap();
        held.push(store.holdings().await.unwrap().log_bytes - before);
    }
    let near = |bytes: u64, lines: u64| bytes >= lines * 700 && bytes <= lines * 1_300 + 1_000;
    assert!(
        near(held[0], 1) && near(held[1], 300) && held[2] == 0 && near(held[3], 20),
        "{held:?}"
    );
}
