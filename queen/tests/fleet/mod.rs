//! A whole fleet in one process: a real queen on a free loopback port, real drones, real repositories in temp folders.
//!
//! Teardown fails the test if a drone leaves a workspace behind.
#![allow(dead_code, clippy::allow_attributes, reason = "each test file uses a part of it")]

use queen::{
    app::{App, Context},
    config::Config,
};
use serde_json::{Value, json};
use shared::{JobId, Seq};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// One drone of the fleet.
pub struct Drone {
    pub data: PathBuf,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// A queen and her drones.
pub struct Fleet {
    pub url: String,
    pub context: Context,
    pub dir: TempDir,
    pub drones: Vec<Drone>,
    stop: CancellationToken,
    queen: JoinHandle<()>,
}

impl Fleet {
    /// A queen without drones.
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let app = App::start(Config::local(dir.path().join("queen"))).await.unwrap();
        let stop = CancellationToken::new();
        let (url, context) = (app.url().to_owned(), app.context().clone());
        let queen = tokio::spawn({
            let stop = stop.clone();
            async move { app.serve(stop).await.unwrap() }
        });
        Self {
            url,
            context,
            dir,
            drones: Vec::new(),
            stop,
            queen,
        }
    }

    /// A queen and one drone with two slots.
    pub async fn with_drone() -> Self {
        let mut fleet = Self::start().await;
        fleet.drone("d1", 100, 2).await;
        fleet
    }

    /// Adds a drone, and waits until the queen knows what it can do.
    pub async fn drone(&mut self, name: &str, speed: u32, capacity: u32) {
        self.drone_with(name, speed, capacity, |_| ()).await;
    }

    /// Adds a drone with changed settings.
    pub async fn drone_with(&mut self, name: &str, speed: u32, capacity: u32, change: impl FnOnce(&mut drone::Config)) {
        let data = self.dir.path().join(name);
        let layer = drone::config::Layer {
            queen: Some(self.url.clone()),
            capacity: Some(capacity),
            speed: Some(speed),
            name: Some(name.into()),
            data: Some(data.clone()),
            ..drone::config::Layer::default()
        };
        let mut config = drone::Config::from_layer(layer).unwrap();
        change(&mut config);
        let mut changes = self.context.bus.changes();
        let stop = CancellationToken::new();
        let task = tokio::spawn({
            let stop = stop.clone();
            async move { drone::run(config, stop).await.unwrap() }
        });
        let joined = async {
            loop {
                if let queen::bus::Change::DroneJoined(status) = changes.recv().await.unwrap()
                    && status.name == name
                {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, joined).await.expect("the drone joins");
        self.drones.push(Drone { data, stop, task });
    }

    /// Submits a job that takes its source from `repo`; `more` overrides fields.
    pub async fn submit(&self, repo: &Path, more: Value) -> JobId {
        let mut job = json!({
            "project": "test/project",
            "repo": {"url": repo.to_str().unwrap()},
            "trigger": {"type": "manual", "timestamp": 1},
        });
        for (key, value) in more.as_object().unwrap() {
            job[key] = value.clone();
        }
        let job = shared::JobData::parse(&job.to_string()).unwrap();
        self.context.engine.submit(job).await.unwrap().job
    }

    /// Waits for the first recorded event for which `wanted` answers something.
    pub async fn wait<T>(&self, job: &JobId, mut wanted: impl FnMut(&Value) -> Option<T>) -> T {
        let search = async {
            let mut next = 1;
            loop {
                let feed = self.context.bus.subscribe(job);
                for event in self.stored(job, next).await {
                    next += 1;
                    if let Some(found) = wanted(&event) {
                        return found;
                    }
                }
                let Some(mut feed) = feed else {
                    panic!("the job ended without it: {:#?}", self.stored(job, 1).await)
                };
                // Whatever comes, or the end: look again.
                let _ = feed.events.recv().await;
            }
        };
        match tokio::time::timeout(PATIENCE, search).await {
            Ok(found) => found,
            Err(_) => panic!("it did not come in time: {:#?}", self.stored(job, 1).await),
        }
    }

    /// Waits for an event of a type.
    pub async fn event(&self, job: &JobId, kind: &str) -> Value {
        self.wait(job, |event| (event["type"] == kind).then(|| event.clone()))
            .await
    }

    /// The whole stream of a job, once it has ended.
    pub async fn finished(&self, job: &JobId) -> Vec<Value> {
        let ended = async {
            while let Some(mut feed) = self.context.bus.subscribe(job) {
                while !matches!(
                    feed.events.recv().await,
                    Err(tokio::sync::broadcast::error::RecvError::Closed)
                ) {}
            }
        };
        if tokio::time::timeout(PATIENCE, ended).await.is_err() {
            panic!("the job did not end: {:#?}", self.stored(job, 1).await);
        }
        self.stored(job, 1).await
    }

    async fn stored(&self, job: &JobId, from: u64) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let next = Seq(from + events.len() as u64);
            let part = self
                .context
                .store
                .events(job, next, Seq(i64::MAX as u64), 1 << 20)
                .await
                .unwrap();
            if part.is_empty() {
                return events;
            }
            events.extend(
                part.iter()
                    .map(|event| serde_json::from_str::<Value>(&event.line).unwrap()),
            );
        }
    }

    /// The state of a job.
    pub async fn state(&self, job: &JobId) -> String {
        self.context
            .store
            .job(job)
            .await
            .unwrap()
            .unwrap()
            .row
            .state
            .to_string()
    }

    /// Stops everything; fails if a workspace is left.
    pub async fn stop(self) -> TempDir {
        for drone in &self.drones {
            drone.stop.cancel();
        }
        for drone in self.drones {
            tokio::time::timeout(PATIENCE, drone.task)
                .await
                .expect("the drone stops")
                .unwrap();
            let left = workspaces(&drone.data);
            assert!(left.is_empty(), "workspaces are left: {left:?}");
        }
        self.stop.cancel();
        drop(self.context);
        tokio::time::timeout(PATIENCE, self.queen)
            .await
            .expect("the queen stops")
            .unwrap();
        self.dir
    }
}

/// What is in a drone's workspaces.
pub fn workspaces(data: &Path) -> Vec<PathBuf> {
    fs::read_dir(data.join("workspaces"))
        .map(|entries| {
            entries
                .flatten()
                .map(|entry| entry.path())
                .filter(|path| path.is_dir())
                .collect()
        })
        .unwrap_or_default()
}

/// A git repository with these files, committed. Files that start with `#!` are executable.
pub fn repository(dir: &Path, files: &[(&str, &str)]) -> PathBuf {
    for (path, text) in files {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        if text.starts_with("#!") {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
    let repo = git2::Repository::init(dir).unwrap();
    let mut index = repo.index().unwrap();
    index.add_all(["*"], git2::IndexAddOption::DEFAULT, None).unwrap();
    let tree = repo.find_tree(index.write_tree().unwrap()).unwrap();
    index.write().unwrap();
    let who = git2::Signature::now("Test", "test@localhost").unwrap();
    let parent = repo.head().ok().and_then(|head| head.peel_to_commit().ok());
    repo.commit(
        Some("HEAD"),
        &who,
        &who,
        "files",
        &tree,
        &parent.iter().collect::<Vec<_>>(),
    )
    .unwrap();
    dir.to_owned()
}

/// A suite of executables: each is `(name, body of a sh script)`, put into `tests/`.
pub fn suite(dir: &Path, settings: &str, scripts: &[(&str, &str)]) -> PathBuf {
    let scripts: Vec<(String, String)> = scripts
        .iter()
        .map(|(name, body)| (format!("tests/{name}"), format!("#!/bin/sh\n{body}\n")))
        .collect();
    let mut files: Vec<(&str, &str)> = scripts
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    files.push(("skep.toml", settings));
    repository(dir, &files)
}
