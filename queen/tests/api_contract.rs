//! The API as its clients see it: a real queen, clients over real sockets, a drone that says what the test wants.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod harness;

#[path = "api/access.rs"]
mod access;
#[path = "api/cases.rs"]
mod cases;
#[path = "api/errors.rs"]
mod errors;
#[path = "api/lines.rs"]
mod lines;
#[path = "api/live.rs"]
mod live;
#[path = "api/page.rs"]
mod page;
#[path = "api/project.rs"]
mod project;
#[path = "api/quarantine.rs"]
mod quarantine;
#[path = "api/rest.rs"]
mod rest;
#[path = "api/session.rs"]
mod session;
#[path = "api/streams.rs"]
mod streams;

use harness::{
    Queen,
    drone::{FakeDrone, Work},
    soon,
};
use serde_json::{Value, json};

/// Runs `begun` files of a finished example: one passes, one fails, one is skipped in part.
async fn run_example(drone: &mut FakeDrone, work: &mut Work) {
    for _ in 0..2 {
        let (num, path) = drone.begin(work).await;
        drone.out(work, num, &format!("hello from {path}\n")).await;
        if path == "bad.sh" {
            let cases = json!([
                {"name": "adds", "outcome": "failed", "message": "1 + 1 != 3\nat line 4", "duration": 2.0, "file": "bad.sh", "line": 4},
                {"name": "waits", "outcome": "skipped", "message": "no time"},
                {"name": "known", "outcome": "xfailed", "message": "bug 7"}
            ]);
            drone.say("job:cmd:stderr", json!([work.job, num, "it broke"])).await;
            let result = json!({"cases": {"failed": 1, "skipped": 1, "xfailed": 1}, "stderr_tail": "it broke"});
            drone.end(work, (num, path), "failed", cases, result).await;
        } else {
            let cases = json!([{"name": "holds", "outcome": "passed", "duration": 1.5}]);
            let result = json!({"cases": {"passed": 1}});
            drone.end(work, (num, path), "passed", cases, result).await;
        }
    }
    drone.finish(work).await;
}

/// Everything stored of a job's events.
async fn stored(queen: &Queen, id: &str) -> Vec<Value> {
    let reply = queen.get(&format!("/api/v1/jobs/{id}/events?follow=false")).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply
        .body
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Waits for the job's last event; answers its state.
async fn ended(queen: &Queen, id: &str) -> String {
    let path = format!("/api/v1/jobs/{id}/events");
    let mut stream = harness::http::Request::new("GET", &path).open(&queen.addr).await;
    soon("the job's end", async { while stream.event().await.is_some() {} }).await;
    queen.get(&format!("/api/v1/jobs/{id}")).await.json()["state"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// A queen whose one job has ended as failed: `bad.sh` failed, `good.sh` passed.
async fn with_failed_job() -> (Queen, FakeDrone, String) {
    let queen = Queen::start().await;
    let mut drone = FakeDrone::join(&queen, "fake", 1).await;
    let id = queen.submit(json!({"job_id": "example"})).await;
    let mut work = drone.take(&["bad.sh", "good.sh"]).await;
    run_example(&mut drone, &mut work).await;
    assert_eq!(ended(&queen, &id).await, "failed");
    (queen, drone, id)
}
