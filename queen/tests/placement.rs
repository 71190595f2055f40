//! Which drone gets which job: two real drones, one twice as fast and twice as wide as the other.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fleet;

use fleet::{Fleet, suite};
use serde_json::json;
use shared::JobId;
use std::{fs, path::Path};

/// A suite of one file that runs until `gate/<its name>` exists.
fn gated(fleet: &Fleet, gates: &Path, name: &str) -> std::path::PathBuf {
    let gate = gates.join(name);
    let body = format!("until [ -e '{}' ]; do sleep 0.02; done", gate.display());
    suite(&fleet.dir.path().join(name), "", &[(name, &body)])
}

async fn home(fleet: &Fleet, job: &JobId) -> String {
    let drone = fleet.event(job, "job:started").await["args"][2]
        .as_str()
        .unwrap()
        .to_owned();
    let drones = fleet.context.engine.drones().await.unwrap();
    drones
        .into_iter()
        .find(|status| status.drone.as_str() == drone)
        .unwrap()
        .name
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fast_one_first_then_the_other_then_the_shorter_queue_then_whoever_frees() {
    let mut fleet = Fleet::start().await;
    fleet.drone("slow", 100, 2).await;
    fleet.drone("fast", 200, 4).await;
    let gates = fleet.dir.path().join("gates");
    fs::create_dir(&gates).unwrap();

    let mut jobs = Vec::new();
    let mut homes = Vec::new();
    for name in ["j1", "j2", "j3", "j4", "j5", "j6"] {
        let repo = gated(&fleet, &gates, name);
        let job = fleet.submit(&repo, json!({"spread": 1})).await;
        homes.push(home(&fleet, &job).await);
        // It holds its slot once its file runs.
        fleet.event(&job, "job:cmd:start").await;
        fleet.event(&job, "job:file:start").await;
        jobs.push(job);
    }
    assert_eq!(homes, ["fast", "fast", "fast", "fast", "slow", "slow"]);

    // Both full: relative to capacity 4/4 and 2/2, so the faster; then 5/4 against 2/2, so the slower.
    let mut waiting = Vec::new();
    for name in ["j7", "j8"] {
        let repo = gated(&fleet, &gates, name);
        waiting.push(fleet.submit(&repo, json!({"spread": 1})).await);
    }
    let queue = fleet.context.engine.queue().await.unwrap();
    let drones = fleet.context.engine.drones().await.unwrap();
    let backlog: Vec<String> = waiting
        .iter()
        .map(|job| {
            let entry = queue.iter().find(|entry| entry.job == *job).unwrap();
            assert!(!entry.waits.is_empty());
            let backlog = entry.backlog.clone().unwrap();
            drones
                .iter()
                .find(|status| status.drone == backlog)
                .unwrap()
                .name
                .clone()
        })
        .collect();
    assert_eq!(backlog, ["fast", "slow"]);

    // The slow one frees first: it takes the oldest, which waited for the fast one.
    fs::write(gates.join("j5"), "").unwrap();
    fleet.finished(&jobs[4]).await;
    assert_eq!(home(&fleet, &waiting[0]).await, "slow");

    for name in ["j1", "j2", "j3", "j4", "j6", "j7", "j8"] {
        fs::write(gates.join(name), "").unwrap();
    }
    for job in jobs.iter().chain(&waiting) {
        fleet.finished(job).await;
        assert_eq!(fleet.state(job).await, "passed");
    }
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_job_uses_every_slot_of_the_fleet_and_a_small_one_does_not_wait_behind_it() {
    let mut fleet = Fleet::start().await;
    fleet.drone("slow", 100, 2).await;
    fleet.drone("fast", 200, 4).await;
    let gates = fleet.dir.path().join("gates");
    fs::create_dir(&gates).unwrap();
    let files: Vec<(String, String)> = (0..40)
        .map(|i| {
            (
                format!("t{i:02}"),
                format!("until [ -e '{}/open' ]; do sleep 0.02; done", gates.display()),
            )
        })
        .collect();
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, body)| (name.as_str(), body.as_str()))
        .collect();
    let big = suite(&fleet.dir.path().join("big"), "", &files);
    let big = fleet.submit(&big, json!({"project": "big/suite"})).await;
    let mut begun = 0;
    let mut used = std::collections::BTreeSet::new();
    fleet
        .wait(&big, |event| {
            if event["type"] == "job:file:start" {
                begun += 1;
                used.insert(event["args"][5].to_string());
            }
            (begun == 6).then_some(())
        })
        .await;
    assert_eq!(used.len(), 2, "both drones run files of the one job");

    let small = suite(&fleet.dir.path().join("small"), "", &[("only", "true")]);
    let small = fleet.submit(&small, json!({"project": "small/suite"})).await;
    fs::write(gates.join("open"), "").unwrap();
    fleet.finished(&small).await;
    assert_eq!(fleet.state(&small).await, "passed");
    fleet.finished(&big).await;
    assert_eq!(fleet.state(&big).await, "passed");
    fleet.stop().await;
}
