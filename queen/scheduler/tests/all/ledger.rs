//! What the queen has written, and what must never happen to it.
//!
//! It takes one step of the scheduler after the other, as a store would, and fails on a row, a result or an event that
//! contradicts what is there. What must hold between the steps is in [`checks`](crate::checks).

use scheduler::{
    Action, DroneInput, FileRow, FileState, Input, JobInput, JobRow, LeaseRow, LeaseState, NewJob, Record, Whole,
};
use shared::{
    Attempt, DroneId, Incarnation, JobId, LeaseToken, Num, Timestamp,
    outcome::FileOutcome,
    protocol::{JobEvent, ToDrone},
};
use std::collections::BTreeMap;

/// What is known of one job.
#[derive(Debug, Clone, Default)]
pub struct Saved {
    pub new: Option<NewJob>,
    pub row: Option<JobRow>,
    pub files: BTreeMap<u32, FileRow>,
    pub leases: BTreeMap<LeaseToken, LeaseRow>,
}

impl Saved {
    pub fn live(&self) -> impl Iterator<Item = &LeaseRow> {
        self.leases.values().filter(|lease| lease.state != LeaseState::Ended)
    }

    pub fn is_final(&self) -> bool {
        self.row.as_ref().is_some_and(|row| row.state.is_final())
    }
}

/// All rows, results and events.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    pub saved: BTreeMap<JobId, Saved>,
    pub drained: BTreeMap<DroneId, bool>,
    pub learned: BTreeMap<DroneId, f64>,
    /// Up to which number each drone's messages are applied, and in which life of it.
    pub applied: BTreeMap<DroneId, (Incarnation, u64)>,
    /// Results, by job, try of the job, file and attempt.
    pub results: BTreeMap<(JobId, u32, String, Attempt), FileOutcome>,
    /// Attempts that are out: which lease has them.
    out: BTreeMap<(JobId, String), (LeaseToken, Num)>,
    /// What files came to that were run in parts, by job, try of the job and file.
    pub wholes: BTreeMap<(JobId, u32, String), Whole>,
    commands: BTreeMap<(JobId, Num), LeaseToken>,
    deploys: BTreeMap<JobId, LeaseToken>,
    pub events: BTreeMap<JobId, Vec<JobEvent>>,
    pub drops: BTreeMap<&'static str, u32>,
}

impl Ledger {
    /// A step of the scheduler: what came in and what it came to.
    pub fn record(&mut self, now: Timestamp, input: &Input, actions: &[Action]) {
        if let Input::Drone { what, .. } = input
            && let DroneInput::Job { job, what, .. } = what
            && let JobInput::Returned { nums } = what
        {
            self.out.retain(|(id, _), (_, num)| id != job || !nums.contains(num));
        }
        for action in actions {
            match action {
                Action::Accept { outcome } => self.accepted(now, input, *outcome),
                Action::Drop { why } => *self.drops.entry(why).or_default() += 1,
                Action::Emit(event) => self.emitted(event),
                Action::Save(record) => self.save(record.clone()),
                Action::Whole(whole) => {
                    let round = self.saved[&whole.job].row.as_ref().map_or(1, |row| row.attempt);
                    let key = (whole.job.clone(), round, whole.path.clone());
                    let old = self.wholes.insert(key, whole.clone());
                    assert_eq!(old, None, "broken: a file that is run in parts ends once");
                }
                Action::Start { .. } => {}
                Action::Send { message, .. } => self.sent(message),
            }
        }
    }

    fn emitted(&mut self, event: &JobEvent) {
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

    fn sent(&mut self, message: &ToDrone) {
        use shared::protocol::event::Phase;
        match message {
            ToDrone::JobRun { job, lease, files } => {
                for file in files {
                    let new = (*lease, file.num);
                    let old = self.out.insert((job.clone(), file.path.clone()), new);
                    assert!(
                        old.is_none_or(|old| old == new),
                        "broken: a file is out under one lease: {} of {job} under {old:?} and {new:?}",
                        file.path
                    );
                }
            }
            ToDrone::JobPhase {
                job,
                lease,
                phase: Phase::Deploy,
                ..
            } => {
                let old = self.deploys.insert(job.clone(), *lease);
                assert!(
                    old.is_none_or(|old| old == *lease),
                    "broken: a deploy is handed out once: {job} under {old:?} and {lease:?}"
                );
            }
            _ => {}
        }
    }

    fn event(&mut self, event: JobEvent) {
        let events = self.events.entry(event.job().clone()).or_default();
        let done = matches!(events.last(), Some(JobEvent::Done { .. }));
        assert!(!done, "broken: nothing comes after job:done: {event:?}");
        events.push(event);
    }

    fn accepted(&mut self, at: Timestamp, input: &Input, outcome: Option<FileOutcome>) {
        let Input::Drone {
            drone,
            what: DroneInput::Job { job, lease, what },
        } = input
        else {
            panic!("accepted: {input:?}");
        };
        let saved = &self.saved[job];
        let held = saved.live().find(|held| held.drone == *drone);
        let held = held.filter(|held| lease.is_none_or(|lease| lease == held.token));
        let Some(token) = held.map(|held| held.token) else {
            panic!(
                "broken: nothing counts that is said under a lease that is over: {drone}, {job} {lease:?}: {what:?}"
            );
        };
        match what {
            JobInput::FileDone {
                num,
                attempt,
                outcome: said,
                ..
            } => {
                let out = |file: &&FileRow| file.state == FileState::Out && file.num == Some(*num);
                let Some(row) = saved.files.values().find(out).cloned() else {
                    panic!("broken: a result is of a file that is out: command {num} of {job}");
                };
                assert_eq!(
                    (row.token, row.attempt),
                    (Some(token), *attempt),
                    "broken: a result counts for the lease and the attempt that it was handed out under: {row:?}"
                );
                self.result(job, row.path, *attempt, outcome.unwrap_or(*said));
            }
            JobInput::CmdStart { num } => {
                let old = self.commands.insert((job.clone(), *num), token);
                assert!(old.is_none(), "broken: a command has its number alone: {num} of {job}");
            }
            JobInput::Phase { phase, edge, code } => {
                let (job, drone) = (job.clone(), Some(drone.clone()));
                let (phase, edge, code) = (*phase, *edge, *code);
                self.event(JobEvent::Phase {
                    job,
                    phase,
                    edge,
                    code,
                    at,
                    drone,
                });
            }
            JobInput::Started => {
                let (job, drone) = (job.clone(), Some(drone.clone()));
                self.event(JobEvent::Started { job, at, drone });
            }
            JobInput::Deployed { code } => {
                let (job, code) = (job.clone(), *code);
                self.event(JobEvent::Deployed { job, code, at });
            }
            _ => {}
        }
    }

    fn result(&mut self, job: &JobId, path: String, attempt: Attempt, outcome: FileOutcome) {
        self.out.remove(&(job.clone(), path.clone()));
        let round = self.saved[job].row.as_ref().map_or(1, |row| row.attempt);
        let key = (job.clone(), round, path, attempt);
        let old = self.results.get(&key);
        assert_eq!(old, None, "broken: one result is recorded for each attempt: {key:?}");
        self.results.insert(key, outcome);
    }

    fn save(&mut self, record: Record) {
        match record {
            Record::Job(row) => {
                let saved = self.saved.entry(row.id.clone()).or_default();
                if let Some(old) = saved.row.replace(row.clone()) {
                    let legal = old.state == row.state || old.state.may_become(row.state);
                    assert!(
                        legal,
                        "broken: states change legally: {}: {} to {}",
                        row.id, old.state, row.state
                    );
                    assert!(
                        old.next_token <= row.next_token && old.next_num <= row.next_num && old.attempt <= row.attempt,
                        "broken: tokens, numbers and tries only grow: {old:?} to {row:?}"
                    );
                    assert!(
                        !old.deploy_given || row.deploy_given,
                        "broken: a deploy stays given: {row:?}"
                    );
                }
            }
            Record::File(row) => {
                if row.state == FileState::Pending {
                    self.out.remove(&(row.job.clone(), row.path.clone()));
                }
                let saved = self.saved.entry(row.job.clone()).or_default();
                if let Some(old) = saved.files.insert(row.index, row.clone()) {
                    let stays = old.state != FileState::Done || (row.state, row.outcome) == (old.state, old.outcome);
                    assert!(stays, "broken: what is done stays done: {old:?} to {row:?}");
                    assert_eq!(old.path, row.path, "broken: a file keeps its place");
                }
            }
            Record::NoFiles(job) => {
                self.out.retain(|(id, _), _| *id != job);
                self.saved.entry(job).or_default().files.clear();
            }
            Record::Lease(row) => self.save_lease(row),
            Record::Drain { drone, on } => drop(self.drained.insert(drone, on)),
            Record::Learned { drone, factor } => {
                assert!(factor.is_finite() && factor > 0.0);
                self.learned.insert(drone, factor);
            }
        }
    }

    fn save_lease(&mut self, row: LeaseRow) {
        if row.state == LeaseState::Ended {
            let mine = |job: &JobId, token: LeaseToken| *job == row.job && token == row.token;
            self.out.retain(|(job, _), (token, _)| !mine(job, *token));
        }
        let saved = self.saved.entry(row.job.clone()).or_default();
        match saved.leases.get(&row.token) {
            Some(old) => assert!(
                old.drone == row.drone
                    && old.incarnation == row.incarnation
                    && old.role == row.role
                    && (old.state != LeaseState::Ended || row.state == LeaseState::Ended),
                "broken: a token is given once: {old:?} to {row:?}"
            ),
            None => {
                let last = saved.leases.last_key_value().map(|(token, _)| *token);
                assert!(
                    last < Some(row.token),
                    "broken: tokens only grow: {} after {last:?}",
                    row.token
                );
            }
        }
        saved.leases.insert(row.token, row);
    }

    /// Jobs that have not ended, as a queen that starts finds them.
    pub fn open(&self) -> Vec<(NewJob, JobRow, Vec<FileRow>, Vec<LeaseRow>)> {
        let open = |saved: &&Saved| saved.row.as_ref().is_some_and(|row| !row.state.is_final());
        let whole = |saved: &Saved| {
            Some((
                saved.new.clone()?,
                saved.row.clone()?,
                saved.files.values().cloned().collect(),
                saved.leases.values().cloned().collect(),
            ))
        };
        self.saved.values().filter(open).filter_map(whole).collect()
    }

    /// Drones, as a queen that starts finds them.
    pub fn drones(&self) -> Vec<(DroneId, Option<Incarnation>, bool, Option<f64>)> {
        let known: std::collections::BTreeSet<&DroneId> = self
            .applied
            .keys()
            .chain(self.drained.keys())
            .chain(self.learned.keys())
            .collect();
        let drone = |id: &DroneId| {
            let life = self.applied.get(id).map(|(life, _)| life.clone());
            let drained = self.drained.get(id).copied().unwrap_or(false);
            (id.clone(), life, drained, self.learned.get(id).copied())
        };
        known.into_iter().map(drone).collect()
    }

    /// A queen that starts takes every lease as suspended.
    pub fn suspend(&mut self) {
        for lease in self.saved.values_mut().flat_map(|saved| saved.leases.values_mut()) {
            if lease.state == LeaseState::Live {
                lease.state = LeaseState::Suspended;
            }
        }
    }
}
