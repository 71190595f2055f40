//! Drones: what they can do, what they have, and the ordered index that finds the best slot.
//!
//! Requirement sets (labels, plugins) are interned into classes. Each class keeps its fitting drones in two orders: those
//! with an open slot by (speed, load, least recently used), full ones by (load with backlog, speed, least recently used).
//! It decides nothing about jobs. Read next: `placement.rs`.

use crate::{DroneStatus, Record, SlotFile, State, job::Job};
use shared::{DroneId, Incarnation, JobId, LeaseToken, Timestamp, protocol::to_queen::Info};
use std::collections::{BTreeMap, BTreeSet};

/// A requirement set, interned.
pub(crate) type ClassId = u32;
/// A place in a class's order: what counts first, second, third, and who.
type Spot = (u64, u64, u64, DroneId);

/// A correction of speed within these bounds is noise and leaves the order of drones alone.
const NOISE: std::ops::Range<f64> = 0.67..1.5;

/// One drone.
#[derive(Debug)]
pub(crate) struct Drone {
    pub(crate) id: DroneId,
    pub(crate) name: String,
    pub(crate) incarnation: Option<Incarnation>,
    pub(crate) connected: bool,
    /// It has said on this connection what it can do.
    pub(crate) ready: bool,
    /// What it last said that it can do; unknown after a restart of the queen.
    pub(crate) info: Option<Info>,
    /// Its capacity; after it has set that to 0, what it was: what it holds it finishes.
    pub(crate) slots: u32,
    /// An operator wants it drained.
    pub(crate) wished: bool,
    pub(crate) learned: f64,
    pub(crate) saved: f64,
    /// Slots that its leases ask for; above `slots` by what was handed out ahead.
    pub(crate) demand: u32,
    pub(crate) leases: BTreeMap<JobId, LeaseToken>,
    pub(crate) backlog: BTreeSet<JobId>,
    pub(crate) last_used: u64,
    pub(crate) grace_end: Option<Timestamp>,
    classes: BTreeSet<ClassId>,
    spot: Option<(bool, Spot)>,
}

impl Drone {
    fn new(id: DroneId) -> Self {
        Self {
            name: id.to_string(),
            id,
            incarnation: None,
            connected: false,
            ready: false,
            info: None,
            slots: 0,
            wished: false,
            learned: 1.0,
            saved: 1.0,
            demand: 0,
            leases: BTreeMap::new(),
            backlog: BTreeSet::new(),
            last_used: 0,
            grace_end: None,
            classes: BTreeSet::new(),
            spot: None,
        }
    }

    pub(crate) fn draining(&self) -> bool {
        self.wished || self.info.as_ref().is_some_and(|info| info.capacity == 0)
    }

    /// It may take new jobs.
    pub(crate) fn usable(&self) -> bool {
        self.connected && self.ready && !self.draining() && self.slots > 0
    }

    /// It has a free slot for something.
    pub(crate) fn open(&self) -> bool {
        self.connected && self.ready && self.demand < self.slots
    }

    /// Real speed, for durations; 100 is the reference machine, never 0.
    pub(crate) fn speed(&self) -> u64 {
        ((f64::from(self.reported().max(1)) * self.learned).round() as u64).max(1)
    }

    fn reported(&self) -> u32 {
        self.info.as_ref().map_or(100, |info| info.speed)
    }

    /// Speed for the order of drones: as reported, unless that is plainly wrong.
    fn rank_speed(&self) -> u64 {
        if NOISE.contains(&self.learned) {
            u64::from(self.reported())
        } else {
            self.speed()
        }
    }

    fn fits(&self, class: &Class) -> bool {
        let has = |held: &[String], wanted: &[String]| wanted.iter().all(|word| held.contains(word));
        self.info
            .as_ref()
            .is_some_and(|info| has(&info.labels, &class.labels) && has(&info.plugins, &class.plugins))
    }

    fn place(&self) -> Option<(bool, Spot)> {
        if !self.usable() {
            return None;
        }
        let ratio = |count: u64| count.saturating_mul(1 << 20) / u64::from(self.slots.max(1));
        let slow = u64::MAX - self.rank_speed();
        let active = u64::from(self.demand);
        Some(if self.open() {
            (true, (slow, ratio(active), self.last_used, self.id.clone()))
        } else {
            let load = ratio(active + self.backlog.len() as u64);
            (false, (load, slow, self.last_used, self.id.clone()))
        })
    }

    /// Real speed, as people are told.
    fn told_speed(&self) -> f64 {
        f64::from(self.reported()) * self.learned
    }

    fn status(&self, jobs: &BTreeMap<JobId, Job>) -> DroneStatus {
        DroneStatus {
            drone: self.id.clone(),
            name: self.name.clone(),
            connected: self.connected,
            info: self.info.clone().unwrap_or_default(),
            draining: self.draining(),
            active: self.demand.min(self.slots),
            queued: u32::try_from(self.backlog.len()).unwrap_or(u32::MAX),
            learned: self.learned,
            speed: self.told_speed(),
            jobs: self.leases.keys().cloned().collect(),
            running: self.running(jobs),
        }
    }

    /// Walks the files that it has been given, which are few.
    fn running(&self, jobs: &BTreeMap<JobId, Job>) -> Vec<SlotFile> {
        let mut running = Vec::new();
        for (id, token) in &self.leases {
            let Some(job) = jobs.get(id) else { continue };
            let Some(lease) = job.leases.get(token) else { continue };
            for num in lease.outs.iter().filter(|num| !job.ahead.contains(num)) {
                let file = job.nums.get(num).and_then(|(index, _)| job.files.get(*index as usize));
                running.extend(file.filter(|file| !file.asked).map(|file| SlotFile {
                    job: id.clone(),
                    num: *num,
                    path: file.row.path.clone(),
                    attempt: file.row.attempt,
                    since: file.begun,
                }));
            }
        }
        running.sort_by_key(|file| (file.since.is_none(), file.since));
        running.truncate(self.slots as usize);
        running
    }
}

/// A requirement set and the drones that meet it.
#[derive(Debug, Default)]
pub(crate) struct Class {
    pub(crate) labels: Vec<String>,
    pub(crate) plugins: Vec<String>,
    jobs: u32,
    open: BTreeSet<Spot>,
    full: BTreeSet<Spot>,
}

/// All drones.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    pub(crate) drones: BTreeMap<DroneId, Drone>,
    pub(crate) classes: BTreeMap<ClassId, Class>,
    interned: BTreeMap<(Vec<String>, Vec<String>), ClassId>,
    next_class: ClassId,
    uses: u64,
}

impl Fleet {
    /// The drone, known from now on.
    pub(crate) fn entry(&mut self, id: &DroneId) -> &mut Drone {
        self.drones.entry(id.clone()).or_insert_with(|| Drone::new(id.clone()))
    }

    /// The class of a requirement set, counted as used by one more job.
    pub(crate) fn class_of(&mut self, labels: &[String], plugins: &[String]) -> ClassId {
        let sorted = |words: &[String]| words.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
        let key: (Vec<String>, Vec<String>) = (sorted(labels), sorted(plugins));
        if let Some(id) = self.interned.get(&key) {
            if let Some(class) = self.classes.get_mut(id) {
                class.jobs += 1;
            }
            return *id;
        }
        let id = self.next_class;
        self.next_class += 1;
        let mut class = Class {
            labels: key.0.clone(),
            plugins: key.1.clone(),
            jobs: 1,
            ..Class::default()
        };
        for drone in self.drones.values_mut() {
            if !drone.fits(&class) {
                continue;
            }
            drone.classes.insert(id);
            match &drone.spot {
                Some((true, spot)) => class.open.insert(spot.clone()),
                Some((false, spot)) => class.full.insert(spot.clone()),
                None => false,
            };
        }
        self.classes.insert(id, class);
        self.interned.insert(key, id);
        id
    }

    /// A job of the class is over.
    pub(crate) fn leave_class(&mut self, id: ClassId) {
        let Some(class) = self.classes.get_mut(&id) else { return };
        class.jobs -= 1;
        if class.jobs == 0 {
            self.interned.remove(&(class.labels.clone(), class.plugins.clone()));
            self.classes.remove(&id);
            for drone in self.drones.values_mut() {
                drone.classes.remove(&id);
            }
        }
    }

    fn unplace(&mut self, id: &DroneId) {
        let Some(drone) = self.drones.get_mut(id) else { return };
        let Some((open, spot)) = drone.spot.take() else { return };
        for class in &drone.classes {
            if let Some(class) = self.classes.get_mut(class) {
                if open { &mut class.open } else { &mut class.full }.remove(&spot);
            }
        }
    }

    fn replace(&mut self, id: &DroneId) {
        self.unplace(id);
        let Some(drone) = self.drones.get_mut(id) else { return };
        drone.spot = drone.place();
        let Some((open, spot)) = &drone.spot else { return };
        for class in &drone.classes {
            if let Some(class) = self.classes.get_mut(class) {
                if *open { &mut class.open } else { &mut class.full }.insert(spot.clone());
            }
        }
    }

    fn reclass(&mut self, id: &DroneId) {
        self.unplace(id);
        let Some(drone) = self.drones.get_mut(id) else { return };
        drone.classes = self
            .classes
            .iter()
            .filter(|(_, class)| drone.fits(class))
            .map(|(id, _)| *id)
            .collect();
        self.replace(id);
    }

    /// Drones of a class with an open slot, best first.
    pub(crate) fn open(&self, class: ClassId) -> impl Iterator<Item = &Drone> {
        self.classes
            .get(&class)
            .into_iter()
            .flat_map(|class| &class.open)
            .filter_map(|(_, _, _, id)| self.drones.get(id))
    }

    /// The full drone of a class with the shortest queue for its size.
    pub(crate) fn shortest(&self, class: ClassId) -> Option<&DroneId> {
        self.classes.get(&class)?.full.first().map(|(_, _, _, id)| id)
    }

    /// True if some drone of the class may take new work.
    pub(crate) fn has_usable(&self, class: ClassId) -> bool {
        self.classes
            .get(&class)
            .is_some_and(|class| !class.open.is_empty() || !class.full.is_empty())
    }

    /// Classes that a drone fits.
    pub(crate) fn classes_of(&self, id: &DroneId) -> impl Iterator<Item = ClassId> {
        self.drones
            .get(id)
            .into_iter()
            .flat_map(|drone| drone.classes.iter().copied())
    }

    /// All drones that fit a class, whatever their state.
    pub(crate) fn fitting(&self, class: ClassId) -> impl Iterator<Item = &Drone> {
        self.drones.values().filter(move |drone| drone.classes.contains(&class))
    }

    /// The drone has just been given a job.
    pub(crate) fn used(&mut self, id: &DroneId) {
        self.uses += 1;
        let uses = self.uses;
        self.entry(id).last_used = uses;
    }
}

impl State {
    /// All drones by id.
    #[must_use]
    pub fn drones(&self) -> Vec<DroneStatus> {
        self.fleet
            .drones
            .values()
            .map(|drone| drone.status(&self.jobs))
            .collect()
    }

    /// One drone.
    #[must_use]
    pub fn drone(&self, drone: &DroneId) -> Option<DroneStatus> {
        self.fleet.drones.get(drone).map(|drone| drone.status(&self.jobs))
    }

    /// Real speed of a drone, 100 that of the reference machine; `None` if it is unknown.
    #[must_use]
    pub fn speed(&self, drone: &DroneId) -> Option<f64> {
        self.fleet.drones.get(drone).map(Drone::told_speed)
    }

    /// Brings every index up to date with a drone's load, speed and state.
    pub(crate) fn reindex(&mut self, id: &DroneId) {
        self.fleet.replace(id);
        let Some(drone) = self.fleet.drones.get(id) else { return };
        let key = drone.open().then(|| u64::MAX - drone.rank_speed());
        for (job, token) in &drone.leases {
            if let Some(job) = self.jobs.get_mut(job) {
                let ready = job.leases.get(token).is_some_and(crate::lease::Lease::can_run);
                job.set_open(*token, id, key.filter(|_| ready));
            }
        }
    }

    /// What the drone can do has changed, or whether it may.
    pub(crate) fn drone_changed(&mut self, id: &DroneId) {
        self.fleet.reclass(id);
        self.reindex(id);
        self.dirty_drones.insert(id.clone());
        let Some(drone) = self.fleet.drones.get(id) else { return };
        let (jobs, usable): (Vec<JobId>, bool) = (drone.leases.keys().cloned().collect(), drone.usable());
        for job in jobs {
            self.recount(&job);
            self.dirty_jobs.insert(job);
        }
        if !usable {
            // What it was given ahead others may begin sooner, and drones on their way out may now be the only ones.
            self.reclaim(id, None);
            let backlog = std::mem::take(&mut self.drone_mut(id).backlog);
            for job in backlog {
                if let Some(waiting) = self.jobs.get_mut(&job) {
                    waiting.backlog = None;
                    self.dirty_jobs.insert(job);
                }
            }
            let draining = self
                .fleet
                .drones
                .values()
                .filter(|drone| drone.open() && !drone.usable());
            self.dirty_drones.extend(draining.map(|drone| drone.id.clone()));
        }
    }

    /// Learns from one run how fast the drone really is. `expected` and `duration` in milliseconds, the first at speed 100.
    pub(crate) fn learn(&mut self, id: &DroneId, expected: u64, duration: u64) {
        // Below this, what is measured is the start of a process rather than the speed of the machine.
        const TELLING_MS: u64 = 50;
        if expected < TELLING_MS || duration < TELLING_MS {
            return;
        }
        let drone = self.drone_mut(id);
        let usual = expected as f64 * 100.0 / f64::from(drone.reported().max(1));
        let sample = (usual / duration as f64).clamp(0.2, 5.0);
        drone.learned += (sample - drone.learned) * 0.1;
        if (drone.learned / drone.saved - 1.0).abs() > 0.05 {
            drone.saved = drone.learned;
            let factor = drone.learned;
            self.out.save(Record::Learned {
                drone: id.clone(),
                factor,
            });
            self.reindex(id);
        }
    }

    /// Counts again the leases of a job that will take files.
    pub(crate) fn recount(&mut self, id: &JobId) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let fleet = &self.fleet;
        let lasting = |drone: &DroneId| fleet.drones.get(drone).is_some_and(|drone| !drone.draining());
        job.able = Job::count(
            job.leases
                .values()
                .filter(|lease| !lease.row.closing && lasting(&lease.row.drone)),
        );
        let coming = job
            .leases
            .values()
            .filter(|lease| !lease.row.prepared && !lease.row.closing);
        (job.coming_slots, job.coming_rate) = coming.fold((0, 0), |(slots, rate), lease| {
            (
                slots + lease.promise.0,
                rate + u64::from(lease.promise.0) * lease.promise.1,
            )
        });
    }
}
