//! The engine as a simulation has it: memory ahead of the store, batches, and what a commit lets out.
//!
//! It keeps the order of the real one: steps, one write for what they came to, and only then acknowledgements and
//! messages. What is promised of a step is checked here; what drones make of it in [`run`](super::run).

use super::link::{Down, Up};
use crate::{
    checks::View,
    fake::Word,
    ledger::{Ledger, Saved},
};
use scheduler::{Action, DroneInput, Faults, Input, NewJob, State};
use shared::{DroneId, Incarnation, JobId, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
};

/// Milliseconds that a drone may be away.
pub const GRACE: u64 = 30_000;
/// Milliseconds after which a job that waits rises by one priority.
const AGING: u64 = 300_000;

/// A part of a batch.
#[derive(Debug)]
enum Write {
    Submitted(Box<NewJob>),
    Step(Timestamp, Rc<Input>, Rc<Vec<Action>>),
    Applied(DroneId, Incarnation, u64),
}

impl Ledger {
    fn write(&mut self, write: &Write) {
        match write {
            Write::Submitted(new) => self.saved.entry(new.id.clone()).or_default().new = Some((**new).clone()),
            Write::Step(at, input, actions) => self.record(*at, input, actions),
            Write::Applied(drone, life, n) => {
                self.applied.insert(drone.clone(), (life.clone(), *n));
            }
        }
    }
}

/// What came in, and what it came to.
pub type Stepped = (Rc<Input>, Option<Rc<Vec<Action>>>);

/// A message, and on which connection it goes to whom.
pub type Tell = (DroneId, u64, Down);

/// One transaction and what it lets out.
#[derive(Debug, Default)]
struct Work {
    writes: Vec<Write>,
    tells: Vec<Tell>,
}

/// What the world gets wrong on purpose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Slips {
    /// Acknowledges before the write.
    pub early_ack: bool,
    /// Speaks to drones before the write.
    pub early_word: bool,
}

/// A queen that runs.
#[derive(Debug)]
pub struct Queen {
    pub state: State,
    pub ahead: Ledger,
    sessions: BTreeMap<DroneId, u64>,
    ready: BTreeSet<DroneId>,
    works: VecDeque<Work>,
    /// Said before its write, by mistake.
    pub early: Vec<Tell>,
    slips: Slips,
    now: Timestamp,
    began: Timestamp,
    /// Steps since they were last looked at; the answer is missing where it broke down.
    pub steps: Vec<Stepped>,
}

impl Queen {
    /// Starts from what is written.
    pub fn start(written: &Ledger, now: Timestamp, faults: Faults, slips: Slips) -> Self {
        let mut ahead = written.clone();
        ahead.suspend();
        let state = State::with_grace(GRACE).with_faults(faults);
        let mut queen = Self {
            state: state.restore(written.open(), written.drones(), now),
            ahead,
            sessions: BTreeMap::new(),
            ready: BTreeSet::new(),
            works: VecDeque::from([Work::default()]),
            early: Vec::new(),
            slips,
            now,
            began: now,
            steps: Vec::new(),
        };
        queen.step(now, Input::Wake);
        queen
    }

    fn gather(&mut self) -> &mut Work {
        if self.works.is_empty() {
            self.works.push_back(Work::default());
        }
        let last = self.works.len() - 1;
        &mut self.works[last]
    }

    /// What comes from now on belongs to another write.
    pub fn seal(&mut self) {
        if self.works.back().is_some_and(|work| !work.writes.is_empty()) {
            self.works.push_back(Work::default());
        }
    }

    fn write(&mut self, write: Write) {
        self.ahead.write(&write);
        self.gather().writes.push(write);
    }

    fn tell(&mut self, drone: &DroneId, message: Down) {
        let Some(wire) = self.sessions.get(drone).copied() else {
            return;
        };
        let early = match message {
            Down::Ack(_) => self.slips.early_ack,
            Down::Word(_) => self.slips.early_word,
        };
        let tell = (drone.clone(), wire, message);
        if early {
            self.early.push(tell);
        } else {
            self.gather().tells.push(tell);
        }
    }

    /// Writes the oldest batch; answers what that lets out.
    pub fn commit(&mut self, written: &mut Ledger) -> Vec<Tell> {
        let Some(work) = self.works.pop_front() else {
            return Vec::new();
        };
        for write in &work.writes {
            written.write(write);
        }
        work.tells
    }

    pub fn is_written(&self) -> bool {
        self.works
            .iter()
            .all(|work| work.writes.is_empty() && work.tells.is_empty())
    }

    pub fn is_due(&self, clock: Timestamp) -> bool {
        self.state.next_wake().is_some_and(|at| at <= clock)
    }

    pub fn wake(&mut self, clock: Timestamp) {
        self.step(clock, Input::Wake);
        let next = self.state.next_wake();
        assert!(
            next.is_none_or(|at| at > self.now),
            "broken: a wake leaves nothing due: {next:?} at {}",
            self.now
        );
    }

    pub fn submit(&mut self, clock: Timestamp, new: NewJob) {
        self.write(Write::Submitted(Box::new(new.clone())));
        self.step(clock, Input::Submit(Box::new(new)));
    }

    pub fn drone(&mut self, clock: Timestamp, drone: &DroneId, what: DroneInput) {
        let drone = drone.clone();
        self.step(clock, Input::Drone { drone, what });
    }

    pub fn step(&mut self, clock: Timestamp, input: Input) {
        self.now = self.now.max(clock);
        let input = Rc::new(input);
        self.steps.push((Rc::clone(&input), None));
        let waiting = self.waiting();
        let actions = Rc::new(self.state.step(clock, (*input).clone()));
        if let Some((_, answer)) = self.steps.last_mut() {
            *answer = Some(Rc::clone(&actions));
        }
        if let Input::Drone { drone, what } = &*input {
            match what {
                DroneInput::Info(_) => drop(self.ready.insert(drone.clone())),
                DroneInput::Connected { .. } | DroneInput::Disconnected | DroneInput::Left => {
                    self.ready.remove(drone);
                }
                _ => {}
            }
        }
        self.check_drops(&input, &actions);
        let given: Vec<_> = actions.iter().filter_map(|action| self.given(action)).collect();
        self.write(Write::Step(self.now, input, Rc::clone(&actions)));
        for action in &*actions {
            match action {
                Action::Start { drone, job, lease } => {
                    self.tell(drone, Down::Word(Word::Start(job.clone(), *lease)));
                }
                Action::Send { drone, message } => self.tell(drone, Down::Word(Word::Message(message.clone()))),
                _ => {}
            }
        }
        let view = View {
            state: &self.state,
            ledger: &self.ahead,
            ready: &self.ready,
            now: self.now,
        };
        view.check();
        for (drone, job) in given {
            self.check_order(&drone, &job, &waiting);
        }
        self.check_load(&actions);
    }

    /// A drone that obeys is never told that it had no right to speak so.
    fn check_drops(&self, input: &Input, actions: &[Action]) {
        for action in actions {
            if let Action::Drop {
                why: why @ ("bad-num" | "not-home"),
            } = action
            {
                panic!("broken: an obedient drone is heard: {why}: {input:?}");
            }
        }
    }

    /// Who gets a lease that nobody had before.
    fn given(&self, action: &Action) -> Option<(DroneId, JobId)> {
        let Action::Start { drone, job, lease } = action else {
            return None;
        };
        let known = self.ahead.saved.get(job)?.leases.contains_key(&lease.token);
        (!known).then(|| (drone.clone(), job.clone()))
    }

    /// Jobs that wait for a drone.
    fn waiting(&self) -> Vec<JobId> {
        let waits = |(_, saved): &(&JobId, &Saved)| {
            let open = saved.row.as_ref().is_some_and(|row| {
                let stopping = row.cancel.is_some() || row.error.is_some();
                let ended = row.test_code.is_some() || row.deploy_code.is_some();
                !row.state.is_final() && !stopping && !ended && row.not_before.is_none_or(|at| at <= self.now)
            });
            open && saved.live().next().is_none()
        };
        self.ahead
            .saved
            .iter()
            .filter(waits)
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// A slot goes to no job while one of higher priority waits that it fits too.
    fn check_order(&self, drone: &DroneId, job: &JobId, waiting: &[JobId]) {
        let (Some(status), Some(given)) = (self.state.drone(drone), self.ahead.saved[job].new.as_ref()) else {
            return;
        };
        if self.is_due(self.now) {
            return;
        }
        let has = |held: &[String], wanted: &[String]| wanted.iter().all(|word| held.contains(word));
        // The clock may have been turned back since it was submitted.
        let risen = self.now.since(given.submitted.min(self.began)) / AGING;
        let level = i64::from(given.priority) + i64::try_from(risen).unwrap_or(i64::MAX);
        for id in waiting {
            let saved = &self.ahead.saved[id];
            let Some(other) = saved
                .new
                .as_ref()
                .filter(|_| saved.live().next().is_none() && !saved.is_final())
            else {
                continue;
            };
            let fits = has(&status.info.labels, &other.labels) && has(&status.info.plugins, &other.plugins);
            assert!(
                !fits || i64::from(other.priority) <= level,
                "broken: higher priority goes first: {drone} was given {job} while {id} waits"
            );
        }
    }

    /// No drone is asked for more than its slots and a little ahead.
    fn check_load(&self, actions: &[Action]) {
        use shared::protocol::ToDrone;
        let asked = actions.iter().filter_map(|action| match action {
            Action::Start { drone, .. } => Some(drone),
            Action::Send {
                drone,
                message: ToDrone::JobRun { .. },
            } => Some(drone),
            _ => None,
        });
        for drone in asked.collect::<BTreeSet<_>>() {
            let Some(status) = self.state.drone(drone) else {
                continue;
            };
            let slots = status.info.capacity;
            if slots == 0 {
                continue;
            }
            let mut load = 0;
            for saved in self.ahead.saved.values() {
                for lease in saved.live().filter(|lease| lease.drone == *drone) {
                    let mine = |file: &&scheduler::FileRow| {
                        file.state == scheduler::FileState::Out && file.token == Some(lease.token)
                    };
                    load += u32::from(!lease.prepared) + saved.files.values().filter(mine).count() as u32;
                }
            }
            // Ahead it has the shortest files for 30 ms, each of a millisecond at least.
            // What it holds it keeps when it says that it has fewer slots; then it is given nothing new.
            let resumed = |message: &ToDrone| matches!(message, ToDrone::Resumed { .. });
            let said_again = actions
                .iter()
                .any(|action| matches!(action, Action::Send { message, .. } if resumed(message)));
            assert!(
                said_again || load <= slots + slots.div_ceil(2).min(4).max(30 * slots),
                "broken: slots are not given twice: {drone} has {load} of {slots}"
            );
        }
    }

    /// A connection says hello. Answers true if messages are missing for ever.
    pub fn hello(&mut self, clock: Timestamp, drone: &DroneId, wire: u64, life: Incarnation, first: u64) -> bool {
        if self.sessions.remove(drone).is_some() {
            self.drone(clock, drone, DroneInput::Disconnected);
        }
        let known = self
            .ahead
            .applied
            .get(drone)
            .filter(|(held, _)| *held == life)
            .map(|(_, n)| *n);
        let gap = known.is_some_and(|n| first > n + 1);
        let applied = known.filter(|_| !gap).unwrap_or(first - 1);
        self.write(Write::Applied(drone.clone(), life.clone(), applied));
        self.sessions.insert(drone.clone(), wire);
        self.tell(drone, Down::Ack(applied));
        let query = shared::protocol::ToDrone::QueryInfo {};
        self.tell(drone, Down::Word(Word::Message(query)));
        let what = DroneInput::Connected {
            incarnation: life,
            name: drone.to_string(),
            gap,
        };
        self.drone(clock, drone, what);
        gap
    }

    /// Messages of a connection, applied each once.
    pub fn said(&mut self, clock: Timestamp, drone: &DroneId, wire: u64, messages: Vec<Up>) {
        if self.sessions.get(drone) != Some(&wire) {
            return;
        }
        let Some((life, mut applied)) = self.ahead.applied.get(drone).cloned() else {
            return;
        };
        let left = matches!(messages.last(), Some(Up::Goodbye));
        for message in messages {
            let Up::Said(n, what) = message else { continue };
            if n <= applied {
                continue;
            }
            assert_eq!(n, applied + 1, "broken: messages come in order: {drone}");
            self.drone(clock, drone, what);
            applied = n;
        }
        self.tell(drone, Down::Ack(applied));
        self.write(Write::Applied(drone.clone(), life, applied));
        if left {
            self.sessions.remove(drone);
            self.drone(clock, drone, DroneInput::Left);
        }
    }

    /// A connection has ended.
    pub fn gone(&mut self, clock: Timestamp, drone: &DroneId, wire: u64) {
        if self.sessions.get(drone) == Some(&wire) {
            self.sessions.remove(drone);
            self.drone(clock, drone, DroneInput::Disconnected);
        }
    }
}
