//! What is kept no longer: removed by the queen herself, said plainly by her API, and never anything that is needed.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{Queen, drone::FakeDrone, http::Request, soon};
use queen::{repositories::Repositories, store::Oldest};
use serde_json::{Value, json};
use shared::{Project, Timestamp};
use std::{path::Path, process::Command, time::Duration};

/// Shorter than anything here: what has ended is over age at once.
const NOTHING: Duration = Duration::from_millis(1);

/// A job that has ended, `id` with one file and a line of output.
async fn ended_job(queen: &Queen, drone: &mut FakeDrone, more: Value) -> String {
    let id = queen.submit(more).await;
    run(drone).await;
    id
}

async fn run(drone: &mut FakeDrone) {
    let mut work = drone.take(&["a.sh"]).await;
    let file = drone.begin(&mut work).await;
    drone.out(&work, file.0, "a line\n").await;
    let case = json!([{"name": "adds", "outcome": "passed"}]);
    drone.end(&work, file, "passed", case, json!({})).await;
    drone.finish(&work).await;
    drone.acked().await;
}

/// Waits for the round of the queen's housekeeping after which `right` is true.
async fn until(queen: &Queen, what: &str, mut right: impl AsyncFnMut() -> bool) {
    let mut rounds = queen.context.bus.rounds();
    let asking = async {
        while !right().await {
            rounds.changed().await.unwrap();
        }
    };
    soon(what, asking).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_gone_is_said_to_be_gone_and_results_stay() {
    let queen = Queen::start().await;
    let mut drone = FakeDrone::join(&queen, "fake", 1).await;
    let id = ended_job(&queen, &mut drone, json!({"job_id": "example"})).await;
    let job = queen.get("/api/v1/jobs/example").await.json();
    assert!(job.get("log_removed").is_none(), "{job}");
    let at = Timestamp(1_700_000_000_000);
    let all = Oldest {
        before: Timestamp(i64::MAX),
        bytes: 0,
    };
    assert_eq!(queen.context.store.remove_logs(all, at).await.unwrap().jobs, 1);

    let job = queen.get("/api/v1/jobs/example").await.json();
    assert_eq!((&job["log_removed"], &job["state"]), (&json!(at.0), &json!("passed")));
    let files = queen.get(&format!("/api/v1/jobs/{id}/files")).await.json();
    assert_eq!(
        (files[0]["outcome"].as_str(), files[0]["duration"].as_f64()),
        (Some("passed"), Some(12.0))
    );
    let num = &files[0]["num"];
    for path in [
        "log".to_owned(),
        format!("log?num={num}"),
        format!("log/lines?num={num}"),
        "log/search?text=x".into(),
        format!("log/search?text=x&num={num}"),
        "events".into(),
        "junit.xml".into(),
        format!("files/{num}/cases"),
    ] {
        let reply = queen.get(&format!("/api/v1/jobs/example/{path}")).await;
        let (kind, message) = reply.error();
        assert_eq!((reply.status, kind.as_str()), (410, "log-removed"), "{path}");
        for part in [
            "log of job example is kept no longer",
            "removed on 2023-11-14",
            "/api/v1/jobs/example/files has them",
        ] {
            assert!(message.contains(part), "{message}");
        }
    }
    assert_eq!(queen.post("/api/v1/jobs/example/rerun", &json!({})).await.status, 201);
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_over_age_go_by_themselves_and_unfinished_ones_stay() {
    let queen = Queen::start_with(|config| config.keep.jobs = Some(NOTHING)).await;
    let mut drone = FakeDrone::join(&queen, "fake", 1).await;
    let running = queen
        .submit(json!({"job_id": "unfinished", "labels": ["nobody-has-it"]}))
        .await;
    let ended = ended_job(&queen, &mut drone, json!({"job_id": "ended"})).await;
    let status = async |id: &str| queen.get(&format!("/api/v1/jobs/{id}")).await.status;
    until(&queen, "the job to go", async || status(&ended).await == 404).await;
    assert_eq!(status(&running).await, 200);
    let counted = async || {
        let metrics = queen.get("/metrics").await.body;
        let line = metrics
            .lines()
            .find(|line| line.starts_with("skep_removed_total{what=\"jobs\"}"));
        line.is_some_and(|line| !line.ends_with(" 0"))
    };
    until(&queen, "the job to be counted", counted).await;
    // What was learned of its file stays.
    let project = queen.get("/api/v1/projects/acme/site").await.json();
    assert_eq!(project["files"][0]["runs"], 1, "{project}");
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_and_then_jobs_go_when_they_are_too_much() {
    let queen = Queen::start_with(|config| config.keep.bytes = Some(9_000)).await;
    let mut drone = FakeDrone::join(&queen, "fake", 1).await;
    for n in 0..4 {
        ended_job(&queen, &mut drone, json!({"job_id": format!("j{n}")})).await;
    }
    let fits = async || {
        let held = queen.context.store.holdings().await.unwrap();
        held.log_bytes + held.rest_bytes <= 9_000
    };
    until(&queen, "the jobs to fit", fits).await;
    let jobs = queen.get("/api/v1/jobs").await.json();
    let left: Vec<_> = jobs["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| job["id"].as_str().unwrap())
        .collect();
    assert!(
        !left.is_empty() && left.len() < 4 && left[0] == "j3",
        "the newest stay: {left:?}"
    );
    queen.stop().await;
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

/// A work tree of its own, handed over for job `id`; answers what the job has to say of its source.
async fn hand_over(queen: &Queen, dir: &Path, id: &str) -> Value {
    let tree = dir.join(id);
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(tree.join("a.sh"), id).unwrap();
    let url = format!("http://{}/git/acme/site.git", queen.addr);
    let to = url.clone();
    let (push, name) = (tree.clone(), format!("HEAD:refs/skep/{id}"));
    tokio::task::spawn_blocking(move || {
        git(&push, &["init", "-q"]);
        git(&push, &["add", "-A"]);
        git(&push, &["commit", "-q", "-m", "x"]);
        git(&push, &["push", "-q", &to, &name]);
    })
    .await
    .unwrap();
    json!({"job_id": id, "repo": {"url": url}, "ref": {"id": git(&tree, &["rev-parse", "HEAD"])}})
}

#[tokio::test(flavor = "multi_thread")]
async fn work_trees_go_after_their_job_but_not_while_one_needs_them() {
    let temp = tempfile::tempdir().unwrap();
    let queen = Queen::start_with(|config| config.keep.snapshots = Some(NOTHING)).await;
    let repositories: Repositories = queen.context.repositories.clone();
    let project = Project::new("acme/site").unwrap();
    let kept = async || {
        let mut kept: Vec<String> = match repositories.exists(&project) {
            true => repositories
                .kept(&project)
                .unwrap()
                .iter()
                .map(|kept| kept.job().to_owned())
                .collect(),
            false => Vec::new(),
        };
        kept.sort();
        kept
    };
    hand_over(&queen, temp.path(), "not-submitted-yet").await;
    let one = hand_over(&queen, temp.path(), "one").await;
    let mut two = hand_over(&queen, temp.path(), "two").await;
    let commit = one["ref"]["id"].as_str().unwrap().to_owned();
    two["labels"] = json!(["nobody-has-it"]);
    queen.submit(two).await;
    let mut drone = FakeDrone::join(&queen, "fake", 1).await;
    ended_job(&queen, &mut drone, one).await;
    until(&queen, "the work tree to go", async || {
        kept().await == ["not-submitted-yet", "two"]
    })
    .await;
    until(&queen, "its objects to go", async || {
        !repositories.has(&project, &commit).unwrap()
    })
    .await;
    let reply = queen.post("/api/v1/jobs/one/rerun", &json!({})).await;
    let (kind, message) = reply.error();
    assert_eq!((reply.status, kind.as_str()), (409, "snapshot-removed"));
    assert!(message.contains("start `queen run` in its folder again"), "{message}");
    assert!(message.contains("--keep-snapshots-days"), "{message}");

    // The second job is over as well, but repeated: its work tree is still needed.
    let reply = queen.post("/api/v1/jobs/two/rerun", &json!({})).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    let again = reply.json()["id"].as_str().unwrap().to_owned();
    let cancel = async |id: &str| {
        queen
            .post(&format!("/api/v1/jobs/{id}/cancel"), &json!({}))
            .await
            .status
    };
    assert_eq!(cancel("two").await, 202);
    let three = hand_over(&queen, temp.path(), "three").await;
    ended_job(&queen, &mut drone, three).await;
    until(&queen, "the third to go", async || {
        kept().await == ["not-submitted-yet", "two"]
    })
    .await;
    assert_eq!(cancel(&again).await, 202);
    until(&queen, "the second to go", async || {
        kept().await == ["not-submitted-yet"]
    })
    .await;
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_trees_go_when_they_are_too_much() {
    let temp = tempfile::tempdir().unwrap();
    let queen = Queen::start_with(|config| config.keep.snapshot_bytes = Some(1)).await;
    let repositories = queen.context.repositories.clone();
    let project = Project::new("acme/site").unwrap();
    let mut drone = FakeDrone::join(&queen, "fake", 1).await;
    let data = hand_over(&queen, temp.path(), "one").await;
    ended_job(&queen, &mut drone, data).await;
    until(&queen, "the repository to go", async || !repositories.exists(&project)).await;
    // The next one makes it anew.
    let data = hand_over(&queen, temp.path(), "two").await;
    assert!(repositories.exists(&project));
    let url = data["repo"]["url"].as_str().unwrap().to_owned();
    let to = temp.path().join("cloned");
    std::fs::create_dir(&to).unwrap();
    let fetch = tokio::task::spawn_blocking(move || {
        git(&to, &["init", "-q"]);
        git(&to, &["fetch", "-q", &url, "refs/skep/two"]);
    });
    fetch.await.unwrap();
    queen.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queen_that_stops_leaves_one_whole_database_file() {
    let queen = Queen::start().await;
    queen.submit(json!({"job_id": "example"})).await;
    assert_eq!(queen.send(Request::new("GET", "/readyz")).await.status, 200);
    let dir = queen.stop().await;
    let names = std::fs::read_dir(dir.path().join("queen")).unwrap();
    let mut names: Vec<_> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["queen.lock", "secret.key", "skep.db"]);
}
