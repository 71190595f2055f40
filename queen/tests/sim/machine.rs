//! A simulated drone: the real link, outbox and agent, on a machine whose jobs are only said (`lease.rs`).
//!
//! Everything that the queen tells it is held against the store: nobody may hear of what is not written.

use super::{
    chance::Dice,
    lease::Work,
    ledger::{Alive, Book},
    net::{PORT, Weather},
    plan::JobPlan,
};
use drone::{
    Agent, Config, Host, Stop,
    link::{Bounds, FromQueen, Link, Outbox},
};
use shared::{
    DroneId, JobData, JobId,
    protocol::{Info, Lease, ToDrone, event::Phase},
};
use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::{Semaphore, mpsc};
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
    pub jobs: Arc<BTreeMap<JobId, JobPlan>>,
}

/// One life.
pub struct Life {
    pub machine: Machine,
    pub outbox: Arc<Outbox>,
    pub slots: Arc<Semaphore>,
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
        let incarnation = self.book.begin_life(&self.id);
        let outbox = Arc::new(Outbox::open(&self.dir.join(self.id.as_str()), self.bounds)?);
        let alive = Alive {
            life: incarnation.clone(),
            outbox: Arc::clone(&outbox),
            leases: Default::default(),
        };
        self.book.ledger().alive.insert(self.id.clone(), alive);
        self.book.note(format!("{incarnation} begins"));
        let (inbox, heard) = mpsc::channel(256);
        let link = Link {
            network: self.weather.clone(),
            config: Arc::new(self.config()),
            drone: self.id.clone(),
            incarnation,
            outbox: Arc::clone(&outbox),
            inbox,
            stop: CancellationToken::new(),
        };
        let link = tokio::spawn(link.run());
        let life = Arc::new(Life {
            slots: Arc::new(Semaphore::new(self.capacity as usize)),
            machine: self,
            outbox,
        });
        let (passed_on, inbox) = mpsc::channel(1);
        tokio::spawn(Arc::clone(&life).listen(heard, passed_on));
        Agent::new(Arc::clone(&life), life.machine.speed)
            .run(inbox, &Stop::default())
            .await;
        let ended = link.await;
        let id = &life.machine.id;
        life.machine
            .book
            .violation(format!("the link of {id} gave up: {ended:?}"));
        Ok(())
    }
}

impl Host for Life {
    type Work = Work;

    fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    fn work(self: Arc<Self>, id: JobId, _: Box<JobData>, lease: Lease) -> Arc<Work> {
        let (drone, token, role) = (&self.machine.id, lease.token, lease.role);
        self.machine
            .book
            .note(format!("{drone} takes {id} under {token} as {role:?}"));
        Arc::new(Work::new(&self, id, lease))
    }

    async fn info(&self, speed: u32, draining: bool) -> Info {
        Info {
            speed,
            capacity: if draining { 0 } else { self.machine.capacity },
            ..Info::default()
        }
    }
}

impl Life {
    /// Stands between link and agent, and looks at what is said.
    async fn listen(self: Arc<Self>, mut heard: mpsc::Receiver<FromQueen>, agent: mpsc::Sender<FromQueen>) {
        while let Some(word) = heard.recv().await {
            match &word {
                FromQueen::Connected { again } => self.machine.book.ledger().reconnects += u64::from(*again),
                FromQueen::Message(message) => self.look_at(message),
            }
            if agent.send(word).await.is_err() {
                return;
            }
        }
    }

    /// What is told must be written.
    fn look_at(&self, message: &ToDrone) {
        let (id, book) = (&self.machine.id, &self.machine.book);
        match message {
            ToDrone::QueueNew { job, lease } => {
                let job = job.0.job_id.clone().unwrap();
                let row = book.store.durable(&job, |kept| kept.leases.get(&lease.token).cloned());
                let holder = row.flatten().map(|row| row.drone);
                book.rule(holder.as_ref() == Some(id), || {
                    format!("{id} was given lease {} of {job}, which is not written", lease.token)
                });
            }
            ToDrone::JobRun { job, files, .. } => {
                for file in files {
                    let known = book.store.durable(job, |kept| kept.row.next_num > file.num);
                    book.rule(known == Some(true), || {
                        format!("{id} was told to run {} of {job}, which is not written", file.num)
                    });
                }
            }
            ToDrone::JobPhase { job, phase, .. } => {
                let given = book.store.durable(job, |kept| kept.row.deploy_given);
                book.rule(*phase != Phase::Deploy || given == Some(true), || {
                    format!("{id} was told to deploy {job}, which is not written")
                });
            }
            _ => {}
        }
    }

    pub fn dice(&self, purpose: &str) -> Dice {
        Dice::of(self.machine.seed, purpose)
    }
}
