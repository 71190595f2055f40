//! One world from its beginning to its end: what happens, in which order, and that it comes to rest.
//!
//! Everything is drawn from the world's number. After the last happening the faults stop, a drone that fits every job
//! stays, and then every job must end and nothing may be left anywhere.

use super::{
    link::{Down, Drone, End, Up},
    queen::{Queen, Slips, Tell},
    seed::{Move, Rng, Spec},
    trace::Trace,
};
use crate::{
    fake::{Suite, Word},
    ledger::Ledger,
    world::drone_id,
};
use scheduler::{DroneInput, Faults, Input, NewJob};
use shared::{
    Attempt, DroneId, JobId, LeaseToken, Num, Timestamp,
    protocol::{ToDrone, to_queen::Info},
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Rounds after which a world that does not come to rest never will.
const ROUNDS: u32 = 20_000;

pub struct Sim {
    rng: Rng,
    spec: Spec,
    faults: Faults,
    slips: Slips,
    /// Real milliseconds since the beginning, and how far the queen's clock is off.
    passed: u64,
    skew: i64,
    queen: Option<Queen>,
    pub written: Ledger,
    drones: Vec<Drone>,
    to_submit: VecDeque<(NewJob, Suite)>,
    suites: BTreeMap<JobId, Suite>,
    wires: u64,
    /// Which drone was told of which lease, for ever.
    tokens: BTreeMap<JobId, BTreeMap<LeaseToken, DroneId>>,
    /// Which file each number was told as, for ever.
    runs: BTreeMap<(JobId, Num), (String, Attempt, LeaseToken)>,
    pub trace: Trace,
}

impl Sim {
    pub fn new(seed: u64, faults: Faults, slips: Slips, whole: bool) -> Self {
        let mut rng = Rng::new(seed);
        let spec = Spec::new(&mut rng);
        let drones = spec
            .drones
            .iter()
            .map(|made| Drone::new(drone_id(&made.name), made))
            .collect();
        let mut sim = Self {
            rng,
            faults,
            slips,
            passed: 0,
            skew: 0,
            queen: None,
            written: Ledger::default(),
            drones,
            to_submit: spec.jobs.iter().cloned().collect(),
            suites: BTreeMap::new(),
            wires: 0,
            tokens: BTreeMap::new(),
            runs: BTreeMap::new(),
            trace: Trace::new(whole),
            spec,
        };
        sim.start();
        sim
    }

    fn clock(&self) -> Timestamp {
        Timestamp(1_000_000_000 + self.passed.cast_signed() + self.skew)
    }

    /// All of it.
    pub fn run(&mut self) {
        self.trace.made(&self.spec);
        for _ in 0..self.spec.steps {
            let mut at = self.rng.below(self.spec.weights.iter().map(|(weight, _)| weight).sum());
            let chosen = self.spec.weights.iter().find(|(weight, _)| {
                let here = at < *weight;
                at = at.saturating_sub(*weight);
                here
            });
            let Some((_, chosen)) = chosen.copied() else { continue };
            let drone = self.rng.below(self.drones.len() as u64) as usize;
            self.happen(chosen, drone);
            self.follow();
        }
        self.heal();
        self.settle();
        self.check_rest();
    }

    /// Drones send what they have to say, the queen wakes if it is time, and what came of it is noted.
    fn follow(&mut self) {
        for drone in &mut self.drones {
            drone.send();
            drone.prune();
        }
        let (clock, late) = (self.clock(), self.rng.chance(20));
        if let Some(queen) = &mut self.queen
            && queen.is_due(clock)
            && !late
        {
            queen.wake(clock);
        }
        self.note();
    }

    /// Notes also the step that broke down.
    pub fn note_rest(&mut self) {
        if let Some(queen) = &mut self.queen {
            for (input, actions) in queen.steps.drain(..) {
                self.trace.step(input, actions);
            }
        }
    }

    fn note(&mut self) {
        let Some(queen) = &mut self.queen else { return };
        for (input, actions) in queen.steps.drain(..) {
            self.trace.step(input, actions);
        }
        let early = std::mem::take(&mut queen.early);
        self.let_out(early);
    }

    fn happen(&mut self, what: Move, at: usize) {
        self.trace.happens(what, &self.drones[at].id, self.clock());
        let dice = self.rng.dice();
        let clock = self.clock();
        match what {
            Move::Bustle => {
                for at in 0..self.drones.len() {
                    self.turn(at);
                }
                self.commit();
            }
            Move::Work => drop(self.work(at, dice)),
            Move::Heed => drop(self.drones[at].fake.receive()),
            Move::Up => drop(self.up(at, 1 + self.dice_size(dice))),
            Move::Down => {
                for _ in 0..=self.dice_size(dice) {
                    self.drones[at].arrive();
                }
            }
            Move::Commit => self.commit(),
            Move::Connect => self.connect(at),
            Move::Lose => self.drones[at].lose(),
            Move::Notice => self.notice(at),
            Move::Restart if dice.is_multiple_of(4) => self.drones[at].leave(),
            Move::Restart => self.drones[at].restart(),
            Move::Gap => self.drones[at].forget(1 + dice as usize % 3),
            Move::Change => self.change(at, dice),
            Move::Pass => self.passed += u64::from(dice % [500, 5_000, 40_000][dice as usize % 3]),
            Move::Jump => {
                let far = i64::from(dice % 200_000);
                self.skew += if dice & (1 << 20) == 0 { far } else { -far };
            }
            Move::Kill => self.kill(),
            Move::Fail => {
                self.kill();
                self.start();
            }
            Move::Start => self.start(),
            Move::Submit => self.submit(),
            Move::Cancel => {
                let jobs: Vec<JobId> = self.suites.keys().cloned().collect();
                if let (Some(queen), false) = (&mut self.queen, jobs.is_empty()) {
                    let (job, reason) = (jobs[dice as usize % jobs.len()].clone(), "enough".to_owned());
                    queen.step(clock, Input::Cancel { job, reason });
                }
            }
            Move::Drain => {
                let id = self.drones[at].id.clone();
                match &mut self.queen {
                    Some(queen) if dice & 1 == 0 => queen.drone(clock, &id, DroneInput::Drain(dice & 2 == 0)),
                    // Somebody on the machine wants it.
                    _ => self.drones[at].fake.leave(),
                }
            }
        }
        if let Some(queen) = &mut self.queen
            && self.rng.chance(self.spec.sealed)
        {
            queen.seal();
        }
        self.passed += self.rng.below(300);
    }

    /// How many messages come at once: often one, sometimes all.
    fn dice_size(&self, dice: u32) -> usize {
        [0, 0, 2, 30][dice as usize % 4]
    }

    fn work(&mut self, at: usize, dice: u32) -> bool {
        let fake = &mut self.drones[at].fake;
        let before = fake.deploys.len();
        let worked = fake.work(&self.suites, dice);
        if let Some(job) = self.drones[at].fake.deploys.get(before) {
            let all = self.drones.iter().flat_map(|drone| &drone.fake.deploys);
            let begun = all.filter(|begun| *begun == job).count();
            assert_eq!(begun, 1, "broken: a deploy begins once: {job}");
        }
        worked
    }

    fn submit(&mut self) {
        let clock = self.clock();
        let Some(queen) = &mut self.queen else { return };
        let Some((mut new, suite)) = self.to_submit.pop_front() else {
            return;
        };
        new.submitted = clock;
        new.delay_until = new.delay_until.map(|delay| clock.plus(delay.since(Timestamp(0))));
        self.suites.insert(new.id.clone(), suite);
        queen.submit(clock, new);
    }

    fn connect(&mut self, at: usize) {
        if self.queen.is_some() {
            self.wires += 1;
            self.drones[at].connect(self.wires);
        }
    }

    /// So many messages of a drone reach the queen, from any of its connections.
    fn up(&mut self, at: usize, count: usize) -> bool {
        let clock = self.clock();
        let drone = &mut self.drones[at];
        let now = drone.life();
        let full: Vec<usize> = (0..drone.wires.len())
            .filter(|wire| !drone.wires[*wire].up.is_empty())
            .collect();
        let Some(queen) = self.queen.as_mut().filter(|_| !full.is_empty()) else {
            return false;
        };
        let wire = &mut drone.wires[full[self.rng.below(full.len() as u64) as usize]];
        if let Some(Up::Hello { life, first }) = wire.up.front().cloned() {
            wire.up.pop_front();
            wire.queen = End::Session;
            let gap = queen.hello(clock, &drone.id, wire.id, life.clone(), first);
            let told = drone.gap || life != now;
            assert!(
                !gap || told,
                "broken: nothing that was acknowledged is lost: {}",
                drone.id
            );
            let id = wire.id;
            for older in drone.wires.iter_mut().filter(|older| older.id != id) {
                if older.queen == End::Session {
                    older.queen = End::Closed;
                    older.up.clear();
                }
            }
        } else {
            let count = count.min(wire.up.len());
            let messages: Vec<Up> = wire.up.drain(..count).collect();
            if matches!(messages.last(), Some(Up::Goodbye)) {
                wire.queen = End::Closed;
            }
            queen.said(clock, &drone.id, wire.id, messages);
        }
        true
    }

    fn notice(&mut self, at: usize) {
        let clock = self.clock();
        let drone = &mut self.drones[at];
        for wire in drone.wires.iter_mut().filter(|wire| !wire.open) {
            if wire.queen == End::Session
                && let Some(queen) = &mut self.queen
            {
                queen.gone(clock, &drone.id, wire.id);
            }
            wire.queen = End::Closed;
            wire.up.clear();
        }
        // A connection that only the queen's end has lost.
        if drone
            .wires
            .last()
            .is_some_and(|wire| wire.open && wire.queen == End::Closed)
            && self.rng.chance(70)
        {
            drone.lose();
        }
        if drone.fake.draining && drone.fake.holds().is_empty() {
            // What was told to drain leaves when it is through.
            drone.leave();
        }
    }

    fn change(&mut self, at: usize, dice: u32) {
        let fake = &mut self.drones[at].fake;
        let made = &self.spec.drones[at];
        fake.info = match dice % 4 {
            0 => made.info.clone(),
            1 => Info {
                capacity: 1 + dice / 4 % 8,
                ..made.info.clone()
            },
            2 => Info {
                speed: [1, 0, 1_000_000][dice as usize / 4 % 3],
                ..made.info.clone()
            },
            _ if at > 0 => Info {
                labels: Vec::new(),
                plugins: Vec::new(),
                ..made.info.clone()
            },
            _ => return,
        };
        let info = fake.info();
        fake.outbox.push_back(DroneInput::Info(info));
    }

    fn commit(&mut self) {
        if let Some(queen) = &mut self.queen {
            let tells = queen.commit(&mut self.written);
            self.let_out(tells);
        }
    }

    /// What the queen says, as the world sees it.
    fn let_out(&mut self, tells: Vec<Tell>) {
        for (drone, wire, message) in tells {
            match &message {
                Down::Word(Word::Start(job, lease)) => {
                    let given = self.tokens.entry(job.clone()).or_default();
                    let last = given.last_key_value().map(|(token, _)| *token);
                    let known = given.get(&lease.token) == Some(&drone);
                    assert!(
                        known || last < Some(lease.token),
                        "broken: a token is given once: {} of {job} to {drone}",
                        lease.token
                    );
                    given.insert(lease.token, drone.clone());
                }
                Down::Word(Word::Message(ToDrone::JobRun { job, lease, files })) => {
                    for file in files {
                        let new = (file.path.clone(), file.attempt, *lease);
                        let old = self.runs.insert((job.clone(), file.num), new.clone());
                        assert!(
                            old.as_ref().is_none_or(|old| *old == new),
                            "broken: a number is one command: {} of {job}: {old:?}, {new:?}",
                            file.num
                        );
                    }
                }
                _ => {}
            }
            let Some(drone) = self.drones.iter_mut().find(|held| held.id == drone) else {
                continue;
            };
            let wire = drone.wires.iter_mut().find(|held| held.id == wire);
            if let Some(wire) = wire.filter(|wire| wire.open && wire.queen == End::Session) {
                wire.down.push_back(message);
            }
        }
    }

    fn kill(&mut self) {
        if self.queen.take().is_some() {
            for wire in self.drones.iter_mut().flat_map(|drone| &mut drone.wires) {
                wire.queen = End::Closed;
                wire.up.clear();
            }
            // Whoever submitted a job and got no answer does it again.
            let open = self
                .to_submit
                .iter()
                .map(|(new, _)| new.id.clone())
                .collect::<BTreeSet<_>>();
            let lost =
                |(new, _): &&(NewJob, Suite)| !self.written.saved.contains_key(&new.id) && !open.contains(&new.id);
            let lost: Vec<_> = self.spec.jobs.iter().filter(lost).cloned().collect();
            self.to_submit.extend(lost);
        }
    }

    fn start(&mut self) {
        if self.queen.is_none() {
            self.written.check_over();
            self.queen = Some(Queen::start(&self.written, self.clock(), self.faults, self.slips));
        }
        self.note();
    }

    /// The faults stop.
    fn heal(&mut self) {
        self.trace.says("from here on nothing goes wrong any more");
        self.start();
        while !self.to_submit.is_empty() {
            self.submit();
        }
        let clock = self.clock();
        for at in 0..self.drones.len() {
            let stays = at == 0 || self.spec.all_stay;
            let drone = &mut self.drones[at];
            if !stays {
                drone.lose();
                drone.left = true;
            }
            if stays
                && self
                    .queen
                    .as_ref()
                    .is_some_and(|queen| queen.ahead.drained.get(&drone.id) == Some(&true))
            {
                let id = drone.id.clone();
                if let Some(queen) = &mut self.queen {
                    queen.drone(clock, &id, DroneInput::Drain(false));
                }
            }
            let fake = &mut self.drones[at].fake;
            fake.info = self.spec.drones[at].info.clone();
            let info = fake.info();
            fake.outbox.push_back(DroneInput::Info(info));
        }
        self.follow();
    }

    /// Everybody does what there is to do until nothing is left but time; then that passes.
    fn settle(&mut self) {
        for _ in 0..ROUNDS {
            if self.round() {
                continue;
            }
            let clock = self.clock();
            let Some(queen) = &mut self.queen else { return };
            match queen.state.next_wake() {
                Some(at) if at > clock => {
                    self.passed += at.since(clock);
                    let clock = self.clock();
                    self.trace.says("time passes");
                    if let Some(queen) = &mut self.queen {
                        queen.wake(clock);
                    }
                    self.note();
                }
                Some(_) => {
                    queen.wake(clock);
                    self.note();
                }
                None => return,
            }
            let over = self.written.saved.values().all(crate::ledger::Saved::is_final);
            let held = self
                .drones
                .iter()
                .any(|drone| !drone.left && !drone.fake.holds().is_empty());
            if over
                && !held
                && self
                    .queen
                    .as_ref()
                    .is_some_and(|queen| queen.state.next_wake().is_none())
            {
                return;
            }
        }
        let open = self.written.saved.iter().filter(|(_, saved)| !saved.is_final());
        let open: Vec<_> = open
            .map(|(id, saved)| (id, &saved.row, saved.live().collect::<Vec<_>>()))
            .collect();
        panic!("broken: a job ends when a fitting drone stays: {open:#?}");
    }

    /// One drone does what it has to do, once of each kind; true if there was anything.
    fn turn(&mut self, at: usize) -> bool {
        let dice = self.rng.dice();
        let mut busy = self.drones[at].arrive();
        busy |= self.drones[at].fake.receive();
        busy |= self.work(at, dice);
        self.drones[at].send();
        busy |= self.up(at, usize::MAX);
        self.note();
        busy
    }

    /// Everybody once; true if anybody had something to do.
    fn round(&mut self) -> bool {
        let mut busy = false;
        for at in 0..self.drones.len() {
            self.notice(at);
            let drone = &mut self.drones[at];
            if drone
                .wires
                .last()
                .is_some_and(|wire| wire.open && wire.queen == End::Closed && wire.down.is_empty())
            {
                drone.lose();
            }
            if !self.drones[at].left && !self.drones[at].connected() {
                self.connect(at);
                busy = true;
            }
            if self.drones[at].left {
                continue;
            }
            busy |= self.turn(at);
            self.drones[at].prune();
        }
        if let Some(queen) = &mut self.queen
            && !queen.is_written()
        {
            queen.seal();
            self.commit();
            busy = true;
        }
        busy
    }

    /// All is over: nothing is left with the queen or with a drone.
    fn check_rest(&mut self) {
        while self.queen.as_ref().is_some_and(|queen| !queen.is_written()) {
            self.commit();
        }
        let open = self.written.saved.iter().filter(|(_, saved)| !saved.is_final());
        let open: Vec<_> = open
            .map(|(id, saved)| (id, &saved.row, saved.live().collect::<Vec<_>>()))
            .collect();
        assert!(
            open.is_empty(),
            "broken: a job ends when a fitting drone stays: {open:#?}"
        );
        assert_eq!(
            self.written.saved.len(),
            self.spec.jobs.len(),
            "broken: no job is forgotten"
        );
        self.written.check_over();
        for drone in self.drones.iter().filter(|drone| !drone.left) {
            let held = drone.fake.holds();
            assert!(
                held.is_empty(),
                "broken: every lease is cleaned up: {} has {held:?}",
                drone.id
            );
        }
        let Some(queen) = &self.queen else { return };
        let now = self.clock();
        for id in self.written.saved.keys() {
            assert!(queen.state.job(id).is_none(), "broken: what is over is forgotten: {id}");
        }
        assert!(queen.state.queue(now).is_empty(), "broken: nothing waits at the end");
        for drone in queen.state.drones() {
            assert_eq!(
                (drone.active, drone.queued, drone.jobs.len()),
                (0, 0, 0),
                "broken: every slot is free at the end: {drone:?}"
            );
        }
    }
}
