//! The agent: takes leases, passes on what the queen wants of each, and leaves when it is told to.
//!
//! One task owns all leases; it waits for nothing but its inputs. It knows the words of the queen and the life of a
//! lease from outside ([`Work`]); what a lease does is in [`job`](crate::job).

use crate::{
    Config,
    job::{Job, Machine, Mailbox},
    link::{FromQueen, Outbox},
    plugin::Plugins,
    runner, speed,
};
use serde_json::Value;
use shared::{
    JobData, JobId, LeaseToken,
    protocol::{
        Info, JobEvent, Lease, Resume, ResumeJob, ToDrone, event::Phase, to_drone::ResumeAnswer,
        to_queen::Agent as Words,
    },
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};
use tokio::{
    sync::mpsc,
    task::{Id, JoinSet},
};
use tokio_util::sync::CancellationToken;

/// How a drone is told to go.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// Finish what runs, take nothing new, leave.
    pub drain: CancellationToken,
    /// Kill what runs, remove its workspaces, leave at once.
    pub now: CancellationToken,
}

/// A lease at work, seen from outside.
pub trait Work: Send + Sync + 'static {
    /// Under which right.
    fn lease(&self) -> Lease;
    /// What the queen wants of it.
    fn mailbox(&self) -> &Mailbox;
    /// How it stands, for `job:info`.
    fn info(&self) -> Value;
    /// Stops it on request; it cleans up and says so.
    fn cancel(&self);
    /// The lease is gone: stops it, and nothing more is said under it. It still cleans up.
    fn abandon(&self);
    /// From its receipt to its last word.
    fn run(self: Arc<Self>) -> impl Future<Output = ()> + Send;
}

/// The machine that leases are worked on.
pub trait Host: Send + Sync + 'static {
    /// What it does with one.
    type Work: Work;
    /// What is said to the queen.
    fn outbox(&self) -> &Outbox;
    /// A lease that has not begun.
    fn work(self: Arc<Self>, id: JobId, data: Box<JobData>, lease: Lease) -> Arc<Self::Work>;
    /// What it can do.
    fn info(&self, speed: u32, draining: bool) -> impl Future<Output = Info> + Send;
}

impl Work for Job {
    fn lease(&self) -> Lease {
        self.lease
    }
    fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }
    fn info(&self) -> Value {
        self.info()
    }
    fn cancel(&self) {
        self.cancel();
    }
    fn abandon(&self) {
        self.abandon();
    }
    async fn run(self: Arc<Self>) {
        Self::run(self).await;
    }
}

impl Host for Machine {
    type Work = Job;

    fn outbox(&self) -> &Outbox {
        &self.outbox
    }
    fn work(self: Arc<Self>, id: JobId, data: Box<JobData>, lease: Lease) -> Arc<Job> {
        Arc::new(Job::new(self, id, data, lease))
    }
    async fn info(&self, speed: u32, draining: bool) -> Info {
        info(&self.config, &self.plugins, speed, draining).await
    }
}

/// All leases of one drone.
pub struct Agent<H: Host> {
    machine: Arc<H>,
    leases: BTreeMap<JobId, Arc<H::Work>>,
    jobs: JoinSet<()>,
    /// Which lease a task works for.
    tasks: HashMap<Id, (JobId, LeaseToken)>,
    draining: bool,
    speed: u32,
    /// What was dropped, by reason.
    dropped: BTreeMap<&'static str, u64>,
}

impl<H: Host> Agent<H> {
    /// An agent without leases. `speed`: see [`speed::measure`].
    #[must_use]
    pub fn new(machine: Arc<H>, speed: u32) -> Self {
        Self {
            machine,
            leases: BTreeMap::new(),
            jobs: JoinSet::new(),
            tasks: HashMap::new(),
            draining: false,
            speed,
            dropped: BTreeMap::new(),
        }
    }

    /// Works until it is told to go, or until `inbox` is closed. When it returns, no process and no workspace of a
    /// lease is left.
    pub async fn run(mut self, mut inbox: mpsc::Receiver<FromQueen>, stop: &Stop) {
        let mut told = false;
        while !(self.draining && self.leases.is_empty() && self.jobs.is_empty()) {
            tokio::select! {
                biased;
                () = stop.now.cancelled() => break,
                () = stop.drain.cancelled(), if !told => {
                    told = true;
                    self.drain(true).await;
                }
                Some(ended) = self.jobs.join_next_with_id() => {
                    let id = match ended {
                        Ok((id, ())) => id,
                        Err(error) => {
                            tracing::error!(%error, "a lease broke down");
                            error.id()
                        }
                    };
                    self.forget(id);
                }
                heard = inbox.recv() => match heard {
                    // The drain of this process is not the queen's to take back.
                    Some(FromQueen::Message(ToDrone::Drain { on: Some(false) })) if told => self.drop("drain", None),
                    Some(heard) => self.on(heard).await,
                    None => break,
                },
            }
        }
        for job in self.leases.values() {
            job.abandon();
        }
        while self.jobs.join_next().await.is_some() {}
        if !self.dropped.is_empty() {
            tracing::info!(dropped = ?self.dropped, "messages of the queen that were not for this drone");
        }
    }

    async fn on(&mut self, heard: FromQueen) {
        match heard {
            // The first connection of a process has nothing to resume: the queen knows it by the incarnation.
            FromQueen::Connected { again: false } => {}
            FromQueen::Connected { again: true } => self.resume(),
            FromQueen::Message(message) => self.on_message(message).await,
        }
    }

    async fn on_message(&mut self, message: ToDrone) {
        match message {
            ToDrone::QueryInfo {} => self.say_info().await,
            ToDrone::QueueNew { job, lease } => self.take(job.0, lease),
            ToDrone::JobRun { job, lease, files } => {
                let Some(held) = self.held(&job, Some(lease), "job:run") else {
                    return;
                };
                let echoes = held.mailbox().run(files);
                if echoes > 0 {
                    tracing::debug!(%job, echoes, "files that this drone has already are not run again");
                }
            }
            ToDrone::TakeBack {
                job,
                lease,
                nums,
                running,
            } => {
                let Some(held) = self.held(&job, Some(lease), "job:take-back") else {
                    return;
                };
                if running == Some(true) {
                    held.mailbox().stop(&nums);
                }
                let nums = held.mailbox().take_back(&nums);
                self.say(&JobEvent::Returned { job, nums }, Some(lease));
            }
            ToDrone::JobPhase { job, lease, phase, num } => {
                let Some(held) = self.held(&job, Some(lease), "job:phase") else {
                    return;
                };
                if matches!(phase, Phase::Deploy | Phase::Cleanup) {
                    held.mailbox().go_on(phase, num);
                }
            }
            ToDrone::JobQueryInfo { job } => {
                let Some(held) = self.held(&job, None, "job:query-info") else {
                    return;
                };
                let (lease, data) = (held.lease().token, held.info());
                self.say(&JobEvent::Info { job, data }, Some(lease));
            }
            ToDrone::JobCancel { job, reason, lease } => {
                let Some(held) = self.held(&job, lease, "job:cancel") else {
                    return;
                };
                tracing::info!(%job, reason, "cancelled");
                held.cancel();
            }
            ToDrone::Resumed { jobs } => self.resumed(jobs),
            ToDrone::Drain { on } => self.drain(on.unwrap_or(true)).await,
            // The link takes these for itself.
            ToDrone::Ack { .. } => {}
        }
    }

    /// Takes a lease, unless it is an echo or older than the one held.
    fn take(&mut self, data: Box<JobData>, lease: Lease) {
        let Some(id) = data.job_id.clone() else {
            return self.drop("no-id", None);
        };
        match self.leases.get(&id) {
            Some(held) if held.lease().token == lease.token => return self.drop("echo", Some(&id)),
            Some(held) if held.lease().token > lease.token => return self.drop("stale", Some(&id)),
            // The queen has taken the old lease away; nothing more counts that is said under it.
            Some(held) => held.abandon(),
            None => {}
        }
        tracing::info!(job = %id, project = %data.project, role = ?lease.role, "taken");
        let job = Arc::clone(&self.machine).work(id.clone(), data, lease);
        let task = self.jobs.spawn(Arc::clone(&job).run());
        self.tasks.insert(task.id(), (id.clone(), lease.token));
        self.leases.insert(id, job);
    }

    fn forget(&mut self, task: Id) {
        let Some((id, token)) = self.tasks.remove(&task) else {
            return;
        };
        if self.leases.get(&id).is_some_and(|held| held.lease().token == token) {
            self.leases.remove(&id);
        }
    }

    /// Tells what is held. In the outbox it stands behind everything that was said before it, so it never claims less
    /// than the queen will know by then.
    fn resume(&mut self) {
        let jobs = self.leases.iter().map(|(id, job)| {
            let held = job.mailbox().held();
            ResumeJob {
                id: id.clone(),
                lease: job.lease().token,
                running: held.running.into_iter().chain(held.queued).collect(),
            }
        });
        let resume = Resume { jobs: jobs.collect() };
        self.say(&Words::Resume { resume }, None);
    }

    fn resumed(&mut self, answers: Vec<ResumeAnswer>) {
        for answer in answers.into_iter().filter(|answer| !answer.go_on) {
            if let Some(held) = self.held(&answer.id, Some(answer.lease), "drone:resumed") {
                tracing::warn!(job = %answer.id, "the queen has given this lease away; its work is dropped");
                held.abandon();
            }
        }
    }

    async fn drain(&mut self, on: bool) {
        if self.draining != on {
            self.draining = on;
            tracing::info!(on, leases = self.leases.len(), "drain");
            self.say_info().await;
        }
    }

    async fn say_info(&mut self) {
        let info = self.machine.info(self.speed, self.draining).await;
        self.say(&Words::Info { info }, None);
    }

    fn say<M: serde::Serialize>(&self, message: &M, lease: Option<LeaseToken>) {
        if let Err(error) = self.machine.outbox().push_now(message, lease) {
            tracing::error!(%error, "an answer to the queen could not be sent");
        }
    }

    /// The lease that a message means, if it is held.
    fn held(&mut self, job: &JobId, lease: Option<LeaseToken>, kind: &'static str) -> Option<Arc<H::Work>> {
        match self.leases.get(job) {
            Some(held) if lease.is_none_or(|lease| lease == held.lease().token) => return Some(Arc::clone(held)),
            Some(_) => self.drop("stale", Some(job)),
            None => self.drop("unknown-job", Some(job)),
        }
        tracing::debug!(%job, kind, "dropped");
        None
    }

    fn drop(&mut self, why: &'static str, job: Option<&JobId>) {
        *self.dropped.entry(why).or_default() += 1;
        tracing::debug!(why, ?job, "a message of the queen is dropped");
    }
}

/// What the drone reports of itself.
pub async fn info(config: &Config, plugins: &Plugins, speed: u32, draining: bool) -> Info {
    let plugins = plugins.clone();
    // Both look at folders.
    let names = tokio::task::spawn_blocking(move || (plugins.names(), runner::names())).await;
    let (plugins, runners) = names.unwrap_or_default();
    Info {
        speed,
        capacity: if draining { 0 } else { config.capacity },
        plugins,
        runners,
        labels: config.labels.clone(),
        platform: format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH),
        version: env!("CARGO_PKG_VERSION").into(),
    }
}

/// The operator's word, or else a measurement.
pub async fn measured(given: Option<u32>) -> u32 {
    match given {
        Some(speed) => speed,
        None => tokio::task::spawn_blocking(speed::measure).await.unwrap_or(100),
    }
}
