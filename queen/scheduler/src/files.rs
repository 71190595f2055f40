//! The files of a job: listing, order, hand-out, hand-out ahead, and their results.
//!
//! Pending files are an ordered set by (failed before, expected duration, place in the list); handing one out is
//! logarithmic. What happens to a file that did not end well is in `retry.rs`, to one that
//! is wanted back in `back.rs`.

use crate::{FileRow, FileState, JobInput, ListedFile, State, estimate::Work, job::Job, job::Turn};
use shared::{
    Attempt, DroneId, JobId, LeaseToken, Num, Timestamp,
    outcome::Group,
    protocol::{
        JobEvent,
        event::{JobError, Plan},
        to_drone::RunFile,
    },
    settings::Order,
};
use std::cmp::Reverse;

/// Pending files looked at to find one that did not fail on this very drone.
const LOOK: usize = 8;

/// One file.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) row: FileRow,
    /// What it counts in the order, in milliseconds at speed 100.
    pub(crate) weight: u64,
    /// When the drone began it.
    pub(crate) begun: Option<Timestamp>,
    /// Handed out beyond the drone's free slots.
    pub(crate) ahead: bool,
    /// Asked back.
    pub(crate) asked: bool,
    /// Its drone was told to stop it.
    pub(crate) stopped: bool,
    /// Speed of the slot that it has.
    pub(crate) rate: u64,
    /// What it could be split into, until that is decided.
    pub(crate) groups: Vec<Group>,
    /// It died or was lost on the drone of its last attempt: another one is better.
    pub(crate) elsewhere: bool,
}

impl File {
    pub(crate) fn new(row: FileRow) -> Self {
        Self {
            row,
            weight: 0,
            begun: None,
            ahead: false,
            asked: false,
            stopped: false,
            rate: 0,
            groups: Vec::new(),
            elsewhere: false,
        }
    }
}

impl Job {
    pub(crate) fn turn(&self, index: u32) -> Turn {
        let file = &self.files[index as usize];
        match self.row.plan.as_ref().map(|plan| plan.order) {
            Some(Order::Listed) => (false, Reverse(0), index),
            _ => (!file.row.failed_before, Reverse(file.weight), index),
        }
    }

    /// Weighs every file: what is expected, else the median of what is.
    pub(crate) fn value_files(&mut self) {
        let mut known: Vec<u64> = self.files.iter().filter_map(|file| file.row.expect).collect();
        known.sort_unstable();
        let median = known.get(known.len() / 2).copied();
        self.work = Work::new(median);
        for file in &mut self.files {
            file.weight = file.row.expect.or(median).unwrap_or(0);
        }
    }

    /// A file is to be run, now or again.
    pub(crate) fn push_pending(&mut self, index: u32) {
        let file = &mut self.files[index as usize];
        file.row.state = FileState::Pending;
        file.row.token = None;
        self.work.add(file.row.expect);
        let turn = self.turn(index);
        self.pending.insert(turn);
    }

    pub(crate) fn pop_pending(&mut self, turn: &Turn) {
        if self.pending.remove(turn) {
            self.work.remove(self.files[turn.2 as usize].row.expect);
        }
    }

    /// Enters a file among those that a lease has.
    pub(crate) fn put_out(&mut self, index: u32, num: Num, token: LeaseToken, rate: u64, ahead: bool) {
        let file = &mut self.files[index as usize];
        (file.ahead, file.rate, file.begun) = (ahead, rate, None);
        (file.asked, file.stopped) = (false, false);
        if ahead {
            self.ahead.insert(num);
        } else {
            self.in_slots += 1;
            self.rate += rate;
        }
        if let Some(lease) = self.leases.get_mut(&token) {
            lease.outs.insert(num);
        }
    }

    /// A file handed out ahead has a slot after all.
    fn settle_in(&mut self, index: u32, num: Num) {
        let file = &mut self.files[index as usize];
        if std::mem::take(&mut file.ahead) {
            self.ahead.remove(&num);
            self.in_slots += 1;
            self.rate += file.rate;
        }
    }

    /// Takes a file out of those that a lease has.
    pub(crate) fn take_out(&mut self, index: u32, num: Num, token: LeaseToken) {
        let file = &mut self.files[index as usize];
        if file.ahead {
            self.ahead.remove(&num);
        } else {
            self.in_slots -= 1;
            self.rate -= file.rate;
        }
        if std::mem::take(&mut file.asked) {
            self.asked -= 1;
        }
        file.ahead = false;
        if let Some(lease) = self.leases.get_mut(&token) {
            lease.outs.remove(&num);
        }
    }

    /// The next file for a drone: the first in order that did not just die there, else the first.
    pub(crate) fn next_for(&self, drone: &DroneId) -> Option<Turn> {
        let dodges = |turn: &&Turn| {
            let file = &self.files[turn.2 as usize];
            !(file.elsewhere && file.row.drone.as_ref() == Some(drone))
        };
        self.pending
            .iter()
            .take(LOOK)
            .find(dodges)
            .or_else(|| self.pending.first())
            .copied()
    }

    /// The file of a command that is out under a lease.
    pub(crate) fn out(&self, num: Num, token: LeaseToken) -> Option<u32> {
        let (index, under) = self.nums.get(&num)?;
        let row = &self.files[*index as usize].row;
        (*under == token && row.state == FileState::Out && row.num == Some(num)).then_some(*index)
    }
}

impl State {
    /// The home drone lists files.
    pub(crate) fn list(
        &mut self,
        id: &JobId,
        token: LeaseToken,
        files: Vec<ListedFile>,
        more: bool,
        plan: Option<Plan>,
    ) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        if job.home != Some(token) || !job.new.job_type.tests() {
            return self.out.drop("not-home");
        }
        if job.row.plan.is_some() {
            return self.out.drop("duplicate");
        }
        self.out.accept();
        let quarantined = files.iter().filter(|listed| listed.quarantined);
        let quarantined: Vec<String> = quarantined.map(|listed| listed.path.clone()).collect();
        for listed in files {
            let index = u32::try_from(job.files.len()).unwrap_or(u32::MAX);
            self.out.dirty_files.insert((id.clone(), index));
            let expect = listed.expect;
            let row = FileRow {
                job: id.clone(),
                index,
                path: listed.path,
                state: FileState::Pending,
                attempt: Attempt(0),
                num: None,
                token: None,
                drone: None,
                outcome: None,
                bad: 0,
                lost: 0,
                expect: expect.as_ref().map(|expect| expect.duration),
                failed_before: expect.as_ref().is_some_and(|expect| expect.failed),
                quarantined: listed.quarantined,
                part: None,
            };
            job.files.push(File {
                groups: expect.map(|expect| expect.groups).unwrap_or_default(),
                ..File::new(row)
            });
        }
        if !quarantined.is_empty() {
            let (job, paths) = (id.clone(), quarantined);
            self.out.emit(JobEvent::Quarantined { job, paths });
        }
        job.row.files_total = u32::try_from(job.files.len()).unwrap_or(u32::MAX);
        self.out.dirty_jobs.insert(id.clone());
        if more {
            return if job.stopping() {
                self.drop_pending(id)
            };
        }
        let plan = plan.unwrap_or_default();
        let splits = plan.split && !job.stopping();
        job.row.plan = Some(plan);
        if splits {
            self.split(id);
        }
        let Some(job) = self.jobs.get_mut(id) else { return };
        job.value_files();
        job.reserve_home();
        // Those that a cancel has closed already stay so.
        let open = job.files.iter().filter(|file| file.row.state == FileState::Pending);
        for index in open.map(|file| file.row.index).collect::<Vec<_>>() {
            job.push_pending(index);
        }
        if job.files.is_empty() {
            let message = "no test file was listed: check [test] files and exclude in skep.toml";
            return self.fail(id, JobError::new("no-tests", message));
        }
        self.advance(id);
    }

    /// Hands the next file to a drone; `ahead` if it is to wait there for a slot.
    pub(crate) fn hand_out(&mut self, id: &JobId, drone: &DroneId, ahead: bool) -> bool {
        let speed = self.drone_mut(drone).speed();
        let Some(job) = self.jobs.get_mut(id) else { return false };
        let Some(token) = job.by_drone.get(drone).copied() else {
            return false;
        };
        let Some(turn) = job.next_for(drone) else { return false };
        let index = turn.2;
        self.resize(id, token, |job| {
            job.pop_pending(&turn);
            let num = job.take_nums(1);
            let row = &mut job.files[index as usize].row;
            row.state = FileState::Out;
            row.attempt = row.attempt.next();
            row.num = Some(num);
            row.token = Some(token);
            row.drone = Some(drone.clone());
            job.nums.insert(num, (index, token));
            job.put_out(index, num, token, speed, ahead);
        });
        self.out.dirty_jobs.insert(id.clone());
        self.out.dirty_files.insert((id.clone(), index));
        self.say_run(id, index);
        true
    }

    fn say_run(&mut self, id: &JobId, index: u32) {
        let Some(job) = self.jobs.get(id) else { return };
        let row = &job.files[index as usize].row;
        let (Some(num), Some(token), Some(drone)) = (row.num, row.token, &row.drone) else {
            return;
        };
        let file = RunFile {
            num,
            path: row.path.clone(),
            attempt: row.attempt,
            timeout: job.row.plan.as_ref().and_then(|plan| plan.timeout),
            // Job data, which the engine adds.
            cases: None,
            part: row.part.as_ref().map(|part| part.part.clone()),
        };
        self.out.run(drone, id, token, file);
    }

    /// After a reconnect: sends again what the drone does not know of.
    pub(crate) fn run_again(&mut self, id: &JobId, token: LeaseToken, running: &[Num]) {
        let Some(lease) = self.jobs.get(id).and_then(|job| job.leases.get(&token)) else {
            return;
        };
        let missing: Vec<Num> = lease
            .outs
            .iter()
            .copied()
            .filter(|num| !running.contains(num))
            .collect();
        let mut asked = Vec::new();
        for num in lease.outs.clone() {
            let Some(job) = self.jobs.get_mut(id) else { return };
            let Some(index) = job.out(num, token) else { continue };
            if missing.contains(&num) && job.leases.get(&token).is_some_and(|lease| !lease.row.closing) {
                self.say_run(id, index);
            } else if job.files[index as usize].asked {
                asked.push(num);
            }
        }
        if !asked.is_empty() {
            self.say_take_back(id, token, asked, None);
        }
        self.stop_running(id, Some(token));
    }

    /// A drone has begun a file.
    pub(crate) fn file_started(&mut self, id: &JobId, token: LeaseToken, num: Num, attempt: Attempt) {
        let now = self.now;
        let Some(job) = self.jobs.get_mut(id) else { return };
        if !job.nums.contains_key(&num) {
            return self.out.drop("bad-num");
        }
        let Some(index) = job.out(num, token) else {
            return self.out.drop("stale");
        };
        let file = &mut job.files[index as usize];
        if file.row.attempt != attempt {
            return self.out.drop("stale");
        }
        if file.begun.is_some() {
            return self.out.drop("duplicate");
        }
        file.begun = Some(now);
        if std::mem::take(&mut file.asked) {
            job.asked -= 1;
        }
        job.settle_in(index, num);
        self.out.accept();
        self.refresh(id);
        self.dirty_jobs.insert(id.clone());
    }

    /// A file's result is in.
    pub(crate) fn file_done(&mut self, id: &JobId, token: LeaseToken, done: &JobInput) {
        let JobInput::FileDone {
            num,
            attempt,
            outcome,
            died,
            duration,
            ref groups,
        } = *done
        else {
            return;
        };
        let Some(job) = self.jobs.get(id) else { return };
        let Some((known, _)) = job.nums.get(&num) else {
            return self.out.drop("bad-num");
        };
        let row = &job.files[*known as usize].row;
        let Some(index) = job.out(num, token).filter(|_| row.attempt == attempt) else {
            let again = row.attempt >= attempt && row.num == Some(num);
            return self.out.drop(if again { "duplicate" } else { "stale" });
        };
        // A part takes what the whole file takes to begin, beside its share of the rest.
        let expect = row.expect.filter(|_| row.part.is_none());
        let drone = row.drone.clone();
        if let Some(drone) = drone.filter(|_| !died && !outcome_is_cut(outcome)) {
            let held = self.drone_mut(&drone);
            let normal = duration.saturating_mul(held.speed()) / 100;
            if let Some(expected) = expect {
                self.learn(&drone, expected, duration);
            }
            if let Some(job) = self.jobs.get_mut(id) {
                job.work.measured(normal);
                if let Some(part) = &mut job.files[index as usize].row.part {
                    part.took = Some(normal);
                    part.groups.clone_from(groups);
                }
            }
        }
        self.resize(id, token, |job| job.take_out(index, num, token));
        self.judge(id, index, outcome, died);
        self.after_file(id);
    }
}

/// The duration says nothing about the file: it was cut short.
fn outcome_is_cut(outcome: shared::outcome::FileOutcome) -> bool {
    use shared::outcome::FileOutcome::{Crashed, NotRun, TimedOut};
    matches!(outcome, Crashed | NotRun | TimedOut)
}
