//! From one number to a whole world: its drones, its jobs, and what it is prone to.
//!
//! Nothing but [`Rng`] decides, so that a number is the same world for ever and everywhere.

use crate::{fake::Suite, world::job_id};
use scheduler::NewJob;
use shared::{
    JobType, Project, Timestamp,
    protocol::{event::Plan, to_queen::Info},
    settings::Order,
};

/// Numbers from a number (splitmix64).
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `sides`.
    pub fn below(&mut self, sides: u64) -> u64 {
        self.draw() % sides.max(1)
    }

    /// True in so many of a hundred cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize].clone()
    }

    pub fn dice(&mut self) -> u32 {
        (self.draw() >> 32) as u32
    }
}

/// What can happen in a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    Submit,
    Cancel,
    /// Everybody does something.
    Bustle,
    /// A drone goes on with its work.
    Work,
    /// A drone's agent takes up a message.
    Heed,
    /// Messages of a drone reach the queen.
    Up,
    /// A message of the queen reaches a drone.
    Down,
    /// The oldest write is done, and what it lets out is said.
    Commit,
    /// The drone's end of a connection breaks.
    Lose,
    /// The queen sees that a connection is gone.
    Notice,
    Connect,
    /// A drone is killed and started again.
    Restart,
    /// A drone's messages are gone for good before anybody had them.
    Gap,
    Drain,
    /// A drone says that it can do something else.
    Change,
    Pass,
    /// The queen's clock jumps.
    Jump,
    /// The queen is killed between two writes.
    Kill,
    /// A write fails: the queen goes back to what is written.
    Fail,
    Start,
}

/// A drone as it is made.
#[derive(Debug, Clone)]
pub struct DroneSpec {
    pub name: String,
    pub info: Info,
    pub pace: u64,
    pub slots: usize,
}

/// A world as it is made.
#[derive(Debug, Clone)]
pub struct Spec {
    pub drones: Vec<DroneSpec>,
    pub jobs: Vec<(NewJob, Suite)>,
    pub steps: u64,
    /// How often each thing happens.
    pub weights: Vec<(u64, Move)>,
    /// At the end all drones stay, or only the first, which fits every job.
    pub all_stay: bool,
    /// How many requests of a hundred begin a write of their own.
    pub sealed: u64,
}

const LABELS: [&str; 2] = ["gpu", "big"];
const PLUGINS: [&str; 2] = ["git", "docker"];

impl Spec {
    pub fn new(rng: &mut Rng) -> Self {
        let drones = 1 + rng.below(5);
        let drones = (0..drones).map(|at| drone(rng, at)).collect();
        let most = rng.pick(&[2, 4, 10]);
        let jobs = 1 + rng.below(most);
        let large = rng.chance(15);
        Self {
            drones,
            jobs: (0..jobs).map(|at| job(rng, at, large)).collect(),
            steps: 100 + rng.below(900),
            weights: weights(rng),
            all_stay: rng.chance(50),
            sealed: rng.pick(&[5, 50, 100]),
        }
    }
}

fn some(rng: &mut Rng, of: &[&str], percent: u64) -> Vec<String> {
    of.iter()
        .filter(|_| rng.chance(percent))
        .map(|word| (*word).to_owned())
        .collect()
}

fn drone(rng: &mut Rng, at: u64) -> DroneSpec {
    // The first one fits everything, and stays.
    let percent = if at == 0 { 100 } else { 50 };
    let capacity = rng.pick(&[1, 1, 2, 3, 4, 8]);
    let speed = rng.pick(&[25, 50, 100, 100, 200, 400]);
    let lies = rng.chance(15);
    DroneSpec {
        name: format!("d{at}"),
        info: Info {
            speed,
            capacity,
            labels: some(rng, &LABELS, percent),
            plugins: some(rng, &PLUGINS, percent),
            ..Info::default()
        },
        pace: if lies { rng.pick(&[10, 1000]) } else { u64::from(speed) },
        slots: if lies { rng.pick(&[1, 2, 9]) } else { capacity as usize },
    }
}

fn job(rng: &mut Rng, at: u64, large: bool) -> (NewJob, Suite) {
    let job_type = rng.pick(&[
        JobType::Test,
        JobType::Test,
        JobType::TestAndDeploy,
        JobType::TestAndDeploy,
        JobType::Deploy,
    ]);
    let new = NewJob {
        id: job_id(&format!("j{at}")),
        project: Project::new(format!("p/{}", rng.below(3))).unwrap(),
        job_type,
        priority: rng.pick(&[0, 0, 0, -1, 1]),
        labels: some(rng, &LABELS, 20),
        plugins: some(rng, &PLUGINS, 20),
        spread: rng.pick(&[None, None, None, Some(1), Some(2)]),
        retries: rng.pick(&[0, 0, 0, 1, 2]),
        timeout: rng.chance(8).then_some(60_000),
        // From when it is submitted; made absolute then.
        delay_until: rng.chance(10).then_some(Timestamp(5_000)),
        submitted: Timestamp(0),
    };
    let most = if large { 60 } else { 14 };
    let most = rng.pick(&[1, 4, most, most]);
    let files = rng.below(most + 1);
    let base = rng.pick(&[10, 500, 20_000]);
    let files = (0..files).map(|file| (format!("t/{file}"), rng.chance(70).then(|| base + base * rng.below(9))));
    let files: Vec<(String, Option<u64>)> = files.collect();
    let plan = Plan {
        retries: rng.pick(&[0, 0, 1, 2]),
        spread: rng.pick(&[None, None, None, Some(2)]),
        fail_fast: rng.chance(15),
        split: files.len().is_multiple_of(3),
        order: rng.pick(&[Order::Smart, Order::Listed]),
        prepare_commands: rng.below(4) as u32,
        cleanup_commands: rng.below(3) as u32,
        ..Plan::default()
    };
    // Drawn apart, so that the worlds are those that they were before there was a quarantine.
    let mut apart = Rng::new(!rng.0);
    let suspects = files.iter().map(|(path, _)| path.clone());
    let suite = Suite {
        quarantine: suspects.filter(|_| apart.chance(10)).collect(),
        tests: job_type.tests(),
        files,
        plan,
    };
    (new, suite)
}

fn weights(rng: &mut Rng) -> Vec<(u64, Move)> {
    // Work goes on everywhere; of what goes wrong each world knows a part, some of it often.
    let mut weights = vec![
        (rng.pick(&[0, 5, 20]), Move::Bustle),
        (25, Move::Work),
        (20, Move::Heed),
        (20, Move::Up),
        (20, Move::Down),
        (20, Move::Commit),
        (6, Move::Submit),
        (12, Move::Connect),
        (4, Move::Notice),
        (8, Move::Start),
        (6, Move::Pass),
    ];
    let faults = [
        Move::Cancel,
        Move::Lose,
        Move::Restart,
        Move::Gap,
        Move::Drain,
        Move::Change,
        Move::Jump,
        Move::Kill,
        Move::Fail,
    ];
    for fault in faults {
        weights.push((rng.pick(&[0, 0, 1, 2, 5]), fault));
    }
    weights
}
