//! From the scheduler's actions to work for the writer: events get their numbers, rows and messages their place.

use super::{
    ToSession,
    core::Core,
    event_line,
    links::dropped,
    writer::{Outbound, Tell, Work},
};
use crate::store::{AttemptResult, Event};
use scheduler::{Action, Input, Record, Whole};
use shared::{
    Attempt, DroneId, JobData, Timestamp,
    outcome::{FileOutcome, FileResult},
    protocol::{JobEvent, ToDrone, to_drone::Exposed},
};

impl Core {
    /// Gives an event its number and gathers it.
    pub(super) fn record(&mut self, event: &JobEvent, now: Timestamp) {
        let job = event.job();
        let Some(live) = self.jobs.get_mut(job) else { return };
        live.seq = live.seq.next();
        let line = event_line::line(live.seq, now, event);
        self.work.batch.events.push(Event {
            job: job.clone(),
            seq: live.seq,
            at: now,
            line,
        });
    }

    /// Steps the scheduler and gathers what follows. `said`: the drone's event that the input stands for.
    pub(super) fn step(&mut self, input: Input, mut said: Option<(&DroneId, JobEvent)>, now: Timestamp) {
        for action in self.state.step(now, input) {
            match action {
                Action::Accept { outcome } => {
                    if let Some((drone, event)) = &mut said {
                        self.accept(drone, event, outcome, now);
                    }
                }
                Action::Drop { why } => {
                    if let Some((drone, event)) = &said {
                        dropped(why, drone, event);
                    }
                }
                Action::Emit(event) => self.emit(event, now),
                Action::Save(record) => self.save(record),
                Action::Whole(whole) => self.whole(whole, now),
                Action::Start { drone, job, lease } => {
                    if let Some(live) = self.jobs.get(&job) {
                        let job = Exposed(Box::new(JobData::clone(&live.data)));
                        self.tell(&drone, &ToDrone::QueueNew { job, lease });
                    }
                    self.changed_drones.insert(drone);
                }
                Action::Send { drone, mut message } => {
                    if let ToDrone::JobRun { job, files, .. } = &mut message
                        && let Some(live) = self.jobs.get(job)
                    {
                        for file in files {
                            file.cases = live.data.cases.get(&file.path).cloned();
                        }
                    }
                    self.tell(&drone, &message);
                }
            }
        }
    }

    pub(super) fn accept(
        &mut self,
        drone: &DroneId,
        event: &mut JobEvent,
        outcome: Option<FileOutcome>,
        now: Timestamp,
    ) {
        match event {
            // A receipt and a giving back are between queen and drone.
            JobEvent::Queued { .. } | JobEvent::Returned { .. } => return,
            JobEvent::FileDone { job, path, result, .. } => {
                let is_part = self
                    .jobs
                    .get(job)
                    .is_some_and(|live| live.data.cases.contains_key(path));
                let own = result.outcome;
                if let Some(outcome) = outcome {
                    result.outcome = outcome;
                }
                let usual = matches!(own, FileOutcome::Passed | FileOutcome::Failed) && !result.died && !is_part;
                let speed = self.state.speed(drone).unwrap_or(100.0);
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "milliseconds, never negative"
                )]
                let normal = usual.then(|| (result.duration * speed / 100.0).max(0.0) as u64);
                self.result(event, Some(drone), normal, now);
                self.changed_drones.insert(drone.clone());
            }
            JobEvent::FileStart { .. } | JobEvent::Done { .. } => {
                self.changed_drones.insert(drone.clone());
            }
            _ => {}
        }
        self.record(event, now);
        self.ended(event);
    }

    pub(super) fn emit(&mut self, event: JobEvent, now: Timestamp) {
        if matches!(event, JobEvent::FileDone { .. }) {
            self.result(&event, None, None, now);
        }
        self.record(&event, now);
        self.ended(&event);
    }

    /// Nothing of a job comes after its `job:done`.
    pub(super) fn ended(&mut self, event: &JobEvent) {
        if let JobEvent::Done { job, .. } = event {
            self.changed_jobs.insert(job.clone());
            self.work.tells.push(Tell::Close(job.clone()));
        }
    }

    pub(super) fn result(&mut self, event: &JobEvent, drone: Option<&DroneId>, normal: Option<u64>, now: Timestamp) {
        let JobEvent::FileDone {
            job,
            num,
            path,
            attempt,
            result,
            ..
        } = event
        else {
            return;
        };
        let Some(live) = self.jobs.get(job) else { return };
        self.work.batch.results.push(AttemptResult {
            job: job.clone(),
            project: live.project.clone(),
            num: *num,
            path: path.clone(),
            attempt: *attempt,
            drone: drone.cloned(),
            at: now,
            normal_duration: normal,
            is_part: self.state.is_part(job, *num),
            result: result.clone(),
        });
    }

    /// A file that was run in parts: a run like others in its history.
    fn whole(&mut self, whole: Whole, now: Timestamp) {
        let Some(live) = self.jobs.get(&whole.job) else { return };
        #[expect(clippy::cast_precision_loss, reason = "milliseconds")]
        let duration = whole.duration.unwrap_or_default() as f64;
        let is_usual = matches!(
            whole.outcome,
            FileOutcome::Passed | FileOutcome::Flaky | FileOutcome::Failed
        );
        self.work.batch.results.push(AttemptResult {
            project: live.project.clone(),
            job: whole.job,
            num: whole.num,
            path: whole.path,
            attempt: Attempt(1),
            drone: None,
            at: now,
            normal_duration: whole.duration.filter(|_| is_usual),
            is_part: false,
            result: FileResult {
                duration,
                groups: whole.groups,
                ..FileResult::bare(whole.outcome)
            },
        });
    }

    pub(super) fn save(&mut self, record: Record) {
        match &record {
            Record::Job(row) => {
                if let Some(live) = self.jobs.get_mut(&row.id) {
                    live.row = Some(row.clone());
                }
                self.changed_jobs.insert(row.id.clone());
            }
            Record::Lease(row) => {
                self.changed_drones.insert(row.drone.clone());
            }
            Record::File(_) | Record::NoFiles(_) | Record::Drain { .. } | Record::Learned { .. } => {}
        }
        self.work.batch.records.push(record);
    }

    pub(super) fn tell(&mut self, drone: &DroneId, message: &ToDrone) {
        // A drone that is away is told again when it resumes.
        if let Some(link) = self.links.get(drone) {
            link.outbound
                .tell_later(&mut self.work, ToSession::Message(text(message)));
        }
    }
}

impl Outbound {
    /// Says it after the commit of what has been gathered.
    pub(super) fn tell_later(&self, work: &mut Work, message: ToSession) {
        work.tells.push(Tell::Drone(self.clone(), message));
    }
}

pub(super) fn text(message: &ToDrone) -> String {
    serde_json::to_string(message).unwrap_or_default()
}
