//! A simulated drone: the real link, outbox and mailbox, under an agent whose jobs are only said.
//!
//! It takes leases and passes on what the queen wants of each, as the drone's own agent does; what a lease says is in
//! `lease.rs`. Everything that the queen tells it is held against the store: nobody may hear of what is not written.

use super::{
    chance::Dice,
    lease::Work,
    ledger::{Alive, Book},
    net::{PORT, Weather},
    plan::JobPlan,
};
use drone::{
    Config,
    link::{Bounds, FromQueen, Link, Outbox},
};
use serde::Serialize;
use shared::{
    DroneId, JobId, LeaseToken,
    protocol::{
        Info, JobEvent, Lease, Resume, ResumeJob, ToDrone, event::Phase, to_drone::ResumeAnswer,
        to_queen::Agent as Words,
    },
};
use std::{collections::BTreeMap, path::PathBuf, rc::Rc, sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, mpsc},
    task::spawn_local,
};
use tokio_util::sync::CancellationToken;

/// What all lives of one drone share.
#[derive(Clone)]
pub struct Machine {
    pub id: DroneId,
    pub seed: u64,
    pub capacity: u32,
    pub speed: u32,
    pub bounds: Bounds,
    pub dir: PathBuf,
    pub book: Book,
    pub weather: Weather,
    pub jobs: Rc<BTreeMap<JobId, JobPlan>>,
}

/// One life.
pub struct Life {
    pub machine: Machine,
    pub outbox: Arc<Outbox>,
    pub slots: Arc<Semaphore>,
    leases: BTreeMap<JobId, Rc<Work>>,
}

impl Machine {
    fn config(&self) -> Config {
        Config {
            queen: format!("http://127.0.0.1:{PORT}"),
            token: None,
            capacity: self.capacity,
            speed: Some(self.speed),
            labels: Vec::new(),
            name: self.id.to_string(),
            data: self.dir.clone(),
            grace: Duration::from_secs(1),
            cleanup_timeout: Duration::from_secs(60),
            log_limit: u64::MAX,
            cache_limit: u64::MAX,
            outbox: self.bounds,
            plugin_dirs: Vec::new(),
        }
    }

    /// Lives until it is crashed.
    pub async fn live(self) -> turmoil::Result {
        let life = self.book.begin_life(&self.id);
        let outbox = Arc::new(Outbox::open(&self.dir.join(self.id.as_str()), self.bounds)?);
        let alive = Alive {
            life: life.clone(),
            outbox: Arc::clone(&outbox),
            leases: Default::default(),
        };
        self.book.ledger.borrow_mut().alive.insert(self.id.clone(), alive);
        self.book.note(format!("{life} begins"));
        let (inbox, mut heard) = mpsc::channel(256);
        let link = Link {
            network: self.weather.clone(),
            config: Arc::new(self.config()),
            drone: self.id.clone(),
            incarnation: life,
            outbox: Arc::clone(&outbox),
            inbox,
            stop: CancellationToken::new(),
        };
        let link = spawn_local(link.run());
        let mut life = Life {
            slots: Arc::new(Semaphore::new(self.capacity as usize)),
            machine: self,
            outbox,
            leases: BTreeMap::new(),
        };
        let (over, mut ended) = mpsc::unbounded_channel::<(JobId, LeaseToken)>();
        loop {
            tokio::select! {
                biased;
                Some((job, token)) = ended.recv() => life.forget(&job, token),
                message = heard.recv() => match message {
                    Some(FromQueen::Connected { again }) => {
                        life.machine.book.ledger.borrow_mut().reconnects += u64::from(again);
                        if again {
                            life.resume();
                        }
                    }
                    Some(FromQueen::Message(message)) => life.on_message(message, &over),
                    None => break,
                },
            }
        }
        let ended = link.await;
        life.machine
            .book
            .violation(format!("the link of {} gave up: {ended:?}", life.machine.id));
        Ok(())
    }
}

impl Life {
    fn on_message(&mut self, message: ToDrone, over: &mpsc::UnboundedSender<(JobId, LeaseToken)>) {
        match message {
            ToDrone::QueryInfo {} => self.say_info(),
            ToDrone::QueueNew { job, lease } => {
                let id = job.0.job_id.clone().unwrap();
                self.take(id, lease, over);
            }
            ToDrone::JobRun { job, lease, files } => {
                let Some(held) = self.held(&job, Some(lease)) else {
                    return;
                };
                for file in &files {
                    let known = self
                        .machine
                        .book
                        .store
                        .durable(&job, |kept| kept.row.next_num > file.num);
                    self.machine.book.rule(known == Some(true), || {
                        format!(
                            "{} was told to run {} of {job}, of which nothing is written",
                            self.machine.id, file.num
                        )
                    });
                }
                held.mailbox.run(files);
            }
            ToDrone::TakeBack { job, lease, nums } => {
                let Some(held) = self.held(&job, Some(lease)) else {
                    return;
                };
                let nums = held.mailbox.take_back(&nums);
                self.say(&JobEvent::Returned { job, nums }, Some(lease));
            }
            ToDrone::JobPhase { job, lease, phase, num } => {
                let Some(held) = self.held(&job, Some(lease)) else {
                    return;
                };
                let given = self.machine.book.store.durable(&job, |kept| kept.row.deploy_given);
                self.machine
                    .book
                    .rule(phase != Phase::Deploy || given == Some(true), || {
                        format!(
                            "{} was told to deploy {job}, of which nothing is written",
                            self.machine.id
                        )
                    });
                held.mailbox.go_on(phase, num);
            }
            ToDrone::JobCancel { job, lease, .. } => {
                if let Some(held) = self.held(&job, lease) {
                    held.stop.cancel();
                }
            }
            ToDrone::Resumed { jobs } => self.resumed(jobs),
            ToDrone::JobQueryInfo { .. } | ToDrone::Drain { .. } | ToDrone::Ack { .. } => {}
        }
    }

    fn take(&mut self, id: JobId, lease: Lease, over: &mpsc::UnboundedSender<(JobId, LeaseToken)>) {
        let written = self
            .machine
            .book
            .store
            .durable(&id, |kept| kept.leases.get(&lease.token).map(|row| row.drone.clone()));
        self.machine
            .book
            .rule(written.flatten().as_ref() == Some(&self.machine.id), || {
                format!(
                    "{} was given lease {} of {id}, which is not written",
                    self.machine.id, lease.token
                )
            });
        match self.leases.get(&id) {
            Some(held) if held.lease.token >= lease.token => return,
            Some(held) => held.abandon(),
            None => {}
        }
        self.machine.book.note(format!(
            "{} takes {id} under {} as {:?}",
            self.machine.id, lease.token, lease.role
        ));
        let work = Rc::new(Work::new(self, id.clone(), lease));
        let (running, over, token) = (Rc::clone(&work), over.clone(), lease.token);
        let job = id.clone();
        spawn_local(async move {
            running.run().await;
            // The agent is gone when the machine is.
            let _ = over.send((job, token));
        });
        self.leases.insert(id, work);
        self.tell_leases();
    }

    fn forget(&mut self, id: &JobId, token: LeaseToken) {
        if self.leases.get(id).is_some_and(|held| held.lease.token == token) {
            self.leases.remove(id);
        }
        self.tell_leases();
    }

    fn tell_leases(&self) {
        if let Some(alive) = self.machine.book.ledger.borrow_mut().alive.get_mut(&self.machine.id) {
            alive.leases = self.leases.keys().cloned().collect();
        }
    }

    fn resume(&mut self) {
        let jobs = self.leases.values().map(|work| {
            let held = work.mailbox.held();
            ResumeJob {
                id: work.job.clone(),
                lease: work.lease.token,
                running: held.running.into_iter().chain(held.queued).collect(),
            }
        });
        let resume = Resume { jobs: jobs.collect() };
        self.say(&Words::Resume { resume }, None);
    }

    fn resumed(&mut self, answers: Vec<ResumeAnswer>) {
        for answer in answers.into_iter().filter(|answer| !answer.go_on) {
            if let Some(held) = self.held(&answer.id, Some(answer.lease)) {
                self.machine.book.note(format!(
                    "{} has lost {} of {}",
                    self.machine.id, answer.lease, answer.id
                ));
                held.abandon();
            }
        }
    }

    fn held(&self, id: &JobId, lease: Option<LeaseToken>) -> Option<Rc<Work>> {
        let held = self.leases.get(id)?;
        lease
            .is_none_or(|lease| lease == held.lease.token)
            .then(|| Rc::clone(held))
    }

    fn say_info(&self) {
        let info = Info {
            speed: self.machine.speed,
            capacity: self.machine.capacity,
            ..Info::default()
        };
        self.say(&Words::Info { info }, None);
    }

    fn say<M: Serialize>(&self, message: &M, lease: Option<LeaseToken>) {
        if let Err(error) = self.outbox.push_now(message, lease) {
            self.machine.book.violation(format!("an answer was lost: {error}"));
        }
    }

    pub fn dice(&self, purpose: &str) -> Dice {
        Dice::of(self.machine.seed, purpose)
    }
}
