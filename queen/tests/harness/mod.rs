//! A real queen on a free loopback port, and small clients that speak its three languages: HTTP, the live socket, and
//! the drones' protocol ([`drone::FakeDrone`], scripted by the test).
//!
//! Use it where a test wants to decide what a drone says and when; `fleet/` has real drones.
#![allow(dead_code, clippy::allow_attributes, reason = "each test file uses a part of it")]

pub mod drone;
pub mod http;
pub mod live;

use http::{Reply, Request};
use queen::{
    app::{App, Context},
    config::Config,
};
use serde_json::{Value, json};
use std::{future::Future, time::Duration};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for `what`, but not for ever.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} for {what}"),
    }
}

/// A queen that serves.
pub struct Queen {
    /// `127.0.0.1:port`.
    pub addr: String,
    pub context: Context,
    dir: TempDir,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

impl Queen {
    /// One that is open to this machine.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// One with changed settings.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::local(dir.path().join("queen"));
        config.metrics = true;
        change(&mut config);
        let app = App::start(config).await.unwrap();
        let context = app.context().clone();
        let addr = app.url().trim_start_matches("http://").to_owned();
        let stop = CancellationToken::new();
        let served = tokio::spawn({
            let stop = stop.clone();
            async move { app.serve(stop).await.unwrap() }
        });
        Self {
            addr,
            context,
            dir,
            stop,
            served,
        }
    }

    /// Sends a request that was put together by hand.
    pub async fn send(&self, request: Request) -> Reply {
        soon("an answer", request.send(&self.addr)).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(Request::new("GET", path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(Request::new("POST", path).body(body.to_string())).await
    }

    /// Submits a job; answers its id.
    pub async fn submit(&self, more: Value) -> String {
        let reply = self.post("/api/v1/jobs", &job(more)).await;
        assert_eq!(reply.status, 201, "{}", reply.body);
        reply.json()["id"].as_str().unwrap().to_owned()
    }

    /// Stops it and waits until nothing of it is left; its folder stays until the value is dropped.
    pub async fn stop(self) -> TempDir {
        self.stop.cancel();
        soon("the queen to stop", self.served).await.unwrap();
        self.dir
    }
}

/// The least job data, with more on top.
pub fn job(more: Value) -> Value {
    let mut job = json!({"project": "acme/site", "trigger": {"type": "manual", "timestamp": 1_700_000_000_000_i64}});
    for (key, value) in more.as_object().cloned().unwrap_or_default() {
        job[key] = value;
    }
    job
}
