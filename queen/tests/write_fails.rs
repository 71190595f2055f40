//! A store that fails: what could not be written is told to nobody, and the queen goes on when the store heals.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use async_trait::async_trait;
use queen::{
    bus::Bus,
    engine::{self, SubmitError, ToSession},
    store::*,
};
use scheduler::Expect;
use serde_json::json;
use shared::{
    Attempt, DroneId, Incarnation, JobData, JobId, Num, Project, Seq, Timestamp,
    outcome::CaseResult,
    protocol::{Hello, VERSION},
};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// A real store whose disk can be made full.
struct Failing {
    inner: SqliteStore,
    full: AtomicBool,
    refused: watch::Sender<u32>,
}

impl Failing {
    fn check(&self) -> Result<(), StoreError> {
        if !self.full.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.refused.send_modify(|count| *count += 1);
        let error = std::io::Error::from(std::io::ErrorKind::StorageFull);
        Err(StoreError::File {
            path: PathBuf::from("skep.db"),
            error,
        })
    }
}

#[async_trait]
impl Store for Failing {
    fn fingerprint(&self, text: &str) -> [u8; 32] {
        self.inner.fingerprint(text)
    }
    async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        self.check()?;
        self.inner.commit(batch).await
    }
    async fn restore(&self) -> Result<Restored, StoreError> {
        self.inner.restore().await
    }
    async fn ping(&self) -> Result<(), StoreError> {
        self.check()?;
        self.inner.ping().await
    }
    async fn job(&self, id: &JobId) -> Result<Option<StoredJob>, StoreError> {
        self.inner.job(id).await
    }
    async fn job_data(&self, id: &JobId) -> Result<Option<JobData>, StoreError> {
        self.inner.job_data(id).await
    }
    async fn jobs(&self, filter: &JobFilter) -> Result<Page, StoreError> {
        self.inner.jobs(filter).await
    }
    async fn files(&self, id: &JobId) -> Result<Vec<StoredFile>, StoreError> {
        self.inner.files(id).await
    }
    async fn attempts(&self, id: &JobId, path: &str) -> Result<Vec<PastAttempt>, StoreError> {
        self.inner.attempts(id, path).await
    }

    async fn cases(&self, id: &JobId, num: Num, attempt: Attempt) -> Result<Vec<CaseResult>, StoreError> {
        self.inner.cases(id, num, attempt).await
    }
    async fn cases_by_file(
        &self,
        id: &JobId,
        path: Option<&str>,
        from: u32,
        limit_bytes: usize,
    ) -> Result<Vec<FileCases>, StoreError> {
        self.inner.cases_by_file(id, path, from, limit_bytes).await
    }
    async fn events(&self, id: &JobId, from: Seq, to: Seq, limit_bytes: usize) -> Result<Vec<Event>, StoreError> {
        self.inner.events(id, from, to, limit_bytes).await
    }
    async fn expectations(&self, project: &Project, paths: &[String]) -> Result<Vec<Option<Expect>>, StoreError> {
        self.inner.expectations(project, paths).await
    }
    async fn projects(&self) -> Result<Vec<StoredProject>, StoreError> {
        self.inner.projects().await
    }
    async fn history(&self, project: &Project) -> Result<Vec<FileHistory>, StoreError> {
        self.inner.history(project).await
    }
    async fn flaky(&self, jobs: &[JobId]) -> Result<Vec<u64>, StoreError> {
        self.inner.flaky(jobs).await
    }
    async fn throughput(&self, from: Timestamp) -> Result<Vec<Minute>, StoreError> {
        self.inner.throughput(from).await
    }
    async fn past_runs(&self, project: &Project, path: &str) -> Result<Vec<PastRun>, StoreError> {
        self.inner.past_runs(project, path).await
    }
    async fn quarantined(&self, project: &Project, paths: &[String]) -> Result<Vec<bool>, StoreError> {
        self.inner.quarantined(project, paths).await
    }
    async fn quarantine(&self, project: &Project) -> Result<Vec<Quarantined>, StoreError> {
        self.inner.quarantine(project).await
    }
    async fn put_in_quarantine(
        &self,
        project: &Project,
        entry: &Quarantine,
        limit: usize,
    ) -> Result<Entered, StoreError> {
        self.inner.put_in_quarantine(project, entry, limit).await
    }
    async fn lift_quarantine(&self, project: &Project, path: &str) -> Result<bool, StoreError> {
        self.inner.lift_quarantine(project, path).await
    }
    async fn add_token(&self, token: &AccessToken, hash: [u8; 32]) -> Result<(), StoreError> {
        self.inner.add_token(token, hash).await
    }
    async fn tokens(&self) -> Result<Vec<AccessToken>, StoreError> {
        self.inner.tokens().await
    }
    async fn remove_token(&self, id: &str) -> Result<bool, StoreError> {
        self.inner.remove_token(id).await
    }
    async fn token(&self, hash: [u8; 32]) -> Result<Option<AccessToken>, StoreError> {
        self.inner.token(hash).await
    }
    async fn holdings(&self) -> Result<Holdings, StoreError> {
        self.inner.holdings().await
    }
    async fn remove_logs(&self, which: Oldest, now: Timestamp) -> Result<Removed, StoreError> {
        self.inner.remove_logs(which, now).await
    }
    async fn remove_jobs(&self, which: Oldest, now: Timestamp) -> Result<Removed, StoreError> {
        self.inner.remove_jobs(which, now).await
    }
    async fn forget(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.inner.forget(before).await
    }
    async fn compact(&self) -> Result<u64, StoreError> {
        self.inner.compact().await
    }
    async fn close(&self) {
        self.inner.close().await;
    }
}

fn job(id: &str) -> JobData {
    JobData::parse(&json!({"job_id": id, "project": "a/b", "trigger": {"type": "manual", "timestamp": 1}}).to_string())
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_told_that_is_not_written_and_work_goes_on_when_it_heals() {
    let dir = tempfile::tempdir().unwrap();
    let inner = SqliteStore::open(dir.path()).await.unwrap();
    let (refused, mut refusals) = watch::channel(0);
    let store = Arc::new(Failing {
        inner,
        full: AtomicBool::new(false),
        refused,
    });
    let shutdown = CancellationToken::new();
    let (engine, task) = engine::start(store.clone(), Bus::default(), Duration::from_secs(30), shutdown.clone())
        .await
        .unwrap();

    engine.submit(job("before")).await.unwrap();
    let hello = Hello {
        drone: DroneId::new("d1").unwrap(),
        incarnation: Incarnation::new("i1").unwrap(),
        name: "d1".into(),
        version: String::new(),
        protocols: vec![VERSION],
        first: 1,
    };
    let (queue, mut told) = mpsc::channel::<ToSession>(100);
    let cut = CancellationToken::new();
    engine.connected(hello, queue, cut.clone()).await.unwrap();
    told.recv().await.unwrap();

    store.full.store(true, Ordering::SeqCst);
    let error = engine.submit(job("lost")).await.unwrap_err();
    assert!(matches!(error, SubmitError::Down(_)), "{error}");
    assert!(error.to_string().contains("nothing was changed: try again"), "{error}");
    let mut health = engine.health();
    health.wait_for(Option::is_some).await.unwrap();
    let why = engine.illness().unwrap_or_default();
    assert!(why.contains("skep.db"), "{why}");
    // The drone has to say again what was not acknowledged.
    cut.cancelled().await;
    // It keeps looking whether the store is well, and turns everybody away meanwhile.
    refusals.wait_for(|count| *count >= 3).await.unwrap();
    assert!(engine.submit(job("lost")).await.is_err());

    store.full.store(false, Ordering::SeqCst);
    health.wait_for(Option::is_none).await.unwrap();
    assert!(store.job(&JobId::new("lost").unwrap()).await.unwrap().is_none());
    engine.submit(job("after")).await.unwrap();
    let waiting: Vec<String> = engine
        .queue()
        .await
        .unwrap()
        .into_iter()
        .map(|entry| entry.job.to_string())
        .collect();
    assert_eq!(waiting, ["before", "after"]);

    shutdown.cancel();
    task.await.unwrap();
}
