//! Results, cases, durations, projects and tokens.

use super::{Bench, fixture::*};
use queen::store::{AccessRole, AccessToken, AttemptResult, Batch, CasePart, StoreError};
use scheduler::Record;
use shared::{
    Attempt, JobState, Num, Timestamp,
    outcome::{CaseOutcome, CaseResult, FileOutcome, Group},
};

fn cases(names: &[&str]) -> Vec<CaseResult> {
    let case = |name: &&str| CaseResult {
        name: (*name).into(),
        outcome: CaseOutcome::XFailed,
        duration: Some(1.5),
        message: Some("because\n".repeat(50)),
        file: None,
        line: Some(3),
    };
    names.iter().map(case).collect()
}

#[tokio::test]
async fn cases_come_back_in_the_order_of_their_parts() {
    let bench = Bench::new();
    let store = bench.open().await;
    store.commit(new_job("j", "a/b", 1)).await.unwrap();
    let part = |num, attempt, names: &[&str]| CasePart {
        job: job_id("j"),
        num: Num(num),
        attempt: Attempt(attempt),
        cases: cases(names),
    };
    for parts in [
        vec![part(1, 1, &["b", "a"]), part(1, 2, &["other attempt"]), part(1, 1, &[])],
        vec![part(2, 1, &["other command"]), part(1, 1, &["c"])],
    ] {
        let batch = Batch {
            cases: parts,
            ..Batch::default()
        };
        store.commit(batch).await.unwrap();
    }
    let of = async |num, attempt| store.cases(&job_id("j"), Num(num), Attempt(attempt)).await.unwrap();
    assert_eq!(of(1, 1).await, cases(&["b", "a", "c"]));
    assert_eq!(of(1, 2).await, cases(&["other attempt"]));
    assert_eq!(of(9, 1).await, []);
}

#[tokio::test]
async fn cases_are_read_file_by_file() {
    let bench = Bench::new();
    let store = bench.open().await;
    store.commit(new_job("j", "a/b", 1)).await.unwrap();
    // Files 0 to 3 last ran as their attempts 1 to 4, as commands 1, 3, 5, 7.
    let rows: Vec<_> = (0..4).map(|n| Record::File(file("j", n, n + 1))).collect();
    store.commit(records(rows)).await.unwrap();
    let part = |num, attempt, names: &[&str]| CasePart {
        job: job_id("j"),
        num: Num(num),
        attempt: Attempt(attempt),
        cases: cases(names),
    };
    let batch = Batch {
        cases: vec![
            part(5, 3, &["e"]),
            part(1, 1, &["a"]),
            part(2, 1, &["of an earlier command"]),
            part(5, 2, &["of an earlier attempt"]),
            part(1, 1, &["b"]),
            part(7, 4, &["g", "h"]),
        ],
        ..Batch::default()
    };
    store.commit(batch).await.unwrap();
    let of = async |path: Option<&str>, from, bytes| {
        let files = store.cases_by_file(&job_id("j"), path, from, bytes).await.unwrap();
        files
            .into_iter()
            .map(|file| {
                let names: Vec<_> = file.cases.iter().map(|case| case.name.clone()).collect();
                (file.index, file.path, file.num.0, file.attempt.0, names.concat())
            })
            .collect::<Vec<_>>()
    };
    let told = |index: u32, names: &str| {
        let (path, num) = (format!("tests/ü {index}.py"), 2 * index + 1);
        (index, path, num, index + 1, names.to_owned())
    };
    let all = [told(0, "ab"), told(2, "e"), told(3, "gh")];
    assert_eq!(of(None, 0, 1_000_000).await, all);
    assert_eq!(of(None, 1, 1_000_000).await, all[1..]);
    assert_eq!(of(None, 0, 0).await, all[..1], "a file is never cut");
    assert_eq!(of(None, 0, 1).await, all[..1]);
    assert_eq!(of(None, 4, 9).await, []);
    assert_eq!(of(Some("tests/ü 2.py"), 0, 1).await, all[1..2]);
    assert_eq!(of(Some("tests/ü 1.py"), 0, 1).await, []);
    let none = store.cases_by_file(&job_id("none"), None, 0, 9).await.unwrap();
    assert_eq!(none, []);
}

#[tokio::test]
async fn flaky_files_of_jobs_are_counted_once_each() {
    let bench = Bench::new();
    let store = bench.open().await;
    for id in ["j", "k", "l"] {
        store.commit(new_job(id, "a/b", 1)).await.unwrap();
    }
    let all = [
        result("j", "x.py", 1, 1, FileOutcome::Failed),
        result("j", "x.py", 2, 2, FileOutcome::Flaky),
        result("j", "x.py", 3, 3, FileOutcome::Flaky),
        result("j", "y.py", 1, 4, FileOutcome::Flaky),
        result("k", "x.py", 1, 5, FileOutcome::Passed),
        result("l", "x.py", 2, 6, FileOutcome::Flaky),
    ];
    store.commit(results(all)).await.unwrap();
    let ids = ["l", "k", "j", "none"].map(job_id);
    assert_eq!(store.flaky(&ids).await.unwrap(), [1, 0, 2, 0]);
    assert!(store.flaky(&[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn files_that_drones_ran_are_counted_by_the_minute() {
    const DAY: i64 = 86_400_000;
    let bench = Bench::new();
    let store = bench.open().await;
    store.commit(new_job("j", "a/b", 1)).await.unwrap();
    let counted = async |store: &dyn queen::store::Store, from| {
        let minutes = store.throughput(Timestamp(from)).await.unwrap();
        minutes
            .iter()
            .map(|minute| (minute.start.0, minute.files))
            .collect::<Vec<_>>()
    };
    assert_eq!(counted(&*store, 0).await, []);
    let mut first = results([
        result("j", "a.py", 1, 60_000, FileOutcome::Passed),
        result("j", "b.py", 1, 119_999, FileOutcome::Failed),
        result("j", "c.py", 1, 120_000, FileOutcome::Empty),
        result("j", "d.py", 1, 120_000, FileOutcome::NotRun),
        result("j", "e.py", 1, 120_000, FileOutcome::Crashed),
    ]);
    first.results[4].drone = None;
    store.commit(first).await.unwrap();
    let second = [result("j", "a.py", 2, 130_000, FileOutcome::Flaky)];
    store.commit(results(second)).await.unwrap();
    assert_eq!(counted(&*store, 0).await, [(60_000, 2), (120_000, 2)]);
    assert_eq!(
        counted(&*store, 121_000).await,
        [(120_000, 2)],
        "the minute that it is in"
    );
    assert_eq!(counted(&*store, 180_000).await, []);
    drop(store);

    let store = bench.open().await;
    assert_eq!(
        counted(&*store, 0).await,
        [(60_000, 2), (120_000, 2)],
        "also after a restart"
    );
    let next_day = [result("j", "a.py", 3, DAY + 60_000, FileOutcome::Passed)];
    store.commit(results(next_day)).await.unwrap();
    assert_eq!(counted(&*store, 0).await, [(120_000, 2), (DAY + 60_000, 1)]);
}

#[tokio::test]
async fn one_attempt_has_one_result() {
    let bench = Bench::new();
    let store = bench.open().await;
    store.commit(new_job("j", "a/b", 1)).await.unwrap();
    let mut batch = results([result("j", "x.py", 1, 5, FileOutcome::Passed)]);
    store.commit(batch.clone()).await.unwrap();
    batch.results.insert(0, result("j", "y.py", 1, 5, FileOutcome::Passed));
    let error = store.commit(batch).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Refused(why) if why.contains("attempt 1 of x.py already")),
        "{error}"
    );
    assert_eq!(store.history(&project("a/b")).await.unwrap().len(), 1);
}

#[tokio::test]
async fn history_is_learned_with_the_result() {
    let bench = Bench::new();
    let store = bench.open().await;
    store.commit(new_job("j", "a/b", 1)).await.unwrap();
    let mut batch = results([
        result("j", "slow.py", 1, 10, FileOutcome::Failed),
        result("j", "slow.py", 2, 20, FileOutcome::Flaky),
        result("j", "fast.py", 3, 30, FileOutcome::TimedOut),
        result("j", "never.py", 4, 40, FileOutcome::NotRun),
    ]);
    (batch.results[0].normal_duration, batch.results[1].normal_duration) = (Some(1_000), Some(2_000));
    batch.results[2].normal_duration = None;
    store.commit(batch).await.unwrap();
    let history = store.history(&project("a/b")).await.unwrap();
    let told: Vec<_> = history
        .iter()
        .map(|file| {
            (
                file.path.as_str(),
                file.duration,
                file.runs,
                file.bad,
                file.flaky,
                file.failed,
                file.last.0,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("slow.py", 1_500, 2, 1, 1, false, 20),
            ("fast.py", 13, 1, 1, 0, true, 30)
        ]
    );
    let paths = ["new.py", "fast.py", "slow.py", "fast.py", "it's \"quoted\""].map(String::from);
    let expect = store.expectations(&project("a/b"), &paths).await.unwrap();
    let told: Vec<_> = expect
        .iter()
        .map(|one| one.as_ref().map(|one| (one.duration, one.failed)))
        .collect();
    assert_eq!(
        told,
        [None, Some((13, true)), Some((1_500, false)), Some((13, true)), None]
    );
    assert!(
        store
            .expectations(&project("c/d"), &paths)
            .await
            .unwrap()
            .iter()
            .all(Option::is_none)
    );
    assert_eq!(store.history(&project("c/d")).await.unwrap().len(), 0);
}

#[tokio::test]
async fn what_a_file_can_be_split_into_is_what_its_last_usual_run_said_and_parts_teach_nothing() {
    let bench = Bench::new();
    let store = bench.open().await;
    store.commit(new_job("j", "a/b", 1)).await.unwrap();
    let group = |name: &str| Group {
        name: name.into(),
        duration: 2.5,
    };
    let paths = ["x.py", "x.py#1of2"].map(String::from);
    let known = async || {
        let known = store.expectations(&project("a/b"), &paths).await.unwrap();
        assert!(known[1].is_none(), "{known:?}");
        known[0].as_ref().map(|known| known.groups.clone()).unwrap_or_default()
    };
    let run = |attempt: u32, groups: &[&str]| {
        let mut run = result("j", "x.py", attempt, i64::from(attempt), FileOutcome::Passed);
        run.result.groups = groups.iter().map(|name| group(name)).collect();
        run
    };
    store.commit(results([run(1, &["Test\"Ü", "b"])])).await.unwrap();
    assert_eq!(known().await, [group("Test\"Ü"), group("b")]);
    let mut part = result("j", "x.py#1of2", 1, 2, FileOutcome::Passed);
    (part.is_part, part.num) = (true, Num(9));
    let mut cut = run(2, &[]);
    cut.normal_duration = None;
    // The last of a batch that says so counts.
    let mut late = run(4, &["c"]);
    late.normal_duration = None;
    store
        .commit(results([part, cut, run(3, &["b", "c"]), late]))
        .await
        .unwrap();
    assert_eq!(known().await, [group("b"), group("c")]);
    let attempts = store.attempts(&job_id("j"), "x.py#1of2").await.unwrap();
    assert_eq!(attempts.len(), 1, "its result is kept all the same");
    store.commit(results([run(5, &[])])).await.unwrap();
    assert!(known().await.is_empty());
}

#[tokio::test]
async fn the_attempts_of_a_file_come_in_the_order_of_their_results() {
    let bench = Bench::new();
    let store = bench.open().await;
    store.commit(new_job("j", "a/b", 1)).await.unwrap();
    store.commit(new_job("k", "a/b", 1)).await.unwrap();
    let all = [
        result("j", "x.py", 1, 1, FileOutcome::Failed),
        result("j", "y.py", 1, 2, FileOutcome::Passed),
        result("j", "x.py", 2, 3, FileOutcome::Flaky),
        result("k", "x.py", 1, 4, FileOutcome::Passed),
    ];
    store.commit(results(all.clone())).await.unwrap();
    let attempts = store.attempts(&job_id("j"), "x.py").await.unwrap();
    let told: Vec<_> = attempts
        .iter()
        .map(|past| (past.num, past.attempt, past.result.clone()))
        .collect();
    let said = |one: &AttemptResult| (one.num, one.attempt, one.result.clone());
    assert_eq!(told, [said(&all[0]), said(&all[2])]);
    assert!(store.attempts(&job_id("j"), "z.py").await.unwrap().is_empty());
    assert!(store.attempts(&job_id("none"), "x.py").await.unwrap().is_empty());
}

#[tokio::test]
async fn past_runs_are_newest_first_and_at_most_a_hundred() {
    let bench = Bench::new();
    let store = bench.open().await;
    store.commit(new_job("j", "a/b", 1)).await.unwrap();
    let many = (1..=120).map(|n| result("j", "x.py", n, i64::from(n), FileOutcome::Empty));
    store.commit(results(many)).await.unwrap();
    let runs = store.past_runs(&project("a/b"), "x.py").await.unwrap();
    let at: Vec<_> = runs.iter().map(|run| run.at.0).collect();
    assert_eq!(at, (21..=120).rev().collect::<Vec<_>>());
    let run = &runs[0];
    assert_eq!(
        (run.job.as_str(), run.outcome, run.duration),
        ("j", FileOutcome::Empty, 12.5)
    );
    assert_eq!(store.past_runs(&project("a/b"), "y.py").await.unwrap().len(), 0);
}

#[tokio::test]
async fn projects_show_their_newest_job() {
    let bench = Bench::new();
    let store = bench.open().await;
    for (id, name, at, state) in [
        ("z1", "z/z", 5, JobState::Failed),
        ("a2", "a/b", 9, JobState::Running),
        ("a1", "a/b", 3, JobState::Passed),
    ] {
        store.commit(submit(data(id, name), at, state)).await.unwrap();
    }
    let projects = store.projects().await.unwrap();
    let told: Vec<_> = projects
        .iter()
        .map(|p| {
            (
                p.project.as_str(),
                p.jobs,
                p.last_job.clone(),
                p.last_state,
                p.last_submitted,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (
                "a/b",
                2,
                Some(job_id("a2")),
                Some(JobState::Running),
                Some(Timestamp(9))
            ),
            ("z/z", 1, Some(job_id("z1")), Some(JobState::Failed), Some(Timestamp(5))),
        ]
    );
}

#[tokio::test]
async fn tokens_are_found_by_hash_and_taken_away_by_id() {
    let bench = Bench::new();
    let store = bench.open().await;
    let token = |id: &str, role, created| AccessToken {
        id: id.into(),
        name: "laptop".into(),
        role,
        created: Timestamp(created),
    };
    let roles = [
        AccessRole::Drone,
        AccessRole::Read,
        AccessRole::Trigger,
        AccessRole::Admin,
    ];
    for (n, role) in (1u8..).zip(roles) {
        store
            .add_token(&token(&format!("t{n}"), role, 100 - i64::from(n)), [n; 32])
            .await
            .unwrap();
    }
    for taken in [("t1", 9), ("t9", 1)] {
        let error = store
            .add_token(&token(taken.0, AccessRole::Read, 1), [taken.1; 32])
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::Refused(_)), "{error}");
    }
    let found = store.token([2; 32]).await.unwrap().unwrap();
    assert_eq!(
        (found.id.as_str(), found.name.as_str(), found.role),
        ("t2", "laptop", AccessRole::Read)
    );
    assert!(store.token([9; 32]).await.unwrap().is_none());
    let all = store.tokens().await.unwrap();
    let told: Vec<_> = all.iter().map(|token| (token.id.as_str(), token.role)).collect();
    assert_eq!(
        told,
        [
            ("t4", AccessRole::Admin),
            ("t3", AccessRole::Trigger),
            ("t2", AccessRole::Read),
            ("t1", AccessRole::Drone)
        ],
        "oldest first"
    );
    assert!(store.remove_token("t2").await.unwrap());
    assert!(!store.remove_token("t2").await.unwrap());
    assert!(store.token([2; 32]).await.unwrap().is_none());
}
