//! Durations: what is left, whether one more drone pays, when a job ends, and why it waits.
//!
//! What a hand-out needs is kept incrementally in [`Work`]. [`State::explain`] and [`State::queue`] may walk: they are asked
//! by people, off the hot path.

use crate::{Explain, FileState, JobCount, LeaseState, RunningFile, State, Waiting, job::Job, placement::Want};
use shared::{DroneId, JobId, JobState, Timestamp};
use std::{cmp::Reverse, collections::BinaryHeap};

/// Milliseconds that an unknown file is taken to need at speed 100 while nothing else is known.
const PRIOR_MS: u64 = 5_000;
/// Milliseconds that a drone is taken to need to prepare while the home drone's time is not known.
const PREPARE_MS: u64 = 2_000;

/// What is pending of a job, in milliseconds at speed 100.
#[derive(Debug, Default)]
pub(crate) struct Work {
    known: u64,
    unknown: u64,
    median: Option<u64>,
    measured: u64,
    runs: u64,
}

impl Work {
    /// Nothing pending; unknown files count as `median`.
    pub(crate) fn new(median: Option<u64>) -> Self {
        Self {
            median,
            ..Self::default()
        }
    }

    pub(crate) fn add(&mut self, expect: Option<u64>) {
        match expect {
            Some(ms) => self.known += ms,
            None => self.unknown += 1,
        }
    }

    pub(crate) fn remove(&mut self, expect: Option<u64>) {
        match expect {
            Some(ms) => self.known = self.known.saturating_sub(ms),
            None => self.unknown = self.unknown.saturating_sub(1),
        }
    }

    /// A file of the job has been run: the best there is to say of those that nothing is known of.
    pub(crate) fn measured(&mut self, ms: u64) {
        self.measured += ms;
        self.runs += 1;
    }

    /// What a file counts.
    pub(crate) fn of(&self, expect: Option<u64>) -> u64 {
        let mean = self.measured.checked_div(self.runs);
        expect.or(self.median).or(mean).unwrap_or(PRIOR_MS).max(1)
    }

    fn total(&self) -> u64 {
        self.known + self.unknown * self.of(None)
    }
}

impl Job {
    /// Would one more drone, of this speed or of any, end the job sooner?
    ///
    /// Only if the drones that it has cannot take all pending files at once, and if that drone, once prepared, would be
    /// through with a file before the others are through with all.
    pub(crate) fn helps(&self, speed: Option<u64>) -> bool {
        let pending = self.pending.len() as u64;
        if pending <= u64::from(self.coming_slots) {
            return false;
        }
        let rate = self.rate + self.coming_rate;
        let slots = u64::from(self.in_slots + self.coming_slots);
        if rate == 0 || slots == 0 {
            return true;
        }
        let work = self.work.total();
        let mean = work / pending;
        let end = (work * 100 / rate).saturating_add(mean * 100 * slots / rate);
        let prepare = self.prepare.unwrap_or(PREPARE_MS);
        prepare + speed.map_or(0, |speed| mean * 100 / speed) < end
    }
}

impl State {
    /// Why a job waits and when it is expected to end; `None` if it is unknown or over and forgotten.
    #[must_use]
    pub fn explain(&self, job: &JobId, now: Timestamp) -> Option<Explain> {
        let job = self.jobs.get(job)?;
        let (end, least) = self.forecast(job, now).unzip();
        let mut running: Vec<RunningFile> = job.files.iter().filter_map(running).collect();
        running.sort_by_key(|file| file.num);
        Some(Explain {
            waits: self.waits(job, now),
            expected_end: end,
            lower_bound_ms: least,
            running,
            drones: job.by_drone.keys().cloned().collect(),
        })
    }

    /// How many jobs are not over.
    #[must_use]
    pub fn count_jobs(&self) -> JobCount {
        let mut count = JobCount::default();
        for job in self.jobs.values() {
            match job.row.state {
                JobState::Queued => count.queued += 1,
                JobState::Running => count.running += 1,
                _ => {}
            }
        }
        count
    }

    /// Jobs that wait for a drone, first in order first.
    #[must_use]
    pub fn queue(&self, now: Timestamp) -> Vec<Waiting> {
        let mut waiting: Vec<_> = self
            .jobs
            .values()
            .filter_map(|job| Some((self.fair.key(job, now), job, self.waits(job, now)?)))
            .collect();
        waiting.sort_by(|(one, ..), (other, ..)| one.cmp(other));
        let entry = |(_, job, waits): (_, &Job, String)| Waiting {
            job: job.row.id.clone(),
            waits,
            since: job.starved,
            backlog: job.backlog.clone(),
        };
        waiting.into_iter().map(entry).collect()
    }

    fn waits(&self, job: &Job, now: Timestamp) -> Option<String> {
        if job.row.state.is_final() {
            return None;
        }
        if job.row.not_before.is_some_and(|at| at > now) {
            return Some(match job.row.attempt {
                1 => "until the time that it is to start at".into(),
                attempt => format!("before try {attempt} of {}", job.new.retries + 1),
            });
        }
        if let Want::Drone(_) = job.want(now) {
            return Some(self.waits_for_drone(job));
        }
        let away = |lease: &&crate::lease::Lease| lease.row.state == LeaseState::Suspended;
        if !job.leases.is_empty() && job.leases.values().filter(away).count() == job.leases.len() {
            let names: Vec<&str> = job.by_drone.keys().map(|drone| self.name(drone)).collect();
            return Some(format!("for {} to come back", names.join(" and ")));
        }
        let stuck = !job.pending.is_empty() && job.in_slots == 0 && job.leases.values().all(|lease| lease.row.prepared);
        (stuck && job.verdict().is_none()).then(|| self.waits_for_drone(job))
    }

    fn name<'a>(&'a self, drone: &'a DroneId) -> &'a str {
        self.fleet.drones.get(drone).map_or(drone.as_str(), |drone| &drone.name)
    }

    fn waits_for_drone(&self, job: &Job) -> String {
        let (mut busy, mut slots, mut draining, mut away) = (0, 0, 0, 0);
        for drone in self.fleet.fitting(job.class) {
            if !drone.connected || !drone.ready {
                away += 1;
            } else if drone.draining() {
                draining += 1;
            } else {
                slots += drone.slots;
                busy += drone.demand.min(drone.slots);
            }
        }
        if slots > 0 {
            return format!("for a free slot ({busy} of {slots} are busy)");
        }
        let words = |kind: &str, names: &[String]| match names {
            [] => String::new(),
            [one] => format!(" {kind} {one}"),
            many => format!(" {kind}s {}", many.join(" and ")),
        };
        let (labels, plugins) = (words("label", &job.new.labels), words("plugin", &job.new.plugins));
        let mut text = match (labels.is_empty(), plugins.is_empty()) {
            (true, true) => "for a drone".to_owned(),
            (false, false) => format!("for a drone with{labels} and{plugins}"),
            _ => format!("for a drone with{labels}{plugins}"),
        };
        let is = |count: u32, word: &str| format!("{count} {} {word}", if count == 1 { "is" } else { "are" });
        let mut known = Vec::new();
        if draining > 0 {
            known.push(is(draining, "draining"));
        }
        if away > 0 {
            known.push(is(away, "away"));
        }
        if known.is_empty() {
            known.push("none is connected".into());
        }
        text.push_str(&format!(" ({})", known.join(", ")));
        text
    }

    /// Expected end and least milliseconds left: list scheduling of what is left, in its order, over the slots that the
    /// job has now or may take.
    fn forecast(&self, job: &Job, now: Timestamp) -> Option<(Timestamp, u64)> {
        if job.row.plan.is_none() || job.row.state != JobState::Running {
            return None;
        }
        // When each slot is free, and its speed. What another job has there now it keeps, for this purpose.
        let mut slots: BinaryHeap<Reverse<(u64, u64)>> = BinaryHeap::new();
        let mut longest = 0;
        let mut left = 0;
        for lease in job.leases.values().filter(|lease| !lease.row.closing) {
            let Some(drone) = self.fleet.drones.get(&lease.row.drone) else {
                continue;
            };
            let ready = if lease.row.prepared {
                0
            } else {
                job.prepare.unwrap_or(PREPARE_MS).saturating_sub(now.since(lease.since))
            };
            let begun = lease.outs.iter().filter(|num| !job.ahead.contains(num));
            let mut own = 0;
            for (index, _) in begun.filter_map(|num| job.nums.get(num)) {
                let file = &job.files[*index as usize];
                let whole = job.work.of(file.row.expect) * 100 / drone.speed();
                let rest = whole.saturating_sub(file.begun.map_or(0, |at| now.since(at)));
                left += rest * drone.speed() / 100;
                longest = longest.max(rest);
                slots.push(Reverse((rest, drone.speed())));
                own += 1;
            }
            let others = drone.demand.saturating_sub(lease.slots());
            for _ in 0..drone.slots.saturating_sub(others).saturating_sub(own) {
                slots.push(Reverse((ready, drone.speed())));
            }
        }
        let speeds: u64 = slots.iter().map(|Reverse((_, speed))| *speed).sum();
        let fastest = slots.iter().map(|Reverse((_, speed))| *speed).max()?;
        // What runs, or is asked back and may yet run, is through by then at the earliest.
        let mut end = longest;
        let ahead = job
            .ahead
            .iter()
            .filter_map(|num| job.nums.get(num))
            .map(|(index, _)| *index);
        for index in ahead.chain(job.pending.iter().map(|turn| turn.2)) {
            let work = job.work.of(job.files[index as usize].row.expect);
            let Reverse((free, speed)) = slots.pop()?;
            let done = free + work * 100 / speed;
            (left, longest, end) = (left + work, longest.max(work * 100 / fastest), end.max(done));
            slots.push(Reverse((done, speed)));
        }
        Some((now.plus(end), (left * 100 / speeds.max(1)).max(longest)))
    }
}

fn running(file: &crate::files::File) -> Option<RunningFile> {
    let row = &file.row;
    (row.state == FileState::Out).then_some(())?;
    Some(RunningFile {
        num: row.num?,
        path: row.path.clone(),
        drone: row.drone.clone()?,
        attempt: row.attempt,
        since: file.begun,
    })
}
