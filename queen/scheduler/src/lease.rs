//! Leases: the right of one drone to run a piece of one job. Tokens, grace, fencing, resume.
//!
//! A result counts if and only if its lease is not over. A drone that is away keeps its leases until its grace ends; a
//! new process of it, or a gap in its messages, ends them at once. What becomes of the files is in `retry.rs`, what
//! a drone's coming and going means in `away.rs`.

use crate::{JobInput, LeaseRow, LeaseState, Record, State, job::Job};
use shared::{
    DroneId, JobId, LeaseToken, Num, Timestamp,
    protocol::{Lease as Grant, event::JobError, to_drone::Role},
};
use std::collections::BTreeSet;

/// Home drones that one attempt of a job may lose; one more and it errors.
const HOMES_LOST: u32 = 3;

/// A lease that is not over.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) row: LeaseRow,
    pub(crate) since: Timestamp,
    /// Commands of files handed out under it.
    pub(crate) outs: BTreeSet<Num>,
    pub(crate) deploying: bool,
    pub(crate) deploy_num: Option<Num>,
    /// First number kept for its cleanup.
    pub(crate) cleanup: Option<Num>,
    /// The first number that is not its own; absent while it alone numbers the job's commands.
    pub(crate) until: Option<Num>,
    /// Slots and their speed that it brings once prepared.
    pub(crate) promise: (u32, u64),
    pub(crate) received: bool,
    pub(crate) open_key: Option<u64>,
}

impl Lease {
    pub(crate) fn new(row: LeaseRow, since: Timestamp) -> Self {
        Self {
            received: row.prepared || row.closing,
            row,
            since,
            outs: BTreeSet::new(),
            deploying: false,
            deploy_num: None,
            cleanup: None,
            until: None,
            promise: (0, 0),
            open_key: None,
        }
    }

    /// Slots that it asks of its drone.
    pub(crate) fn slots(&self) -> u32 {
        u32::from(!self.row.prepared) + u32::from(self.deploying) + u32::try_from(self.outs.len()).unwrap_or(u32::MAX)
    }

    /// It can take files.
    pub(crate) fn can_run(&self) -> bool {
        self.row.prepared && !self.row.closing && self.row.state == LeaseState::Live
    }
}

/// How a lease ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gone {
    /// The drone said so: nothing of it goes on there.
    Word,
    /// The drone is lost, or is not the one that it was.
    Lost,
}

impl Job {
    pub(crate) fn count<'a>(leases: impl Iterator<Item = &'a Lease>) -> u32 {
        u32::try_from(leases.count()).unwrap_or(u32::MAX)
    }

    /// Lists or unlists a drone among those that can take a file now.
    pub(crate) fn set_open(&mut self, token: LeaseToken, drone: &DroneId, key: Option<u64>) {
        let Some(lease) = self.leases.get_mut(&token) else {
            return;
        };
        if lease.open_key == key {
            return;
        }
        if let Some(old) = std::mem::replace(&mut lease.open_key, key) {
            self.open.remove(&(old, drone.clone()));
        }
        if let Some(key) = key {
            self.open.insert((key, drone.clone()));
        }
    }

    fn reserve(&mut self, lease: &mut Lease, prepare: bool) {
        let (before, after) = self
            .row
            .plan
            .as_ref()
            .map_or((0, 0), |plan| (plan.prepare_commands, plan.cleanup_commands));
        let first = self.take_nums(if prepare { before } else { 0 });
        lease.cleanup = Some(Num(first.0 + if prepare { before } else { 0 }));
        self.take_nums(after);
        lease.until = Some(self.row.next_num);
    }

    /// What [`Self::reserve`] kept under a lease of an earlier queen: it follows the numbers of the preparation.
    pub(crate) fn reserved(&self, lease: &mut Lease) {
        if let Some(plan) = &self.row.plan {
            let first = lease.row.num.0.saturating_add(plan.prepare_commands);
            lease.cleanup = Some(Num(first));
            lease.until = Some(Num(first.saturating_add(plan.cleanup_commands)));
        }
    }

    /// The first number for the cleanup under a lease; whoever alone numbers the job's commands goes on from where they are.
    pub(crate) fn cleanup_num(&self, token: LeaseToken) -> Num {
        let kept = self.leases.get(&token).and_then(|lease| lease.cleanup);
        kept.unwrap_or(self.row.next_num)
    }

    /// The files are listed: from here on others number commands too, so the home drone gets its share for cleanup.
    pub(crate) fn reserve_home(&mut self) {
        let Some(mut lease) = self.home.and_then(|token| self.leases.remove(&token)) else {
            return;
        };
        self.reserve(&mut lease, false);
        self.leases.insert(lease.row.token, lease);
    }
}

impl State {
    /// Changes a job, and settles what that means for the slots of one lease's drone and for the job's share.
    pub(crate) fn resize(&mut self, id: &JobId, token: LeaseToken, change: impl FnOnce(&mut Job)) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let Some(drone) = job.leases.get(&token).map(|lease| lease.row.drone.clone()) else {
            return;
        };
        let slots = |job: &Job| job.leases.get(&token).map_or(0, Lease::slots);
        let before = slots(job);
        change(job);
        let after = slots(job);
        job.usage = (job.usage + after).saturating_sub(before);
        if job.usage == 0 && before > 0 {
            job.starved = self.now;
        }
        self.fair
            .add_usage(&job.new.project, i64::from(after) - i64::from(before));
        let held = self.drone_mut(&drone);
        held.demand = (held.demand + after).saturating_sub(before);
        self.reindex(&drone);
        self.touched.insert(drone.clone());
        if after < before {
            self.dirty_drones.insert(drone);
        }
        self.refresh(id);
    }

    /// Gives a drone a lease.
    pub(crate) fn grant(&mut self, id: &JobId, drone: &DroneId, role: Role) {
        self.leave_backlog(id);
        self.fleet.used(drone);
        let held = self.drone_mut(drone);
        let Some(incarnation) = held.incarnation.clone() else {
            return;
        };
        let promise = (held.slots.saturating_sub(held.demand), held.speed());
        let Some(job) = self.jobs.get_mut(id) else { return };
        let token = match job.row.next_token {
            next if self.faults.same_token && job.leases.is_empty() => LeaseToken(next.0.saturating_sub(1).max(1)),
            next => next,
        };
        job.row.next_token = job.row.next_token.max(token.next());
        let row = LeaseRow {
            job: id.clone(),
            token,
            drone: drone.clone(),
            incarnation,
            role,
            num: job.row.next_num,
            state: LeaseState::Live,
            prepared: false,
            closing: false,
        };
        let grant = Grant {
            token,
            role,
            num: row.num,
        };
        let mut lease = Lease::new(row, self.now);
        lease.promise = promise;
        if job.row.plan.is_some() {
            job.reserve(&mut lease, true);
        }
        job.by_drone.insert(drone.clone(), token);
        if role == Role::Home {
            job.home = Some(token);
        }
        // Enters without slots, so that the change counts what it asks for.
        lease.row.prepared = true;
        job.leases.insert(token, lease);
        self.drone_mut(drone).leases.insert(id.clone(), token);
        self.resize(id, token, |job| {
            if let Some(lease) = job.leases.get_mut(&token) {
                lease.row.prepared = false;
            }
        });
        self.recount(id);
        self.refresh(id);
        self.out.dirty_jobs.insert(id.clone());
        self.out.dirty_leases.insert((id.clone(), token));
        self.out.start(drone, id, grant);
    }

    /// The drone can take files now.
    pub(crate) fn lease_prepared(&mut self, id: &JobId, token: LeaseToken) {
        let now = self.now;
        self.resize(id, token, |job| {
            let Some(lease) = job.leases.get_mut(&token) else {
                return;
            };
            lease.row.prepared = true;
            if lease.row.role == Role::Home {
                job.prepare = Some(now.since(lease.since));
            }
        });
        self.out.dirty_leases.insert((id.clone(), token));
        self.recount(id);
        let drone = self
            .jobs
            .get(id)
            .and_then(|job| job.leases.get(&token))
            .map(|lease| lease.row.drone.clone());
        if let Some(drone) = drone {
            // What another job has there ahead would keep this one waiting.
            self.reclaim(&drone, Some(id));
        }
        self.advance(id);
    }

    /// Ends a lease. Whatever still comes under it is stale.
    pub(crate) fn end_lease(&mut self, id: &JobId, token: LeaseToken, how: Gone) {
        let Some(job) = self.jobs.get(id) else { return };
        let Some(lease) = job.leases.get(&token) else { return };
        let (drone, role, closing) = (lease.row.drone.clone(), lease.row.role, lease.row.closing);
        let outs: Vec<Num> = lease.outs.iter().copied().collect();
        for num in outs {
            self.unfinished(id, token, num, how);
        }
        self.resize(id, token, |job| {
            // Only now: files that came back have listed the drone again.
            job.set_open(token, &drone, None);
            if let Some(mut lease) = job.leases.remove(&token) {
                lease.row.state = LeaseState::Ended;
                job.by_drone.remove(&drone);
                if job.home == Some(token) {
                    job.home = None;
                }
                // Kept only until it is saved below.
                job.ended.push(lease.row);
            }
        });
        self.drone_mut(&drone).leases.remove(id);
        self.out.dirty_leases.remove(&(id.clone(), token));
        let Some(job) = self.jobs.get_mut(id) else { return };
        for row in job.ended.drain(..) {
            self.out.save(Record::Lease(row));
        }
        self.recount(id);
        self.dirty_drones.insert(drone.clone());
        if !closing {
            self.left_early(id, &drone, role);
        }
        self.advance(id);
    }

    /// A lease is over although nobody told it to end.
    fn left_early(&mut self, id: &JobId, drone: &DroneId, role: Role) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        if job.row.state.is_final() || job.verdict().is_some() {
            return;
        }
        if role == Role::Helper && job.home.is_some() {
            return;
        }
        if role == Role::Home && job.row.deploy_given {
            let message = format!(
                "drone {drone} was lost during the deploy. How far it came is not known, and a deploy is never repeated by \
                 itself: look at the target, then rerun the job"
            );
            return self.fail(id, JobError::new("lost", message));
        }
        job.row.lost += 1;
        let lost = job.row.lost;
        self.out.dirty_jobs.insert(id.clone());
        if lost > HOMES_LOST {
            let message = format!(
                "its drone was lost {lost} times, the last one {drone}: see the drones' logs for what ends them, then rerun the job"
            );
            self.fail(id, JobError::new("lost", message));
        } else if job.row.plan.is_none() {
            self.clear_files(id);
        }
    }

    /// The last word of a lease.
    pub(crate) fn last_word(&mut self, id: &JobId, token: LeaseToken, what: JobInput) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let Some(lease) = job.leases.get(&token) else { return };
        let (role, drone) = (lease.row.role, lease.row.drone.clone());
        if let JobInput::Errored { error } = what {
            let needed = role == Role::Home || job.home.is_none();
            if role == Role::Home && !job.row.deploy_given {
                if job.verdict().is_none() {
                    job.row.error = Some(error);
                    self.out.dirty_jobs.insert(id.clone());
                }
            } else if role == Role::Helper {
                job.barred.insert(drone.clone());
                self.warn(id, format!("drone {drone} could not help: {}", error.message), needed);
            } else if job.verdict().is_none() {
                job.row.error = Some(error);
                self.out.dirty_jobs.insert(id.clone());
            }
        }
        self.end_lease(id, token, Gone::Word);
    }

    /// A helper could not prepare: it cleans up and is not asked again.
    pub(crate) fn helper_failed(&mut self, id: &JobId, token: LeaseToken, code: i32) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let Some(lease) = job.leases.get_mut(&token) else {
            return;
        };
        if lease.row.closing {
            return;
        }
        lease.row.closing = true;
        let drone = lease.row.drone.clone();
        job.barred.insert(drone.clone());
        let needed = job.home.is_none();
        self.out.dirty_leases.insert((id.clone(), token));
        self.warn(
            id,
            format!("drone {drone} could not prepare the job: a command ended with {code}"),
            needed,
        );
        self.recount(id);
        self.say_phase(id, token);
        if needed {
            self.left_early(id, &drone, Role::Helper);
        }
        self.dirty_jobs.insert(id.clone());
    }

    fn warn(&mut self, id: &JobId, message: String, last: bool) {
        let message = if last {
            format!("{message}; another drone is asked")
        } else {
            message
        };
        let warning = shared::protocol::event::Warning {
            source: "queen".into(),
            message,
        };
        self.out.emit(shared::protocol::JobEvent::Warned {
            job: id.clone(),
            warning,
        });
    }
}
