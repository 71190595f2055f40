//! A queen in one file and back: whole while she writes, and nothing that is there is ever lost to it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "store/fixture.rs"]
#[expect(dead_code, reason = "the store's tests use the rest")]
mod fixture;
mod harness;

use fixture::{event, job_id, lease, row};
use harness::{Queen, drone::FakeDrone};
use queen::{
    backup::{Kind, backup, restore},
    store::{Batch, SqliteStore, Store},
};
use scheduler::{LeaseState, Record};
use serde_json::json;
use shared::{JobState, Project, Seq};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tempfile::TempDir;

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .args(["-c", "user.name=t", "-c", "user.email=t@t"])
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A small backup of a queen that does not run, and the folder around it.
async fn small() -> (TempDir, PathBuf) {
    let temp = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&temp.path().join("data")).await.unwrap();
    store.commit(fixture::new_job("kept", "a/b", 1)).await.unwrap();
    store.close().await;
    drop(store);
    let file = temp.path().join("queen.tar");
    backup(&temp.path().join("data"), None, &file).await.unwrap();
    (temp, file)
}

async fn refusal(file: &Path, data: &Path, force: bool) -> String {
    restore(file, data, None, force).await.unwrap_err().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_back_that_was_there_while_the_queen_went_on() {
    let temp = tempfile::tempdir().unwrap();
    let queen = Queen::start().await;
    let data = queen.context.config.data.clone();
    let tree = temp.path().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("a.sh"), "x").unwrap();
    let url = format!("http://{}/git/acme/site.git", queen.addr);
    let push = {
        let (tree, url) = (tree.clone(), url.clone());
        move || {
            git(&tree, &["init", "-q", "-b", "main"]);
            git(&tree, &["add", "-A"]);
            git(&tree, &["commit", "-q", "-m", "x"]);
            git(&tree, &["push", "-q", &url, "HEAD:refs/skep/waits", "main"]);
            git(&tree, &["rev-parse", "HEAD"])
        }
    };
    let commit = tokio::task::spawn_blocking(push).await.unwrap();
    let mut drone = FakeDrone::join(&queen, "fake", 1).await;
    queen
        .submit(json!({"job_id": "ended", "secrets": {"TOKEN": "of the job"}}))
        .await;
    let mut work = drone.take(&["a.sh"]).await;
    let file = drone.begin(&mut work).await;
    drone.out(&work, file.0, "a line\n").await;
    drone.end(&work, file, "failed", json!([]), json!({})).await;
    drone.finish(&work).await;
    drone.acked().await;
    let source = json!({"url": url, "auth": {"type": "https", "username": "u", "password": "of the repo"}});
    queen
        .submit(json!({"job_id": "waits", "repo": source, "ref": {"id": commit}, "labels": ["nobody-has-it"]}))
        .await;
    queen
        .submit(json!({"job_id": "busy", "labels": ["nobody-has-it"]}))
        .await;

    // Somebody writes all the time: what is in the backup is one moment of it.
    let store = Arc::clone(&queen.context.store);
    let over = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (store, over) = (Arc::clone(&store), Arc::clone(&over));
        async move {
            let first = store.job(&job_id("busy")).await.unwrap().unwrap().last_seq.0 + 1;
            let mut next = first;
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
            (first, next)
        }
    });
    let file = temp.path().join("queen.tar");
    let made = backup(&data, None, &file).await.unwrap();
    over.store(true, Ordering::Relaxed);
    let (first, end) = writing.await.unwrap();
    assert_eq!((made.repositories, made.head.database), (1, Kind::Sqlite));
    assert_eq!(made.bytes, fs::metadata(&file).unwrap().len());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(names(temp.path()), ["queen.tar", "tree"], "no draft is left");
    let token = queen.context.store.job_data(&job_id("ended")).await.unwrap().unwrap();
    let files = queen.context.store.files(&job_id("ended")).await.unwrap();
    let log = queen.get("/api/v1/jobs/ended/log").await.body;
    queen.stop().await;

    let to = temp.path().join("new/data");
    let put = restore(&file, &to, None, false).await.unwrap();
    assert_eq!((put.aside, put.head), (None, made.head));
    assert_eq!(names(&to), ["git", "queen.lock", "secret.key", "skep.db"]);
    let again = Queen::start_with(|config| config.data = to.clone()).await;
    let store = &again.context.store;
    let restored = store.job_data(&job_id("ended")).await.unwrap().unwrap();
    assert_eq!(restored.exposed(), token.exposed());
    assert_eq!(restored.secrets["TOKEN"].expose(), "of the job");
    let mine = store.files(&job_id("ended")).await.unwrap();
    assert_eq!(format!("{mine:?}"), format!("{files:?}"));
    assert_eq!(again.get("/api/v1/jobs/ended/log").await.body, log);
    assert!(log.contains("a line"), "{log}");
    let states: Vec<_> = again.get("/api/v1/jobs").await.json()["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| format!("{} {}", job["id"], job["state"]).replace('"', ""))
        .collect();
    assert_eq!(states, ["busy queued", "waits queued", "ended failed"]);
    let busy = store.job(&job_id("busy")).await.unwrap().unwrap().last_seq.0;
    assert!(
        (first - 1..end).contains(&busy) && (busy + 1 - first) % 20 == 0,
        "{first} {busy} {end}"
    );
    let events = store
        .events(&job_id("busy"), Seq(1), Seq(u64::MAX), usize::MAX)
        .await
        .unwrap();
    assert!(events.iter().map(|event| event.seq.0).eq(1..=busy));
    let project = Project::new("acme/site").unwrap();
    assert!(again.context.repositories.has(&project, &commit).unwrap());
    let url = format!("http://{}/git/acme/site.git", again.addr);
    let heads = tokio::task::spawn_blocking(move || git(&tree, &["ls-remote", &url]))
        .await
        .unwrap();
    for name in ["HEAD", "refs/heads/main", "refs/skep/waits"] {
        assert!(heads.contains(&format!("{commit}\t{name}")), "{heads}");
    }
    git(&to.join("git/acme/site.git"), &["fsck", "--full"]);
    // What comes after goes on from there.
    assert_eq!(again.post("/api/v1/jobs/ended/rerun", &json!({})).await.status, 201);
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_copy_is_small_and_gives_back_what_is_removed_from_it() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("data");
    let store = SqliteStore::open(&data).await.unwrap();
    for id in ["stays", "goes"] {
        store.commit(fixture::new_job(id, "a/b", 1)).await.unwrap();
        for part in 0..100 {
            // Text that does not compress.
            let text = |n: u64| {
                (0..120)
                    .map(|i| format!("{:x}", (n * 120 + i).wrapping_mul(0x9E37_79B9_7F4A_7C15)))
                    .collect::<String>()
            };
            let batch = Batch {
                events: (1..=50)
                    .map(|n| event(id, part * 50 + n, &text(part * 50 + n)))
                    .collect(),
                ..Batch::default()
            };
            store.commit(batch).await.unwrap();
        }
        store
            .commit(fixture::records([Record::Job(row(id, JobState::Passed))]))
            .await
            .unwrap();
    }
    store.close().await;
    drop(store);
    let size = |dir: &Path| fs::metadata(dir.join("skep.db")).unwrap().len();
    let file = temp.path().join("queen.tar");
    backup(&data, None, &file).await.unwrap();
    let to = temp.path().join("restored");
    restore(&file, &to, None, false).await.unwrap();
    assert!(size(&to) <= size(&data), "{} {}", size(&to), size(&data));
    let store = SqliteStore::open(&to).await.unwrap();
    let all = queen::store::Oldest {
        before: shared::Timestamp(i64::MAX),
        bytes: 0,
    };
    while store.remove_jobs(all, shared::Timestamp(9)).await.unwrap().more {}
    let mut given = 0;
    loop {
        match store.compact().await.unwrap() {
            0 => break,
            bytes => given += bytes,
        }
    }
    assert!(given > 0);
    let before = size(&to);
    store.close().await;
    assert!(size(&to) <= before - given, "{before} {} {given}", size(&to));
}

#[tokio::test]
async fn what_is_there_is_never_written_over() {
    let (temp, file) = small().await;
    let data = temp.path().join("data");
    let error = backup(&data, None, &file).await.unwrap_err().to_string();
    assert!(
        error.ends_with("queen.tar is there already: choose another name, or remove it first"),
        "{error}"
    );
    let error = backup(&temp.path().join("nothing"), None, &temp.path().join("x.tar"))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with("nothing holds no queen's data: give her data directory with --data"),
        "{error}"
    );
    let error = backup(&data, None, &temp.path().join("no/such/folder/x.tar"))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("no/such/folder/x.tar.part"), "{error}");

    let elsewhere = temp.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("secret.key"), [0; 32]).unwrap();
    let error = backup(&elsewhere, None, &temp.path().join("x.tar"))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("has a key but no database") && error.contains("say where with --database"),
        "{error}"
    );

    let error = refusal(&file, &data, false).await;
    assert!(
        error.contains("data holds a queen's data already") && error.contains("--force"),
        "{error}"
    );
    let store = SqliteStore::open(&data).await.unwrap();
    for force in [false, true] {
        let error = refusal(&file, &data, force).await;
        assert!(error.contains("data is in use by another queen: stop it"), "{error}");
    }
    store.commit(fixture::new_job("later", "a/b", 2)).await.unwrap();
    store.close().await;
    drop(store);

    let aside = restore(&file, &data, None, true).await.unwrap().aside.unwrap();
    assert!(aside.starts_with(&data));
    let jobs = async |dir: &Path| {
        let store = SqliteStore::open(dir).await.unwrap();
        (
            store.job(&job_id("kept")).await.unwrap().is_some(),
            store.job(&job_id("later")).await.unwrap().is_some(),
        )
    };
    assert_eq!(jobs(&data).await, (true, false));
    assert_eq!(jobs(&aside).await, (true, true), "put aside, and whole");
    let other = restore(&file, &data, None, true).await.unwrap().aside.unwrap();
    assert_ne!(aside, other);
    assert!(aside.join("skep.db").exists() && other.join("skep.db").exists());
}

#[tokio::test]
async fn half_or_damaged_backups_are_refused_and_change_nothing() {
    let (temp, file) = small().await;
    let whole = fs::read(&file).unwrap();
    let (bad, to) = (temp.path().join("bad.tar"), temp.path().join("to"));
    let at = |text: &str| {
        whole
            .windows(text.len())
            .position(|part| part == text.as_bytes())
            .unwrap()
    };
    let mut damaged: Vec<(Vec<u8>, &str)> = vec![
        (b"nothing of the kind".to_vec(), "it does not begin as one"),
        (Vec::new(), "it does not begin as one"),
        (whole[..at("manifest.json") - 1].to_vec(), "no whole backup of a queen"),
        (
            whole[..at("manifest.json") / 512 * 512].to_vec(),
            "it is cut off before its end",
        ),
        (whole[..whole.len() / 2].to_vec(), "no whole backup of a queen"),
    ];
    for place in [at("SQLite format 3") + 20_000, at("secret.key") + 512] {
        let mut copy = whole.clone();
        copy[place] ^= 1;
        damaged.push((copy, "is damaged in it"));
    }
    for (bytes, message) in damaged {
        fs::write(&bad, bytes).unwrap();
        let error = refusal(&bad, &to, false).await;
        assert!(
            error.contains("bad.tar is no whole backup of a queen") && error.contains(message),
            "{error}"
        );
        assert!(!to.exists() || names(&to) == ["queen.lock"], "{:?}", names(&to));
    }
    // Names that lead out of the folder, and files that are no files.
    for (name, kind) in [("../outside", b'0'), ("/outside", b'0'), ("git/link", b'2')] {
        let mut copy = whole.clone();
        let head = at("secret.key");
        copy[head..head + 100].fill(0);
        copy[head..head + name.len()].copy_from_slice(name.as_bytes());
        copy[head + 156] = kind;
        copy[head + 148..head + 156].fill(b' ');
        let sum: u32 = copy[head..head + 512].iter().map(|byte| u32::from(*byte)).sum();
        copy[head + 148..head + 155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        fs::write(&bad, copy).unwrap();
        let error = refusal(&bad, &to, false).await;
        assert!(
            error.contains("a file with a name that does not belong there"),
            "{name}: {error}"
        );
    }
    assert!(!temp.path().join("outside").exists());
    let error = refusal(&temp.path().join("not-there.tar"), &to, false).await;
    assert!(error.contains("not-there.tar: No such file"), "{error}");

    // The form of a later program.
    let schema = format!("\"schema\": {}", queen::store::newest_sqlite());
    for (old, new) in [("\"form\": 1", "\"form\": 2"), (schema.as_str(), "\"schema\": 9")] {
        let mut copy = whole.clone();
        copy[at(old)..at(old) + old.len()].copy_from_slice(new.as_bytes());
        fs::write(&bad, copy).unwrap();
        let error = refusal(&bad, &to, false).await;
        assert!(
            error.contains("was made by queen") && error.contains("that version or a newer one"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_restore_that_was_killed_is_noticed_and_done_again() {
    let (temp, file) = small().await;
    let data = temp.path().join("data");
    // Killed after the old data was moved away and before the new had come.
    fs::write(data.join("restore.unfinished"), "").unwrap();
    fs::create_dir_all(data.join("restore.new/git")).unwrap();
    fs::create_dir(data.join("before-restore-x")).unwrap();
    fs::rename(data.join("skep.db"), data.join("before-restore-x/skep.db")).unwrap();
    let error = SqliteStore::open(&data).await.unwrap_err().to_string();
    assert!(error.contains("was broken off: run `queen restore` again"), "{error}");
    assert!(!data.join("skep.db").exists(), "no new database is begun");
    restore(&file, &data, None, false).await.unwrap();
    assert!(!data.join("restore.unfinished").exists() && !data.join("restore.new").exists());
    assert!(data.join("before-restore-x/skep.db").exists());
    let store = SqliteStore::open(&data).await.unwrap();
    assert!(store.job(&job_id("kept")).await.unwrap().is_some());
}

#[tokio::test]
async fn tokens_go_on_behind_all_that_were_given_out_after_the_backup() {
    let (temp, file) = small().await;
    let to = temp.path().join("to");
    restore(&file, &to, None, false).await.unwrap();
    let next = async |dir: &Path| {
        let store = SqliteStore::open(dir).await.unwrap();
        store.restore().await.unwrap().jobs[0].row.next_token.0
    };
    assert!(next(&to).await > next(&temp.path().join("data")).await + 1_000_000);
}
