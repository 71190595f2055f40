//! Files that are wanted back: those that wait ahead for a slot when another drone is idle, and, once `fail_fast` has cut
//! the job, those that run.
//!
//! A drone answers with what it gives back; what it does not name it has begun, and its result counts. Read next:
//! `files.rs`.

use crate::{State, job::Job};
use shared::{
    Attempt, DroneId, JobId, LeaseToken, Num,
    outcome::{FileOutcome, FileResult},
    protocol::{JobEvent, ToDrone},
};

impl Job {
    /// `fail_fast`, and a file is bad: nothing more is to run.
    pub(crate) fn is_cut(&self) -> bool {
        self.row.files_bad > 0 && self.row.plan.as_ref().is_some_and(|plan| plan.fail_fast)
    }
}

impl State {
    /// A drone gives files back: those that it has not begun, and those that it was told to stop.
    pub(crate) fn returned(&mut self, id: &JobId, token: LeaseToken, nums: &[Num]) {
        let forgets = self.faults.forget_ahead;
        for num in nums {
            let Some(job) = self.jobs.get_mut(id) else { return };
            let Some(index) = job.out(*num, token) else { continue };
            let file = &job.files[index as usize];
            if file.begun.is_some() {
                if file.stopped {
                    let event = JobEvent::FileDone {
                        job: id.clone(),
                        num: *num,
                        path: file.row.path.clone(),
                        attempt: file.row.attempt,
                        result: FileResult::bare(FileOutcome::NotRun),
                        drone: file.row.drone.clone(),
                    };
                    self.out.emit(event);
                    self.resize(id, token, |job| job.take_out(index, *num, token));
                    self.account(id, index, FileOutcome::NotRun);
                }
                continue;
            }
            self.resize(id, token, |job| {
                job.take_out(index, *num, token);
                job.nums.remove(num);
                let row = &mut job.files[index as usize].row;
                // It was never begun: the attempt is still to come.
                row.attempt = Attempt(row.attempt.0.saturating_sub(1));
                row.num = None;
                if !forgets {
                    job.push_pending(index);
                }
            });
            self.out.dirty_files.insert((id.clone(), index));
        }
        self.after_file(id);
    }

    /// Asks back `count` files of a job that wait ahead of their slots.
    pub(crate) fn take_back(&mut self, id: &JobId, count: usize) {
        let Some(job) = self.jobs.get(id) else { return };
        let nums: Vec<(Num, LeaseToken)> = job
            .ahead
            .iter()
            .rev()
            .filter_map(|num| Some((*num, job.nums.get(num)?.1)))
            .take(count)
            .collect();
        for (num, token) in nums {
            self.ask_back(id, token, vec![num]);
        }
    }

    /// Asks back everything that a drone holds ahead, but not of one job.
    pub(crate) fn reclaim(&mut self, drone: &DroneId, but: Option<&JobId>) {
        let Some(held) = self.fleet.drones.get(drone) else {
            return;
        };
        let leases: Vec<_> = held.leases.iter().map(|(job, token)| (job.clone(), *token)).collect();
        for (job, token) in leases.into_iter().filter(|(job, _)| Some(job) != but) {
            let Some(known) = self.jobs.get(&job) else { continue };
            let Some(lease) = known.leases.get(&token) else {
                continue;
            };
            let nums = lease
                .outs
                .iter()
                .filter(|num| known.ahead.contains(num))
                .copied()
                .collect();
            self.ask_back(&job, token, nums);
        }
    }

    fn ask_back(&mut self, id: &JobId, token: LeaseToken, nums: Vec<Num>) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let live = job.leases.get(&token).is_some_and(crate::lease::Lease::can_run);
        if nums.is_empty() || !live {
            return;
        }
        for num in &nums {
            if let Some(index) = job.out(*num, token) {
                job.ahead.remove(num);
                job.files[index as usize].asked = true;
                job.asked += 1;
            }
        }
        self.say_take_back(id, token, nums, None);
    }

    pub(crate) fn say_take_back(&mut self, id: &JobId, token: LeaseToken, nums: Vec<Num>, running: Option<bool>) {
        let Some(lease) = self.jobs.get(id).and_then(|job| job.leases.get(&token)) else {
            return;
        };
        let (drone, job, lease) = (lease.row.drone.clone(), id.clone(), token);
        let message = ToDrone::TakeBack {
            job,
            lease,
            nums,
            running,
        };
        self.out.send(&drone, message);
    }

    /// If the job is cut: has everything stopped that runs, under one lease (which may not have heard of it) or under all.
    pub(crate) fn stop_running(&mut self, id: &JobId, again: Option<LeaseToken>) {
        let Some(job) = self.jobs.get_mut(id).filter(|job| job.is_cut() && !job.stopping()) else {
            return;
        };
        let mut told = Vec::new();
        for (token, lease) in &job.leases {
            if !lease.can_run() || again.is_some_and(|again| again != *token) {
                continue;
            }
            let outs = lease.outs.iter().filter_map(|num| Some((*num, job.out(*num, *token)?)));
            let outs = outs.filter(|(_, index)| again.is_some() || !job.files[*index as usize].stopped);
            let outs: Vec<_> = outs.collect();
            if !outs.is_empty() {
                told.push((*token, outs));
            }
        }
        for (token, outs) in told {
            if let Some(job) = self.jobs.get_mut(id) {
                for (_, index) in &outs {
                    job.files[*index as usize].stopped = true;
                }
            }
            let nums = outs.into_iter().map(|(num, _)| num).collect();
            self.say_take_back(id, token, nums, Some(true));
        }
    }

    /// What follows when a file is back or done.
    pub(crate) fn after_file(&mut self, id: &JobId) {
        let Some(job) = self.jobs.get(id) else { return };
        if job.is_cut() || job.stopping() {
            self.drop_pending(id);
            let ahead = self.jobs.get(id).map_or(0, |job| job.ahead.len());
            self.take_back(id, ahead);
            self.stop_running(id, None);
        }
        self.advance(id);
    }
}
