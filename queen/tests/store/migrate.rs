//! A database that an earlier program has filled: a later one finds everything in it again, or leaves it as it was.

use super::{fixture::*, raw};
use queen::store::{
    AccessRole, AccessToken, Applied, Batch, CasePart, Entered, JobFilter, Minute, Oldest, Quarantine, SqliteStore,
    Store, StoreError,
};
use scheduler::{LeaseState, Record};
use serde_json::json;
use shared::{
    Attempt, Incarnation, JobData, JobState, Num, Seq, Timestamp,
    outcome::{CaseOutcome, CaseResult, FileOutcome},
};
use std::path::Path;

/// The schema of the first program.
const FIRST: &str = include_str!("../../../migrations/sqlite/0001_base.sql");
/// What later steps have added, taken away, and what they have taken away put back: what is left is what the first program
/// would have written.
fn back() -> String {
    let begin = FIRST.find("CREATE TABLE streams").unwrap();
    let length = FIRST[begin..].find(") STRICT;").unwrap();
    let streams = &FIRST[begin..begin + length];
    format!(
        "DROP TABLE endings;
         DROP INDEX job_authors_by_job;
         DROP INDEX durations_oldest;
         DROP TABLE ahead;
         DROP TABLE throughput;
         DROP INDEX results_flaky;
         DROP TABLE quarantine;
         ALTER TABLE files DROP COLUMN quarantined;
         ALTER TABLE durations DROP COLUMN failed_at;
         ALTER TABLE files DROP COLUMN part;
         ALTER TABLE durations DROP COLUMN splits;
         CREATE TEMP TABLE later AS SELECT * FROM streams;
         DROP TABLE streams;
         {streams}) STRICT;
         INSERT INTO streams (job, last_seq, epoch, open_first, open_bytes, page_first, page_bytes)
         SELECT later.job, coalesce(max(last), packed_to), epoch, coalesce(min(first), 0), coalesce(sum(bytes), 0),
             coalesce(max(first), 0), coalesce(max(bytes), 0)
         FROM later LEFT JOIN events ON events.job = later.job AND first > packed_to GROUP BY later.job;
         UPDATE events SET body = CAST(body AS TEXT) WHERE NOT packed;
         DELETE FROM _sqlx_migrations WHERE version > 1;"
    )
}

/// Everything that a schema has, without its numbers and spaces.
async fn schema(dir: &Path) -> Vec<String> {
    let mut sql = raw(dir).await;
    let rows: Vec<Option<String>> =
        sqlx::query_scalar("SELECT sql FROM sqlite_schema WHERE name NOT LIKE '\\_sqlx%' ESCAPE '\\' ORDER BY name")
            .fetch_all(&mut sql)
            .await
            .unwrap();
    rows.into_iter().flatten().collect()
}

fn case(name: &str) -> CaseResult {
    CaseResult {
        name: name.into(),
        outcome: CaseOutcome::Failed,
        duration: Some(1.5),
        message: Some("because".into()),
        file: None,
        line: Some(3),
    }
}

/// A database of the first schema with something in every table.
async fn populated(dir: &Path) {
    let store = SqliteStore::open(dir).await.unwrap();
    for (id, at, state) in [
        ("ended", 100, JobState::Running),
        ("runs", 200, JobState::Running),
        ("waits", 300, JobState::Queued),
    ] {
        let job = json!({
            "job_id": id, "project": "a/b", "labels": ["big"], "ref": {"branch": "main"},
            "trigger": {"type": "push", "timestamp": 5, "message": format!("why {id} is here"),
                "author": {"name": "Ann", "email": "ann@example.org"}},
            "repo": {"url": "https://u:pass-of-repo@host/r"}, "secrets": {"TOKEN": format!("token of {id}")},
        });
        let data = JobData::parse(&job.to_string()).unwrap();
        store.commit(submit(data, at, state)).await.unwrap();
    }
    let text = "some output of a test, which is rather long for a single line\n".repeat(10);
    for id in ["ended", "runs"] {
        for round in 0..5 {
            let batch = Batch {
                events: (1..=100).map(|n| event(id, round * 100 + n, &text)).collect(),
                ..Batch::default()
            };
            store.commit(batch).await.unwrap();
        }
        let batch = Batch {
            records: vec![
                Record::File(file(id, 0, 1)),
                Record::File(file(id, 1, 1)),
                Record::Lease(lease(id, 3, LeaseState::Live)),
                Record::Lease(lease(id, 2, LeaseState::Ended)),
            ],
            results: vec![
                result(id, "tests/ü 0.py", 1, 500, FileOutcome::Flaky),
                result(id, "tests/bad.py", 1, 600, FileOutcome::TimedOut),
                result(id, "tests/bad.py", 2, 700, FileOutcome::Passed),
            ],
            cases: vec![CasePart {
                job: job_id(id),
                num: Num(1),
                attempt: Attempt(1),
                cases: vec![case("one"), case("two")],
            }],
            applied: vec![Applied {
                drone: drone("d1"),
                incarnation: Incarnation::new("i1").unwrap(),
                n: 77,
            }],
            ..Batch::default()
        };
        store.commit(batch).await.unwrap();
    }
    let mut end = row("ended", JobState::Failed);
    end.finished = Some(Timestamp(900));
    let drain = Record::Drain {
        drone: drone("d1"),
        on: true,
    };
    store.commit(records([Record::Job(end), drain])).await.unwrap();
    let token = AccessToken {
        id: "t1".into(),
        name: "ci".into(),
        role: AccessRole::Trigger,
        created: Timestamp(7),
    };
    store.add_token(&token, [9; 32]).await.unwrap();
    store.close().await;
    drop(store);
    sqlx::raw_sql(sqlx::AssertSqlSafe(back()))
        .execute(&mut raw(dir).await)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_populated_database_of_the_first_schema_is_found_again_whole() {
    let first = tempfile::tempdir().unwrap();
    std::fs::write(first.path().join("skep.db"), "").unwrap();
    sqlx::raw_sql(FIRST)
        .execute(&mut raw(first.path()).await)
        .await
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    populated(dir.path()).await;
    assert_eq!(
        schema(dir.path()).await,
        schema(first.path()).await,
        "it is what the first program knew"
    );

    let store = SqliteStore::open(dir.path()).await.unwrap();
    let restored = store.restore().await.unwrap();
    let ids: Vec<_> = restored.jobs.iter().map(|job| job.row.id.to_string()).collect();
    assert_eq!(ids, ["runs", "waits"]);
    let runs = &restored.jobs[0];
    assert_eq!((runs.files.len(), runs.leases.len(), runs.last_seq), (2, 1, Seq(500)));
    assert_eq!(runs.data.secrets["TOKEN"].expose(), "token of runs");
    assert_eq!((restored.drones[0].applied, restored.drones[0].draining), (77, true));
    for id in ["ended", "runs"] {
        let id = job_id(id);
        let events = store.events(&id, Seq(1), Seq(u64::MAX), usize::MAX).await.unwrap();
        assert!(events.iter().map(|event| event.seq.0).eq(1..=500));
        assert_eq!(
            store.cases(&id, Num(1), Attempt(1)).await.unwrap(),
            [case("one"), case("two")]
        );
        assert_eq!(store.files(&id).await.unwrap().len(), 2);
        assert_eq!(store.job(&id).await.unwrap().unwrap().log_removed, None);
    }
    let list = async |filter: JobFilter| store.jobs(&filter).await.unwrap().jobs.len();
    let filter = || JobFilter {
        limit: 9,
        ..JobFilter::default()
    };
    let by_author = JobFilter {
        author: Some("Ann".into()),
        ..filter()
    };
    let by_text = JobFilter {
        text: Some("why runs".into()),
        ..filter()
    };
    assert_eq!(
        (list(filter()).await, list(by_author).await, list(by_text).await),
        (3, 3, 1)
    );
    assert_eq!(store.past_runs(&project("a/b"), "tests/ü 0.py").await.unwrap().len(), 2);
    let history = store.history(&project("a/b")).await.unwrap();
    let known = history.iter().find(|file| file.path == "tests/ü 0.py").unwrap();
    assert_eq!((history.len(), known.runs), (2, 2));
    assert_eq!(store.token([9; 32]).await.unwrap().unwrap().id, "t1");

    // What the fifth step has counted.
    let told = |minute: &Minute| (minute.start, minute.files);
    let minutes = store.throughput(Timestamp(0)).await.unwrap();
    assert_eq!(minutes.iter().map(told).collect::<Vec<_>>(), [(Timestamp(0), 6)]);
    assert_eq!(store.flaky(&["runs", "waits"].map(job_id)).await.unwrap(), [1, 0]);

    // What the seventh step has found.
    for path in ["tests/bad.py", "tests/ü 0.py"] {
        let entry = Quarantine {
            path: path.into(),
            reason: "it is late at times".into(),
            who: None,
            since: Timestamp(800),
        };
        let put = store.put_in_quarantine(&project("a/b"), &entry, 9).await;
        assert_eq!(put.unwrap(), Entered::Added);
    }
    let listed = store.quarantine(&project("a/b")).await.unwrap();
    let told = listed.iter().map(|file| (file.failed_at, file.runs.len()));
    assert_eq!(told.collect::<Vec<_>>(), [(Some(Timestamp(600)), 4), (None, 2)]);
    assert!(runs.files.iter().all(|file| !file.quarantined));

    // What the second step has worked out of it is what it would have been told.
    let held = store.holdings().await.unwrap();
    assert_eq!(
        (held.jobs, held.oldest_job, held.oldest_log),
        (1, Some(Timestamp(900)), Some(Timestamp(900)))
    );
    let mut end = row("runs", JobState::Passed);
    end.finished = Some(Timestamp(950));
    store.commit(records([Record::Job(end)])).await.unwrap();
    let both = store.holdings().await.unwrap();
    // The messages of the two differ by a letter or so.
    assert!(
        (both.log_bytes - held.log_bytes).abs_diff(held.log_bytes) < 64,
        "{held:?} {both:?}"
    );
    assert_eq!(both.rest_bytes, 2 * held.rest_bytes);
    let all = Oldest {
        before: Timestamp(901),
        bytes: 0,
    };
    assert_eq!(store.remove_jobs(all, Timestamp(999)).await.unwrap().jobs, 1);
    assert_eq!(list(filter()).await, 2);
}

#[tokio::test]
async fn a_step_that_fails_leaves_the_database_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    populated(dir.path()).await;
    // The last index of the step is in its own way.
    let obstacle = "CREATE INDEX durations_oldest ON durations (mean)";
    sqlx::raw_sql(obstacle)
        .execute(&mut raw(dir.path()).await)
        .await
        .unwrap();
    let before = schema(dir.path()).await;
    for _ in 0..2 {
        let error = SqliteStore::open(dir.path()).await.unwrap_err();
        assert!(matches!(error, StoreError::Database(_)), "{error}");
        assert!(error.to_string().contains("durations_oldest already exists"), "{error}");
        assert_eq!(schema(dir.path()).await, before);
        let applied: i64 = sqlx::query_scalar("SELECT count(*) FROM _sqlx_migrations")
            .fetch_one(&mut raw(dir.path()).await)
            .await
            .unwrap();
        assert_eq!(applied, 1);
    }
    sqlx::raw_sql("DROP INDEX durations_oldest")
        .execute(&mut raw(dir.path()).await)
        .await
        .unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    assert_eq!(store.restore().await.unwrap().jobs.len(), 2);
    assert_eq!(store.holdings().await.unwrap().jobs, 1);
}
