//! What must hold after every step, and of every job that is over.

use crate::ledger::{Ledger, Saved};
use scheduler::{DroneStatus, FileRow, FileState, LeaseRow, LeaseState, NewJob, State};
use shared::{
    DroneId, JobId, JobState, Timestamp,
    outcome::FileOutcome,
    protocol::{
        JobEvent,
        event::{Edge, Phase},
        to_drone::Role,
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// A scheduler, what it has written, and which drones have said on their connection what they can do.
pub struct View<'a> {
    pub state: &'a State,
    pub ledger: &'a Ledger,
    pub ready: &'a BTreeSet<DroneId>,
    pub now: Timestamp,
}

fn fits(drone: &DroneStatus, new: &NewJob) -> bool {
    let has = |held: &[String], wanted: &[String]| wanted.iter().all(|word| held.contains(word));
    has(&drone.info.labels, &new.labels) && has(&drone.info.plugins, &new.plugins)
}

impl View<'_> {
    /// After every step.
    pub fn check(&self) {
        let due = self.state.next_wake().is_some_and(|at| at <= self.now);
        let drones = self.state.drones();
        let usable: Vec<&DroneStatus> = drones
            .iter()
            .filter(|drone| drone.connected && !drone.draining && self.ready.contains(&drone.drone))
            .collect();
        let open: BTreeMap<&DroneId, &DroneStatus> = usable
            .iter()
            .filter(|drone| drone.active < drone.info.capacity)
            .map(|drone| (&drone.drone, *drone))
            .collect();
        for (id, saved) in &self.ledger.saved {
            let Some(row) = &saved.row else { continue };
            let mut holders = BTreeSet::new();
            for lease in saved.live() {
                assert!(
                    holders.insert(&lease.drone),
                    "broken: a drone has one lease of a job: {id}, {}",
                    lease.drone
                );
            }
            if row.state.is_final() {
                // An earlier queen's rows of it would never be looked at again.
                assert!(
                    holders.is_empty(),
                    "broken: leases end with their job: {id}, {holders:?}"
                );
                continue;
            }
            let Some(state) = self.state.job(id) else {
                panic!("broken: a job is known until it ends: {id}");
            };
            assert_eq!(state, row, "broken: every change is written");
            self.check_files(id, saved);
            // What is due has not happened yet.
            if !due {
                self.check_conserved(id, saved, &open);
                self.check_explain(id, saved, &usable);
            }
        }
    }

    fn check_files(&self, id: &JobId, saved: &Saved) {
        let Some(row) = &saved.row else { return };
        let done = saved.files.values().filter(|file| file.state == FileState::Done);
        assert_eq!(done.count(), row.files_done as usize, "broken: files are counted: {id}");
        let count = saved.files.len();
        assert_eq!(count, row.files_total as usize, "broken: files are counted: {id}");
        self.check_parts(id, saved);
        for file in saved.files.values().filter(|file| file.state == FileState::Out) {
            let lease = file.token.and_then(|token| saved.leases.get(&token));
            assert!(
                lease.is_some_and(|lease| lease.state != LeaseState::Ended),
                "broken: no file is lost with its lease: {} of {id}, {lease:?}",
                file.path
            );
        }
    }

    /// The parts of a file have each of its cases once, and come to one result.
    fn check_parts(&self, id: &JobId, saved: &Saved) {
        let mut files: BTreeMap<&str, Vec<&FileRow>> = BTreeMap::new();
        for file in saved.files.values() {
            if let Some(part) = &file.part {
                files.entry(&part.part.file).or_default().push(file);
            }
        }
        for (path, rows) in files {
            let parts: Vec<_> = rows.iter().filter_map(|row| row.part.as_ref()).collect();
            let whole = saved.files.values().any(|file| file.path == path);
            assert!(!whole, "broken: a file is run whole or in parts: {path} of {id}");
            let (last, named) = parts.split_last().unwrap();
            let groups: Vec<_> = named.iter().flat_map(|part| &part.part.groups).collect();
            let once: BTreeSet<_> = groups.iter().copied().collect();
            let left: BTreeSet<_> = last.part.groups.iter().collect();
            let numbers = (1..).zip(&parts).all(|(number, part)| part.number == number);
            assert!(
                numbers
                    && parts.len() == last.of as usize
                    && last.part.rest
                    && named.iter().all(|part| !part.part.rest && !part.part.groups.is_empty())
                    && groups.len() == once.len()
                    && once == left,
                "broken: no case is in two parts or in none: {parts:?}"
            );
            let outcomes: Option<Vec<FileOutcome>> = rows.iter().map(|row| row.outcome).collect();
            let ran = outcomes.filter(|all| !all.contains(&FileOutcome::NotRun));
            let round = saved.row.as_ref().map_or(1, |row| row.attempt);
            let whole = self.ledger.wholes.get(&(id.clone(), round, path.to_owned()));
            let bad = ran.map(|all| all.into_iter().any(FileOutcome::is_bad));
            assert_eq!(
                whole.map(|whole| whole.outcome.is_bad()),
                bad,
                "broken: a file has a result when its parts have: {path} of {id}"
            );
        }
    }

    /// No work waits while a fitting slot is free.
    fn check_conserved(&self, id: &JobId, saved: &Saved, open: &BTreeMap<&DroneId, &DroneStatus>) {
        let (Some(row), Some(new)) = (&saved.row, &saved.new) else {
            return;
        };
        let stopping =
            row.cancel.is_some() || row.error.is_some() || row.test_code.is_some() || row.deploy_code.is_some();
        if stopping || row.not_before.is_some_and(|at| at > self.now) {
            return;
        }
        if saved.live().next().is_none()
            && let Some(idle) = open.values().find(|drone| fits(drone, new))
        {
            panic!("broken: no job waits while a fitting slot is free: {id}, {idle:?}");
        }
        if row.plan.is_some() && saved.files.values().any(|file| file.state == FileState::Pending) {
            let ready = |lease: &&LeaseRow| {
                lease.state == LeaseState::Live && lease.prepared && !lease.closing && open.contains_key(&lease.drone)
            };
            let idle = saved.leases.values().find(ready);
            assert!(
                idle.is_none(),
                "broken: no file waits while a slot is free: {id}, {idle:?}"
            );
        }
    }

    /// What people are told is true.
    fn check_explain(&self, id: &JobId, saved: &Saved, usable: &[&DroneStatus]) {
        let (Some(row), Some(new)) = (&saved.row, &saved.new) else {
            return;
        };
        let Some(told) = self.state.explain(id, self.now) else {
            panic!("broken: a job that has not ended can be explained: {id}");
        };
        let holders: BTreeSet<&DroneId> = saved.live().map(|lease| &lease.drone).collect();
        assert_eq!(
            told.drones.iter().collect::<BTreeSet<_>>(),
            holders,
            "broken: explain names the drones: {id}"
        );
        let out = saved.files.values().filter(|file| file.state == FileState::Out);
        let out: BTreeSet<_> = out.filter_map(|file| file.num).collect();
        let running = told.running.iter().map(|file| file.num).collect();
        assert_eq!(out, running, "broken: explain names what runs: {id}");
        if let (Some(end), Some(least)) = (told.expected_end, told.lower_bound_ms) {
            // Each file's part is rounded down.
            let slack = saved.files.len() as u64 + 1;
            assert!(
                end >= self.now && least <= end.since(self.now) + slack,
                "broken: a job is not expected to end before it can: {id}, {told:?} at {}",
                self.now
            );
        }
        let fitting: Vec<_> = usable.iter().filter(|drone| fits(drone, new)).collect();
        let verdict = row.cancel.is_some() || row.error.is_some();
        match told.waits.as_deref() {
            None => assert!(
                verdict || !holders.is_empty(),
                "broken: a job that no drone has says why it waits: {id}"
            ),
            Some(why) if why.starts_with("for a free slot") => {
                let free = fitting.iter().find(|drone| drone.active < drone.info.capacity);
                assert!(
                    !fitting.is_empty() && (free.is_none() || !holders.is_empty()),
                    "broken: why a job waits is true: {id} waits {why}, {free:?}"
                );
            }
            Some(why) if why.starts_with("for a drone") => {
                assert!(
                    fitting.is_empty(),
                    "broken: why a job waits is true: {id} waits {why}, {fitting:?}"
                );
            }
            Some(why) if why.ends_with("to come back") => {
                let away = saved.live().all(|lease| lease.state == LeaseState::Suspended);
                assert!(away, "broken: why a job waits is true: {id} waits {why}");
            }
            Some(why) => assert!(
                row.not_before.is_some_and(|at| at > self.now),
                "broken: why a job waits is true: {id} waits {why}"
            ),
        }
    }
}

impl Ledger {
    /// What must hold of every job that is over.
    pub fn check_over(&self) {
        for (id, saved) in self.saved.iter().filter(|(_, saved)| saved.is_final()) {
            self.check_end(id, saved);
        }
    }

    fn check_end(&self, id: &JobId, saved: &Saved) {
        let (Some(row), Some(new)) = (&saved.row, &saved.new) else {
            return;
        };
        assert!(row.finished.is_some());
        let events = &self.events[id];
        let count = |wanted: fn(&&JobEvent) -> bool| events.iter().filter(wanted).count();
        let ends = count(|event| matches!(event, JobEvent::Done { .. }));
        assert_eq!(ends, 1, "broken: a job ends once: {id}");
        assert!(
            matches!(events.last(), Some(JobEvent::Done { .. })),
            "broken: job:done is last: {id}"
        );
        if row.plan.is_some() {
            assert_eq!(
                saved.files.len(),
                row.files_total as usize,
                "broken: no file is forgotten: {id}"
            );
        }
        for file in saved.files.values() {
            self.check_file(id, saved, file);
        }
        if row.state == JobState::Passed && new.job_type.tests() {
            let passed = |file: &FileRow| matches!(file.outcome, Some(FileOutcome::Passed | FileOutcome::Flaky));
            let bad = |file: &FileRow| file.outcome.is_none_or(FileOutcome::is_bad);
            assert!(
                saved.files.values().any(passed) && !saved.files.values().any(bad),
                "broken: a job passes if tests ran and none was bad: {id}"
            );
        }
        assert!(
            row.state != JobState::Passed || !new.job_type.deploys() || row.deploy_code == Some(0),
            "broken: a job that is to deploy passes if it has: {id}"
        );
        let tested = count(|event| {
            let (phase, edge) = match event {
                JobEvent::Phase { phase, edge, .. } => (*phase, *edge),
                _ => return false,
            };
            (phase, edge) == (Phase::Test, Edge::Done)
        });
        let homes = saved.leases.values().filter(|lease| lease.role == Role::Home).count();
        assert!(
            tested <= homes.max(row.attempt as usize),
            "broken: the test phase ends once: {id}, {tested} times"
        );
        let deployed = count(|event| matches!(event, JobEvent::Deployed { .. }));
        assert!(deployed <= 1, "broken: a job is deployed once: {id}");
    }

    fn check_file(&self, id: &JobId, saved: &Saved, file: &FileRow) {
        let Some(row) = &saved.row else { return };
        let (FileState::Done, Some(outcome)) = (file.state, file.outcome) else {
            panic!("broken: every file has an end: {id}, {file:?}");
        };
        if outcome == FileOutcome::NotRun {
            let stopped = row.cancel.is_some() || row.error.is_some();
            let cut = row.files_bad > 0 && row.plan.as_ref().is_some_and(|plan| plan.fail_fast);
            let unprepared = row.test_code.is_some_and(|code| code > 1);
            assert!(
                stopped || cut || unprepared,
                "broken: a file is left out only for a reason: {id}, {file:?}, {row:?}"
            );
            return;
        }
        let key = (id.clone(), row.attempt, file.path.clone(), file.attempt);
        assert_eq!(
            self.results.get(&key),
            Some(&outcome),
            "broken: a file's end is the recorded result: {id}, {}",
            file.path
        );
        let stopped = row.cancel.is_some() || row.error.is_some();
        if file.quarantined && outcome.is_bad() && outcome != FileOutcome::Crashed && !stopped {
            let cut = row.files_bad > 1 && row.plan.as_ref().is_some_and(|plan| plan.fail_fast);
            assert!(
                cut || file.bad >= 3,
                "broken: a file under quarantine is bad only after three bad attempts: {id}, {file:?}"
            );
        }
        if outcome == FileOutcome::Crashed {
            assert!(
                file.lost >= 3,
                "broken: a file is poison after three losses: {id}, {file:?}"
            );
        }
        assert!(file.lost <= 3, "broken: poison is not tried again: {id}, {file:?}");
    }
}
