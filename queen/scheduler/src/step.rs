//! One input after the other: who may say what, and which room it concerns.
//!
//! Owns [`State::step`] and the fence in front of everything that a drone says. It decides nothing else.

use crate::{Action, DroneInput, Input, JobInput, Record, State, job::Job, lease::Gone, state::Timer};
use shared::{
    DroneId, JobId, LeaseToken, Num,
    protocol::{
        ToDrone,
        event::{Edge, Phase},
        to_drone::{ResumeAnswer, Role},
        to_queen::Info,
    },
};

/// A drone that numbers its own commands may be this far ahead of what the queen has heard of.
const NUM_AHEAD: u32 = 1000;

impl State {
    /// One input, and what follows from it. The same inputs give the same actions.
    pub fn step(&mut self, now: shared::Timestamp, input: Input) -> Vec<Action> {
        self.now = self.now.max(now);
        match input {
            Input::Submit(new) => self.submit(*new),
            Input::Cancel { job, reason } => self.cancel(&job, reason),
            Input::Wake => self.wake(),
            Input::Drone { drone, what } => self.on_drone(&drone, what),
        }
        self.dispatch();
        self.flush()
    }

    fn wake(&mut self) {
        while let Some((at, _)) = self.timers.first() {
            if *at > self.now {
                return;
            }
            match self.timers.pop_first() {
                Some((_, Timer::Job(job))) => self.job_due(&job),
                Some((_, Timer::Drone(drone))) => {
                    if let Some(held) = self.fleet.drones.get_mut(&drone) {
                        held.grace_end = None;
                        self.revoke_all(&drone);
                    }
                }
                None => return,
            }
        }
    }

    fn on_drone(&mut self, drone: &DroneId, what: DroneInput) {
        match what {
            DroneInput::Connected { incarnation, name, gap } => self.connected(drone, incarnation, name, gap),
            DroneInput::Info(info) => self.on_info(drone, info),
            DroneInput::Resume(resume) => self.resume(drone, resume),
            DroneInput::Disconnected => self.suspend(drone),
            DroneInput::Left => {
                self.suspend(drone);
                self.revoke_all(drone);
            }
            DroneInput::Drain(on) => {
                self.drone_mut(drone).wished = on;
                let drone_id = drone.clone();
                self.out.save(Record::Drain { drone: drone_id, on });
                self.out.send(drone, ToDrone::Drain { on: Some(on) });
                self.drone_changed(drone);
            }
            DroneInput::Job { job, lease, what } => self.on_job(drone, &job, lease, what),
        }
    }

    fn on_info(&mut self, id: &DroneId, info: Info) {
        let drone = self.drone_mut(id);
        drone.slots = match info.capacity {
            // What it holds it finishes, at least one thing after the other if the queen has not known it before.
            0 => drone.slots.max(drone.demand).max(1),
            capacity => capacity,
        };
        let drains = info.capacity == 0 && !drone.wished;
        drone.info = Some(info);
        drone.ready = drone.connected;
        if drains {
            // It may have been away when that was taken back. One that leaves of its own accord does not heed this.
            self.out.send(id, ToDrone::Drain { on: Some(false) });
        }
        self.drone_changed(id);
    }

    fn on_job(&mut self, drone: &DroneId, id: &JobId, lease: Option<LeaseToken>, what: JobInput) {
        let Some(job) = self.jobs.get(id) else {
            self.refuse(drone, id, lease, &what);
            return self.out.drop("unknown-job");
        };
        let held = job.by_drone.get(drone).copied();
        let Some(token) = held.filter(|held| lease.is_none_or(|lease| lease == *held)) else {
            self.refuse(drone, id, lease, &what);
            return self.on_stale(id, &what);
        };
        let last = matches!(what, JobInput::Done | JobInput::Errored { .. } | JobInput::Cancelled);
        if job.row.state.is_final() {
            if last {
                self.end_lease(id, token, Gone::Word);
            } else {
                self.out.drop("stale");
            }
            return;
        }
        let is_home = job.home == Some(token);
        if let Some(lease) = self.jobs.get_mut(id).and_then(|job| job.leases.get_mut(&token)) {
            lease.received = true;
        }
        match what {
            JobInput::Receipt => {}
            JobInput::Started => {
                if is_home {
                    self.out.accept();
                    self.began(id);
                }
            }
            JobInput::Phase { phase, edge, code } => self.on_phase(id, token, phase, edge, code),
            JobInput::CmdStart { num } => self.on_command(id, token, num),
            JobInput::Files { files, more, plan } => self.list(id, token, files, more, plan),
            JobInput::FileStart { num, attempt } => self.file_started(id, token, num, attempt),
            done @ JobInput::FileDone { .. } => self.file_done(id, token, &done),
            JobInput::Returned { nums } => self.returned(id, token, &nums),
            JobInput::Deployed { code } => self.on_deployed(id, token, code),
            last @ (JobInput::Done | JobInput::Errored { .. } | JobInput::Cancelled) => self.last_word(id, token, last),
        }
    }

    /// A drone that takes up a lease that is over is told to drop it. It can come to that when the `queue:new` of a lease
    /// was said again and the echo arrives after the lease's last word.
    fn refuse(&mut self, drone: &DroneId, id: &JobId, lease: Option<LeaseToken>, what: &JobInput) {
        if let (JobInput::Receipt, Some(lease)) = (what, lease) {
            let (id, go_on) = (id.clone(), false);
            let jobs = vec![ResumeAnswer { id, lease, go_on }];
            self.out.send(drone, ToDrone::Resumed { jobs });
        }
    }

    fn on_phase(&mut self, id: &JobId, token: LeaseToken, phase: Phase, edge: Edge, code: Option<i32>) {
        let tested = self.jobs.get(id).is_some_and(|job| job.row.test_code.is_some());
        if tested && (phase, edge) == (Phase::Test, Edge::Done) {
            // A drone that was stopped at that moment says what the queen has said already.
            return self.out.drop("duplicate");
        }
        self.out.accept();
        self.began(id);
        let Some(job) = self.jobs.get_mut(id) else { return };
        let Some(lease) = job.leases.get_mut(&token) else {
            return;
        };
        if (phase, edge) != (Phase::Prepare, Edge::Done) || lease.row.prepared {
            return;
        }
        let role = lease.row.role;
        match code {
            Some(0) => self.lease_prepared(id, token),
            // It broke off; the last word of the lease says why.
            None => {}
            Some(code) if role == Role::Home && job.verdict().is_none() => {
                if !job.new.job_type.tests() || job.row.test_code.is_some() {
                    job.row.deploy_code = Some(code);
                } else {
                    self.drop_pending(id);
                    if let Some(job) = self.jobs.get_mut(id) {
                        job.row.test_code = Some(code);
                    }
                }
                self.out.dirty_jobs.insert(id.clone());
                self.advance(id);
            }
            Some(code) => self.helper_failed(id, token, code),
        }
    }

    fn on_command(&mut self, id: &JobId, token: LeaseToken, num: Num) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        if job.may_begin(token, num) {
            if num >= job.row.next_num {
                job.row.next_num = num.next();
                self.out.dirty_jobs.insert(id.clone());
            }
            self.out.accept();
        } else {
            self.out.drop("bad-num");
        }
    }

    fn on_deployed(&mut self, id: &JobId, token: LeaseToken, code: i32) {
        let Some(job) = self.jobs.get(id) else { return };
        if job.home != Some(token) {
            return self.out.drop("not-home");
        }
        if !job.row.deploy_given || job.row.deploy_code.is_some() {
            return self.out.drop("duplicate");
        }
        self.out.accept();
        self.resize(id, token, |job| {
            job.row.deploy_code = Some(code);
            if let Some(lease) = job.leases.get_mut(&token) {
                lease.deploying = false;
            }
        });
        self.out.dirty_jobs.insert(id.clone());
        self.advance(id);
    }
}

impl Job {
    /// May the command `num` begin under this lease?
    fn may_begin(&self, token: LeaseToken, num: Num) -> bool {
        if let Some((_, under)) = self.nums.get(&num) {
            return *under == token;
        }
        let Some(lease) = self.leases.get(&token) else {
            return false;
        };
        // Whoever alone numbers the job's commands goes on from where they are: before files are listed, in the deploy
        // and after it.
        let alone = lease.until.is_none() || (self.home == Some(token) && self.row.deploy_given);
        if alone {
            return num >= lease.row.num && num.0 < self.row.next_num.0.saturating_add(NUM_AHEAD);
        }
        num >= lease.row.num && lease.until.is_some_and(|until| num < until)
    }
}
