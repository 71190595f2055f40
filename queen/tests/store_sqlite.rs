//! What is SQLite's own: the data directory, its lock and key, the schema's version, and what lies in the files.

#![expect(clippy::unwrap_used, reason = "a test fails where its set-up fails")]

#[path = "store/fixture.rs"]
#[expect(dead_code, reason = "the contract's tests use the rest")]
mod fixture;
#[path = "store/migrate.rs"]
mod migrate;

use fixture::*;
use queen::store::{Batch, SqliteStore, Store, StoreError};
use scheduler::Record;
use serde_json::json;
use shared::{JobData, JobState, Seq};
use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

fn files(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

async fn raw(dir: &Path) -> sqlx::SqliteConnection {
    let options = SqliteConnectOptions::new().filename(dir.join("skep.db"));
    options.connect().await.unwrap()
}

#[tokio::test]
async fn the_directory_is_the_queens_alone() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("deep/data");
    let store = SqliteStore::open(&dir).await.unwrap();
    store.commit(new_job("j", "a/b", 1)).await.unwrap();
    assert_eq!(mode(&dir), 0o700);
    let names = files(&dir);
    assert!(names.len() >= 3, "{names:?}");
    for file in names {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    assert_eq!(fs::read(dir.join("secret.key")).unwrap().len(), 32);
}

#[tokio::test]
async fn a_directory_in_use_says_so_until_it_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    let error = SqliteStore::open(dir.path()).await.unwrap_err();
    assert!(matches!(&error, StoreError::InUse(path) if path == dir.path()));
    let words = format!("{} is in use by another queen: stop it", dir.path().display());
    assert!(error.to_string().starts_with(&words), "{error}");
    let clone = store.clone();
    drop(store);
    assert!(SqliteStore::open(dir.path()).await.is_err(), "a clone holds it too");
    drop(clone);
    SqliteStore::open(dir.path()).await.unwrap().ping().await.unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    drop(SqliteStore::open(dir.path()).await.unwrap());
    let mut sql = raw(dir.path()).await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (99, 'later', true, x'00', 0)",
    )
    .execute(&mut sql)
    .await
    .unwrap();
    sqlx::query("DROP TABLE tokens").execute(&mut sql).await.unwrap();
    sql.close().await.unwrap();
    let before = fs::read(dir.path().join("skep.db")).unwrap();
    let error = SqliteStore::open(dir.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 99, .. }));
    assert!(
        error.to_string().contains("start the newer queen that wrote it"),
        "{error}"
    );
    assert!(fs::read(dir.path().join("skep.db")).unwrap() == before);
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let error = SqliteStore::open(&file).await.unwrap_err();
    assert!(error.to_string().starts_with(&file.display().to_string()), "{error}");

    let locked = dir.path().join("read-only");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o500)).unwrap();
    // Root writes where it likes, but not into the kernel's own tree.
    let locked = match rustix::process::geteuid().is_root() {
        true => PathBuf::from("/proc/self/task"),
        false => locked,
    };
    let error = SqliteStore::open(&locked).await.unwrap_err();
    assert!(matches!(&error, StoreError::File { path, .. } if *path == locked.join("queen.lock")));
    assert!(
        error
            .to_string()
            .contains("must be able to read and write its data directory"),
        "{error}"
    );

    let broken = dir.path().join("broken");
    fs::create_dir(&broken).unwrap();
    fs::write(
        broken.join("skep.db"),
        "this is no database, whatever its name says".repeat(99),
    )
    .unwrap();
    let error = SqliteStore::open(&broken).await.unwrap_err();
    assert!(error.to_string().contains("file is not a database"), "{error}");
}

#[tokio::test]
async fn a_lost_or_foreign_key_is_noticed_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("secret.key");
    drop(SqliteStore::open(dir.path()).await.unwrap());
    let right = fs::read(&key).unwrap();
    let error = async || SqliteStore::open(dir.path()).await.unwrap_err().to_string();
    fs::remove_file(&key).unwrap();
    assert!(error().await.contains("the key of this database is gone: put it back"));
    assert!(!key.exists(), "and none is made in its place");
    fs::write(&key, [0; 32]).unwrap();
    assert!(
        error()
            .await
            .contains("this is not the key that the database was written with")
    );
    fs::write(&key, [0; 31]).unwrap();
    assert!(error().await.contains("it has 31 bytes, a key has 32"));
    fs::write(&key, right).unwrap();
    SqliteStore::open(dir.path()).await.unwrap();
}

#[tokio::test]
async fn no_byte_of_a_secret_is_in_any_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    let secrets = [
        "Kq7-password-of-repo",
        "Zx3-value-of-token",
        "-----BEGIN KEY-----\nWv9\nline\n",
    ];
    let https = json!({
        "job_id": "https", "project": "a/b", "trigger": {"type": "push", "timestamp": 5, "message": "visible-text"},
        "repo": {"url": format!("https://u:{}@host/r", secrets[0])}, "secrets": {"TOKEN": secrets[1]},
    });
    let ssh = json!({
        "job_id": "ssh", "project": "a/b", "trigger": {"type": "push", "timestamp": 5},
        "repo": {"url": "git@host:r", "auth": {"type": "ssh", "key": secrets[2]}},
    });
    for job in [https, ssh] {
        let data = JobData::parse(&job.to_string()).unwrap();
        store.commit(submit(data, 1, JobState::Queued)).await.unwrap();
    }
    let scan = |text: &str| {
        let needle = text.as_bytes();
        let found = files(dir.path()).into_iter().filter(|file| {
            let bytes = fs::read(file).unwrap();
            bytes.windows(needle.len()).any(|part| part == needle)
        });
        found.collect::<Vec<_>>()
    };
    let part = |text: &str| text.lines().last().unwrap()[..4].to_owned();
    for _ in 0..2 {
        assert!(!scan("visible-text").is_empty(), "the scan finds what is there");
        for secret in secrets {
            assert_eq!(scan(secret), Vec::<PathBuf>::new());
        }
        for secret in [secrets[0], secrets[1]] {
            assert_eq!(scan(&part(secret)), Vec::<PathBuf>::new());
        }
        // Once in the log, once in the database itself.
        let mut sql = raw(dir.path()).await;
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .execute(&mut sql)
            .await
            .unwrap();
        sql.close().await.unwrap();
    }
    let data = store.job_data(&job_id("https")).await.unwrap().unwrap();
    assert_eq!(data.secrets["TOKEN"].expose(), secrets[1]);
}

#[tokio::test]
async fn sealed_data_cannot_be_put_in_another_jobs_place() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    for id in ["one", "two"] {
        let job = json!({
            "job_id": id, "project": "a/b", "trigger": {"type": "push", "timestamp": 5}, "secrets": {"TOKEN": id},
        });
        let data = JobData::parse(&job.to_string()).unwrap();
        store.commit(submit(data, 1, JobState::Queued)).await.unwrap();
    }
    let mut sql = raw(dir.path()).await;
    sqlx::query("UPDATE job_data SET sealed = (SELECT sealed FROM job_data ORDER BY job DESC LIMIT 1)")
        .execute(&mut sql)
        .await
        .unwrap();
    sql.close().await.unwrap();
    let error = store.job_data(&job_id("one")).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert!(store.job_data(&job_id("two")).await.is_ok());
}

#[tokio::test]
async fn events_are_packed_as_they_grow_and_when_the_job_ends() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    store.commit(new_job("j", "a/b", 1)).await.unwrap();
    let text = "some output of a test\n".repeat(20);
    for round in 0..1_000 {
        let events = (1..=5).map(|n| event("j", round * 5 + n, &text));
        let batch = Batch {
            events: events.collect(),
            ..Batch::default()
        };
        store.commit(batch).await.unwrap();
    }
    let mut sql = raw(dir.path()).await;
    let mut rows = async || -> (i64, i64, i64, i64) {
        sqlx::query_as(
            "SELECT count(*), sum(packed), sum(CASE WHEN packed THEN 0 ELSE bytes END), sum(length(body)) FROM events",
        )
        .fetch_one(&mut sql)
        .await
        .unwrap()
    };
    let all_text = i64::try_from(5_000 * text.len()).unwrap();
    let (count, packed, open, disk) = rows().await;
    assert!(
        packed >= all_text / (140 * 1024) && count - packed <= 128 * 1024 / 2_000,
        "{packed} of {count}"
    );
    assert!(open < 128 * 1024 && disk < all_text / 10 + open, "{open} {disk}");
    let end = records([Record::Job(row("j", JobState::Failed))]);
    store.commit(end.clone()).await.unwrap();
    store.commit(end).await.unwrap();
    let (count, packed, open, _) = rows().await;
    assert_eq!((count, open), (packed, 0));
    let tail = store
        .events(&job_id("j"), Seq(4_990), Seq(9_999), usize::MAX)
        .await
        .unwrap();
    assert_eq!(tail.len(), 11);
}

#[tokio::test]
async fn a_full_disk_fails_the_batch_and_heals() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    store.commit(new_job("j", "a/b", 1)).await.unwrap();
    // The database refuses the third row of the batch, as a disk would that is full.
    let mut sql = raw(dir.path()).await;
    sqlx::query(
        "CREATE TRIGGER full BEFORE INSERT ON files WHEN new.idx = 2 BEGIN SELECT raise(ROLLBACK, 'disk is full'); END",
    )
    .execute(&mut sql)
    .await
    .unwrap();
    let batch = Batch {
        records: (0..3).map(|index| Record::File(file("j", index, 1))).collect(),
        events: vec![event("j", 1, "x")],
        ..Batch::default()
    };
    for _ in 0..3 {
        let error = store.commit(batch.clone()).await.unwrap_err();
        assert!(
            matches!(error, StoreError::Database(_)) && error.to_string().contains("disk is full"),
            "{error}"
        );
        assert_eq!(store.files(&job_id("j")).await.unwrap().len(), 0);
    }
    sqlx::query("DROP TRIGGER full").execute(&mut sql).await.unwrap();
    store.commit(batch).await.unwrap();
    assert_eq!(store.files(&job_id("j")).await.unwrap().len(), 3);
    assert_eq!(store.job(&job_id("j")).await.unwrap().unwrap().last_seq, Seq(1));
}
