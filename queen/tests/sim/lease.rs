//! One simulated lease: says what a real one says, in the same order, and writes down what it has said.

use super::{
    chance::Dice,
    ledger::Book,
    machine::Life,
    plan::{JobPlan, Kind},
};
use drone::{Mailbox, link::Outbox};
use serde_json::{Value, json};
use shared::{
    DroneId, JobId, Num, Timestamp,
    outcome::{FileOutcome, FileResult, Group},
    protocol::{
        JobEvent, Lease, Role, RunFile,
        event::{CmdDetail, Edge, Phase},
        to_drone::Part,
    },
};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Semaphore, time::sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The code of a command that was stopped.
const STOPPED: i32 = 143;

pub struct Work {
    pub job: JobId,
    pub lease: Lease,
    pub mailbox: Mailbox,
    /// Cancelled: what runs is killed, and it goes on to its cleanup.
    pub stop: CancellationToken,
    /// Cancelled: nothing more is said.
    silent: CancellationToken,
    plan: JobPlan,
    drone: DroneId,
    book: Book,
    outbox: Arc<Outbox>,
    slots: Arc<Semaphore>,
    tasks: TaskTracker,
    numbers: AtomicU32,
    open: Mutex<Option<Phase>>,
    dice: Mutex<Dice>,
}

/// Somebody wants it to end.
struct Stopped;

impl drone::Work for Work {
    fn lease(&self) -> Lease {
        self.lease
    }
    fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }
    fn info(&self) -> Value {
        json!({"job": self.job})
    }
    fn cancel(&self) {
        self.stop.cancel();
    }
    fn abandon(&self) {
        self.book
            .note(format!("{} has lost {} of {}", self.drone, self.lease.token, self.job));
        self.silent.cancel();
        self.stop.cancel();
    }
    async fn run(self: Arc<Self>) {
        self.hold(true);
        Arc::clone(&self).go().await;
        self.hold(false);
    }
}

impl Work {
    pub fn new(life: &Life, job: JobId, lease: Lease) -> Self {
        let machine = &life.machine;
        Self {
            plan: machine.jobs[&job].clone(),
            drone: machine.id.clone(),
            book: machine.book.clone(),
            outbox: Arc::clone(&life.outbox),
            slots: Arc::clone(&life.slots),
            dice: Mutex::new(life.dice(&format!("{job} {}", lease.token))),
            job,
            lease,
            mailbox: Mailbox::default(),
            stop: CancellationToken::new(),
            silent: CancellationToken::new(),
            tasks: TaskTracker::new(),
            numbers: lease.num.0.into(),
            open: Mutex::default(),
        }
    }

    /// From its receipt to its last word.
    async fn go(self: Arc<Self>) {
        self.say(JobEvent::Queued {
            job: self.job.clone(),
            at: now(),
        })
        .await;
        let ended = Arc::clone(&self).work().await;
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        if self.open.lock().unwrap().is_some() {
            self.phase_done(None).await;
        }
        let job = self.job.clone();
        self.phase_start(Phase::Cleanup).await;
        let first = ended.as_ref().ok().copied();
        let num = first.unwrap_or_else(|| self.number());
        self.command(
            num,
            Phase::Cleanup,
            1,
            Duration::from_millis(20),
            &CancellationToken::new(),
        )
        .await;
        self.phase_done(Some(0)).await;
        self.say(match ended {
            Ok(_) => JobEvent::Done { job, at: now() },
            Err(Stopped) => JobEvent::Cancelled { job, at: now() },
        })
        .await;
    }

    /// Tells those who check whether the drone holds it.
    fn hold(&self, on: bool) {
        let mut ledger = self.book.ledger();
        let Some(alive) = ledger.alive.get_mut(&self.drone) else {
            return;
        };
        let own = (self.job.clone(), self.lease.token);
        if on {
            alive.leases.insert(own);
        } else {
            alive.leases.remove(&own);
        }
    }

    async fn work(self: Arc<Self>) -> Result<Num, Stopped> {
        self.prepare().await?;
        let home = self.lease.role == Role::Home;
        let tests = !self.plan.files.is_empty();
        if tests && home {
            self.list().await;
        }
        if tests {
            let (work, stop) = (Arc::clone(&self), self.stop.clone());
            self.tasks
                .spawn(async move { stop.run_until_cancelled(work.dispatch()).await });
        }
        loop {
            let next = self.stop.run_until_cancelled(self.mailbox.next_phase()).await;
            let (phase, num) = next.ok_or(Stopped)?;
            if *self.open.lock().unwrap() == Some(Phase::Test) {
                *self.open.lock().unwrap() = None;
            }
            if phase == Phase::Cleanup {
                return Ok(num);
            }
            self.deploy(num).await?;
        }
    }

    async fn prepare(&self) -> Result<(), Stopped> {
        let _slot = self.slot().await?;
        if self.lease.role == Role::Home {
            let (job, drone) = (self.job.clone(), Some(self.drone.clone()));
            self.say(JobEvent::Started { job, at: now(), drone }).await;
        }
        self.phase_start(Phase::Environment).await;
        self.phase_done(Some(0)).await;
        self.phase_start(Phase::Prepare).await;
        let (lines, pace) = self.some_lines();
        let num = self.number();
        self.command(num, Phase::Prepare, lines, pace, &self.stop).await;
        if self.stop.is_cancelled() {
            return Err(Stopped);
        }
        self.phase_done(Some(0)).await;
        Ok(())
    }

    /// The list of files, sometimes in two parts.
    async fn list(&self) {
        self.phase_start(Phase::Test).await;
        let paths: Vec<_> = self.plan.files.iter().map(|file| file.path.clone()).collect();
        let cut = match self.dice.lock().unwrap().odds(1, 3) {
            true => paths.len() / 2,
            false => 0,
        };
        let (first, rest) = paths.split_at(cut);
        let part = |paths: &[String], more: bool| JobEvent::Files {
            job: self.job.clone(),
            paths: paths.to_vec(),
            more: Some(more),
            plan: (!more).then(|| self.plan.plan.clone()),
        };
        if !first.is_empty() {
            self.say(part(first, true)).await;
        }
        self.say(part(rest, false)).await;
    }

    async fn dispatch(self: Arc<Self>) {
        loop {
            self.mailbox.file_waits().await;
            let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else {
                return;
            };
            let Some((file, stop)) = self.mailbox.begin(&self.stop) else {
                continue;
            };
            let work = Arc::clone(&self);
            self.tasks.spawn(async move {
                work.file(&file, &stop).await;
                work.mailbox.end(file.num);
                drop(slot);
            });
        }
    }

    async fn file(&self, file: &RunFile, stop: &CancellationToken) {
        let plan = self.plan.file(&file.path);
        self.say(JobEvent::FileStart {
            job: self.job.clone(),
            num: file.num,
            path: file.path.clone(),
            worker: 1,
            attempt: file.attempt,
            drone: Some(self.drone.clone()),
        })
        .await;
        let code = self.command(file.num, Phase::Test, plan.lines, plan.pace, stop).await;
        if code == STOPPED {
            if !self.stop.is_cancelled() {
                let (job, nums) = (self.job.clone(), vec![file.num]);
                self.say(JobEvent::Returned { job, nums }).await;
            }
            return;
        }
        let failed = match plan.kind {
            Kind::Passes => false,
            Kind::Fails | Kind::Dies => true,
            Kind::Flaky => file.attempt.0 == 1,
        };
        let outcome = if failed {
            FileOutcome::Failed
        } else {
            FileOutcome::Passed
        };
        let result = FileResult {
            exit: Some(i32::from(failed)),
            died: plan.kind == Kind::Dies,
            duration: (plan.pace * u32::try_from(plan.lines).unwrap()).as_secs_f64() * 1000.0,
            groups: groups(&plan.path, file.part.as_ref()),
            ..FileResult::bare(outcome)
        };
        self.say(JobEvent::FileDone {
            job: self.job.clone(),
            num: file.num,
            path: file.path.clone(),
            attempt: file.attempt,
            result,
            drone: Some(self.drone.clone()),
        })
        .await;
    }

    async fn deploy(&self, num: Num) -> Result<(), Stopped> {
        let _slot = self.slot().await?;
        *self.book.ledger().deploys.entry(self.job.clone()).or_default() += 1;
        self.phase_start(Phase::Deploy).await;
        let (lines, pace) = self.some_lines();
        self.command(num, Phase::Deploy, lines, pace, &self.stop).await;
        if self.plan.files.is_empty() {
            self.numbers.fetch_max(num.0 + 1, Ordering::Relaxed);
        }
        if self.stop.is_cancelled() {
            return Err(Stopped);
        }
        self.phase_done(Some(0)).await;
        let job = self.job.clone();
        self.say(JobEvent::Deployed {
            job,
            code: 0,
            at: now(),
        })
        .await;
        Ok(())
    }

    /// A command that writes numbered lines; answers its code.
    async fn command(&self, num: Num, phase: Phase, lines: u64, pace: Duration, stop: &CancellationToken) -> i32 {
        let job = || self.job.clone();
        self.say(JobEvent::CmdStart {
            job: job(),
            num,
            command: format!("{phase:?} {num}"),
            screencmd: None,
            detail: Some(CmdDetail {
                phase: Some(phase),
                ..CmdDetail::default()
            }),
        })
        .await;
        let awaited = self.lease.role == Role::Home || phase == Phase::Test;
        self.written(num, |written| written.awaited = awaited);
        let mut code = 0;
        for at in 0..lines {
            if stop.run_until_cancelled(sleep(pace)).await.is_none() {
                code = STOPPED;
                break;
            }
            let text = format!("{}:{num}:{at}:{}\n", self.lease.token, "x".repeat(self.plan.padding));
            if !self.say(JobEvent::CmdStdout { job: job(), num, text }).await {
                break;
            }
            self.written(num, |written| written.lines += 1);
        }
        let done = JobEvent::CmdDone {
            job: job(),
            num,
            exit_code: code,
            elapsed: Some(0),
        };
        if self.say(done).await {
            self.written(num, |written| written.ended = true);
        }
        code
    }

    fn written(&self, num: Num, change: impl FnOnce(&mut super::ledger::Written)) {
        let mut ledger = self.book.ledger();
        change(
            ledger
                .written
                .entry((self.job.clone(), self.lease.token, num))
                .or_default(),
        );
    }

    fn some_lines(&self) -> (u64, Duration) {
        let mut dice = self.dice.lock().unwrap();
        (dice.within(1..6), Duration::from_millis(dice.within(1..500)))
    }

    fn number(&self) -> Num {
        Num(self.numbers.fetch_add(1, Ordering::Relaxed))
    }

    async fn slot(&self) -> Result<tokio::sync::OwnedSemaphorePermit, Stopped> {
        let slot = Arc::clone(&self.slots).acquire_owned();
        let slot = self.stop.run_until_cancelled(slot).await.ok_or(Stopped)?;
        slot.map_err(|_| Stopped)
    }

    async fn phase_start(&self, phase: Phase) {
        *self.open.lock().unwrap() = Some(phase);
        self.say_phase(phase, Edge::Start, None).await;
    }

    async fn phase_done(&self, code: Option<i32>) {
        let open = self.open.lock().unwrap().take();
        if let Some(phase) = open {
            self.say_phase(phase, Edge::Done, code).await;
        }
    }

    async fn say_phase(&self, phase: Phase, edge: Edge, code: Option<i32>) {
        self.say(JobEvent::Phase {
            job: self.job.clone(),
            phase,
            edge,
            code,
            at: now(),
            drone: Some(self.drone.clone()),
        })
        .await;
    }

    /// Says it; false if the lease is gone.
    async fn say(&self, event: JobEvent) -> bool {
        let push = self.outbox.push(&event, Some(self.lease.token));
        match self.silent.run_until_cancelled(push).await {
            None => false,
            Some(Ok(_)) => true,
            Some(Err(error)) => {
                self.book.violation(format!("an event was lost: {error}"));
                false
            }
        }
    }
}

fn now() -> Timestamp {
    Timestamp(1)
}

/// What this run of a file says that it can be split into.
fn groups(path: &str, part: Option<&Part>) -> Vec<Group> {
    let all = (0..path.len() % 5).map(|at| format!("Test{at}"));
    let own = all.filter(|name| part.is_none_or(|part| part.groups.contains(name) != part.rest));
    own.map(|name| Group { name, duration: 100.0 }).collect()
}
