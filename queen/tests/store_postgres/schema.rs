//! What a database is found with at the start: its version, its key, data of an older queen.

use super::{Place, fixture::*};
use queen::store::{JobFilter, PgStore, Store, StoreError};
use scheduler::{FileRow, Record};
use shared::{JobState, Seq, Timestamp, outcome::FileOutcome};
use std::fs;

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_as_it_is() {
    let place = Place::new().await;
    drop(place.open().await.unwrap());
    place
        .run(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (99, 'later', true, '', 0); DROP TABLE tokens; UPDATE owner SET name = 'newer'",
        )
        .await;
    let error = place.open().await.unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
    assert!(
        error.to_string().contains("start the newer queen that wrote it"),
        "{error}"
    );
    assert_eq!(place.count("SELECT count(*) FROM owner WHERE name = 'newer'").await, 1);
    assert_eq!(
        place
            .count("SELECT count(*) FROM pg_tables WHERE tablename = 'tokens'")
            .await,
        0
    );
}

#[tokio::test]
async fn a_lost_or_foreign_key_is_noticed_at_the_start() {
    let place = Place::new().await;
    let key = place.dir.path().join("secret.key");
    drop(place.open().await.unwrap());
    let right = fs::read(&key).unwrap();
    let error = async || place.open().await.unwrap_err().to_string();
    fs::remove_file(&key).unwrap();
    assert!(error().await.contains("the key of this database is gone: put it back"));
    assert!(!key.exists(), "and none is made in its place");
    fs::write(&key, [0; 32]).unwrap();
    assert!(
        error()
            .await
            .contains("this is not the key that the database was written with")
    );
    fs::write(&key, right).unwrap();
    place.open().await.unwrap();
}

/// Jobs of every kind, with everything that a job can have.
/// What the steps of the schema after the first brought, undone.
const UNDO: &str = "DROP TABLE endings; DROP INDEX job_authors_by_job; DROP INDEX durations_oldest;
    ALTER TABLE streams RENAME COLUMN packed_to TO last_seq;
    ALTER TABLE streams ADD COLUMN open_first BIGINT NOT NULL DEFAULT 0,
        ADD COLUMN open_bytes BIGINT NOT NULL DEFAULT 0;
    UPDATE streams SET last_seq = open.last, open_first = open.first, open_bytes = open.bytes
        FROM (SELECT job, min(first) AS first, max(last) AS last, sum(bytes) AS bytes FROM events WHERE NOT packed
              GROUP BY job) AS open
        WHERE open.job = streams.job;
    DROP TABLE throughput; DROP INDEX results_flaky;
    DROP TABLE quarantine; ALTER TABLE files DROP COLUMN quarantined; ALTER TABLE durations DROP COLUMN failed_at;
    ALTER TABLE files DROP COLUMN part; ALTER TABLE durations DROP COLUMN splits;
    DROP TABLE ahead; UPDATE job_text SET grams = array_remove(grams, 0);
    DELETE FROM _sqlx_migrations WHERE version > 1";

async fn populate(store: &PgStore) {
    for (id, state) in [
        ("queued", JobState::Queued),
        ("running", JobState::Running),
        ("passed", JobState::Passed),
        ("failed", JobState::Failed),
    ] {
        let mut batch = submit(data(id, "a/b"), 3, JobState::Queued);
        batch.events = (1..=50).map(|seq| event(id, seq, "some output")).collect();
        batch.records.push(Record::File(FileRow {
            // The first program knew of none.
            quarantined: false,
            part: None,
            ..file(id, 0, 1)
        }));
        batch
            .records
            .push(Record::Lease(lease(id, 1, scheduler::LeaseState::Live)));
        batch.results = vec![
            result(id, "tests/ü 0.py", 1, 50, FileOutcome::Failed),
            result(id, "tests/ü 0.py", 2, 70_000, FileOutcome::Flaky),
        ];
        store.commit(batch).await.unwrap();
        store.commit(records([Record::Job(row(id, state))])).await.unwrap();
    }
}

/// Everything that can be asked of a store, as text.
async fn shown(store: &PgStore) -> String {
    let mut all = format!("{:#?}\n", store.restore().await.unwrap());
    let filter = JobFilter {
        limit: 100,
        ..JobFilter::default()
    };
    for job in store.jobs(&filter).await.unwrap().jobs {
        let id = job.row.id.clone();
        all += &format!("{job:#?}\n{:#?}\n", store.files(&id).await.unwrap());
        all += &format!("{:#?}\n", store.events(&id, Seq(1), Seq(99), usize::MAX).await.unwrap());
    }
    for text in ["why not", "hy n", "no such words"] {
        let filter = JobFilter {
            text: Some(text.into()),
            ..filter.clone()
        };
        all += &format!("{:#?}\n", store.jobs(&filter).await.unwrap());
    }
    all += &format!("{:#?}\n", store.projects().await.unwrap());
    all += &format!("{:#?}\n", store.throughput(Timestamp(0)).await.unwrap());
    all += &format!("{:#?}\n", store.history(&project("a/b")).await.unwrap());
    all + &format!("{:#?}\n", store.holdings().await.unwrap())
}

#[tokio::test]
async fn a_step_of_the_schema_keeps_what_is_there_and_one_that_fails_changes_nothing() {
    let place = Place::new().await;
    let store = place.open().await.unwrap();
    populate(&store).await;
    let before = shown(&store).await;
    drop(store);
    place.run(UNDO).await;

    // The step ends half-way: a table of its name is there already when it comes to it.
    place.run("CREATE TABLE durations_oldest (x INT)").await;
    let error = place.open().await.unwrap_err();
    assert!(
        error.to_string().contains("\"durations_oldest\" already exists"),
        "{error}"
    );
    assert_eq!(place.count("SELECT max(version) FROM _sqlx_migrations").await, 1);
    assert_eq!(
        place
            .count("SELECT count(*) FROM pg_tables WHERE tablename = 'endings'")
            .await,
        0
    );
    assert_eq!(place.count("SELECT count(*) FROM jobs").await, 4);

    place.run("DROP TABLE durations_oldest").await;
    let store = place.open().await.unwrap();
    assert_eq!(shown(&store).await, before);
    assert_eq!(store.holdings().await.unwrap().jobs, 2);
    store.commit(new_job("new", "a/b", 1)).await.unwrap();
}
