//! A store and a fleet around one scheduler, where everything is written and heard at once: for rules, one by one.
//!
//! What must always hold is checked after every step. Worlds in which messages are late and lost are in
//! [`sim`](crate::sim).

use crate::{
    checks::View,
    fake::{Fake, Suite, Word},
    ledger::Ledger,
};
use scheduler::{Action, DroneInput, FileRow, Input, JobInput, JobRow, LeaseRow, NewJob, State};
use shared::{DroneId, Incarnation, JobId, JobType, Project, Timestamp, protocol::to_queen::Info};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::{Deref, DerefMut},
};

pub fn job_id(id: &str) -> JobId {
    JobId::new(id).unwrap()
}

pub fn drone_id(id: &str) -> DroneId {
    DroneId::new(id).unwrap()
}

/// A job that only its id tells from others.
pub fn new_job(id: &str) -> NewJob {
    NewJob {
        id: job_id(id),
        project: Project::new("a/b").unwrap(),
        job_type: JobType::Test,
        priority: 0,
        labels: Vec::new(),
        plugins: Vec::new(),
        spread: None,
        retries: 0,
        timeout: None,
        delay_until: None,
        submitted: Timestamp(0),
    }
}

pub fn info(speed: u32, capacity: u32) -> Info {
    Info {
        speed,
        capacity,
        ..Info::default()
    }
}

/// Files that are known to take `ms` each.
pub fn suite(count: usize, ms: u64) -> Suite {
    Suite {
        files: (0..count).map(|at| (format!("t/{at:03}"), Some(ms))).collect(),
        quarantine: BTreeSet::new(),
        plan: shared::protocol::event::Plan {
            prepare_commands: 1,
            cleanup_commands: 1,
            ..Default::default()
        },
        tests: true,
    }
}

pub struct World {
    pub state: State,
    pub now: Timestamp,
    pub fakes: BTreeMap<DroneId, Fake>,
    pub suites: BTreeMap<JobId, Suite>,
    ledger: Ledger,
    /// Drones that have said on their connection what they can do.
    ready: BTreeSet<DroneId>,
    /// Everything that was said.
    pub log: Vec<Vec<Action>>,
}

impl Deref for World {
    type Target = Ledger;

    fn deref(&self) -> &Ledger {
        &self.ledger
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }
}

impl World {
    pub fn new(drones: &[(&str, Info)]) -> Self {
        let mut world = Self::empty();
        for (id, info) in drones {
            world.fakes.insert(drone_id(id), Fake::new(info.clone()));
            world.connect(&drone_id(id), false);
        }
        world
    }

    pub fn empty() -> Self {
        Self {
            state: State::with_grace(30_000),
            now: Timestamp(1_000_000),
            fakes: BTreeMap::new(),
            suites: BTreeMap::new(),
            ledger: Ledger::default(),
            ready: BTreeSet::new(),
            log: Vec::new(),
        }
    }

    pub fn input(&mut self, input: Input) -> Vec<Action> {
        let actions = self.state.step(self.now, input.clone());
        if let Input::Drone { drone, what } = &input {
            match what {
                DroneInput::Info(_) => {
                    self.ready.insert(drone.clone());
                }
                DroneInput::Connected { .. } | DroneInput::Disconnected | DroneInput::Left => {
                    self.ready.remove(drone);
                }
                _ => {}
            }
        }
        self.ledger.record(self.now, &input, &actions);
        for action in &actions {
            match action {
                Action::Start { drone, job, lease } => self.tell(drone, Word::Start(job.clone(), *lease)),
                Action::Send { drone, message } => self.tell(drone, Word::Message(message.clone())),
                _ => {}
            }
        }
        self.log.push(actions.clone());
        let view = View {
            state: &self.state,
            ledger: &self.ledger,
            ready: &self.ready,
            now: self.now,
        };
        view.check();
        self.ledger.check_over();
        actions
    }

    fn tell(&mut self, drone: &DroneId, word: Word) {
        if let Some(fake) = self.fakes.get_mut(drone).filter(|fake| fake.connected) {
            fake.inbox.push_back(word);
        }
    }

    pub fn submit(&mut self, mut new: NewJob, mut suite: Suite) -> Vec<Action> {
        new.submitted = self.now;
        suite.tests = new.job_type.tests();
        self.suites.insert(new.id.clone(), suite);
        self.ledger.saved.entry(new.id.clone()).or_default().new = Some(new.clone());
        self.input(Input::Submit(Box::new(new)))
    }

    pub fn drone(&mut self, id: &DroneId, what: DroneInput) -> Vec<Action> {
        self.input(Input::Drone {
            drone: id.clone(),
            what,
        })
    }

    pub fn says(&mut self, id: &str, job: &str, what: JobInput) -> Vec<Action> {
        let (job, lease) = (job_id(job), None);
        self.drone(&drone_id(id), DroneInput::Job { job, lease, what })
    }

    /// Connects as the protocol has it: what was not acknowledged comes before `drone:resume`.
    pub fn connect(&mut self, id: &DroneId, gap: bool) {
        let fake = self.fakes.get_mut(id).unwrap();
        fake.inbox.clear();
        fake.connected = true;
        let (life, info, name) = (fake.life, fake.info.clone(), id.to_string());
        let incarnation = Incarnation::new(format!("{id}.{life}")).unwrap();
        self.ledger.applied.insert(id.clone(), (incarnation.clone(), 0));
        self.drone(id, DroneInput::Connected { incarnation, name, gap });
        while self.deliver(id) {}
        self.drone(id, DroneInput::Info(info));
        let resume = self.fakes[id].resume();
        self.drone(id, DroneInput::Resume(resume));
    }

    pub fn disconnect(&mut self, id: &DroneId) {
        self.fakes.get_mut(id).unwrap().disconnect();
        self.drone(id, DroneInput::Disconnected);
    }

    /// One message of a drone reaches the queen.
    pub fn deliver(&mut self, id: &DroneId) -> bool {
        let fake = self.fakes.get_mut(id).unwrap();
        if !fake.connected {
            return false;
        }
        let Some(what) = fake.outbox.pop_front() else {
            return false;
        };
        self.drone(id, what);
        true
    }

    /// Time passes; what is due happens.
    pub fn pass(&mut self, ms: u64) {
        self.now = self.now.plus(ms);
        if self.state.next_wake().is_some_and(|at| at <= self.now) {
            self.input(Input::Wake);
            assert!(
                self.state.next_wake().is_none_or(|at| at > self.now),
                "a wake that leaves things due"
            );
        }
    }

    /// The queen is killed and starts again from what it wrote.
    pub fn restart_queen(&mut self) {
        let (jobs, drones) = (self.ledger.open(), self.ledger.drones());
        self.state = State::with_grace(30_000).restore(jobs, drones, self.now);
        for fake in self.fakes.values_mut() {
            fake.disconnect();
        }
        self.ready.clear();
        self.ledger.suspend();
        self.input(Input::Wake);
    }

    /// Everybody does what there is to do, well, until nothing is left but time; then that passes.
    pub fn settle(&mut self) {
        for _ in 0..100_000 {
            if self.all_quiet() {
                if self.all_final() {
                    return;
                }
                let Some(at) = self.state.next_wake() else { break };
                let ms = at.since(self.now);
                self.pass(ms);
            }
        }
        let open: Vec<_> = self
            .saved
            .keys()
            .filter_map(|id| Some((id, self.state.explain(id, self.now)?)))
            .collect();
        panic!("jobs that never end: {open:#?}\n{:#?}", self.state.drones());
    }

    /// Goes on until nobody has anything to do; true if nobody had.
    pub fn all_quiet(&mut self) -> bool {
        let ids: Vec<DroneId> = self.fakes.keys().cloned().collect();
        let mut quiet = true;
        for id in &ids {
            let fake = self.fakes.get_mut(id).unwrap();
            let received = fake.connected && fake.receive();
            let worked = fake.work(&self.suites, 0);
            quiet &= !(received | worked | self.deliver(id));
        }
        quiet
    }

    /// Nothing of messages is left on the way.
    pub fn deliver_all(&mut self) {
        let ids: Vec<DroneId> = self.fakes.keys().cloned().collect();
        let mut more = true;
        while more {
            more = false;
            for id in &ids {
                let fake = self.fakes.get_mut(id).unwrap();
                more |= fake.connected && fake.receive();
                more |= self.deliver(id);
            }
        }
    }

    fn all_final(&self) -> bool {
        self.saved.values().all(crate::ledger::Saved::is_final)
    }

    pub fn row(&self, job: &str) -> &JobRow {
        self.saved[&job_id(job)].row.as_ref().unwrap()
    }

    pub fn files(&self, job: &str) -> Vec<&FileRow> {
        self.saved[&job_id(job)].files.values().collect()
    }

    /// The drone that holds the home lease.
    pub fn home(&self, job: &str) -> Option<String> {
        let held = |lease: &&LeaseRow| lease.role == shared::protocol::to_drone::Role::Home;
        self.saved[&job_id(job)]
            .live()
            .find(held)
            .map(|lease| lease.drone.to_string())
    }

    pub fn live(&self, job: &str) -> Vec<String> {
        let live = self.saved[&job_id(job)].live();
        live.map(|lease| lease.drone.to_string()).collect()
    }
}
