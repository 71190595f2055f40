//! What is PostgreSQL's own: who may write, servers that go and come back, addresses, the schema's version, the key.

#![expect(clippy::unwrap_used, reason = "a test fails where its set-up fails")]

#[path = "store/fixture.rs"]
mod fixture;
#[path = "postgres/mod.rs"]
mod postgres;

use fixture::*;
use postgres::{Server, shared};
use queen::store::{Address, Batch, JobFilter, PgStore, Store, StoreError};
use scheduler::Record;
use serde_json::json;
use shared::{JobData, JobState, Seq, outcome::FileOutcome};
use sqlx::Row;
use std::{fs, path::Path};
use tempfile::TempDir;

/// A database of the shared server and a data directory.
struct Place {
    dir: TempDir,
    name: String,
}

impl Place {
    async fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            name: shared().database().await,
        }
    }

    fn address(&self) -> Address {
        shared().url(&self.name).parse().unwrap()
    }

    async fn open(&self) -> Result<PgStore, StoreError> {
        self.open_in(self.dir.path()).await
    }

    async fn open_in(&self, dir: &Path) -> Result<PgStore, StoreError> {
        PgStore::open(dir, &self.address()).await
    }

    async fn run(&self, statements: &str) {
        shared().run(&self.name, statements).await;
    }

    async fn count(&self, query: &'static str) -> i64 {
        let mut sql = shared().connect(&self.name).await;
        sqlx::query_scalar(query).fetch_one(&mut sql).await.unwrap()
    }

    /// Ends the connections whose name begins so, as an operator or a failing network would.
    async fn cut(&self, name: &str) {
        let query = format!(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name LIKE '{name}%' AND pid != pg_backend_pid()"
        );
        self.run(&query).await;
    }
}

fn output(seqs: std::ops::RangeInclusive<u64>) -> Batch {
    Batch {
        events: seqs.map(|seq| event("j", seq, "x")).collect(),
        ..Batch::default()
    }
}

async fn error(dir: &Path, url: &str) -> String {
    PgStore::open(dir, &url.parse().unwrap()).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_second_queen_is_turned_away_until_the_first_has_gone() {
    let place = Place::new().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let store = place.open().await.unwrap();
    let error = place.open().await.unwrap_err();
    assert!(
        matches!(error, StoreError::InUse(_)),
        "the same data directory: {error}"
    );
    fs::copy(place.dir.path().join("secret.key"), elsewhere.path().join("secret.key")).unwrap();
    let error = place.open_in(elsewhere.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::Taken(_)), "{error}");
    let words = format!(
        "/{}?host={} is in use by another queen: stop it",
        place.name,
        shared().folder().display()
    );
    assert!(error.to_string().contains(&words), "{error}");
    let clone = store.clone();
    drop(store);
    clone.ping().await.unwrap();
    drop(clone);
    place.open_in(elsewhere.path()).await.unwrap().ping().await.unwrap();
}

#[tokio::test]
async fn queens_in_two_schemas_of_one_database_do_not_know_each_other() {
    let place = Place::new().await;
    place.run("CREATE SCHEMA other").await;
    let elsewhere = tempfile::tempdir().unwrap();
    let store = place.open().await.unwrap();
    store.commit(new_job("j", "a/b", 1)).await.unwrap();
    let url = format!("{}&options[search_path]=other", shared().url(&place.name));
    let other = PgStore::open(elsewhere.path(), &url.parse().unwrap()).await.unwrap();
    assert!(other.job(&job_id("j")).await.unwrap().is_none());
    other.commit(new_job("j", "a/b", 1)).await.unwrap();
}

#[tokio::test]
async fn a_queen_whose_database_was_taken_over_writes_nothing_more() {
    let place = Place::new().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let old = place.open().await.unwrap();
    old.commit(new_job("j", "a/b", 1)).await.unwrap();
    old.commit(output(1..=3)).await.unwrap();
    fs::copy(place.dir.path().join("secret.key"), elsewhere.path().join("secret.key")).unwrap();

    // Her connection is cut, and before she writes again another queen is there.
    place.cut("queen-").await;
    let new = place.open_in(elsewhere.path()).await.unwrap();
    let error = old.commit(output(4..=4)).await.unwrap_err();
    assert!(
        matches!(error, StoreError::Database(_)),
        "the connection is dead: {error}"
    );
    for _ in 0..2 {
        let error = old.commit(output(4..=4)).await.unwrap_err();
        assert!(matches!(error, StoreError::Taken(_)), "{error}");
    }
    new.commit(output(4..=5)).await.unwrap();
    drop(new);
    for error in [
        old.commit(output(4..=4)).await.unwrap_err(),
        old.ping().await.unwrap_err(),
        old.restore().await.unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Lost(_)), "{error}");
        assert!(
            error
                .to_string()
                .contains("was taken over by another queen; this one writes no more"),
            "{error}"
        );
    }
    let all = old.events(&job_id("j"), Seq(1), Seq(9), usize::MAX).await.unwrap();
    assert_eq!(all.len(), 5);
}

#[tokio::test]
async fn every_write_is_fenced_even_where_the_lock_is_lost_and_the_connection_lives() {
    let place = Place::new().await;
    let store = place.open().await.unwrap();
    store.commit(new_job("j", "a/b", 1)).await.unwrap();
    store.commit(output(1..=1)).await.unwrap();
    let token = queen::store::AccessToken {
        id: "t".into(),
        name: "t".into(),
        role: queen::store::AccessRole::Read,
        created: shared::Timestamp(1),
    };
    store.add_token(&token, [1; 32]).await.unwrap();
    let everything = queen::store::Oldest {
        before: shared::Timestamp(i64::MAX),
        bytes: 0,
    };
    let ended = records([Record::Job(row("j", JobState::Passed))]);
    store.commit(ended.clone()).await.unwrap();
    place.run("UPDATE owner SET name = 'another'").await;
    let now = shared::Timestamp(9);
    for error in [
        store.commit(output(2..=2)).await.unwrap_err(),
        store.commit(output(2..=2)).await.unwrap_err(),
        store.commit(ended).await.unwrap_err(),
        store.commit(new_job("k", "a/b", 1)).await.unwrap_err(),
        store.ping().await.unwrap_err(),
        store.add_token(&token, [2; 32]).await.unwrap_err(),
        store.remove_token("t").await.unwrap_err(),
        store.remove_logs(everything, now).await.unwrap_err(),
        store.remove_jobs(everything, now).await.unwrap_err(),
        store.forget(now).await.unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Lost(_)), "{error}");
    }
    assert_eq!(place.count("SELECT count(*) FROM jobs").await, 1);
    assert_eq!(place.count("SELECT last_seq FROM streams").await, 1);
    assert_eq!(place.count("SELECT count(*) FROM tokens").await, 1);
}

#[tokio::test]
async fn a_stream_that_is_remembered_is_fenced_too() {
    let place = Place::new().await;
    let store = place.open().await.unwrap();
    store.commit(new_job("j", "a/b", 1)).await.unwrap();
    store.commit(output(1..=1)).await.unwrap();
    place.run("UPDATE owner SET name = 'another'").await;
    let error = store.commit(output(2..=2)).await.unwrap_err();
    assert!(matches!(error, StoreError::Lost(_)), "{error}");
    assert_eq!(place.count("SELECT count(*) FROM events").await, 1);
    assert_eq!(place.count("SELECT last_seq FROM streams").await, 1);
}

#[tokio::test]
async fn connections_that_are_cut_are_made_again() {
    let place = Place::new().await;
    let store = place.open().await.unwrap();
    store.commit(new_job("j", "a/b", 1)).await.unwrap();
    for round in 1..=3 {
        store.commit(output(round..=round)).await.unwrap();
        place.cut("queen").await;
        assert_eq!(
            store.job(&job_id("j")).await.unwrap().unwrap().last_seq,
            Seq(round),
            "readers notice by themselves"
        );
        let error = store.commit(output(round + 1..=round + 1)).await.unwrap_err();
        assert!(matches!(error, StoreError::Database(_)), "{error}");
        store.ping().await.unwrap();
        assert_eq!(
            store.restore().await.unwrap().jobs[0].last_seq,
            Seq(round),
            "what failed is not there"
        );
    }
}

#[tokio::test]
async fn a_server_that_goes_is_named_and_a_server_that_comes_back_is_used() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let name = server.database().await;
    let store = PgStore::open(dir.path(), &server.url(&name).parse().unwrap())
        .await
        .unwrap();
    store.commit(new_job("j", "a/b", 1)).await.unwrap();
    store.commit(output(1..=7)).await.unwrap();
    server.stop();
    assert!(store.commit(output(8..=8)).await.is_err());
    assert!(store.job(&job_id("j")).await.is_err());
    for error in [
        store.commit(output(8..=8)).await.unwrap_err(),
        store.ping().await.unwrap_err(),
        store.restore().await.unwrap_err(),
    ] {
        let error = error.to_string();
        assert!(
            error.contains(&format!("/{name}?host=")) && error.contains("start PostgreSQL there"),
            "{error}"
        );
    }
    server.start_again();
    store.ping().await.unwrap();
    assert_eq!(store.restore().await.unwrap().jobs[0].last_seq, Seq(7));
    store.commit(output(8..=8)).await.unwrap();
    let all = store.events(&job_id("j"), Seq(1), Seq(99), usize::MAX).await.unwrap();
    assert_eq!(all.len(), 8);
}

#[tokio::test]
async fn what_keeps_a_database_from_being_used_is_said_with_what_to_do() {
    let place = Place::new().await;
    let dir = place.dir.path();
    let server = shared();
    let url = |user: &str, name: &str| server.url_for(user, name);
    place
        .run(&format!(
            "CREATE ROLE ann_{0} LOGIN PASSWORD 'right'; REVOKE CREATE ON SCHEMA public FROM PUBLIC",
            place.name
        ))
        .await;
    let ann = format!("ann_{}", place.name);
    let wrong = error(dir, &url(&format!("{ann}:hunter2"), &place.name)).await;
    assert!(
        wrong.contains(&format!("password authentication failed for user \"{ann}\"")),
        "{wrong}"
    );
    assert!(
        wrong.contains("give the right user and password") && !wrong.contains("hunter2"),
        "{wrong}"
    );

    let poor = error(dir, &url(&format!("{ann}:right"), &place.name)).await;
    assert!(poor.contains("permission denied for schema public"), "{poor}");
    assert!(
        poor.contains(&format!(
            "make {ann} the owner: ALTER DATABASE \"{}\" OWNER TO \"{ann}\"",
            place.name
        )),
        "{poor}"
    );

    let missing = error(dir, &url("skep", "nowhere")).await;
    assert!(missing.contains("database \"nowhere\" does not exist"), "{missing}");
    assert!(
        missing.contains("make it with `createdb --owner=skep nowhere`"),
        "{missing}"
    );

    let silent = error(dir, "postgres://skep@localhost/skep?host=/nonexistent").await;
    assert!(
        silent.contains("postgres://skep@localhost:5432/skep?host=/nonexistent cannot be used: nothing listens there"),
        "{silent}"
    );
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let refused = error(dir, &format!("postgres://skep:hunter2@127.0.0.1:{port}/skep")).await;
    assert!(
        refused.contains("Connection refused") && refused.contains("start PostgreSQL there"),
        "{refused}"
    );
    assert!(!refused.contains("hunter2"), "{refused}");

    place
        .run("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
        .await;
    let latin = error(dir, &url("skep", "latin")).await;
    assert!(
        latin.contains("its texts are in LATIN1; make one with `createdb --encoding=UTF8"),
        "{latin}"
    );
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_not_waited_for_for_long() {
    let dir = tempfile::tempdir().unwrap();
    // It takes connections and says nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "postgres://skep@{}/skep?sslmode=disable",
        listener.local_addr().unwrap()
    );
    let silent = error(dir.path(), &url).await;
    assert!(
        silent.contains("it does not answer; start PostgreSQL there"),
        "{silent}"
    );
}

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
async fn populate(store: &PgStore) {
    for (id, state) in [
        ("queued", JobState::Queued),
        ("running", JobState::Running),
        ("passed", JobState::Passed),
        ("failed", JobState::Failed),
    ] {
        let mut batch = submit(data(id, "a/b"), 3, JobState::Queued);
        batch.events = (1..=50).map(|seq| event(id, seq, "some output")).collect();
        batch.records.push(Record::File(file(id, 0, 1)));
        batch
            .records
            .push(Record::Lease(lease(id, 1, scheduler::LeaseState::Live)));
        batch.results = vec![result(id, "tests/ü 0.py", 1, 50, FileOutcome::Failed)];
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
    for job in store.jobs(&filter).await.unwrap() {
        let id = job.row.id.clone();
        all += &format!("{job:#?}\n{:#?}\n", store.files(&id).await.unwrap());
        all += &format!("{:#?}\n", store.events(&id, Seq(1), Seq(99), usize::MAX).await.unwrap());
    }
    all += &format!("{:#?}\n", store.projects().await.unwrap());
    all += &format!("{:#?}\n", store.history(&project("a/b")).await.unwrap());
    all + &format!("{:#?}\n", store.holdings().await.unwrap())
}

/// What the second step of the schema brought.
const UNDO_SECOND: &str = "DROP TABLE endings; DROP INDEX job_authors_by_job; DROP INDEX durations_oldest;
    DELETE FROM _sqlx_migrations WHERE version = 2";

#[tokio::test]
async fn a_step_of_the_schema_keeps_what_is_there_and_one_that_fails_changes_nothing() {
    let place = Place::new().await;
    let store = place.open().await.unwrap();
    populate(&store).await;
    let before = shown(&store).await;
    drop(store);
    place.run(UNDO_SECOND).await;

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

#[tokio::test]
async fn a_batch_that_the_database_refuses_is_not_there_and_the_next_one_is() {
    let place = Place::new().await;
    let store = place.open().await.unwrap();
    store.commit(new_job("j", "a/b", 1)).await.unwrap();
    place
        .run(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE EXCEPTION 'disk is full' USING ERRCODE = '53100'; END $$;
             CREATE TRIGGER full_disk BEFORE INSERT ON files FOR EACH ROW WHEN (new.idx = 2) EXECUTE FUNCTION full_disk()",
        )
        .await;
    let mut batch = output(1..=1);
    batch.records = (0..3).map(|index| Record::File(file("j", index, 1))).collect();
    for _ in 0..3 {
        let error = store.commit(batch.clone()).await.unwrap_err();
        assert!(
            matches!(error, StoreError::Database(_)) && error.to_string().contains("disk is full"),
            "{error}"
        );
        assert_eq!(store.files(&job_id("j")).await.unwrap().len(), 0);
    }
    place.run("DROP TRIGGER full_disk ON files").await;
    store.commit(batch).await.unwrap();
    assert_eq!(store.files(&job_id("j")).await.unwrap().len(), 3);
    assert_eq!(store.job(&job_id("j")).await.unwrap().unwrap().last_seq, Seq(1));
}

#[tokio::test]
async fn events_are_packed_as_they_grow_and_when_the_job_ends() {
    let place = Place::new().await;
    let store = place.open().await.unwrap();
    store.commit(new_job("j", "a/b", 1)).await.unwrap();
    let text = "some output of a test\n".repeat(20);
    for round in 0..400 {
        let events = (1..=5).map(|n| event("j", round * 5 + n, &text));
        let batch = Batch {
            events: events.collect(),
            ..Batch::default()
        };
        store.commit(batch).await.unwrap();
    }
    let rows = async || {
        let mut sql = shared().connect(&place.name).await;
        let row = sqlx::query(
            "SELECT count(*) FILTER (WHERE packed), coalesce(sum(bytes) FILTER (WHERE NOT packed), 0)::bigint,
                    sum(octet_length(body)) FROM events",
        )
        .fetch_one(&mut sql)
        .await
        .unwrap();
        (row.get::<i64, _>(0), row.get::<i64, _>(1), row.get::<i64, _>(2))
    };
    let all_text = i64::try_from(2_000 * text.len()).unwrap();
    let (packed, open, disk) = rows().await;
    assert!(packed >= all_text / (140 * 1024), "{packed}");
    assert!(open < 128 * 1024 && disk < all_text / 10 + open, "{open} {disk}");
    store
        .commit(records([Record::Job(row("j", JobState::Failed))]))
        .await
        .unwrap();
    assert_eq!(rows().await.1, 0);
    let tail = store
        .events(&job_id("j"), Seq(1_990), Seq(9_999), usize::MAX)
        .await
        .unwrap();
    assert_eq!(tail.len(), 11);
}

#[tokio::test]
async fn texts_that_the_database_could_not_keep_as_they_are_do_no_harm() {
    let place = Place::new().await;
    let store = place.open().await.unwrap();
    let long = "ü".repeat(4_000);
    let job = json!({
        "job_id": "j", "project": "a/b", "trigger": {
            "type": format!("zero\0{long}"), "timestamp": 5, "message": format!("before\0after {long}"),
            "author": {"name": long, "email": "zero\0@x.org"},
        },
    });
    let data = JobData::parse(&job.to_string()).unwrap();
    store.commit(submit(data.clone(), 1, JobState::Queued)).await.unwrap();
    assert_eq!(store.job(&job_id("j")).await.unwrap().unwrap().data, data);
    let find = async |filter: JobFilter| {
        let filter = JobFilter { limit: 9, ..filter };
        store.jobs(&filter).await.unwrap().len()
    };
    for text in ["before\0after", "E\0a", "after üü", "ü"] {
        let filter = JobFilter {
            text: Some(text.into()),
            ..JobFilter::default()
        };
        assert_eq!(find(filter).await, 1, "{text:?}");
    }
    for (name, found) in [(long.as_str(), 1), ("zero\0@x.org", 1), ("ü", 0)] {
        let filter = JobFilter {
            author: Some(name.into()),
            ..JobFilter::default()
        };
        assert_eq!(find(filter).await, found);
    }
    let kind = JobFilter {
        trigger: Some(data.trigger.kind.clone()),
        ..JobFilter::default()
    };
    assert_eq!(find(kind).await, 1);

    let mut row = file("j", 0, 1);
    row.path = format!("tests/{long}.py");
    row.num = Some(shared::Num(1));
    let mut batch = results([result("j", &row.path, 1, 50, FileOutcome::Passed)]);
    batch.records = vec![Record::File(row.clone())];
    store.commit(batch).await.unwrap();
    let files = store.files(&job_id("j")).await.unwrap();
    assert_eq!(files[0].row, row);
    assert!(files[0].result.is_some());
    assert!(
        store
            .expectations(&project("a/b"), std::slice::from_ref(&row.path))
            .await
            .unwrap()[0]
            .is_some()
    );
    assert_eq!(store.past_runs(&project("a/b"), &row.path).await.unwrap().len(), 1);
}

#[tokio::test]
async fn no_byte_of_a_secret_is_in_any_table() {
    let place = Place::new().await;
    let store = place.open().await.unwrap();
    let job = json!({
        "job_id": "j", "project": "a/b", "trigger": {"type": "push", "timestamp": 5, "message": "visible-text"},
        "repo": {"url": "https://u:Kq7-password-of-repo@host/r"}, "secrets": {"TOKEN": "Zx3-value-of-token"},
    });
    let data = JobData::parse(&job.to_string()).unwrap();
    store.commit(submit(data.clone(), 1, JobState::Queued)).await.unwrap();
    let mut sql = shared().connect(&place.name).await;
    let dump: String = sqlx::query_scalar("SELECT database_to_xml(true, false, '')::text")
        .fetch_one(&mut sql)
        .await
        .unwrap();
    assert!(dump.contains("visible-text"), "the scan finds what is there");
    for secret in ["Kq7", "password-of-repo", "Zx3", "value-of-token"] {
        assert!(!dump.contains(secret), "{secret}");
    }
    assert_eq!(store.job_data(&job_id("j")).await.unwrap(), Some(data));
    sqlx::query("UPDATE job_data SET sealed = '\\x00'")
        .execute(&mut sql)
        .await
        .unwrap();
    let error = store.job_data(&job_id("j")).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
}
