//! Drones that go away and come back: grace, new lives, resume.
//!
//! A drone that is away keeps its leases, suspended, until its grace ends. Back in time it says what it still holds and is told
//! what to go on with; what it never had is said again. Leases themselves are in `lease.rs`.

use crate::{LeaseState, State, lease::Gone, state::Timer};
use shared::{
    DroneId, Incarnation, JobId, LeaseToken,
    protocol::{Lease as Grant, ToDrone, to_drone::ResumeAnswer, to_queen::Resume},
};

impl State {
    /// A drone has connected.
    pub(crate) fn connected(&mut self, id: &DroneId, incarnation: Incarnation, name: String, gap: bool) {
        self.suspend(id);
        let drone = self.drone_mut(id);
        let same = drone.incarnation.as_ref() == Some(&incarnation) && !gap;
        drone.incarnation = Some(incarnation);
        drone.name = name;
        drone.connected = true;
        drone.ready = false;
        if drone.wished {
            self.out.send(id, ToDrone::Drain { on: Some(true) });
        }
        if !same {
            self.revoke_all(id);
        }
        self.drone_changed(id);
    }

    /// A drone's connection is gone.
    pub(crate) fn suspend(&mut self, id: &DroneId) {
        let end = self.now.plus(self.grace);
        let drone = self.drone_mut(id);
        if !drone.connected {
            return;
        }
        drone.connected = false;
        drone.ready = false;
        let leases: Vec<_> = drone.leases.iter().map(|(job, token)| (job.clone(), *token)).collect();
        if !leases.is_empty() {
            if let Some(old) = drone.grace_end.replace(end) {
                self.timers.remove(&(old, Timer::Drone(id.clone())));
            }
            self.timers.insert((end, Timer::Drone(id.clone())));
        }
        for (job, token) in leases {
            self.set_lease(&job, token, LeaseState::Suspended);
        }
        self.drone_changed(id);
    }

    fn set_lease(&mut self, id: &JobId, token: LeaseToken, state: LeaseState) {
        if let Some(lease) = self.jobs.get_mut(id).and_then(|job| job.leases.get_mut(&token)) {
            lease.row.state = state;
            self.out.dirty_leases.insert((id.clone(), token));
        }
    }

    /// A drone's grace is over, or it is not the one that it was.
    pub(crate) fn revoke_all(&mut self, id: &DroneId) {
        let drone = self.drone_mut(id);
        let leases: Vec<_> = drone.leases.iter().map(|(job, token)| (job.clone(), *token)).collect();
        if let Some(end) = drone.grace_end.take() {
            self.timers.remove(&(end, Timer::Drone(id.clone())));
        }
        for (job, token) in leases {
            self.end_lease(&job, token, Gone::Lost);
        }
    }

    /// The drone says what it still holds.
    pub(crate) fn resume(&mut self, id: &DroneId, resume: Resume) {
        let drone = self.drone_mut(id);
        let leases: Vec<_> = drone.leases.iter().map(|(job, token)| (job.clone(), *token)).collect();
        if let Some(end) = drone.grace_end.take() {
            self.timers.remove(&(end, Timer::Drone(id.clone())));
        }
        let holds =
            |job: &JobId, token: LeaseToken| resume.jobs.iter().find(|held| held.id == *job && held.lease == token);
        let answers = resume.jobs.iter().map(|held| ResumeAnswer {
            id: held.id.clone(),
            lease: held.lease,
            go_on: leases
                .iter()
                .any(|(job, token)| held.id == *job && held.lease == *token),
        });
        let jobs = answers.collect();
        self.out.send(id, ToDrone::Resumed { jobs });
        // First what the drone never had: it was said before anything of the others that may have been lost with it.
        let (held, missing): (Vec<_>, Vec<_>) = leases
            .into_iter()
            .partition(|(job, token)| holds(job, *token).is_some());
        for (job, token) in missing {
            let Some(lease) = self.jobs.get(&job).and_then(|job| job.leases.get(&token)) else {
                continue;
            };
            if lease.row.state == LeaseState::Live {
                // Given on this very connection: the drone could not know of it yet.
            } else if lease.received || lease.row.closing {
                self.end_lease(&job, token, Gone::Lost);
            } else {
                self.set_lease(&job, token, LeaseState::Live);
                self.start_again(&job, token);
            }
        }
        for (job, token) in held {
            let lease = self.jobs.get(&job).and_then(|job| job.leases.get(&token));
            if lease.is_none_or(|lease| lease.row.state == LeaseState::Live) {
                // An older word of the drone, late, has settled it on this very connection. What was said since then this
                // one could not know, and saying it again would undo what was taken back meanwhile.
                continue;
            }
            let running = holds(&job, token)
                .map(|held| held.running.as_slice())
                .unwrap_or_default();
            self.set_lease(&job, token, LeaseState::Live);
            self.run_again(&job, token, running);
            self.say_phase(&job, token);
            self.advance(&job);
        }
        self.drone_changed(id);
    }

    /// Sends a lease's `queue:new` again: the drone never had it.
    fn start_again(&mut self, id: &JobId, token: LeaseToken) {
        let Some(lease) = self.jobs.get(id).and_then(|job| job.leases.get(&token)) else {
            return;
        };
        let (drone, role, num) = (lease.row.drone.clone(), lease.row.role, lease.row.num);
        self.out.start(&drone, id, Grant { token, role, num });
    }
}
