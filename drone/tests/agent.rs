//! A drone against a queen that does what a test says: the order of everything, and that nothing is left behind. The tests are
//! in `agent/`, by subject.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must say where")]

mod fake_queen;

#[path = "agent/keep.rs"]
mod keep;
#[path = "agent/link.rs"]
mod link;
#[path = "agent/phases.rs"]
mod phases;
#[path = "agent/slots.rs"]
mod slots;
#[path = "agent/stop.rs"]
mod stop;

use fake_queen::{FakeQueen, TestDrone};
use serde_json::{Value, json};
use std::{path::Path, process::Command};

/// A fresh drone plays one job to its end and leaves; answers with everything that it said.
async fn play(job: Value) -> Vec<Value> {
    let queen = FakeQueen::start().await;
    let drone = TestDrone::start(&queen, 2);
    let mut peer = queen.accept().await;
    let info = peer.info().await;
    assert_eq!((&info["capacity"], &info["speed"]), (&json!(2), &json!(100)));
    let all = peer.play(&job).await;
    drone.leave(peer).await;
    for message in &all {
        assert_eq!(message["lease"], 1, "{message}");
    }
    all
}

fn repository(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    for args in [
        &["init", "-q", "-b", "main"][..],
        &["add", "-A"],
        &[
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@t",
            "commit",
            "-q",
            "--allow-empty",
            "-m",
            "first",
        ],
    ] {
        assert!(
            Command::new("git")
                .args(args)
                .current_dir(dir.path())
                .status()
                .unwrap()
                .success()
        );
    }
    dir
}

fn repo_job(repository: &Path, kind: &str) -> Value {
    json!({
        "job_id": "j1", "project": "a/b", "job_type": kind, "trigger": {"type": "manual", "timestamp": 1},
        "repo": {"url": repository.to_str().unwrap()}, "ref": {"branch": "main"},
    })
}
