//! Folders that a job leaves for the project's next one on the same drone: what `[prepare] cache` promises.

use super::fake_queen::{FakeQueen, Peer, TestDrone, output, story};
use super::{repo_job, repository};
use serde_json::{Value, json};
use shared::protocol::{Role, event::Phase};
use std::{path::Path, process::Stdio, time::Duration};

/// Each job tells who left what it finds, and leaves its own name, also in a file that the repository has there.
const SETTINGS: &str = r#"
[prepare]
cache = ["deps", ".venv/"]
run = """cat deps/left deps/own 2>/dev/null
mkdir -p deps .venv; echo $SKEP_JOB_ID | tee -a deps/left > deps/own; echo $PWD > .venv/place
cat .venv/before 2>/dev/null; cp .venv/place .venv/before"""
[deploy]
run = "echo deployed"
"#;

fn job(repository: &Path, name: &str) -> Value {
    let mut job = repo_job(repository, "DEPLOY");
    job["job_id"] = json!(name);
    job
}

fn found(messages: &[Value]) -> Vec<String> {
    let lines = output(messages, 1);
    lines.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn what_a_job_leaves_the_next_one_finds_in_the_same_place_unless_the_preparation_failed() {
    let repository = repository(&[("skep.toml", SETTINGS), ("deps/own", "of the source\n")]);
    let queen = FakeQueen::start().await;
    let drone = TestDrone::start(&queen, 2);
    let mut peer = queen.accept().await;
    peer.info().await;
    let first = peer.play(&job(repository.path(), "one")).await;
    assert_eq!(found(&first), ["of the source"]);
    let second = peer.play(&job(repository.path(), "two")).await;
    let told = found(&second);
    assert_eq!(told[..2], ["one", "of the source"]);
    assert!(told[2].ends_with("/source"), "{told:?}");
    let mut other = job(repository.path(), "other");
    other["project"] = json!("a/other");
    assert_eq!(found(&peer.play(&other).await), ["of the source"], "of another project");
    let mut bad = job(repository.path(), "bad");
    bad["config"] = json!({"prepare": {"run": "cat deps/left; echo half > deps/left; exit 7"}});
    let bad = peer.play(&bad).await;
    assert_eq!(found(&bad), ["one", "two"]);
    assert!(story(&bad).contains(&"prepare done 7".to_owned()));
    let after = peer.play(&job(repository.path(), "after")).await;
    assert_eq!(
        found(&after),
        ["of the source"],
        "what a failed preparation left is not taken"
    );
    // Drained and started again, it still has what was left.
    let data = drone.leave(peer).await;
    let drone = TestDrone::with(&queen, |layer| layer.data = Some(data.path().to_owned()));
    let mut peer = queen.accept().await;
    peer.info().await;
    let last = peer.play(&job(repository.path(), "last")).await;
    assert_eq!(found(&last)[..2], ["after", "of the source"]);
    assert_eq!(found(&last)[2], told[2], "the place is the same");
    drone.leave(peer).await;
}

#[tokio::test]
async fn two_jobs_at_once_never_have_one_folder_and_the_limit_counts() {
    let wait = "cat deps/left 2>/dev/null; mkdir -p deps; echo $SKEP_JOB_ID >> deps/left; \
                until [ -e \"$GO/$SKEP_JOB_ID\" ]; do sleep 0.02; done";
    let repository = repository(&[("skep.toml", SETTINGS)]);
    let go = tempfile::tempdir().unwrap();
    let waiting = |name: &str| {
        let mut job = job(repository.path(), name);
        job["config"] = json!({"prepare": {"run": wait}, "env": {"GO": go.path()}});
        job
    };
    let queen = FakeQueen::start().await;
    let drone = TestDrone::with(&queen, |layer| layer.cache_limit = Some("100M".parse().unwrap()));
    let mut peer = queen.accept().await;
    peer.info().await;
    peer.play(&job(repository.path(), "zero")).await;
    peer.start(&waiting("a"), Role::Home, 1, 0).await;
    until_output(&mut peer, "a", "zero\n").await;
    peer.start(&waiting("b"), Role::Home, 1, 0).await;
    let begun = |message: &Value| {
        let args = &message["args"];
        message["type"] == "job:cmd:start" && args[0] == "b" && args[1] == 1
    };
    while !begun(&peer.next().await) {}
    std::fs::write(go.path().join("b"), "").unwrap();
    let rest = to_the_end(&mut peer, "b").await;
    assert_eq!(output(&rest, 1), "", "b has nothing of a's");
    std::fs::write(go.path().join("a"), "").unwrap();
    to_the_end(&mut peer, "a").await;
    let next = peer.play(&job(repository.path(), "next")).await;
    assert_eq!(found(&next)[..2], ["zero", "a"]);
    let data = drone.leave(peer).await;

    let drone = TestDrone::with(&queen, |layer| {
        layer.data = Some(data.path().to_owned());
        layer.cache_limit = Some("0".parse().unwrap());
    });
    let mut peer = queen.accept().await;
    peer.info().await;
    let path = data.path().join("kept");
    let gone = tokio::task::spawn_blocking(move || {
        while kept(&path) > 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    tokio::time::timeout(super::fake_queen::SOON, gone)
        .await
        .unwrap()
        .unwrap();
    drone.leave(peer).await;
}

/// How many folders are kept.
fn kept(data: &Path) -> usize {
    let homes = std::fs::read_dir(data).into_iter().flatten().flatten();
    homes.filter(|home| home.path().join("folder").is_dir()).count()
}

async fn until_output(peer: &mut Peer, job: &str, text: &str) {
    loop {
        let message = peer.next().await;
        peer.ack().await;
        if message["type"] == "job:cmd:stdout" && message["args"][0] == job && message["args"][2] == text {
            return;
        }
    }
}

/// Lets a job go on to its end; answers with what was said of it.
async fn to_the_end(peer: &mut Peer, job: &str) -> Vec<Value> {
    let mut all = Vec::new();
    loop {
        let message = peer.next().await;
        peer.ack().await;
        if message["args"][0] != job {
            continue;
        }
        let (kind, args) = (message["type"].as_str().unwrap().to_owned(), message["args"].clone());
        all.push(message);
        match kind.as_str() {
            "job:phase" if args[1] == "prepare" && args[2] == "done" => {
                assert_eq!(args[3], 0, "{args}");
                peer.phase(job, 1, Phase::Cleanup, 300).await;
            }
            "job:done" => return all,
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_folder_that_was_in_use_when_the_drone_was_killed_is_never_taken_for_whole() {
    let repository = repository(&[("skep.toml", SETTINGS)]);
    let queen = FakeQueen::start().await;
    let data = tempfile::tempdir().unwrap();
    let start = || {
        tokio::process::Command::new(env!("CARGO_BIN_EXE_drone"))
            .args([
                "start",
                "--queen",
                &queen.url,
                "--capacity",
                "2",
                "--speed",
                "100",
                "--data",
            ])
            .arg(data.path())
            .env("DRONE_TOKEN", "t0ken")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    };
    let mut drone = start();
    let mut peer = queen.accept().await;
    peer.info().await;
    peer.play(&job(repository.path(), "one")).await;
    assert_eq!(kept(&data.path().join("kept")), 2);
    let mut half = job(repository.path(), "half");
    half["config"] = json!({"prepare": {"run": "echo half > deps/left; echo begun; exec sleep 1000"}});
    peer.start(&half, Role::Home, 1, 0).await;
    until_output(&mut peer, "half", "begun\n").await;
    drone.start_kill().unwrap();
    drone.wait().await.unwrap();
    peer.cut();
    let mut drone = start();
    let mut peer = queen.accept().await;
    peer.info().await;
    let next = peer.play(&job(repository.path(), "next")).await;
    assert_eq!(found(&next), Vec::<String>::new(), "it begins anew");
    let last = peer.play(&job(repository.path(), "last")).await;
    assert_eq!(found(&last)[0], "next");
    drone.start_kill().unwrap();
    drone.wait().await.unwrap();
}

#[tokio::test]
async fn a_folder_that_cannot_be_kept_is_a_warning_that_says_why() {
    let repository = repository(&[("skep.toml", SETTINGS), ("deps", "a file\n")]);
    let mut job = job(repository.path(), "j1");
    job["config"] = json!({"prepare": {"run": "ln -s /usr .venv"}});
    let all = super::play(job).await;
    let warnings: Vec<_> = all.iter().filter(|message| message["type"] == "job:warning").collect();
    let texts = warnings
        .iter()
        .map(|warning| warning["args"][1]["message"].as_str().unwrap());
    assert_eq!(
        texts.collect::<Vec<_>>(),
        [
            "the folder \"deps\" of [prepare] cache is not kept: deps is a file or a link",
            "the folder \".venv\" of [prepare] cache is not kept: .venv is a file or a link"
        ]
    );
    assert!(story(&all).contains(&"deployed 0".to_owned()));
}
