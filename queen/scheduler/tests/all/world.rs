//! A store and a fleet around one scheduler; what must always hold is checked after every step.

use crate::fake::{Fake, Suite, Word};
use scheduler::{
    Action, DroneInput, FileRow, FileState, Input, JobInput, JobRow, LeaseRow, LeaseState, NewJob, Record, State,
};
use shared::{
    Attempt, DroneId, Incarnation, JobId, JobType, LeaseToken, Num, Project, Timestamp,
    outcome::FileOutcome,
    protocol::{
        JobEvent, ToDrone,
        event::{Edge, Phase},
        to_queen::Info,
    },
};
use std::collections::{BTreeMap, BTreeSet};

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
        plan: shared::protocol::event::Plan {
            prepare_commands: 1,
            cleanup_commands: 1,
            ..Default::default()
        },
        tests: true,
    }
}

#[derive(Debug, Default)]
struct Saved {
    new: Option<NewJob>,
    row: Option<JobRow>,
    files: BTreeMap<u32, FileRow>,
    leases: BTreeMap<LeaseToken, LeaseRow>,
}

pub struct World {
    pub state: State,
    pub now: Timestamp,
    pub grace: u64,
    pub fakes: BTreeMap<DroneId, Fake>,
    pub suites: BTreeMap<JobId, Suite>,
    saved: BTreeMap<JobId, Saved>,
    drained: BTreeMap<DroneId, bool>,
    learned: BTreeMap<DroneId, f64>,
    lives: BTreeMap<DroneId, Incarnation>,
    /// Accepted results, by job, try of the job, file and attempt.
    results: BTreeMap<(JobId, u32, String, Attempt), FileOutcome>,
    /// Attempts that are out: which lease has them.
    out: BTreeMap<(JobId, String), (LeaseToken, Num)>,
    commands: BTreeMap<(JobId, Num), LeaseToken>,
    deploys: BTreeMap<JobId, LeaseToken>,
    /// Drones that have said on their connection what they can do.
    ready: BTreeSet<DroneId>,
    pub events: BTreeMap<JobId, Vec<JobEvent>>,
    pub drops: BTreeMap<&'static str, u32>,
    /// Everything that was said, to compare two runs.
    pub log: Vec<Vec<Action>>,
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
            grace: 30_000,
            fakes: BTreeMap::new(),
            suites: BTreeMap::new(),
            saved: BTreeMap::new(),
            drained: BTreeMap::new(),
            learned: BTreeMap::new(),
            lives: BTreeMap::new(),
            results: BTreeMap::new(),
            out: BTreeMap::new(),
            commands: BTreeMap::new(),
            deploys: BTreeMap::new(),
            ready: BTreeSet::new(),
            events: BTreeMap::new(),
            drops: BTreeMap::new(),
            log: Vec::new(),
        }
    }

    pub fn input(&mut self, input: Input) -> Vec<Action> {
        let actions = self.state.step(self.now, input.clone());
        if let Input::Drone { drone, what } = &input {
            match what {
                DroneInput::Info(_) => drop(self.ready.insert(drone.clone())),
                DroneInput::Connected { .. } | DroneInput::Disconnected => drop(self.ready.remove(drone)),
                _ => {}
            }
        }
        self.apply(&input, &actions);
        self.log.push(actions.clone());
        self.check();
        actions
    }

    pub fn submit(&mut self, mut new: NewJob, mut suite: Suite) -> Vec<Action> {
        new.submitted = self.now;
        suite.tests = new.job_type.tests();
        self.suites.insert(new.id.clone(), suite);
        self.saved.entry(new.id.clone()).or_default().new = Some(new.clone());
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
        self.lives.insert(id.clone(), incarnation.clone());
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
        let Some((job, token, what)) = fake.outbox.pop_front() else {
            return false;
        };
        self.drone(
            id,
            DroneInput::Job {
                job,
                lease: Some(token),
                what,
            },
        );
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
        let open = |saved: &&Saved| saved.row.as_ref().is_some_and(|row| !row.state.is_final());
        let jobs = self.saved.values().filter(open).map(|saved| {
            (
                saved.new.clone().unwrap(),
                saved.row.clone().unwrap(),
                saved.files.values().cloned().collect(),
                saved.leases.values().cloned().collect(),
            )
        });
        let drones = self.fakes.keys().map(|id| {
            let drained = self.drained.get(id).copied().unwrap_or(false);
            (
                id.clone(),
                self.lives.get(id).cloned(),
                drained,
                self.learned.get(id).copied(),
            )
        });
        self.state = State::with_grace(self.grace).restore(jobs.collect(), drones.collect(), self.now);
        for fake in self.fakes.values_mut() {
            fake.disconnect();
        }
        self.ready.clear();
        for lease in self.saved.values_mut().flat_map(|saved| saved.leases.values_mut()) {
            if lease.state == LeaseState::Live {
                lease.state = LeaseState::Suspended;
            }
        }
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
        self.saved
            .values()
            .all(|saved| saved.row.as_ref().is_some_and(|row| row.state.is_final()))
    }

    pub fn row(&self, job: &str) -> &JobRow {
        self.saved[&job_id(job)].row.as_ref().unwrap()
    }

    pub fn files(&self, job: &str) -> Vec<&FileRow> {
        self.saved[&job_id(job)].files.values().collect()
    }

    /// The drone that holds the home lease.
    pub fn home(&self, job: &str) -> Option<String> {
        let held = |lease: &&LeaseRow| {
            lease.state != LeaseState::Ended && lease.role == shared::protocol::to_drone::Role::Home
        };
        self.saved[&job_id(job)]
            .leases
            .values()
            .find(held)
            .map(|lease| lease.drone.to_string())
    }

    pub fn live(&self, job: &str) -> Vec<String> {
        let live = |lease: &&LeaseRow| lease.state != LeaseState::Ended;
        self.saved[&job_id(job)]
            .leases
            .values()
            .filter(live)
            .map(|lease| lease.drone.to_string())
            .collect()
    }

    fn apply(&mut self, input: &Input, actions: &[Action]) {
        if let Input::Drone {
            what:
                DroneInput::Job {
                    job,
                    what: JobInput::Returned { nums },
                    ..
                },
            ..
        } = input
        {
            self.out.retain(|(id, _), (_, num)| id != job || !nums.contains(num));
        }
        for action in actions {
            match action {
                Action::Accept { outcome } => self.accepted(input, *outcome),
                Action::Drop { why } => *self.drops.entry(why).or_default() += 1,
                Action::Emit(event) => {
                    if let JobEvent::FileDone {
                        job,
                        path,
                        attempt,
                        result,
                        ..
                    } = event
                    {
                        self.result(job, path.clone(), *attempt, result.outcome);
                    }
                    self.event(event.clone());
                }
                Action::Save(record) => self.save(record.clone()),
                Action::Start { drone, job, lease } => self.tell(drone, Word::Start(job.clone(), *lease)),
                Action::Send { drone, message } => {
                    if let ToDrone::JobRun { job, lease, files } = message {
                        for file in files {
                            let new = (*lease, file.num);
                            let old = self.out.insert((job.clone(), file.path.clone()), new);
                            assert!(old.is_none_or(|old| old == new), "{} of {job} is out twice", file.path);
                        }
                    }
                    if let ToDrone::JobPhase {
                        job,
                        lease,
                        phase: Phase::Deploy,
                        ..
                    } = message
                    {
                        let old = self.deploys.insert(job.clone(), *lease);
                        assert!(old.is_none_or(|old| old == *lease), "{job} is deployed again");
                    }
                    self.tell(drone, Word::Message(message.clone()));
                }
            }
        }
    }

    fn event(&mut self, event: JobEvent) {
        let events = self.events.entry(event.job().clone()).or_default();
        let done = matches!(events.last(), Some(JobEvent::Done { .. }));
        assert!(!done, "after job:done: {event:?}");
        events.push(event);
    }

    fn tell(&mut self, drone: &DroneId, word: Word) {
        let fake = self.fakes.get_mut(drone).unwrap();
        if fake.connected {
            fake.inbox.push_back(word);
        }
    }

    fn accepted(&mut self, input: &Input, outcome: Option<FileOutcome>) {
        let Input::Drone {
            drone,
            what: DroneInput::Job { job, what, .. },
        } = input
        else {
            panic!("accepted: {input:?}");
        };
        let at = self.now;
        match what {
            JobInput::FileDone {
                num,
                attempt,
                outcome: said,
                ..
            } => {
                let row = self.saved[job]
                    .files
                    .values()
                    .find(|file| file.num == Some(*num))
                    .unwrap()
                    .clone();
                self.result(job, row.path, *attempt, outcome.unwrap_or(*said));
            }
            JobInput::CmdStart { num } => {
                let saved = &self.saved[job];
                let held = saved
                    .leases
                    .values()
                    .find(|l| l.drone == *drone && l.state != LeaseState::Ended);
                let token = held.expect("a command under a lease that is over").token;
                let old = self.commands.insert((job.clone(), *num), token);
                assert!(old.is_none(), "command {num} of {job} begins twice");
            }
            JobInput::Phase { phase, edge, code } => {
                let (job, drone) = (job.clone(), Some(drone.clone()));
                self.event(JobEvent::Phase {
                    job,
                    phase: *phase,
                    edge: *edge,
                    code: *code,
                    at,
                    drone,
                });
            }
            JobInput::Started => self.event(JobEvent::Started {
                job: job.clone(),
                at,
                drone: Some(drone.clone()),
            }),
            JobInput::Deployed { code } => self.event(JobEvent::Deployed {
                job: job.clone(),
                code: *code,
                at,
            }),
            _ => {}
        }
    }

    fn result(&mut self, job: &JobId, path: String, attempt: Attempt, outcome: FileOutcome) {
        self.out.remove(&(job.clone(), path.clone()));
        let round = self.saved[job].row.as_ref().map_or(1, |row| row.attempt);
        let old = self
            .results
            .insert((job.clone(), round, path.clone(), attempt), outcome);
        assert_eq!(old, None, "a second result of attempt {attempt} of {path} in {job}");
    }

    fn save(&mut self, record: Record) {
        match record {
            Record::Job(row) => {
                let saved = self.saved.entry(row.id.clone()).or_default();
                if let Some(old) = saved.row.replace(row.clone()) {
                    let legal = old.state == row.state || old.state.may_become(row.state);
                    assert!(legal, "{}: {} to {}", row.id, old.state, row.state);
                    assert!(old.next_token <= row.next_token && old.next_num <= row.next_num);
                    assert!(!old.deploy_given || row.deploy_given);
                }
            }
            Record::File(row) => {
                if row.state == FileState::Pending {
                    self.out.remove(&(row.job.clone(), row.path.clone()));
                }
                self.saved
                    .entry(row.job.clone())
                    .or_default()
                    .files
                    .insert(row.index, row);
            }
            Record::NoFiles(job) => self.saved.entry(job).or_default().files.clear(),
            Record::Lease(row) => {
                if row.state == LeaseState::Ended {
                    self.out
                        .retain(|(job, _), (token, _)| *job != row.job || *token != row.token);
                }
                self.saved
                    .entry(row.job.clone())
                    .or_default()
                    .leases
                    .insert(row.token, row);
            }
            Record::Drain { drone, on } => drop(self.drained.insert(drone, on)),
            Record::Learned { drone, factor } => {
                assert!(factor.is_finite() && factor > 0.0);
                self.learned.insert(drone, factor);
            }
        }
    }

    /// What must hold after every step.
    fn check(&self) {
        let drones = self.state.drones();
        let free = |drone: &scheduler::DroneStatus| {
            drone.connected
                && !drone.draining
                && drone.active < drone.info.capacity
                && self.ready.contains(&drone.drone)
        };
        let open: BTreeMap<&DroneId, &scheduler::DroneStatus> = drones
            .iter()
            .filter(|drone| free(drone))
            .map(|drone| (&drone.drone, drone))
            .collect();
        for (id, saved) in &self.saved {
            let Some(row) = &saved.row else { continue };
            let mut holders = BTreeSet::new();
            for lease in saved.leases.values().filter(|lease| lease.state != LeaseState::Ended) {
                assert!(holders.insert(&lease.drone), "{id}: two leases of {}", lease.drone);
            }
            if row.state.is_final() {
                self.check_over(id, saved);
                continue;
            }
            let state = self.state.job(id).unwrap_or_else(|| panic!("{id} is forgotten"));
            assert_eq!(state, row, "a change that was not saved");
            let done = saved
                .files
                .values()
                .filter(|file| file.state == FileState::Done)
                .count();
            assert_eq!(
                done,
                row.files_done as usize,
                "{id}: files done after {:#?}",
                self.log.last()
            );
            for file in saved.files.values().filter(|file| file.state == FileState::Out) {
                let token = file.token.unwrap();
                assert_ne!(
                    saved.leases[&token].state,
                    LeaseState::Ended,
                    "{id}: {} is lost",
                    file.path
                );
            }
            self.check_conserved(id, saved, &open);
        }
    }

    /// No work waits while a fitting slot is free.
    fn check_conserved(&self, id: &JobId, saved: &Saved, open: &BTreeMap<&DroneId, &scheduler::DroneStatus>) {
        let (row, new) = (saved.row.as_ref().unwrap(), saved.new.as_ref().unwrap());
        let stopping =
            row.cancel.is_some() || row.error.is_some() || row.test_code.is_some() || row.deploy_code.is_some();
        let live = |lease: &&LeaseRow| lease.state != LeaseState::Ended;
        if stopping || row.not_before.is_some_and(|at| at > self.now) {
            return;
        }
        let fits = |drone: &scheduler::DroneStatus| new.labels.iter().all(|label| drone.info.labels.contains(label));
        if !saved.leases.values().any(|lease| live(&lease)) {
            let idle = open.values().find(|drone| fits(drone));
            assert!(
                idle.is_none(),
                "{id} waits while {} has a free slot",
                idle.unwrap().drone
            );
        }
        if row.plan.is_some() && saved.files.values().any(|file| file.state == FileState::Pending) {
            let ready = |lease: &&LeaseRow| {
                lease.state == LeaseState::Live && lease.prepared && !lease.closing && open.contains_key(&lease.drone)
            };
            let idle = saved.leases.values().find(ready);
            assert!(
                idle.is_none(),
                "files of {id} wait while {} has a free slot",
                idle.unwrap().drone
            );
        }
    }

    /// What must hold of a job that is over.
    fn check_over(&self, id: &JobId, saved: &Saved) {
        let row = saved.row.as_ref().unwrap();
        assert!(row.finished.is_some());
        let ends = self.events[id]
            .iter()
            .filter(|event| matches!(event, JobEvent::Done { .. }))
            .count();
        assert_eq!(ends, 1, "{id}: job:done");
        if row.plan.is_some() {
            assert_eq!(saved.files.len(), row.files_total as usize, "{id}: files");
        }
        for file in saved.files.values() {
            assert_eq!(file.state, FileState::Done, "{id}: {} has no end", file.path);
            let outcome = file.outcome.unwrap();
            if outcome != FileOutcome::NotRun {
                let key = (id.clone(), row.attempt, file.path.clone(), file.attempt);
                assert_eq!(self.results.get(&key), Some(&outcome), "{id}: {}", file.path);
            }
        }
        if row.state == shared::JobState::Passed && saved.new.as_ref().unwrap().job_type.tests() {
            let passed = |file: &&FileRow| matches!(file.outcome, Some(FileOutcome::Passed | FileOutcome::Flaky));
            assert!(
                saved.files.values().any(|file| passed(&file)),
                "{id} passed without a test"
            );
            assert!(saved.files.values().all(|file| !file.outcome.unwrap().is_bad()));
        }
        let tested = |event: &JobEvent| {
            matches!(
                event,
                JobEvent::Phase {
                    phase: Phase::Test,
                    edge: Edge::Done,
                    ..
                }
            )
        };
        assert!(self.events[id].iter().filter(|event| tested(event)).count() <= row.attempt as usize);
    }
}
