//! A queen with a PostgreSQL database in one file and back: one moment of it while she writes, and only into an empty one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cli_support;
#[path = "store/fixture.rs"]
#[expect(dead_code, reason = "the store's tests use the rest")]
mod fixture;
#[path = "postgres/mod.rs"]
#[expect(dead_code, reason = "the tests of that store use the rest")]
mod postgres;

use cli_support::{Suite, ended};
use fixture::{event, job_id, lease};
use queen::{
    backup::{Kind, backup, restore},
    store::{Address, Batch, PgStore, SqliteStore, Store},
};
use scheduler::{LeaseState, Record};
use serde_json::json;
use shared::{JobData, JobState, Seq};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};
use tempfile::TempDir;

/// An empty database.
async fn empty() -> Address {
    let server = postgres::shared();
    server.url(&server.database().await).parse().unwrap()
}

/// A data directory, its database with one job, and a backup of both.
struct Saved {
    temp: TempDir,
    data: PathBuf,
    /// Of the database.
    name: String,
    from: Address,
    file: PathBuf,
}

impl Saved {
    async fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let (data, file) = (temp.path().join("data"), temp.path().join("queen.tar"));
        let name = postgres::shared().database().await;
        let from: Address = postgres::shared().url(&name).parse().unwrap();
        let store = PgStore::open(&data, &from).await.unwrap();
        store.commit(fixture::new_job("kept", "a/b", 1)).await.unwrap();
        store.close().await;
        drop(store);
        backup(&data, Some(&from), &file).await.unwrap();
        Self {
            temp,
            data,
            name,
            from,
            file,
        }
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    async fn refused(&self, to: &Path, into: Option<&Address>, force: bool) -> String {
        restore(&self.file, to, into, force).await.unwrap_err().to_string()
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_back_that_was_there_at_one_moment() {
    let temp = tempfile::tempdir().unwrap();
    let (data, file, from) = (temp.path().join("data"), temp.path().join("queen.tar"), empty().await);
    let store = PgStore::open(&data, &from).await.unwrap();
    for (id, at) in [("ended", 1), ("busy", 2)] {
        store.commit(fixture::new_job(id, "a/b", at)).await.unwrap();
    }
    let secret = json!({"job_id": "secret", "project": "a/b", "secrets": {"TOKEN": "of the job"},
        "trigger": {"type": "manual", "timestamp": 5, "message": "odd \t\\N \"' ü"}});
    let secret = JobData::parse(&secret.to_string()).unwrap();
    store
        .commit(fixture::submit(secret, 3, JobState::Queued))
        .await
        .unwrap();
    let over = AtomicBool::new(false);
    let write = async {
        let mut next = 1;
        while !over.load(Ordering::Relaxed) {
            let batch = Batch {
                records: vec![Record::Lease(lease("busy", next, LeaseState::Ended))],
                events: (next..next + 20)
                    .map(|n| event("busy", n, "some text that is written"))
                    .collect(),
                ..Batch::default()
            };
            store.commit(batch).await.unwrap();
            next += 20;
        }
        next
    };
    let copy = async {
        let made = backup(&data, Some(&from), &file).await.unwrap();
        over.store(true, Ordering::Relaxed);
        made
    };
    let (end, made) = tokio::join!(write, copy);
    assert_eq!((made.head.database, made.repositories), (Kind::Postgres, 0));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(names(temp.path()), ["data", "queen.tar"], "no draft is left");
    store.commit(fixture::new_job("later", "a/b", 9)).await.unwrap();

    let (to, into) = (temp.path().join("to"), empty().await);
    let put = restore(&file, &to, Some(&into), false).await.unwrap();
    assert_eq!((put.head, put.aside), (made.head, None));
    assert_eq!(names(&to), ["queen.lock", "secret.key"]);
    let back = PgStore::open(&to, &into).await.unwrap();
    assert!(back.job(&job_id("later")).await.unwrap().is_none());
    let data = back.job_data(&job_id("secret")).await.unwrap().unwrap();
    assert_eq!(data.secrets["TOKEN"].expose(), "of the job");
    let (was, is) = (store.restore().await.unwrap(), back.restore().await.unwrap());
    assert_eq!(was.jobs.len(), is.jobs.len() + 1);
    for (was, is) in was.jobs.iter().zip(&is.jobs) {
        assert_eq!(was.data.exposed(), is.data.exposed());
        assert!(is.row.next_token.0 > was.row.next_token.0 + 1_000_000);
    }
    let last = back.job(&job_id("busy")).await.unwrap().unwrap().last_seq.0;
    assert!(last < end && last % 20 == 0, "{last} {end}");
    let lines = async |store: &PgStore| {
        let events = store
            .events(&job_id("busy"), Seq(1), Seq(last), usize::MAX)
            .await
            .unwrap();
        events.iter().map(|event| event.line.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(lines(&back).await.len() as u64, last);
    assert_eq!(lines(&back).await, lines(&store).await);
    // What comes after goes on from there.
    back.commit(fixture::new_job("next", "c/d", 4)).await.unwrap();
    let mut batch = Batch::default();
    batch.events.push(event("busy", last + 1, "x"));
    back.commit(batch).await.unwrap();
}

#[tokio::test]
async fn a_backup_goes_only_where_it_belongs() {
    let saved = Saved::new().await;
    let (to, into) = (saved.beside("to"), empty().await);
    let error = saved.refused(&to, None, false).await;
    assert!(
        error.contains("queen.tar is of a queen with a PostgreSQL database: say with --database"),
        "{error}"
    );
    let error = saved.refused(&to, Some(&saved.from), false).await;
    assert!(
        error.contains("it holds data already, which was not touched; make an empty one with `createdb`"),
        "{error}"
    );
    let small = saved.beside("sqlite");
    drop(SqliteStore::open(&small).await.unwrap());
    let tar = saved.beside("sqlite.tar");
    backup(&small, None, &tar).await.unwrap();
    let error = restore(&tar, &to, Some(&into), false).await.unwrap_err().to_string();
    assert!(
        error.contains("with her database in the data directory: restore it without --database"),
        "{error}"
    );
    let error = saved.refused(&saved.data, Some(&into), false).await;
    assert!(error.contains("data holds a queen's data already"), "{error}");

    // One that another queen is about to use.
    let other = PgStore::open(&saved.beside("other"), &into).await.unwrap();
    let error = saved.refused(&to, Some(&into), false).await;
    assert!(error.contains("is in use by another queen: stop it"), "{error}");
    drop(other);
    assert_eq!(names(&to), ["queen.lock"], "nothing was changed");

    // A schema of its own beside the first one is as good as a database.
    let server = postgres::shared();
    server.run(&saved.name, "CREATE SCHEMA second").await;
    let second = format!("{}&options=-csearch_path%3Dsecond", server.url(&saved.name));
    let second: Address = second.parse().unwrap();
    restore(&saved.file, &to, Some(&second), false).await.unwrap();
    let store = PgStore::open(&to, &second).await.unwrap();
    assert!(store.job(&job_id("kept")).await.unwrap().is_some());
    backup(&to, Some(&second), &saved.beside("second.tar")).await.unwrap();

    let aside = restore(&saved.file, &saved.data, Some(&empty().await), true)
        .await
        .unwrap()
        .aside
        .unwrap();
    assert_eq!(names(&aside), ["secret.key"]);
}

#[tokio::test]
async fn a_backup_is_of_a_database_and_the_key_that_belongs_to_it() {
    let saved = Saved::new().await;
    let to = saved.beside("x.tar");
    let none = backup(&saved.data, Some(&empty().await), &to)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        none.contains("it holds no queen's data; give the address that the queen is served with"),
        "{none}"
    );
    let other = saved.beside("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("secret.key"), [7; 32]).unwrap();
    let wrong = backup(&other, Some(&saved.from), &to).await.unwrap_err().to_string();
    assert!(
        wrong.contains("other/secret.key") && wrong.contains("give the data directory that belongs to it"),
        "{wrong}"
    );
    let nothing = backup(&saved.beside("nothing"), Some(&saved.from), &to)
        .await
        .unwrap_err()
        .to_string();
    assert!(nothing.contains("nothing holds no queen's data"), "{nothing}");
    assert!(
        !names(saved.temp.path()).iter().any(|name| name.starts_with("x.tar")),
        "no draft is left"
    );
}

#[tokio::test]
async fn a_restore_that_was_killed_leaves_a_mark_and_is_done_again_into_an_empty_database() {
    let saved = Saved::new().await;
    let (to, into) = (saved.beside("to"), empty().await);
    restore(&saved.file, &to, Some(&into), false).await.unwrap();
    // As one that was killed when the server had it and the directory did not.
    fs::remove_file(to.join("secret.key")).unwrap();
    fs::write(to.join("restore.unfinished"), "").unwrap();
    let error = PgStore::open(&to, &into).await.unwrap_err().to_string();
    assert!(error.contains("was broken off: run `queen restore` again"), "{error}");
    let error = saved.refused(&to, Some(&into), false).await;
    assert!(error.contains("make an empty one"), "{error}");
    assert!(to.join("restore.unfinished").exists(), "the mark stays");
    let into = empty().await;
    restore(&saved.file, &to, Some(&into), false).await.unwrap();
    let store = PgStore::open(&to, &into).await.unwrap();
    assert!(store.job(&job_id("kept")).await.unwrap().is_some());
}

#[tokio::test]
async fn the_commands_take_the_address_and_keep_its_password() {
    let server = postgres::shared();
    let (suite, name) = (Suite::new(), server.database().await);
    let role = format!("owner_of_{name}");
    let make = format!("CREATE ROLE {role} LOGIN PASSWORD 'hunter2'; ALTER DATABASE {name} OWNER TO {role}");
    server.run("postgres", &make).await;
    let url = server.url_for(&format!("{role}:hunter2"), &name);
    let (tar, to) = (suite.beside("queen.tar"), suite.beside("to"));
    let (tar, to) = (tar.to_str().unwrap(), to.to_str().unwrap());
    let run = async |args: &[&str], database: &str| {
        let mut command = suite.command(args);
        command.env("QUEEN_DATABASE", database);
        let said = ended(command).await;
        assert!(
            !said.stdout.contains("hunter2") && !said.stderr.contains("hunter2"),
            "{said:?}"
        );
        said
    };
    let made = run(&["token", "add", "--role", "admin", "me"], &url).await;
    made.expect(0);
    run(&["backup", tar], &url).await.expect(0);
    // An empty database of the same owner.
    let other = server.database().await;
    server
        .run("postgres", &format!("ALTER DATABASE {other} OWNER TO {role}"))
        .await;
    let into = server.url_for(&format!("{role}:hunter2"), &other);
    for (args, database, words) in [
        (
            ["restore", tar, "--data", to],
            into.replace("hunter2", "wrong-hunter2"),
            "give the right user and password in --database, or the password in PGPASSWORD or ~/.pgpass",
        ),
        (
            ["restore", tar, "--data", to],
            into.replace(&other, "nobody_made_it"),
            "make it with `createdb",
        ),
        (
            ["restore", tar, "--data", to],
            "postgres://localhost/x?host=/nowhere".to_owned(),
            "nothing listens there; start PostgreSQL there",
        ),
        (
            ["restore", tar, "--data", to],
            "mysql://ann:hunter2@db/skep".to_owned(),
            "--database takes postgres://USER:PASSWORD@HOST:PORT/NAME",
        ),
    ] {
        let said = run(&args, &database).await.expect(1);
        assert!(said.stderr.contains(words), "{said:?}");
    }
    for command in ["backup", "restore"] {
        let help = run(&[command, "--help"], &url).await.expect(0);
        assert!(help.stdout.contains("QUEEN_DATABASE"), "{help:?}");
    }
    run(&["restore", tar, "--data", to], &into).await.expect(0);
    let list = run(&["token", "list", "--data", to], &into).await.expect(0);
    assert!(list.stdout.contains("me"), "{list:?}");
}
