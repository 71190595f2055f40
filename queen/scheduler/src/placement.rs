//! Which job gets which slot: the home drone, helpers, files, hand-outs ahead.
//!
//! A slot that frees asks the fair order for the first job that it may serve and that gains from it; a job that newly
//! wants something asks the index of drones for the best slot. Nothing here walks all jobs or all drones. The order of
//! jobs is in `fairness.rs`, the index of drones in `fleet.rs`, whether a helper pays in `estimate.rs`.

use crate::{State, fairness::FairKey, fleet::Drone, job::Job, lease::Lease};
use shared::{DroneId, JobId, Timestamp, protocol::to_drone::Role};

/// Milliseconds of work that a drone holds ahead for each of its slots: more than a round trip to the queen takes. A file
/// counts as one at least.
const ROUND_TRIP_MS: u32 = 30;

/// What a job wants beside the files that its drones take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// Nothing.
    Nothing,
    /// A drone: it cannot go on without.
    Drone(Role),
    /// One more drone, if that ends it sooner.
    Help,
}

/// What a free slot may do for a job.
enum Use {
    File,
    Lease,
}

impl Job {
    pub(crate) fn want(&self, now: Timestamp) -> Want {
        let row = &self.row;
        if row.state.is_final() || self.verdict().is_some() || row.not_before.is_some_and(|at| at > now) {
            return Want::Nothing;
        }
        let tests = self.new.job_type.tests();
        if row.plan.is_none() || !tests {
            return if self.leases.is_empty() {
                Want::Drone(Role::Home)
            } else {
                Want::Nothing
            };
        }
        if row.test_code.is_some() {
            return if self.home.is_none() {
                Want::Drone(Role::Home)
            } else {
                Want::Nothing
            };
        }
        if self.pending.is_empty() {
            Want::Nothing
        } else if self.able == 0 {
            let home = self.new.job_type.deploys() && self.home.is_none();
            Want::Drone(if home { Role::Home } else { Role::Helper })
        } else if self.able < self.spread() && self.helps(None) {
            Want::Help
        } else {
            Want::Nothing
        }
    }

    fn spread(&self) -> u32 {
        let plan = self.row.plan.as_ref().and_then(|plan| plan.spread);
        self.new.spread.or(plan).unwrap_or(u32::MAX).max(1)
    }

    /// How many files a full drone is to hold ahead: what its slots run through in a round trip, at least one for two.
    fn ahead_of(&self, drone: &Drone) -> u32 {
        let least = drone.slots.div_ceil(2).min(4);
        let next = self
            .next_for(&drone.id)
            .map(|turn| self.files[turn.2 as usize].row.expect);
        let Some(expect) = next else { return least };
        let each = (self.work.of(expect) * 100 / drone.speed()).max(1);
        let enough = ROUND_TRIP_MS / u32::try_from(each).unwrap_or(u32::MAX);
        least.max(drone.slots.saturating_mul(enough))
    }

    /// The role in which it wants this drone, if it does.
    fn accepts(&self, drone: &Drone, now: Timestamp) -> Option<Role> {
        if self.by_drone.contains_key(&drone.id) {
            return None;
        }
        match self.want(now) {
            Want::Nothing => None,
            Want::Drone(role) => Some(role),
            Want::Help => (!self.barred.contains(&drone.id) && self.helps(Some(drone.speed()))).then_some(Role::Helper),
        }
    }
}

impl State {
    /// Gives away every slot that something newly wants or that is newly free.
    pub(crate) fn dispatch(&mut self) {
        for id in self.dirty_jobs.clone() {
            self.refresh(&id);
        }
        // Free slots first: all jobs compete for them. Fastest drones first: they choose for all.
        while let Some(id) = self.fastest_dirty() {
            self.dirty_drones.remove(&id);
            self.fill(&id);
        }
        // What is still free nobody wanted before this step; the jobs that it changed take turns.
        while let Some(id) = self.first_dirty() {
            if !self.serve(&id) {
                self.dirty_jobs.remove(&id);
            }
        }
        for id in std::mem::take(&mut self.touched) {
            self.fill_ahead(&id);
        }
    }

    fn fastest_dirty(&self) -> Option<DroneId> {
        let speed = |id: &&DroneId| self.fleet.drones.get(*id).map_or(0, Drone::speed);
        self.dirty_drones.iter().rev().max_by_key(speed).cloned()
    }

    fn first_dirty(&self) -> Option<JobId> {
        let key = |id: &&JobId| self.jobs.get(*id).map(|job| self.fair.key(job, self.now));
        self.dirty_jobs.iter().min_by_key(key).cloned()
    }

    /// A drone on its way out runs files only while no other could.
    fn may_run(&self, drone: &Drone, job: &Job) -> bool {
        !drone.draining() || !self.fleet.has_usable(job.class)
    }

    fn is_open(&self, drone: &DroneId) -> bool {
        self.fleet.drones.get(drone).is_some_and(Drone::open)
    }

    /// The first job whose files a drone that is prepared for them can take.
    fn first_at_home(&self, drone: &Drone) -> Option<(FairKey, JobId)> {
        let ready = drone.leases.iter().filter_map(|(id, token)| {
            let job = self.jobs.get(id)?;
            let can = job.leases.get(token).is_some_and(Lease::can_run) && !job.pending.is_empty();
            (can && self.may_run(drone, job)).then(|| (self.fair.key(job, self.now), id.clone()))
        });
        ready.min()
    }

    /// The first job that wants this drone as a new one.
    fn first_waiting(&self, drone: &Drone) -> Option<(FairKey, JobId)> {
        if !drone.usable() {
            return None;
        }
        let first = |class| {
            self.fair.waiting(class).find_map(|id| {
                let job = self.jobs.get(id)?;
                job.accepts(drone, self.now)?;
                Some((self.fair.key(job, self.now), id.clone()))
            })
        };
        self.fleet.classes_of(&drone.id).filter_map(first).min()
    }

    fn best_use(&self, drone: &Drone) -> Option<(JobId, Use)> {
        match (self.first_at_home(drone), self.first_waiting(drone)) {
            (Some((near, job, ..)), Some((far, ..))) if near <= far => Some((job, Use::File)),
            (_, Some((_, job))) => Some((job, Use::Lease)),
            (Some((_, job)), None) => Some((job, Use::File)),
            (None, None) => None,
        }
    }

    /// Fills the free slots of a drone.
    fn fill(&mut self, id: &DroneId) {
        self.touched.insert(id.clone());
        while let Some(drone) = self.fleet.drones.get(id).filter(|drone| drone.open()) {
            match self.best_use(drone) {
                Some((job, Use::File)) => {
                    if !self.hand_out(&job, id, false) {
                        return;
                    }
                }
                // The job chooses: perhaps a better drone has just become free as well.
                Some((job, Use::Lease)) => {
                    if !self.find_drone(&job) {
                        return;
                    }
                }
                None => return self.fetch_back(id),
            }
        }
    }

    /// A drone with free slots and no pending files: what waits elsewhere for a slot can run here.
    fn fetch_back(&mut self, id: &DroneId) {
        let Some(drone) = self.fleet.drones.get(id) else { return };
        let free = (drone.slots - drone.demand) as usize;
        let mut asks = Vec::new();
        for (job, token) in &drone.leases {
            let Some(known) = self.jobs.get(job) else { continue };
            let can = known.leases.get(token).is_some_and(Lease::can_run) && self.may_run(drone, known);
            let more = free.saturating_sub(known.asked as usize);
            if can && known.pending.is_empty() && !known.ahead.is_empty() && more > 0 {
                asks.push((job.clone(), more));
            }
        }
        for (job, count) in asks {
            self.take_back(&job, count);
        }
    }

    /// Finds the best free drone for a job that wants one.
    fn find_drone(&mut self, id: &JobId) -> bool {
        let Some(job) = self.jobs.get(id) else { return false };
        let found = self
            .fleet
            .open(job.class)
            .find_map(|drone| Some((drone.id.clone(), job.accepts(drone, self.now)?)));
        if let Some((drone, role)) = &found {
            self.grant(id, drone, *role);
        }
        found.is_some()
    }

    /// Gives a job one thing that it wants; false if nothing more can be had.
    fn serve(&mut self, id: &JobId) -> bool {
        self.refresh(id);
        let Some(job) = self.jobs.get(id) else { return false };
        let open = |(_, drone): &&(u64, DroneId)| {
            self.is_open(drone)
                && self
                    .fleet
                    .drones
                    .get(drone)
                    .is_some_and(|drone| self.may_run(drone, job))
        };
        let spot = job.open.iter().find(open).map(|(_, drone)| drone.clone());
        if let Some(drone) = &spot {
            if !job.pending.is_empty() {
                return self.hand_out(id, drone, false);
            }
            if !job.ahead.is_empty() {
                self.fetch_back(drone);
            }
        }
        let Some(job) = self.jobs.get(id) else { return false };
        match job.want(self.now) {
            Want::Nothing => {
                self.leave_backlog(id);
                false
            }
            Want::Help => self.find_drone(id),
            Want::Drone(_) => {
                let found = self.find_drone(id);
                if !found {
                    self.join_backlog(id);
                }
                found
            }
        }
    }

    /// All are full: the job queues where the queue is shortest for the drone's size. Whoever frees first takes it.
    fn join_backlog(&mut self, id: &JobId) {
        let Some(job) = self.jobs.get(id) else { return };
        if job.backlog.is_some() || job.row.state.is_final() {
            return;
        }
        let Some(drone) = self.fleet.shortest(job.class).cloned() else {
            return;
        };
        if let Some(job) = self.jobs.get_mut(id) {
            job.backlog = Some(drone.clone());
        }
        self.drone_mut(&drone).backlog.insert(id.clone());
        self.reindex(&drone);
        // The next slot that frees there is for all who wait, not for what is already there ahead.
        self.reclaim(&drone, None);
    }

    pub(crate) fn leave_backlog(&mut self, id: &JobId) {
        let Some(drone) = self.jobs.get_mut(id).and_then(|job| job.backlog.take()) else {
            return;
        };
        self.drone_mut(&drone).backlog.remove(id);
        self.reindex(&drone);
    }

    /// Hands a full drone a few files ahead, to hide the round trip; none at a job's tail, and none while another job
    /// waits for a slot of this drone.
    fn fill_ahead(&mut self, id: &DroneId) {
        loop {
            let Some(drone) = self.fleet.drones.get(id) else { return };
            if !drone.usable() || drone.demand < drone.slots {
                return;
            }
            let Some((_, job)) = self.first_at_home(drone) else {
                return;
            };
            let Some(known) = self.jobs.get(&job) else { return };
            let tail = known.pending.len() <= 2 * known.in_slots as usize;
            let full = drone.demand - drone.slots >= known.ahead_of(drone);
            let alone = drone
                .leases
                .keys()
                .all(|other| *other == job || self.jobs.get(other).is_none_or(|other| other.pending.is_empty()));
            if tail || full || !alone || self.first_waiting(drone).is_some() || !self.hand_out(&job, id, true) {
                return;
            }
        }
    }
}
