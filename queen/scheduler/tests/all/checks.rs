//! What the world remembers of each step, and what must hold after it.

use crate::{
    fake::Word,
    world::{Saved, World},
};
use scheduler::{Action, DroneInput, DroneStatus, FileRow, FileState, Input, JobInput, LeaseRow, LeaseState, Record};
use shared::{
    Attempt, DroneId, JobId,
    outcome::FileOutcome,
    protocol::{
        JobEvent, ToDrone,
        event::{Edge, Phase},
    },
};
use std::collections::{BTreeMap, BTreeSet};

impl World {
    pub fn apply(&mut self, input: &Input, actions: &[Action]) {
        if let Input::Drone {
            what:
                DroneInput::Job {
                    job,
                    what: JobInput::Returned { nums },
                    ..
                },
            ..
        } = input
        {
            self.out.retain(|(id, _), (_, num)| id != job || !nums.contains(num));
        }
        for action in actions {
            match action {
                Action::Accept { outcome } => self.accepted(input, *outcome),
                Action::Drop { why } => *self.drops.entry(why).or_default() += 1,
                Action::Emit(event) => {
                    if let JobEvent::FileDone {
                        job,
                        path,
                        attempt,
                        result,
                        ..
                    } = event
                    {
                        self.result(job, path.clone(), *attempt, result.outcome);
                    }
                    self.event(event.clone());
                }
                Action::Save(record) => self.save(record.clone()),
                Action::Start { drone, job, lease } => self.tell(drone, Word::Start(job.clone(), *lease)),
                Action::Send { drone, message } => {
                    if let ToDrone::JobRun { job, lease, files } = message {
                        for file in files {
                            let new = (*lease, file.num);
                            let old = self.out.insert((job.clone(), file.path.clone()), new);
                            assert!(old.is_none_or(|old| old == new), "{} of {job} is out twice", file.path);
                        }
                    }
                    if let ToDrone::JobPhase {
                        job,
                        lease,
                        phase: Phase::Deploy,
                        ..
                    } = message
                    {
                        let old = self.deploys.insert(job.clone(), *lease);
                        assert!(old.is_none_or(|old| old == *lease), "{job} is deployed again");
                    }
                    self.tell(drone, Word::Message(message.clone()));
                }
            }
        }
    }

    fn event(&mut self, event: JobEvent) {
        let events = self.events.entry(event.job().clone()).or_default();
        let done = matches!(events.last(), Some(JobEvent::Done { .. }));
        assert!(!done, "after job:done: {event:?}");
        events.push(event);
    }

    fn tell(&mut self, drone: &DroneId, word: Word) {
        let fake = self.fakes.get_mut(drone).unwrap();
        if fake.connected {
            fake.inbox.push_back(word);
        }
    }

    fn accepted(&mut self, input: &Input, outcome: Option<FileOutcome>) {
        let Input::Drone {
            drone,
            what: DroneInput::Job { job, what, .. },
        } = input
        else {
            panic!("accepted: {input:?}");
        };
        let at = self.now;
        match what {
            JobInput::FileDone {
                num,
                attempt,
                outcome: said,
                ..
            } => {
                let row = self.saved[job]
                    .files
                    .values()
                    .find(|file| file.num == Some(*num))
                    .unwrap()
                    .clone();
                self.result(job, row.path, *attempt, outcome.unwrap_or(*said));
            }
            JobInput::CmdStart { num } => {
                let saved = &self.saved[job];
                let held = saved
                    .leases
                    .values()
                    .find(|l| l.drone == *drone && l.state != LeaseState::Ended);
                let token = held.expect("a command under a lease that is over").token;
                let old = self.commands.insert((job.clone(), *num), token);
                assert!(old.is_none(), "command {num} of {job} begins twice");
            }
            JobInput::Phase { phase, edge, code } => {
                let (job, drone) = (job.clone(), Some(drone.clone()));
                self.event(JobEvent::Phase {
                    job,
                    phase: *phase,
                    edge: *edge,
                    code: *code,
                    at,
                    drone,
                });
            }
            JobInput::Started => self.event(JobEvent::Started {
                job: job.clone(),
                at,
                drone: Some(drone.clone()),
            }),
            JobInput::Deployed { code } => self.event(JobEvent::Deployed {
                job: job.clone(),
                code: *code,
                at,
            }),
            _ => {}
        }
    }

    fn result(&mut self, job: &JobId, path: String, attempt: Attempt, outcome: FileOutcome) {
        self.out.remove(&(job.clone(), path.clone()));
        let round = self.saved[job].row.as_ref().map_or(1, |row| row.attempt);
        let old = self
            .results
            .insert((job.clone(), round, path.clone(), attempt), outcome);
        assert_eq!(old, None, "a second result of attempt {attempt} of {path} in {job}");
    }

    fn save(&mut self, record: Record) {
        match record {
            Record::Job(row) => {
                let saved = self.saved.entry(row.id.clone()).or_default();
                if let Some(old) = saved.row.replace(row.clone()) {
                    let legal = old.state == row.state || old.state.may_become(row.state);
                    assert!(legal, "{}: {} to {}", row.id, old.state, row.state);
                    assert!(old.next_token <= row.next_token && old.next_num <= row.next_num);
                    assert!(!old.deploy_given || row.deploy_given);
                }
            }
            Record::File(row) => {
                if row.state == FileState::Pending {
                    self.out.remove(&(row.job.clone(), row.path.clone()));
                }
                self.saved
                    .entry(row.job.clone())
                    .or_default()
                    .files
                    .insert(row.index, row);
            }
            Record::NoFiles(job) => self.saved.entry(job).or_default().files.clear(),
            Record::Lease(row) => {
                if row.state == LeaseState::Ended {
                    self.out
                        .retain(|(job, _), (token, _)| *job != row.job || *token != row.token);
                }
                self.saved
                    .entry(row.job.clone())
                    .or_default()
                    .leases
                    .insert(row.token, row);
            }
            Record::Drain { drone, on } => drop(self.drained.insert(drone, on)),
            Record::Learned { drone, factor } => {
                assert!(factor.is_finite() && factor > 0.0);
                self.learned.insert(drone, factor);
            }
        }
    }

    /// What must hold after every step.
    pub fn check(&self) {
        let drones = self.state.drones();
        let free = |drone: &DroneStatus| {
            drone.connected
                && !drone.draining
                && drone.active < drone.info.capacity
                && self.ready.contains(&drone.drone)
        };
        let open: BTreeMap<&DroneId, &DroneStatus> = drones
            .iter()
            .filter(|drone| free(drone))
            .map(|drone| (&drone.drone, drone))
            .collect();
        for (id, saved) in &self.saved {
            let Some(row) = &saved.row else { continue };
            let mut holders = BTreeSet::new();
            for lease in saved.leases.values().filter(|lease| lease.state != LeaseState::Ended) {
                assert!(holders.insert(&lease.drone), "{id}: two leases of {}", lease.drone);
            }
            if row.state.is_final() {
                // An earlier queen's rows of it would never be looked at again.
                assert!(holders.is_empty(), "{id} is over, and {holders:?} have leases of it");
                self.check_over(id, saved);
                continue;
            }
            let state = self.state.job(id).unwrap_or_else(|| panic!("{id} is forgotten"));
            assert_eq!(state, row, "a change that was not saved");
            let done = saved
                .files
                .values()
                .filter(|file| file.state == FileState::Done)
                .count();
            assert_eq!(
                done,
                row.files_done as usize,
                "{id}: files done after {:#?}",
                self.log.last()
            );
            for file in saved.files.values().filter(|file| file.state == FileState::Out) {
                let token = file.token.unwrap();
                assert_ne!(
                    saved.leases[&token].state,
                    LeaseState::Ended,
                    "{id}: {} is lost",
                    file.path
                );
            }
            self.check_conserved(id, saved, &open);
        }
    }

    /// No work waits while a fitting slot is free.
    fn check_conserved(&self, id: &JobId, saved: &Saved, open: &BTreeMap<&DroneId, &DroneStatus>) {
        let (row, new) = (saved.row.as_ref().unwrap(), saved.new.as_ref().unwrap());
        let stopping =
            row.cancel.is_some() || row.error.is_some() || row.test_code.is_some() || row.deploy_code.is_some();
        let live = |lease: &&LeaseRow| lease.state != LeaseState::Ended;
        if stopping || row.not_before.is_some_and(|at| at > self.now) {
            return;
        }
        let fits = |drone: &DroneStatus| new.labels.iter().all(|label| drone.info.labels.contains(label));
        if !saved.leases.values().any(|lease| live(&lease)) {
            let idle = open.values().find(|drone| fits(drone));
            assert!(
                idle.is_none(),
                "{id} waits while {} has a free slot",
                idle.unwrap().drone
            );
        }
        if row.plan.is_some() && saved.files.values().any(|file| file.state == FileState::Pending) {
            let ready = |lease: &&LeaseRow| {
                lease.state == LeaseState::Live && lease.prepared && !lease.closing && open.contains_key(&lease.drone)
            };
            let idle = saved.leases.values().find(ready);
            assert!(
                idle.is_none(),
                "files of {id} wait while {} has a free slot",
                idle.unwrap().drone
            );
        }
    }

    /// What must hold of a job that is over.
    fn check_over(&self, id: &JobId, saved: &Saved) {
        let row = saved.row.as_ref().unwrap();
        assert!(row.finished.is_some());
        let ends = self.events[id]
            .iter()
            .filter(|event| matches!(event, JobEvent::Done { .. }))
            .count();
        assert_eq!(ends, 1, "{id}: job:done");
        if row.plan.is_some() {
            assert_eq!(saved.files.len(), row.files_total as usize, "{id}: files");
        }
        for file in saved.files.values() {
            assert_eq!(file.state, FileState::Done, "{id}: {} has no end", file.path);
            let outcome = file.outcome.unwrap();
            if outcome != FileOutcome::NotRun {
                let key = (id.clone(), row.attempt, file.path.clone(), file.attempt);
                assert_eq!(self.results.get(&key), Some(&outcome), "{id}: {}", file.path);
            }
        }
        if row.state == shared::JobState::Passed && saved.new.as_ref().unwrap().job_type.tests() {
            let passed = |file: &&FileRow| matches!(file.outcome, Some(FileOutcome::Passed | FileOutcome::Flaky));
            assert!(
                saved.files.values().any(|file| passed(&file)),
                "{id} passed without a test"
            );
            assert!(saved.files.values().all(|file| !file.outcome.unwrap().is_bad()));
        }
        let tested = |event: &JobEvent| {
            matches!(
                event,
                JobEvent::Phase {
                    phase: Phase::Test,
                    edge: Edge::Done,
                    ..
                }
            )
        };
        assert!(self.events[id].iter().filter(|event| tested(event)).count() <= row.attempt as usize);
    }
}
