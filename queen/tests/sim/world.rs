//! One world: a queen, drones, clients and a schedule of faults, all from one seed; and its end.
//!
//! First a while in which faults happen, then all is healed and everything must come to its end. Read next: `checks.rs`
//! for what must hold then.

use super::{
    chance::{self, Dice},
    checks,
    disk::Disk,
    ledger::Book,
    machine::Machine,
    memory::{Fate, MemoryStore},
    net::{Door, PORT, Weather},
    people::{self, Browser},
    plan::JobPlan,
};
use drone::link::Bounds;
use queen::{app::App, clock, config::Config};
use shared::{DroneId, JobId, Timestamp};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::{Arc, Once, atomic::Ordering},
    time::{Duration, UNIX_EPOCH},
};
use tokio::{sync::watch, task::spawn_local};
use tokio_util::sync::CancellationToken;
use turmoil::Sim;

/// How long a world may take after its last fault.
const PATIENCE: Duration = Duration::from_secs(600);

/// What kind of world it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Nobody is away for longer than the grace: nothing at all may be lost.
    Gentle,
    /// Drones die, and are away for too long.
    Rough,
    /// The disk says that something is written before it is. Somebody has to notice.
    Lying,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    pub violations: Vec<String>,
    pub history: Vec<String>,
    pub faults: usize,
    pub lines: u64,
    pub results: usize,
    /// Files that were run in parts.
    pub splits: usize,
    pub reconnects: u64,
    pub commits: u64,
    pub spilled: u64,
    pub time: Duration,
}

#[derive(Debug, Clone, PartialEq)]
enum Act {
    KillAt(u64, Fate),
    CrashQueen,
    StartQueen,
    DiskDown,
    DiskUp,
    LoseAnswer(u64),
    CrashDrone(usize),
    StartDrone(usize),
    Cut(String),
    Hold(String),
    Release(String),
    Partition(String),
    Repair(String),
    Slow(String, u64),
    Latency(String, u64),
    Jump(i64),
    Heal,
}

thread_local! {
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    /// Milliseconds that the queen's clock is wrong.
    static WRONG: Cell<i64> = const { Cell::new(0) };
}

/// 2023-11-14, when the simulated clocks begin.
const BEGINNING: Duration = Duration::from_millis(1_700_000_000_000);

fn simulated_now() -> Timestamp {
    let since = turmoil::since_epoch().unwrap_or(BEGINNING);
    Timestamp(i64::try_from(since.as_millis()).unwrap() + WRONG.get())
}

/// Runs a world on a thread of its own, whose randomness is the seed's.
pub fn run(seed: u64, manner: Manner) -> Report {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.with_borrow_mut(|panics| panics.push(panic.to_string()));
            usual(panic);
        }));
    });
    let world = std::thread::Builder::new().name(format!("world {seed}"));
    let handle = world.spawn(move || {
        chance::seed_thread(seed);
        World::new(seed, manner).run()
    });
    handle.unwrap().join().unwrap_or_else(|_| Report {
        violations: vec!["the world broke down".into()],
        ..Report::default()
    })
}

struct World {
    sim: Sim<'static>,
    book: Book,
    disk: Disk,
    jobs: Arc<BTreeMap<JobId, JobPlan>>,
    drones: Vec<(DroneId, Bounds)>,
    weather: BTreeMap<String, Weather>,
    schedule: BTreeMap<(Duration, u32), Act>,
    queen_runs: bool,
    drone_runs: Vec<bool>,
    manner: Manner,
    busy: Duration,
    /// The most that the queen's clock was ever ahead, in milliseconds.
    furthest: i64,
    report: Report,
    /// Keeps the outboxes' folders.
    _dir: tempfile::TempDir,
}

impl World {
    fn new(seed: u64, manner: Manner) -> Self {
        let mut dice = Dice::of(seed, "world");
        let busy = Duration::from_secs(dice.within(15..60));
        let tick = Duration::from_millis(*dice.pick(&[15, 30, 60]));
        let mut sim = turmoil::Builder::new()
            .epoch(UNIX_EPOCH + BEGINNING)
            .rng_seed(seed)
            .tick_duration(tick)
            .simulation_duration(Duration::from_secs(100_000))
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(Duration::from_millis(*dice.pick(&[5, 50, 300])))
            .tcp_capacity(*dice.pick(&[32, 64, 1024]))
            .build();
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(Dice::of(seed, "disk"), manner == Manner::Lying);
        let store = MemoryStore::new(disk.clone());
        let book = Book::new(store.clone());
        let jobs = (0..dice.within(2..8)).map(|number| JobPlan::random(&mut dice, number, busy));
        let jobs: Arc<BTreeMap<JobId, JobPlan>> = Arc::new(jobs.map(|plan| (plan.id.clone(), plan)).collect());
        let mut weather = BTreeMap::new();
        let mut of = |host: &str| weather.entry(host.to_owned()).or_insert_with(Weather::default).clone();

        let grace = Duration::from_secs(if manner == Manner::Gentle { 200 } else { 8 });
        let door = of("queen");
        let data = dir.path().join("queen");
        let kept = store.clone();
        sim.host("queen", move || {
            serve(
                kept.clone(),
                door.clone(),
                Config {
                    grace,
                    ..Config::local(data.clone())
                },
            )
        });
        let mut drones = Vec::new();
        for number in 1..=dice.within(1..5) {
            let name = format!("d{number}");
            let bounds = match dice.below(3) {
                0 => Bounds {
                    memory: 4 << 10,
                    disk: 16 << 10,
                },
                1 => Bounds {
                    memory: 16 << 10,
                    disk: 1 << 20,
                },
                _ => Bounds::default(),
            };
            let machine = Machine {
                id: DroneId::new(&name).unwrap(),
                seed,
                capacity: u32::try_from(dice.within(1..5)).unwrap(),
                speed: u32::try_from(dice.within(50..200)).unwrap(),
                bounds,
                dir: dir.path().to_owned(),
                book: book.clone(),
                weather: of(&name),
                jobs: Arc::clone(&jobs),
            };
            drones.push((machine.id.clone(), bounds));
            sim.host(name.as_str(), move || machine.clone().live());
        }
        let (submitted, seen) = watch::channel(BTreeSet::new());
        let submitted = Rc::new(submitted);
        let clerk = of("clerk");
        let (plans, own) = (Arc::clone(&jobs), book.clone());
        sim.client("clerk", async move {
            let tasks: Vec<_> = plans
                .values()
                .map(|plan| {
                    let task = people::submit(own.clone(), clerk.clone(), plan.clone(), Rc::clone(&submitted));
                    spawn_local(task)
                })
                .collect();
            for task in tasks {
                task.await?;
            }
            Ok(())
        });
        for number in 1..=2 {
            let name = format!("b{number}");
            let browser = Browser {
                number,
                book: book.clone(),
                weather: of(&name),
                count: jobs.len(),
                submitted: seen.clone(),
            };
            sim.client(name.as_str(), browser.watch());
        }
        let mut world = Self {
            sim,
            book,
            disk,
            jobs,
            drone_runs: vec![true; drones.len()],
            drones,
            weather,
            schedule: BTreeMap::new(),
            queen_runs: true,
            manner,
            busy,
            furthest: 0,
            report: Report::default(),
            _dir: dir,
        };
        world.plan_faults(&mut Dice::of(seed, "faults"));
        world
    }

    fn at(&mut self, time: Duration, act: Act) {
        let number = u32::try_from(self.schedule.len()).unwrap();
        self.schedule.insert((time, number), act);
    }

    fn plan_faults(&mut self, dice: &mut Dice) {
        let hosts: Vec<String> = self.weather.keys().filter(|host| *host != "queen").cloned().collect();
        let rough = self.manner != Manner::Gentle;
        for _ in 0..dice.within(2..14) {
            let at = Duration::from_millis(dice.below(self.busy.as_millis() as u64));
            let long = if rough && dice.odds(1, 4) {
                5_000..40_000
            } else {
                50..3_000
            };
            let back = at + Duration::from_millis(dice.within(long));
            let host = dice.pick(&hosts).clone();
            let drone = dice.below(self.drones.len() as u64) as usize;
            match dice.below(if rough { 13 } else { 11 }) {
                0 | 1 => {
                    let written = dice.odds(1, 2);
                    self.at(at, Act::KillAt(dice.below(8), Fate::Hangs { written }));
                    self.at(back, Act::StartQueen);
                }
                2 => {
                    self.at(at, Act::CrashQueen);
                    self.at(back, Act::StartQueen);
                }
                3 => {
                    self.at(at, Act::DiskDown);
                    self.at(back, Act::DiskUp);
                }
                4 => self.at(at, Act::LoseAnswer(dice.below(5))),
                5 | 6 => self.at(at, Act::Cut(host)),
                7 => self.at(at, Act::Cut("queen".into())),
                8 => {
                    self.at(at, Act::Hold(host.clone()));
                    self.at(back, Act::Release(host));
                }
                9 => {
                    let host = if dice.odds(1, 4) { "queen".into() } else { host };
                    self.at(at, Act::Slow(host.clone(), dice.within(20..400)));
                    self.at(back, Act::Slow(host, 0));
                }
                10 => self.at(at, Act::Latency(host, dice.within(1..2_000))),
                11 => {
                    self.at(at, Act::CrashDrone(drone));
                    self.at(back, Act::StartDrone(drone));
                }
                _ => {
                    self.at(at, Act::Partition(host.clone()));
                    self.at(back, Act::Repair(host));
                }
            }
        }
        if dice.odds(1, 3) {
            let at = Duration::from_millis(dice.below(self.busy.as_millis() as u64));
            // Set forward, the clock may end any grace.
            let far = if rough { 3_600_000 } else { 1_500 };
            self.at(at, Act::Jump(*dice.pick(&[-3_600_000, -2_000, 1_500, far])));
        }
        // Recoveries that come later are part of this.
        self.at(self.busy, Act::Heal);
    }

    fn run(mut self) -> Report {
        let _clock = clock::stand_in(simulated_now);
        WRONG.set(0);
        let limit = self.busy + PATIENCE;
        let mut quiet = false;
        while !quiet && self.sim.elapsed() < limit && self.book.ledger().violations.is_empty() {
            self.act();
            match self.sim.step() {
                Ok(ended) => quiet = ended && self.is_quiet(),
                Err(error) => self.book.violation(format!("a host broke down: {error}")),
            }
            if self.disk.take_stopped() {
                self.crash_queen();
            }
            self.look();
        }
        let well = self.book.ledger().violations.is_empty();
        if well && !quiet {
            self.book
                .violation(format!("it does not come to its end: {}", self.unfinished()));
        } else if well {
            checks::at_the_end(&self.book, &self.jobs, self.manner, &mut self.report);
        }
        self.tell()
    }

    fn tell(mut self) -> Report {
        self.report.time = self.sim.elapsed();
        self.report.commits = self.disk.commits();
        // The hosts go first: what they drop needs the simulation.
        let Self {
            sim, book, mut report, ..
        } = self;
        drop(sim);
        let mut ledger = book.ledger();
        report.reconnects = ledger.reconnects;
        report.history.append(&mut ledger.history);
        report.violations.append(&mut ledger.violations);
        PANICS.with_borrow_mut(|panics| report.violations.append(panics));
        report
    }

    /// What is due now.
    fn act(&mut self) {
        let now = self.sim.elapsed();
        while let Some(entry) = self.schedule.first_entry() {
            if entry.key().0 > now {
                return;
            }
            let act = entry.remove();
            let line = format!("{} {act:?}", now.as_millis());
            self.book.ledger().history.push(line);
            self.report.faults += 1;
            self.perform(act);
        }
    }

    fn perform(&mut self, act: Act) {
        match act {
            Act::KillAt(after, fate) => self.disk.arm(after, fate),
            Act::CrashQueen => self.crash_queen(),
            Act::StartQueen => self.start_queen(),
            Act::DiskDown => self.disk.set_down(true),
            Act::DiskUp => self.disk.set_down(false),
            Act::LoseAnswer(after) => self.disk.arm(after, Fate::Fails { written: true }),
            Act::CrashDrone(at) => {
                if std::mem::replace(&mut self.drone_runs[at], false) {
                    let id = self.drones[at].0.clone();
                    self.book.ledger().alive.remove(&id);
                    self.sim.crash(id.as_str());
                }
            }
            Act::StartDrone(at) => {
                if !std::mem::replace(&mut self.drone_runs[at], true) {
                    self.sim.bounce(self.drones[at].0.as_str());
                }
            }
            Act::Cut(host) => self.weather[&host].cut(),
            Act::Hold(host) => self.sim.hold(host.as_str(), "queen"),
            Act::Release(host) => self.sim.release(host.as_str(), "queen"),
            Act::Partition(host) => self.sim.partition(host.as_str(), "queen"),
            Act::Repair(host) => self.sim.repair(host.as_str(), "queen"),
            Act::Slow(host, ms) => self.weather[&host].slow.store(ms, Ordering::Relaxed),
            Act::Latency(host, ms) => {
                let most = Duration::from_millis(ms.max(1));
                self.sim.set_link_max_message_latency(host.as_str(), "queen", most);
            }
            Act::Jump(ms) => {
                WRONG.set(WRONG.get() + ms);
                self.furthest = self.furthest.max(WRONG.get());
            }
            Act::Heal => self.heal(),
        }
    }

    fn heal(&mut self) {
        self.schedule.clear();
        self.disk.heal();
        let hosts: Vec<String> = self.weather.keys().cloned().collect();
        for host in hosts.iter().filter(|host| *host != "queen") {
            self.sim.release(host.as_str(), "queen");
            self.sim.repair(host.as_str(), "queen");
            self.sim
                .set_link_max_message_latency(host.as_str(), "queen", Duration::from_millis(20));
        }
        for weather in self.weather.values() {
            weather.slow.store(0, Ordering::Relaxed);
        }
        self.start_queen();
        for at in 0..self.drones.len() {
            self.perform(Act::StartDrone(at));
        }
    }

    fn crash_queen(&mut self) {
        if std::mem::replace(&mut self.queen_runs, false) {
            self.book.note("the queen is killed");
            self.sim.crash("queen");
            self.book.store.crash();
            // One that hung to the end of the faults comes back by itself.
            if self.schedule.is_empty() {
                self.start_queen();
            }
        }
    }

    fn start_queen(&mut self) {
        if !std::mem::replace(&mut self.queen_runs, true) {
            // A queen that starts knows no time but the machine's: here nobody sets it back while she is away.
            WRONG.set(self.furthest);
            self.sim.bounce("queen");
        }
    }

    /// What must hold at any moment.
    fn look(&mut self) {
        self.book.watch();
        for (id, bounds) in &self.drones {
            let held = match self.book.ledger().alive.get(id) {
                Some(alive) => alive.outbox.held(),
                None => continue,
            };
            self.report.spilled = self.report.spilled.max(held.disk);
            // Answers to the queen are kept beyond the bound; they are few and short.
            let slack = 16 << 10;
            if held.memory > bounds.memory + slack || held.disk > bounds.disk + slack {
                self.book
                    .violation(format!("the outbox of {id} holds {held:?}, its bounds are {bounds:?}"));
            }
        }
    }

    fn is_quiet(&self) -> bool {
        let ledger = self.book.ledger();
        self.schedule.is_empty()
            && ledger.alive.len() == self.drones.len()
            && ledger
                .alive
                .values()
                .all(|alive| alive.leases.is_empty() && alive.outbox.waiting() == 0)
    }

    fn unfinished(&self) -> String {
        let ledger = self.book.ledger();
        let jobs: Vec<_> = self
            .jobs
            .keys()
            .map(|id| {
                let row = self.book.store.durable(id, |kept| {
                    let files: Vec<_> = kept.files.values().map(|file| (file.state, file.attempt)).collect();
                    let leases: Vec<_> = kept
                        .leases
                        .values()
                        .map(|row| (row.token, row.drone.clone(), row.state))
                        .collect();
                    format!("{:?} {files:?} {leases:?}", kept.row.state)
                });
                let seen: Vec<_> = ledger
                    .seen
                    .iter()
                    .filter(|((_, job), _)| job == id)
                    .map(|(_, seen)| seen.len())
                    .collect();
                format!("{id}: {row:?}, seen {seen:?}")
            })
            .collect();
        let drones: Vec<_> = ledger
            .alive
            .iter()
            .map(|(id, alive)| format!("{id} has {:?} and {} unsaid", alive.leases, alive.outbox.waiting()))
            .collect();
        format!("{jobs:#?} {drones:?}")
    }
}

/// The queen's process.
async fn serve(store: MemoryStore, door: Weather, config: Config) -> turmoil::Result {
    let listener = Door::open(door).await?;
    let url = format!("http://127.0.0.1:{PORT}");
    // A queen that cannot read its store does not start; whatever started it tries again.
    let app = loop {
        match store_ready(&store).await {
            true => break App::on(config, Arc::new(store), listener, &url).await?,
            false => tokio::time::sleep(Duration::from_millis(500)).await,
        }
    };
    app.serve(CancellationToken::new()).await?;
    Ok(())
}

async fn store_ready(store: &MemoryStore) -> bool {
    use queen::store::Store;
    store.ping().await.is_ok()
}
