//! Jobs, files, leases, drones: round trips, the last word wins, restarts.

use super::{Bench, fixture::*};
use queen::store::{Applied, Batch, Restored, Store, StoreError};
use scheduler::{FileState, LeaseState, Record};
use serde_json::json;
use shared::{Attempt, Incarnation, JobData, JobState, Seq, Timestamp, outcome::FileOutcome};

fn applied(drone_id: &str, incarnation: &str, n: u64) -> Batch {
    Batch {
        applied: vec![Applied {
            drone: drone(drone_id),
            incarnation: Incarnation::new(incarnation).unwrap(),
            n,
        }],
        ..Batch::default()
    }
}

fn secret_job(id: &str) -> JobData {
    let job = json!({
        "job_id": id, "project": "a/b", "trigger": {"type": "push", "timestamp": 5},
        "repo": {"url": "https://u:pass-of-repo@host/r"}, "secrets": {"TOKEN": "value-of-token"},
    });
    JobData::parse(&job.to_string()).unwrap()
}

#[tokio::test]
async fn a_job_comes_back_as_it_was_sent() {
    let bench = Bench::new();
    let store = bench.open().await;
    let job = data("j", "a/b");
    store.commit(submit(job.clone(), 77, JobState::Queued)).await.unwrap();
    let stored = store.job(&job_id("j")).await.unwrap().unwrap();
    assert_eq!(stored.data, job);
    assert_eq!(stored.row, row("j", JobState::Queued));
    assert_eq!(
        (stored.submitted, stored.last_seq, stored.digest),
        (Timestamp(77), Seq(0), [77; 32])
    );
    assert_eq!(store.job_data(&job_id("j")).await.unwrap(), Some(job));
    assert!(store.job(&job_id("k")).await.unwrap().is_none());
    assert!(store.job_data(&job_id("k")).await.unwrap().is_none());
}

#[tokio::test]
async fn secrets_come_back_only_where_they_are_asked_for() {
    let bench = Bench::new();
    let store = bench.open().await;
    let job = secret_job("j");
    store.commit(submit(job.clone(), 1, JobState::Queued)).await.unwrap();
    let stored = store.job(&job_id("j")).await.unwrap().unwrap();
    assert!(stored.data.is_redacted());
    assert_eq!(store.job_data(&job_id("j")).await.unwrap(), Some(job.clone()));
    assert_eq!(*store.restore().await.unwrap().jobs[0].data, job);
}

#[tokio::test]
async fn a_job_that_exists_or_has_no_row_refuses_the_batch() {
    let bench = Bench::new();
    let store = bench.open().await;
    store.commit(new_job("j", "a/b", 1)).await.unwrap();
    let mut twice = new_job("other", "c/d", 2);
    let again = new_job("j", "a/b", 3);
    twice.submitted.extend(again.submitted);
    twice.records.extend(again.records);
    let mut rowless = new_job("other", "c/d", 2);
    rowless.records.clear();
    let of_nobody = records([Record::File(file("nobody", 0, 1))]);
    for (bad, words) in [
        (twice, "there is a job j already"),
        (rowless, "without saying how it stands"),
        (of_nobody, "there is no job nobody"),
    ] {
        let error = store.commit(bad).await.unwrap_err();
        assert!(
            matches!(&error, StoreError::Refused(why) if why.contains(words)),
            "{error}"
        );
    }
    let projects = store.projects().await.unwrap();
    assert_eq!(projects.len(), 1, "nothing of the refused batches is there");
    assert_eq!(projects[0].jobs, 1);
}

#[tokio::test]
async fn of_several_rows_for_one_thing_the_last_counts() {
    let bench = Bench::new();
    let store = bench.open().await;
    store.commit(new_job("j", "a/b", 1)).await.unwrap();
    let mut done = file("j", 0, 2);
    done.state = FileState::Done;
    done.outcome = Some(FileOutcome::Failed);
    (done.num, done.token, done.drone, done.expect) = (None, None, None, None);
    store
        .commit(records([
            Record::Job(row("j", JobState::Running)),
            Record::File(file("j", 0, 1)),
            Record::Lease(lease("j", 1, LeaseState::Live)),
            Record::File(file("j", 1, 1)),
            Record::Lease(lease("j", 1, LeaseState::Suspended)),
            Record::File(done.clone()),
            Record::Lease(lease("j", 2, LeaseState::Ended)),
            Record::Lease(lease("j", 3, LeaseState::Live)),
            Record::Job(row("j", JobState::Queued)),
            Record::Job(row("j", JobState::Running)),
        ]))
        .await
        .unwrap();
    let restored = store.restore().await.unwrap();
    let [job] = &restored.jobs[..] else { panic!("one job") };
    assert_eq!(job.row.state, JobState::Running);
    assert_eq!(job.files, [done, file("j", 1, 1)]);
    let leases = [lease("j", 1, LeaseState::Suspended), lease("j", 3, LeaseState::Live)];
    assert_eq!(job.leases, leases, "an ended lease is history");
    assert_eq!(job.spec, submitted(data("j", "a/b"), 1).spec);
}

#[tokio::test]
async fn a_job_that_is_tried_again_begins_with_no_files() {
    let bench = Bench::new();
    let store = bench.open().await;
    for id in ["j", "k"] {
        store.commit(new_job(id, "a/b", 1)).await.unwrap();
        let files = (0..3).map(|index| Record::File(file(id, index, 1)));
        store.commit(records(files)).await.unwrap();
    }
    let mut again = file("j", 0, 1);
    again.path = "tests/other.py".into();
    store
        .commit(records([
            Record::File(file("j", 3, 1)),
            Record::NoFiles(job_id("j")),
            Record::File(again.clone()),
        ]))
        .await
        .unwrap();
    let restored = store.restore().await.unwrap();
    assert_eq!(restored.jobs[0].files, [again]);
    assert_eq!(restored.jobs[1].files.len(), 3);
}

#[tokio::test]
async fn a_file_shows_the_result_of_its_last_attempt() {
    let bench = Bench::new();
    let store = bench.open().await;
    store.commit(new_job("j", "a/b", 1)).await.unwrap();
    let mut row = file("j", 0, 1);
    row.num = Some(shared::Num(1));
    let path = row.path.clone();
    let mut batch = records([Record::File(row.clone()), Record::File(file("j", 1, 0))]);
    batch.results = vec![result("j", &path, 1, 50, FileOutcome::Failed)];
    store.commit(batch).await.unwrap();
    // The second attempt runs: the first one's result is the last there is.
    (row.attempt, row.num) = (Attempt(2), Some(shared::Num(2)));
    store.commit(records([Record::File(row.clone())])).await.unwrap();
    let files = store.files(&job_id("j")).await.unwrap();
    assert_eq!(files[0].row, row);
    assert_eq!(
        (files[0].at, files[0].result.as_ref().unwrap().outcome),
        (Some(Timestamp(50)), FileOutcome::Failed)
    );
    assert_eq!((files[1].at, files[1].result.is_none()), (None, true));
    let batch = results([result("j", &path, 2, 60, FileOutcome::Passed)]);
    store.commit(batch.clone()).await.unwrap();
    let files = store.files(&job_id("j")).await.unwrap();
    assert_eq!(files[0].result, Some(batch.results[0].result.clone()));
    // The whole job begins again: the first attempt of this try has no result yet.
    (row.attempt, row.num) = (Attempt(1), Some(shared::Num(40)));
    store
        .commit(records([Record::NoFiles(job_id("j")), Record::File(row)]))
        .await
        .unwrap();
    assert_eq!(store.files(&job_id("j")).await.unwrap()[0].result, None);
    assert_eq!(store.files(&job_id("k")).await.unwrap().len(), 0);
}

async fn one_drone(store: &dyn Store) -> (Option<String>, u64) {
    let restored = store.restore().await.unwrap();
    let [drone] = &restored.drones[..] else {
        panic!("one drone")
    };
    (drone.incarnation.clone().map(String::from), drone.applied)
}

#[tokio::test]
async fn a_late_word_of_an_earlier_life_changes_nothing() {
    let bench = Bench::new();
    let store = bench.open().await;
    store
        .commit(records([Record::Drain {
            drone: drone("d"),
            on: true,
        }]))
        .await
        .unwrap();
    assert_eq!(one_drone(&*store).await, (None, 0));
    store.commit(applied("d", "first", 900)).await.unwrap();
    store.commit(applied("d", "first", 899)).await.unwrap();
    assert_eq!(
        one_drone(&*store).await,
        (Some("first".into()), 900),
        "n never goes back"
    );
    store.commit(applied("d", "second", 1)).await.unwrap();
    assert_eq!(
        one_drone(&*store).await,
        (Some("second".into()), 1),
        "a new life counts anew"
    );
    store.commit(applied("d", "first", 950)).await.unwrap();
    assert_eq!(one_drone(&*store).await, (Some("second".into()), 1));
    store.commit(applied("d", "second", u64::MAX)).await.unwrap();
    let learned = Record::Learned {
        drone: drone("d"),
        factor: 1.25,
    };
    store
        .commit(records([
            learned,
            Record::Drain {
                drone: drone("d"),
                on: false,
            },
        ]))
        .await
        .unwrap();
    let restored = store.restore().await.unwrap();
    assert_eq!(
        (restored.drones[0].draining, restored.drones[0].learned),
        (false, Some(1.25))
    );
}

#[tokio::test]
async fn output_moves_the_drone_on_with_it() {
    let bench = Bench::new();
    let store = bench.open().await;
    store.commit(new_job("j", "a/b", 1)).await.unwrap();
    let mut seq = 0;
    let mut output = |life: &str, n: u64| {
        seq += 1;
        let mut batch = applied("d", life, n);
        batch.events = vec![event("j", seq, "x")];
        batch
    };
    for (life, n, told) in [
        ("first", 3, ("first", 3)),
        ("first", 7, ("first", 7)),
        ("first", 5, ("first", 7)),
        ("second", 1, ("second", 1)),
        ("first", 9, ("second", 1)),
        ("second", 2, ("second", 2)),
    ] {
        store.commit(output(life, n)).await.unwrap();
        let (life, n) = told;
        assert_eq!(one_drone(&*store).await, (Some(life.to_owned()), n));
    }
    // Only the last 100 lives are kept: what comes of one that is gone makes it anew, and is not lost.
    for life in 0..100 {
        store.commit(applied("d", &format!("life-{life}"), 1)).await.unwrap();
    }
    store.commit(output("second", 3)).await.unwrap();
    store.forget(Timestamp(0)).await.unwrap();
    store.commit(output("second", 4)).await.unwrap();
    assert_eq!(one_drone(&*store).await, (Some("second".into()), 4));
    let text = store.events(&job_id("j"), Seq(1), Seq(99), 1_000).await.unwrap();
    assert_eq!(text.len(), 8, "every line is there once");
}

fn shown(restored: &Restored) -> String {
    format!("{restored:#?}")
}

#[tokio::test]
async fn a_queen_that_starts_again_finds_everything_unfinished() {
    let bench = Bench::new();
    let store = bench.open().await;
    for (id, state) in [
        ("queued", JobState::Queued),
        ("running", JobState::Running),
        ("passed", JobState::Passed),
        ("cancelled", JobState::Cancelled),
    ] {
        let mut batch = submit(secret_job(id), 3, state);
        batch.events = (1..=5).map(|seq| event(id, seq, "x")).collect();
        batch.records.push(Record::File(file(id, 0, 1)));
        batch.records.push(Record::Lease(lease(id, 1, LeaseState::Live)));
        store.commit(batch).await.unwrap();
    }
    store.commit(applied("d", "i", 5)).await.unwrap();
    let before = store.restore().await.unwrap();
    let ids: Vec<_> = before.jobs.iter().map(|job| job.spec.id.as_str()).collect();
    assert_eq!(ids, ["queued", "running"]);
    assert!(before.jobs.iter().all(|job| job.last_seq == Seq(5)));
    assert!(
        before
            .jobs
            .iter()
            .all(|job| (job.files.len(), job.leases.len()) == (1, 1))
    );
    drop(store);
    let store = bench.open().await;
    let after = store.restore().await.unwrap();
    assert_eq!(shown(&after), shown(&before));
    assert_eq!(after.jobs[0].data, before.jobs[0].data, "with the same secrets");
    store
        .commit(records([Record::Job(row("running", JobState::Failed))]))
        .await
        .unwrap();
    assert_eq!(store.restore().await.unwrap().jobs.len(), 1);
}

#[tokio::test]
async fn an_empty_batch_is_nothing_and_a_well_store_says_so() {
    let bench = Bench::new();
    let store = bench.open().await;
    store.commit(Batch::default()).await.unwrap();
    store.ping().await.unwrap();
    store.ping().await.unwrap();
    let restored = store.restore().await.unwrap();
    assert!(restored.jobs.is_empty() && restored.drones.is_empty());
}
