//! The one task that owns the scheduler's state: it takes what waits, steps, and gathers work for the writer.
//!
//! Output of commands passes through here in order, checked against leases, but never through the scheduler.

use super::{
    BUDGET, CancelOutcome, Engine, REQUESTS, Request, SessionId, Submission,
    pace::Pace,
    writer::{self, Outbound, Tell, Work},
};
use crate::{
    bus::{Bus, Change},
    clock::{self, Steady},
    store::{Restored, Store, StoreError, StoredJob, Submitted},
};
use scheduler::{DroneInput, Input, JobRow, NewJob, State};
use shared::{DroneId, Incarnation, JobData, JobId, Project, Seq, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{Semaphore, mpsc, oneshot, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// Requests taken before the writer is offered what they came to.
const AT_ONCE: usize = 256;

/// A job that has not ended.
pub(super) struct LiveJob {
    pub data: Arc<JobData>,
    pub project: Project,
    pub digest: Option<[u8; 32]>,
    pub submitted: Timestamp,
    pub seq: Seq,
    pub row: Option<JobRow>,
}

/// A drone that is connected.
pub(super) struct Link {
    pub session: SessionId,
    pub incarnation: Incarnation,
    pub outbound: Outbound,
    /// It has said what it can do.
    pub informed: bool,
}

/// What was applied of a drone's messages.
pub(super) struct Position {
    pub incarnation: Incarnation,
    pub n: u64,
}

pub(super) struct Core {
    pub store: Arc<dyn Store>,
    pub bus: Bus,
    pub grace: Duration,
    pub clock: Steady,
    pub state: State,
    pub jobs: HashMap<JobId, LiveJob>,
    pub links: HashMap<DroneId, Link>,
    pub sessions: BTreeMap<SessionId, DroneId>,
    pub positions: HashMap<DroneId, Position>,
    pub last_session: u64,
    pub work: Work,
    pub changed_jobs: BTreeSet<JobId>,
    pub changed_drones: BTreeSet<DroneId>,
    pub ill: watch::Sender<Option<String>>,
}

/// Restores what is unfinished and starts the engine. The task ends after `shutdown`, when all that was taken is written.
pub async fn start(
    store: Arc<dyn Store>,
    bus: Bus,
    grace: Duration,
    shutdown: CancellationToken,
) -> Result<(Engine, JoinHandle<()>), StoreError> {
    let restored = store.restore().await?;
    let (requests, inbox) = mpsc::channel(REQUESTS);
    let (ill, illness) = watch::channel(None);
    let engine = Engine {
        requests,
        budget: Arc::new(Semaphore::new(BUDGET)),
        store: Arc::clone(&store),
        illness,
    };
    let mut core = Core {
        store,
        bus,
        grace,
        clock: Steady::start(),
        state: State::new(),
        jobs: HashMap::new(),
        links: HashMap::new(),
        sessions: BTreeMap::new(),
        positions: HashMap::new(),
        last_session: 0,
        work: Work::default(),
        changed_jobs: BTreeSet::new(),
        changed_drones: BTreeSet::new(),
        ill,
    };
    core.rebuild(restored);
    let task = tokio::spawn(core.run(inbox, shutdown));
    Ok((engine, task))
}

impl Core {
    async fn run(mut self, mut inbox: mpsc::Receiver<Request>, shutdown: CancellationToken) {
        loop {
            match self.serve(&mut inbox, &shutdown).await {
                Ok(()) => return,
                Err(error) => {
                    self.ill.send_replace(Some(error.to_string()));
                    tracing::error!(%error, "a write failed: nothing of it was told, the queen rebuilds from the store");
                }
            }
            for link in self.links.values() {
                link.outbound.cut.cancel();
            }
            self.bus.close_all();
            match self.heal(&mut inbox, &shutdown).await {
                Some(restored) => self.rebuild(restored),
                None => return,
            }
            self.ill.send_replace(None);
            tracing::info!("the store is well again");
        }
    }

    /// Steps until `shutdown` (`Ok`) or a failed write.
    async fn serve(
        &mut self,
        inbox: &mut mpsc::Receiver<Request>,
        shutdown: &CancellationToken,
    ) -> Result<(), StoreError> {
        let (works, queue) = mpsc::channel(1);
        let (done, mut written) = mpsc::channel(1);
        let mut writer = tokio::spawn(writer::write(Arc::clone(&self.store), self.bus.clone(), queue, done));
        let mut pace = Pace::default();
        loop {
            let now = self.clock.now();
            let wake = self.state.next_wake().map(|at| Duration::from_millis(at.since(now)));
            let wait = pace.wait(now);
            tokio::select! {
                biased;
                ended = &mut writer => return flatten(ended),
                Some(()) = written.recv() => pace.written(),
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() && !self.is_idle() => {
                    // There is room, as the one before is written. An error: the writer has failed; its result says why.
                    let _ = works.try_send(self.take_work());
                    pace.begun(self.clock.now());
                }
                request = inbox.recv() => {
                    let Some(request) = request else { break };
                    self.take(request);
                    for _ in 1..AT_ONCE {
                        let Ok(request) = inbox.try_recv() else { break };
                        self.take(request);
                    }
                }
                () = tokio::time::sleep(wake.unwrap_or(Duration::MAX)), if wake.is_some() => {
                    let now = self.clock.now();
                    self.step(Input::Wake, None, now);
                }
                () = shutdown.cancelled() => break,
            }
        }
        let last = self.take_work();
        let _ = works.send(last).await;
        drop((works, written));
        flatten(writer.await)
    }

    /// Waits until the store can be read and written again; meanwhile every request is turned away. `None`: shut down.
    async fn heal(&mut self, inbox: &mut mpsc::Receiver<Request>, shutdown: &CancellationToken) -> Option<Restored> {
        let mut pause = Duration::from_millis(100);
        loop {
            let attempt = async {
                self.store.ping().await?;
                self.store.restore().await
            };
            match attempt.await {
                Ok(restored) => return Some(restored),
                Err(error) => {
                    tracing::warn!(%error, "the store is not well yet");
                    self.ill.send_replace(Some(error.to_string()));
                }
            }
            let until = tokio::time::sleep(pause);
            tokio::pin!(until);
            loop {
                tokio::select! {
                    () = &mut until => break,
                    // Dropping a request answers it with `Down`.
                    request = inbox.recv() => drop(request?),
                    () = shutdown.cancelled() => return None,
                }
            }
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    /// Forgets what is in memory and takes what the store has.
    fn rebuild(&mut self, restored: Restored) {
        self.work = Work::default();
        self.changed_jobs.clear();
        self.changed_drones.clear();
        self.links.clear();
        self.sessions.clear();
        self.jobs.clear();
        self.positions.clear();
        let mut jobs = Vec::with_capacity(restored.jobs.len());
        for job in restored.jobs {
            self.bus.open(&job.row.id, job.last_seq);
            self.jobs.insert(
                job.row.id.clone(),
                LiveJob {
                    project: job.data.project.clone(),
                    data: job.data,
                    digest: None,
                    submitted: job.spec.submitted,
                    seq: job.last_seq,
                    row: Some(job.row.clone()),
                },
            );
            jobs.push((job.spec, job.row, job.files, job.leases));
        }
        let mut drones = Vec::with_capacity(restored.drones.len());
        for drone in restored.drones {
            if let Some(incarnation) = drone.incarnation.clone() {
                let position = Position {
                    incarnation,
                    n: drone.applied,
                };
                self.positions.insert(drone.drone.clone(), position);
            }
            drones.push((drone.drone, drone.incarnation, drone.draining, drone.learned));
        }
        let grace = u64::try_from(self.grace.as_millis()).unwrap_or(u64::MAX);
        let now = self.clock.now();
        self.state = State::with_grace(grace).restore(jobs, drones, now);
        // What was due while the queen was away happens now.
        self.step(Input::Wake, None, now);
    }

    fn is_idle(&self) -> bool {
        self.work.is_empty() && self.changed_jobs.is_empty() && self.changed_drones.is_empty()
    }

    /// What has been gathered, with the changes of lists that follow from it.
    fn take_work(&mut self) -> Work {
        let jobs = std::mem::take(&mut self.changed_jobs);
        let drones = std::mem::take(&mut self.changed_drones);
        if self.bus.is_watched() {
            let mut queue = false;
            for job in jobs.iter().filter_map(|id| self.jobs.get(id)) {
                if let Some(stored) = job.stored() {
                    queue |= stored.row.state == shared::JobState::Queued || stored.row.files_done == 0;
                    self.work.tells.push(Tell::Change(Change::Job(Arc::new(stored))));
                }
            }
            for status in drones.iter().filter_map(|id| self.state.drone(id)) {
                self.work
                    .tells
                    .push(Tell::Change(Change::DroneChanged(Arc::new(status))));
            }
            if queue || !drones.is_empty() {
                self.work.tells.push(Tell::Change(Change::Queue));
            }
        }
        // A job that has ended is forgotten here, once its last change is on its way.
        for id in jobs {
            if self.jobs.get(&id).is_some_and(LiveJob::has_ended) {
                self.jobs.remove(&id);
            }
        }
        std::mem::take(&mut self.work)
    }

    fn take(&mut self, request: Request) {
        let now = self.clock.now();
        match request {
            Request::Submit { job, digest, reply } => {
                let answer = self.submit(*job, digest, now);
                self.reply(reply, answer);
            }
            Request::Cancel { job, reason, reply } => {
                let running = self
                    .jobs
                    .get(&job)
                    .and_then(|job| job.row.as_ref())
                    .is_some_and(|row| !row.state.is_final());
                if running {
                    self.step(Input::Cancel { job, reason }, None, now);
                }
                let answer = if running {
                    CancelOutcome::Stopping
                } else {
                    CancelOutcome::NotRunning
                };
                self.reply(reply, answer);
            }
            Request::Drain { drone, on, reply } => {
                let known = self.state.drone(&drone).is_some();
                if known {
                    self.changed_drones.insert(drone.clone());
                    self.step(
                        Input::Drone {
                            drone,
                            what: DroneInput::Drain(on),
                        },
                        None,
                        now,
                    );
                }
                self.reply(reply, known);
            }
            // What is asked for may be in no commit yet: it is told after the one that has it, as all else is.
            Request::Explain { job, reply } => {
                let explained = self.state.explain(&job, now);
                self.reply(reply, explained);
            }
            Request::Drones { reply } => {
                let drones = self.state.drones();
                self.reply(reply, drones);
            }
            Request::Queue { reply } => {
                let queue = self.state.queue(now);
                self.reply(reply, queue);
            }
            Request::JobCount { reply } => {
                let jobs = self.state.count_jobs();
                self.reply(reply, jobs);
            }
            Request::Connected { hello, outbound, reply } => {
                let session = self.connect(hello, outbound, now);
                self.reply(reply, session);
            }
            Request::Said {
                session,
                messages,
                permit,
            } => {
                self.work.permits.push(permit);
                self.said(session, messages, now);
            }
            Request::Gone { session, reason, left } => self.disconnect(session, &reason, left, now),
        }
    }

    /// Answers after the commit of what has been gathered.
    fn reply<T: Send + 'static>(&mut self, reply: oneshot::Sender<T>, value: T) {
        self.work
            .tells
            .push(Tell::Reply(Box::new(move || answer(reply, value))));
    }

    fn submit(&mut self, data: JobData, digest: [u8; 32], now: Timestamp) -> Option<Submission> {
        let id = data.job_id.clone().unwrap_or_else(clock::new_job_id);
        if let Some(live) = self.jobs.get(&id) {
            // Only a job of this queen's life is still here without having been found in the store.
            return (live.digest == Some(digest)).then_some(Submission {
                job: id,
                repeated: true,
            });
        }
        let spec = NewJob {
            id: id.clone(),
            project: data.project.clone(),
            job_type: data.job_type,
            priority: data.priority,
            labels: data.labels.clone(),
            plugins: data.plugins.clone(),
            spread: data.spread,
            retries: data.retries,
            timeout: data.timeout.map(|seconds| seconds.saturating_mul(1000)),
            delay_until: data.delay_until,
            submitted: now,
        };
        let data = Arc::new(data);
        self.bus.open(&id, Seq(0));
        self.work.batch.submitted.push(Submitted {
            data: Arc::clone(&data),
            digest,
            spec: spec.clone(),
        });
        let live = LiveJob {
            project: data.project.clone(),
            data,
            digest: Some(digest),
            submitted: now,
            seq: Seq(0),
            row: None,
        };
        self.jobs.insert(id.clone(), live);
        self.step(Input::Submit(Box::new(spec)), None, now);
        Some(Submission {
            job: id,
            repeated: false,
        })
    }
}

impl LiveJob {
    fn stored(&self) -> Option<StoredJob> {
        let row = self.row.clone()?;
        Some(StoredJob {
            data: JobData::clone(&self.data),
            submitted: self.submitted,
            row,
            last_seq: self.seq,
            digest: self.digest.unwrap_or_default(),
            log_removed: None,
        })
    }

    fn has_ended(&self) -> bool {
        self.row.as_ref().is_some_and(|row| row.state.is_final())
    }
}

/// Whoever asked may have gone.
fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    let _ = reply.send(value);
}

fn flatten(ended: Result<Result<(), StoreError>, tokio::task::JoinError>) -> Result<(), StoreError> {
    ended.unwrap_or_else(|error| {
        Err(StoreError::Corrupt {
            what: "a write",
            why: error.to_string(),
        })
    })
}
