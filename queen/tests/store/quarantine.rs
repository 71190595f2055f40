//! Files under quarantine: put there, listed with how they did, lifted, and still there after everything else.

use super::{Bench, fixture::*};
use queen::store::{Entered, Oldest, Quarantine, Store, StoreError};
use scheduler::Record;
use shared::{JobState, Timestamp, outcome::FileOutcome};

fn entry(path: &str, reason: &str, since: i64) -> Quarantine {
    Quarantine {
        path: path.into(),
        reason: reason.into(),
        who: Some("Ann's token".into()),
        since: Timestamp(since),
    }
}

async fn paths(store: &dyn Store, name: &str) -> Vec<String> {
    let files = store.quarantine(&project(name)).await.unwrap();
    files.into_iter().map(|file| file.entry.path).collect()
}

#[tokio::test]
async fn a_file_is_put_there_changed_and_lifted_in_its_own_project() {
    let bench = Bench::new();
    let store = bench.open().await;
    for (id, name) in [("j", "a/b"), ("k", "a/c")] {
        store.commit(new_job(id, name, 1)).await.unwrap();
    }
    let (here, there) = (project("a/b"), project("a/c"));
    let first = entry("t/ü \"x\".py", "it's 50 % chance", 70);
    assert_eq!(store.put_in_quarantine(&here, &first, 9).await.unwrap(), Entered::Added);
    let other = Quarantine {
        who: None,
        ..entry("t/a.py", "races", 80)
    };
    assert_eq!(store.put_in_quarantine(&here, &other, 9).await.unwrap(), Entered::Added);
    assert_eq!(
        store.put_in_quarantine(&there, &first, 9).await.unwrap(),
        Entered::Added
    );
    let again = Quarantine {
        reason: "ticket 7".into(),
        who: Some("Bob".into()),
        since: Timestamp(99),
        ..first.clone()
    };
    assert_eq!(
        store.put_in_quarantine(&here, &again, 9).await.unwrap(),
        Entered::Changed
    );
    let listed = store.quarantine(&here).await.unwrap();
    let entries: Vec<_> = listed.iter().map(|file| file.entry.clone()).collect();
    let changed = Quarantine {
        since: Timestamp(70),
        ..again
    };
    assert_eq!(entries, [other, changed], "by path, since it was put there first");
    assert_eq!(store.quarantine(&there).await.unwrap()[0].entry, first);

    let asked = ["t/a.py", "t/none.py", "t/ü \"x\".py", "t/a.py"].map(String::from);
    let told = store.quarantined(&here, &asked).await.unwrap();
    assert_eq!(told, [true, false, true, true]);
    assert_eq!(
        store.quarantined(&project("no/body"), &asked).await.unwrap(),
        [false; 4]
    );

    assert!(store.lift_quarantine(&here, &first.path).await.unwrap());
    assert!(!store.lift_quarantine(&here, &first.path).await.unwrap());
    assert!(!store.lift_quarantine(&project("no/body"), "t/a.py").await.unwrap());
    assert_eq!(paths(&*store, "a/b").await, ["t/a.py"]);
    assert_eq!(paths(&*store, "a/c").await, [first.path]);
}

#[tokio::test]
async fn a_project_has_only_so_many_and_must_be_there() {
    let bench = Bench::new();
    let store = bench.open().await;
    for (id, name) in [("j", "a/b"), ("k", "a/c")] {
        store.commit(new_job(id, name, 1)).await.unwrap();
    }
    let put = async |name: &str, path: &str| {
        let entry = entry(path, "why", 5);
        store.put_in_quarantine(&project(name), &entry, 2).await
    };
    for path in ["x", "y"] {
        assert_eq!(put("a/b", path).await.unwrap(), Entered::Added);
    }
    assert_eq!(put("a/b", "z").await.unwrap(), Entered::Full);
    assert_eq!(put("a/b", "x").await.unwrap(), Entered::Changed, "it is there already");
    assert_eq!(
        put("a/c", "z").await.unwrap(),
        Entered::Added,
        "each project has its own"
    );
    assert_eq!(paths(&*store, "a/b").await, ["x", "y"]);
    store.lift_quarantine(&project("a/b"), "x").await.unwrap();
    assert_eq!(put("a/b", "z").await.unwrap(), Entered::Added);
    let error = put("no/body", "x").await.unwrap_err();
    assert!(matches!(error, StoreError::Refused(_)), "{error}");
    assert!(error.to_string().contains("there is no project no/body"), "{error}");
}

#[tokio::test]
async fn the_list_tells_the_newest_runs_and_the_last_bad_one() {
    let bench = Bench::new();
    let store = bench.open().await;
    store.commit(new_job("j", "a/b", 1)).await.unwrap();
    let outcome = |attempt: u32| match attempt {
        4 => FileOutcome::Failed,
        5 => FileOutcome::Flaky,
        _ => FileOutcome::Passed,
    };
    let runs = (1..=14).map(|n| result("j", "x.py", n, i64::from(n) * 10, outcome(n)));
    let others = [
        result("j", "y.py", 1, 500, FileOutcome::TimedOut),
        result("j", "not in it.py", 1, 600, FileOutcome::Failed),
    ];
    for batch in [runs.collect::<Vec<_>>(), others.to_vec()] {
        store.commit(results(batch)).await.unwrap();
    }
    for path in ["x.py", "y.py", "z.py"] {
        store
            .put_in_quarantine(&project("a/b"), &entry(path, "why", 5), 9)
            .await
            .unwrap();
    }
    let listed = store.quarantine(&project("a/b")).await.unwrap();
    let told: Vec<_> = listed
        .iter()
        .map(|file| {
            let runs: Vec<_> = file.runs.iter().map(|run| (run.at.0, run.outcome)).collect();
            (file.entry.path.as_str(), file.failed_at.map(|at| at.0), runs)
        })
        .collect();
    let newest = (5..=14).rev().map(|n| (i64::from(n) * 10, outcome(n))).collect();
    assert_eq!(
        told,
        [
            ("x.py", Some(40), newest),
            ("y.py", Some(500), vec![(500, FileOutcome::TimedOut)]),
            ("z.py", None, vec![])
        ]
    );
    assert_eq!(listed[0].runs[0].job, job_id("j"));
}

#[tokio::test]
async fn it_stays_when_jobs_and_what_was_learned_go_and_when_the_store_is_opened_again() {
    let bench = Bench::new();
    let store = bench.open().await;
    store.commit(new_job("j", "a/b", 1)).await.unwrap();
    store
        .commit(results([result("j", "x.py", 1, 10, FileOutcome::Failed)]))
        .await
        .unwrap();
    let wanted = entry("x.py", "why", 5);
    store.put_in_quarantine(&project("a/b"), &wanted, 9).await.unwrap();
    let mut end = row("j", JobState::Failed);
    end.finished = Some(Timestamp(20));
    store.commit(records([Record::Job(end)])).await.unwrap();
    let all = Oldest {
        before: Timestamp(1_000),
        bytes: 0,
    };
    while store.remove_jobs(all, Timestamp(30)).await.unwrap().more {}
    assert!(store.job(&job_id("j")).await.unwrap().is_none());
    let kept = &store.quarantine(&project("a/b")).await.unwrap()[0];
    assert_eq!(
        (kept.runs.len(), kept.failed_at),
        (0, Some(Timestamp(10))),
        "known longer than its runs"
    );
    assert_eq!(store.forget(Timestamp(1_000)).await.unwrap(), 1);
    store.close().await;
    drop(store);
    let store = bench.open().await;
    let kept = &store.quarantine(&project("a/b")).await.unwrap()[0];
    assert_eq!((&kept.entry, kept.failed_at), (&wanted, None));
}
