//! How a job goes on, from its submission to its last word.
//!
//! [`State::advance`] is the one place that asks "what next?"; whatever changes a job calls it. The job's shape is in `job.rs`,
//! files in `files.rs`, leases in `lease.rs`, second tries in `retry.rs`, the way to a drone in `placement.rs`.

use crate::{
    JobRow, LeaseState, NewJob, State,
    files::File,
    job::Job,
    lease::{Gone, Lease},
    state::Timer,
};
use shared::{
    JobId, JobState, LeaseToken,
    outcome::FileOutcome,
    protocol::{
        JobEvent, ToDrone,
        event::{Edge, JobError, Phase},
        to_drone::Role,
    },
};

impl State {
    /// A new job enters.
    pub(crate) fn submit(&mut self, new: NewJob) {
        if self.jobs.contains_key(&new.id) {
            return;
        }
        let id = new.id.clone();
        let class = self.fleet.class_of(&new.labels, &new.plugins);
        self.out.emit(JobEvent::Queued {
            job: id.clone(),
            at: self.now,
        });
        let row = JobRow {
            not_before: new.delay_until,
            ..JobRow::new(id.clone())
        };
        self.jobs.insert(id.clone(), Job::new(new, row, class));
        self.out.dirty_jobs.insert(id.clone());
        self.dirty_jobs.insert(id);
    }

    /// Somebody wants a job stopped.
    pub(crate) fn cancel(&mut self, id: &JobId, reason: String) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        if job.row.state.is_final() || job.row.cancel.is_some() {
            return;
        }
        job.row.cancel = Some(reason);
        self.out.dirty_jobs.insert(id.clone());
        self.advance(id);
    }

    /// The system cannot do the job's work.
    pub(crate) fn fail(&mut self, id: &JobId, error: JobError) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        if job.verdict().is_none() {
            job.row.error = Some(error);
            self.out.dirty_jobs.insert(id.clone());
        }
        self.advance(id);
    }

    /// A drone has begun this attempt of the job.
    pub(crate) fn began(&mut self, id: &JobId) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        if job.row.state == JobState::Queued || job.row.began.is_none() {
            job.row.state = JobState::Running;
            job.row.began.get_or_insert(self.now);
            job.row.started.get_or_insert(self.now);
            self.out.dirty_jobs.insert(id.clone());
            self.dirty_jobs.insert(id.clone());
        }
    }

    /// What next? Safe to ask at any time.
    pub(crate) fn advance(&mut self, id: &JobId) {
        self.dirty_jobs.insert(id.clone());
        let Some(job) = self.jobs.get(id) else { return };
        if job.row.state.is_final() {
            self.forget(id);
        } else if job.verdict().is_some() {
            if job.stopping() {
                self.drop_pending(id);
            }
            self.close(id, true);
            self.settle(id);
        } else if job.all_accounted() {
            self.tested(id);
        } else if job.deploy_due() {
            if job.new.job_type.tests() {
                self.close(id, false);
            }
            self.give_deploy(id);
        }
    }

    /// All files are accounted for: says how the tests ended.
    fn tested(&mut self, id: &JobId) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let ran = |file: &File| !matches!(file.row.outcome, None | Some(FileOutcome::Empty | FileOutcome::NotRun));
        let any = job.files.iter().any(ran);
        let code = i32::from(job.row.files_bad > 0);
        self.out.emit(JobEvent::Phase {
            job: id.clone(),
            phase: Phase::Test,
            edge: Edge::Done,
            code: Some(code),
            at: self.now,
            drone: None,
        });
        self.out.dirty_jobs.insert(id.clone());
        if any {
            job.row.test_code = Some(code);
            self.out.emit(JobEvent::Tested {
                job: id.clone(),
                code,
                at: self.now,
            });
            self.advance(id);
        } else {
            let total = job.row.files_total;
            let message = format!(
                "no test ran: none of the {total} test files holds a test. A job that is to test passes only if a test \
                 has run; check [test] files and runner in skep.toml"
            );
            self.fail(id, JobError::new("no-tests", message));
        }
    }

    /// Hands the deploy to the home drone: once.
    fn give_deploy(&mut self, id: &JobId) {
        let Some(job) = self.jobs.get(id) else { return };
        let Some(home) = job.home_lease() else { return };
        if !home.row.prepared || home.row.closing || home.row.state != LeaseState::Live {
            return;
        }
        let token = home.row.token;
        self.resize(id, token, |job| {
            job.row.deploy_given = true;
            let num = job.row.next_num;
            if let Some(lease) = job.leases.get_mut(&token) {
                lease.deploying = true;
                lease.deploy_num = Some(num);
            }
        });
        self.out.dirty_jobs.insert(id.clone());
        self.say_phase(id, token);
    }

    /// Tells every lease (`all`), or only the helpers, to clean up; those that must not wait for their work, to stop.
    fn close(&mut self, id: &JobId, all: bool) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let open = |lease: &&mut Lease| !lease.row.closing && (all || lease.row.role == Role::Helper);
        let mut told = Vec::new();
        for lease in job.leases.values_mut().filter(open) {
            lease.row.closing = true;
            told.push(lease.row.token);
        }
        for token in told {
            self.out.dirty_leases.insert((id.clone(), token));
            if let Some(drone) = self
                .jobs
                .get(id)
                .and_then(|job| job.leases.get(&token))
                .map(|lease| lease.row.drone.clone())
            {
                self.reindex(&drone);
            }
            self.say_phase(id, token);
        }
        self.recount(id);
    }

    /// Says (again) to a live lease in which phase it is to be, if the queen has decided on one.
    pub(crate) fn say_phase(&mut self, id: &JobId, token: LeaseToken) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let forced = job.row.error.as_ref().is_some_and(|error| error.kind == "timeout") || job.row.error.is_none();
        let stopping = job.stopping();
        let reason = match (&job.row.error, &job.row.cancel) {
            (Some(error), _) => error.message.clone(),
            (None, Some(reason)) => reason.clone(),
            (None, None) => "the job has ended without it".to_owned(),
        };
        let closing = job
            .leases
            .get(&token)
            .is_some_and(|lease| lease.row.closing && lease.row.state == LeaseState::Live);
        let next = job.row.next_num;
        let cleanup = if closing { job.cleanup_num(token) } else { next };
        self.out.dirty_jobs.insert(id.clone());
        let Some(lease) = job.leases.get_mut(&token) else {
            return;
        };
        if lease.row.state != LeaseState::Live {
            return;
        }
        let at_work = !lease.outs.is_empty();
        let idle = lease.row.prepared && !at_work && !lease.deploying;
        let (job, lease_token) = (id.clone(), token);
        let message = if lease.row.closing && (at_work || stopping && (forced || !idle)) {
            let lease = Some(lease_token);
            ToDrone::JobCancel { job, reason, lease }
        } else if lease.row.closing {
            let num = cleanup;
            let (lease, phase) = (lease_token, Phase::Cleanup);
            ToDrone::JobPhase { job, lease, phase, num }
        } else if lease.deploying {
            // Said again only to the very lease that has it, in the same life of the drone, which heeds it once.
            let num = *lease.deploy_num.get_or_insert(next);
            let (lease, phase) = (lease_token, Phase::Deploy);
            ToDrone::JobPhase { job, lease, phase, num }
        } else {
            return;
        };
        let drone = lease.row.drone.clone();
        self.out.send(&drone, message);
    }

    /// Ends the job, or starts it again, if nothing of it goes on that must be waited for.
    fn settle(&mut self, id: &JobId) {
        let now = self.now;
        let Some(job) = self.jobs.get_mut(id) else { return };
        let Some(verdict) = job.verdict() else { return };
        let again = job.may_retry(verdict);
        if again || job.stopping() {
            if job.leases.is_empty() {
                if again {
                    self.try_again(id, verdict)
                } else {
                    self.finish(id, verdict)
                }
            }
            return;
        }
        if job.home.is_some() {
            return;
        }
        let live = job.leases.values().any(|lease| lease.row.state == LeaseState::Live);
        let patience = *job.settle_by.get_or_insert(now.plus(self.grace));
        if !live || patience <= now {
            self.finish(id, verdict);
        }
    }

    fn finish(&mut self, id: &JobId, verdict: JobState) {
        self.drop_pending(id);
        let Some(job) = self.jobs.get_mut(id) else { return };
        job.row.state = verdict;
        job.row.finished = Some(self.now);
        self.out.dirty_jobs.insert(id.clone());
        let job_id = id.clone();
        match (verdict, job.row.error.clone()) {
            (JobState::Errored, Some(error)) => self.out.emit(JobEvent::Errored { job: job_id, error }),
            (JobState::Cancelled, _) => self.out.emit(JobEvent::Cancelled {
                job: job_id,
                at: self.now,
            }),
            _ => {}
        }
        self.out.emit(JobEvent::Done {
            job: id.clone(),
            at: self.now,
        });
        self.leave_backlog(id);
        self.refresh(id);
        // Helpers that are away, or take their time to clean up, are not waited for, and nothing of theirs counts any more:
        // a queen that starts anew would never hear of their leases again.
        let left = self
            .jobs
            .get(id)
            .map(|job| job.leases.keys().copied().collect::<Vec<_>>());
        for token in left.unwrap_or_default() {
            self.end_lease(id, token, Gone::Word);
        }
        self.forget(id);
    }

    /// Drops a job that is over and of which no lease is left.
    fn forget(&mut self, id: &JobId) {
        let Some(job) = self.jobs.get(id) else { return };
        if !job.row.state.is_final() || !job.leases.is_empty() {
            return;
        }
        self.save_now(id);
        self.dirty_jobs.remove(id);
        if let Some(mut job) = self.jobs.remove(id) {
            self.fair.place(&mut job, false, self.now);
            if let Some(at) = job.timer {
                self.timers.remove(&(at, Timer::Job(id.clone())));
            }
            self.fleet.leave_class(job.class);
        }
    }

    /// Brings a job's place in the order and its timer up to date.
    pub(crate) fn refresh(&mut self, id: &JobId) {
        let now = self.now;
        let Some(job) = self.jobs.get_mut(id) else { return };
        let wants = job.want(now) != crate::placement::Want::Nothing;
        self.fair.place(job, wants, now);
        let open = !job.row.state.is_final();
        let limit = job.row.began.zip(job.new.timeout);
        let times = [
            job.row.not_before.filter(|at| *at > now && open),
            limit
                .map(|(began, limit)| began.plus(limit))
                .filter(|_| open && job.verdict().is_none()),
            job.settle_by.filter(|_| open),
            crate::fairness::Fair::next_rise(job, now).filter(|_| job.seat.is_some()),
        ];
        let next = times.into_iter().flatten().min();
        if next != job.timer {
            if let Some(at) = job.timer {
                self.timers.remove(&(at, Timer::Job(id.clone())));
            }
            if let Some(at) = next {
                self.timers.insert((at, Timer::Job(id.clone())));
            }
            job.timer = next;
        }
    }

    /// Something of a job is due.
    pub(crate) fn job_due(&mut self, id: &JobId) {
        let now = self.now;
        let Some(job) = self.jobs.get_mut(id) else { return };
        job.timer = None;
        let late = job
            .row
            .began
            .zip(job.new.timeout)
            .is_some_and(|(began, limit)| began.plus(limit) <= now);
        if late && job.verdict().is_none() {
            let seconds = job.new.timeout.unwrap_or(0) as f64 / 1000.0;
            let message = format!(
                "the job took longer than its time limit of {seconds} s: raise timeout, or let more drones share it"
            );
            self.fail(id, JobError::new("timeout", message));
        } else {
            self.advance(id);
        }
    }
}
