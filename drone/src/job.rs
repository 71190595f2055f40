//! One lease: its phases in order, and a teardown that is certain.
//!
//! It knows its job and its machine, and neither other leases nor the socket: it hears through its [`Mailbox`] and
//! speaks through its [`Voice`]. Whatever happens, a panic of its own included, its processes are dead and its
//! workspace is gone before its last word. Read next: `job/prepare`, then `job/files`.

mod files;
mod keep;
mod mailbox;
mod output;
mod prepare;
mod setup;
mod warm;

pub use mailbox::Mailbox;
pub use output::{Voice, cut};
pub use prepare::Prepared;
pub use setup::Base;

use crate::{
    Config, cache, clock,
    kept::{self, Kept},
    link::Outbox,
    phase::{Numbers, Planned, Stage},
    plugin::Plugins,
    runner::warm::Warm,
    slots::Slots,
    source,
    workspace::Workspaces,
};
use serde_json::{Value, json};
use shared::{
    DroneId, JobData, JobId, Num,
    protocol::{
        JobEvent, Lease, Role,
        event::{Edge, JobError, Phase},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, atomic::AtomicBool},
};
use tokio::task::{JoinError, JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What all leases of a drone share.
pub struct Machine {
    pub config: Arc<Config>,
    pub drone: DroneId,
    pub outbox: Arc<Outbox>,
    pub slots: Slots,
    pub workspaces: Workspaces,
    pub mirrors: PathBuf,
    pub kept: Kept,
    pub warm: PathBuf,
    pub plugins: Plugins,
    pub base: Base,
    /// Cancelled: the drone leaves at once.
    pub now: CancellationToken,
}

impl Machine {
    /// Keeps mirrors and folders that are kept between jobs within their limit, beside whatever goes on. Those in use stay.
    pub fn shrink_cache(&self) {
        let (mirrors, kept, limit) = (self.mirrors.clone(), self.kept.clone(), self.config.cache_limit);
        tokio::task::spawn_blocking(move || {
            let items = source::mirrors(&mirrors).and_then(|mut items| {
                items.extend(kept.items()?);
                Ok(items)
            });
            match items.and_then(|items| cache::shrink(items, limit)) {
                Ok(shrunk) if shrunk.items > 0 => tracing::info!(
                    items = shrunk.items,
                    bytes = shrunk.bytes,
                    "removed mirrors and kept folders that were not used for the longest time"
                ),
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "what takes too much could not be removed"),
            }
        });
    }
}

/// One lease at work.
pub struct Job {
    pub machine: Arc<Machine>,
    pub id: JobId,
    pub data: Box<JobData>,
    pub lease: Lease,
    pub mailbox: Mailbox,
    voice: Voice,
    /// Cancelled: whatever the job runs is killed, and it goes on to its cleanup.
    stop: CancellationToken,
    /// Why it was stopped, if that is an error.
    failure: OnceLock<JobError>,
    /// Everything that runs beside the phases.
    tasks: TaskTracker,
    numbers: Numbers,
    state: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    open: Option<Phase>,
    /// What the cleanup needs to know; it grows while the job is prepared.
    prepared: Option<Arc<Prepared>>,
    /// Taken from earlier jobs or to be left for later ones.
    folders: Vec<kept::Folder>,
    /// All commands that prepare it have ended well.
    is_prepared: bool,
    /// To be ended before the cleanup.
    warm: Option<Arc<Warm>>,
    /// Slots that have begun their first file.
    slots: BTreeSet<u32>,
    /// The hooks before the workers have begun.
    workers: bool,
}

/// Why a lease stops before the queen says so.
#[derive(Debug)]
enum Stopped {
    Cancelled,
    Errored(JobError),
}

impl Job {
    /// A lease that has not begun.
    #[must_use]
    pub fn new(machine: Arc<Machine>, id: JobId, data: Box<JobData>, lease: Lease) -> Self {
        let voice = Voice {
            job: id.clone(),
            lease: lease.token,
            drone: machine.drone.clone(),
            outbox: Arc::clone(&machine.outbox),
            mask: Arc::new(setup::mask(&data)),
            silent: machine.now.child_token(),
            limit: machine.config.log_limit,
            written: 0.into(),
            truncated: AtomicBool::new(false),
        };
        Self {
            stop: machine.now.child_token(),
            machine,
            id,
            data,
            lease,
            mailbox: Mailbox::default(),
            voice,
            failure: OnceLock::new(),
            tasks: TaskTracker::new(),
            numbers: Numbers::from(lease.num),
            state: Mutex::default(),
        }
    }

    /// Stops it on request: processes get TERM, then KILL; then it cleans up and says `job:cancelled`.
    pub fn cancel(&self) {
        self.stop.cancel();
    }

    /// The lease is gone: stops it, and nothing more is said under it. It still cleans up.
    pub fn abandon(&self) {
        self.voice.silent.cancel();
        self.stop.cancel();
    }

    /// Stops it because the system cannot do its work.
    fn fail(&self, error: JobError) {
        // The first reason counts.
        let _ = self.failure.set(error);
        self.stop.cancel();
    }

    /// How it stands, for `job:info`. No secret is in it.
    #[must_use]
    pub fn info(&self) -> Value {
        let held = self.mailbox.held();
        json!({
            "drone": self.machine.drone,
            "lease": self.lease.token,
            "role": self.lease.role,
            "phase": self.progress().open,
            "running": held.running,
            "queued": held.queued,
            "job": *self.data,
        })
    }

    /// The job from its receipt to its last word. Never fails and never panics.
    pub async fn run(self: Arc<Self>) {
        let job = self;
        job.say_at(|job, at| JobEvent::Queued { job, at }).await;
        let made = tokio::task::spawn_blocking({
            let job = Arc::clone(&job);
            move || job.machine.workspaces.create(job.data.project.as_str())
        });
        let broken = |what: String| Stopped::Errored(JobError::new("internal", what));
        let (workspace, ended) = match made.await.map_err(std::io::Error::other).flatten() {
            Err(error) => {
                let what = format!("a workspace cannot be made on drone {}: {error}", job.machine.drone);
                (None, Err(broken(what)))
            }
            Ok(workspace) => {
                let (path, scratch) = (workspace.path().to_owned(), workspace.scratch().to_owned());
                let work = tokio::spawn(Arc::clone(&job).work(path, scratch));
                let bug = |_| {
                    Err(broken(
                        "the drone broke down over this job: this is a bug of Skep".into(),
                    ))
                };
                (Some(workspace), work.await.unwrap_or_else(bug))
            }
        };
        job.stop.cancel();
        let warm = job.progress().warm.take();
        if let Some(warm) = warm {
            warm.stop().await;
        }
        job.tasks.close();
        job.tasks.wait().await;
        if job.progress().open.is_some() {
            job.phase_done(None).await;
        }
        let first = ended.as_ref().ok().copied();
        // A task of its own, so that not even a panic in it keeps the workspace.
        if tokio::spawn(Arc::clone(&job).clean_up(first)).await.is_err() {
            tracing::error!(job = %job.id, "the cleanup broke down");
        }
        job.put_back().await;
        if let Some(workspace) = workspace
            && let Err(error) = workspace.remove().await
        {
            tracing::error!(job = %job.id, %error, "the workspace could not be removed");
            let message = format!(
                "the workspace on drone {} could not be removed: {error}",
                job.machine.drone
            );
            job.voice.warn("workspace", &message).await;
        }
        if job.data.repo.is_some() {
            job.machine.shrink_cache();
        }
        match ended {
            Ok(_) => job.say_at(|job, at| JobEvent::Done { job, at }).await,
            Err(Stopped::Cancelled) => job.say_at(|job, at| JobEvent::Cancelled { job, at }).await,
            Err(Stopped::Errored(error)) => {
                let message = cut(job.voice.mask.sanitize(&error.message), 16 * 1024);
                let (job_id, error) = (job.id.clone(), JobError::new(error.kind, message));
                job.voice.say(JobEvent::Errored { job: job_id, error }).await;
            }
        }
    }

    /// The phases up to the queen's word to clean up, which says the number of the cleanup's first command.
    async fn work(self: Arc<Self>, workspace: PathBuf, scratch: PathBuf) -> Result<Num, Stopped> {
        let (prepared, code) = self.prepare(workspace, scratch).await?;
        let tests = code == 0 && self.data.job_type.tests();
        let prepared = if tests && self.is_home() {
            self.list(prepared).await?
        } else {
            prepared
        };
        let prepared = Arc::new(prepared);
        // A task of its own: what waits for a slot must be polled also while this deploys.
        let mut dispatch = tests.then(|| {
            let dispatch = files::dispatch(Arc::clone(&self), Arc::clone(&prepared));
            let stop = self.stop.clone();
            self.tasks
                .spawn(async move { stop.run_until_cancelled_owned(dispatch).await })
        });
        loop {
            let (phase, num) = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(self.stopped()),
                next = self.mailbox.next_phase() => next,
                Some(ended) = ended(&mut dispatch) => {
                    // It ends of itself only by a bug, or because the job is stopped.
                    dispatch = None;
                    if let Err(error) = ended {
                        return Err(Stopped::Errored(JobError::new("internal", format!("handing out files broke down: {error}"))));
                    }
                    continue;
                }
            };
            // The queen has ended the phase itself: it alone knows when every file is accounted for.
            self.progress().open.take_if(|open| *open == Phase::Test);
            match phase {
                Phase::Cleanup => return Ok(num),
                Phase::Deploy if self.is_home() && code == 0 => self.deploy(&prepared, num).await?,
                other => {
                    tracing::warn!(job = %self.id, phase = other.as_str(), "this lease cannot go on to that phase")
                }
            }
        }
    }

    async fn deploy(&self, prepared: &Prepared, first: Num) -> Result<(), Stopped> {
        let Some(_slot) = self.slot().await else {
            return Err(self.stopped());
        };
        self.phase_start(Phase::Deploy).await;
        let code = match prepared.deploy_is_held_back(&self.data) {
            Some(why) => {
                self.voice.warn("deploy", &why).await;
                0
            }
            None => {
                let stage = self.stage(Phase::Deploy, prepared.root(), &prepared.env, &self.stop);
                let given = Numbers::from(first);
                let numbers = if self.data.job_type.tests() {
                    &given
                } else {
                    // Nobody keeps numbers for a cleanup that follows unasked: it goes on behind the deploy.
                    self.numbers.go_on(first);
                    &self.numbers
                };
                stage.all(&prepared.deploy_commands(), numbers).await
            }
        };
        if self.stop.is_cancelled() {
            return Err(self.stopped());
        }
        self.phase_done(Some(code)).await;
        self.say_at(|job, at| JobEvent::Deployed { job, code, at }).await;
        Ok(())
    }

    /// The cleanup phase, in whatever state the job was left. A command that fails is a warning.
    async fn clean_up(self: Arc<Self>, first: Option<Num>) {
        self.phase_start(Phase::Cleanup).await;
        let mut worst = 0;
        let (prepared, slots, workers) = {
            let progress = self.progress();
            (progress.prepared.clone(), progress.slots.clone(), progress.workers)
        };
        if let Some(prepared) = prepared.filter(|_| !self.machine.now.is_cancelled()) {
            let own;
            let numbers = match first {
                Some(first) => {
                    own = Numbers::from(first);
                    &own
                }
                None => &self.numbers,
            };
            let stage = Stage {
                timeout: Some(self.machine.config.cleanup_timeout),
                ..self.stage(Phase::Cleanup, prepared.root(), &prepared.env, &self.machine.now)
            };
            for (planned, in_slots) in prepared.cleanup_commands(workers) {
                let code = match in_slots {
                    true if slots.is_empty() => continue,
                    true => stage.in_slots(&planned, numbers.next(), &slots).await,
                    false => stage.one(&planned, numbers.next()).await,
                };
                if code != 0 {
                    worst = code;
                    let message = format!(
                        "a command of the cleanup ended with code {code}: {}",
                        planned.step.command
                    );
                    self.voice.warn(planned.by, &message).await;
                }
            }
        }
        self.phase_done(Some(worst)).await;
    }

    fn is_home(&self) -> bool {
        self.lease.role == Role::Home
    }

    fn stopped(&self) -> Stopped {
        self.failure.get().cloned().map_or(Stopped::Cancelled, Stopped::Errored)
    }

    /// Waits for a slot; `None`: the job was stopped meanwhile.
    async fn slot(&self) -> Option<crate::slots::Slot> {
        self.stop.run_until_cancelled(self.machine.slots.take()).await.flatten()
    }

    fn stage<'a>(
        &'a self,
        phase: Phase,
        cwd: &'a Path,
        env: &'a BTreeMap<String, String>,
        cancel: &'a CancellationToken,
    ) -> Stage<'a> {
        Stage {
            voice: &self.voice,
            phase,
            cwd,
            env,
            timeout: None,
            grace: self.machine.config.grace,
            cancel,
        }
    }

    async fn phase_start(&self, phase: Phase) {
        self.progress().open = Some(phase);
        self.say_phase(phase, Edge::Start, None).await;
    }

    /// Ends the open phase. No code: it was stopped, and nothing follows from it.
    async fn phase_done(&self, code: Option<i32>) {
        let open = self.progress().open.take();
        if let Some(phase) = open {
            self.say_phase(phase, Edge::Done, code).await;
        }
    }

    async fn say_phase(&self, phase: Phase, edge: Edge, code: Option<i32>) {
        let drone = Some(self.machine.drone.clone());
        self.say_at(|job, at| JobEvent::Phase {
            job,
            phase,
            edge,
            code,
            at,
            drone,
        })
        .await;
    }

    async fn say_at(&self, event: impl FnOnce(JobId, shared::Timestamp) -> JobEvent) {
        self.voice.say(event(self.id.clone(), clock::now())).await;
    }

    /// True if this is the slot's first file.
    fn start_slot(&self, slot: u32) -> bool {
        self.progress().slots.insert(slot)
    }

    fn unstart_slot(&self, slot: u32) {
        self.progress().slots.remove(&slot);
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a task ended; `None` where there is none.
async fn ended<T>(task: &mut Option<JoinHandle<T>>) -> Option<Result<T, JoinError>> {
    match task {
        Some(task) => Some(task.await),
        None => None,
    }
}
