//! Jobs, drones, leases: all that the scheduler knows, and the doors to it.
//!
//! Owns [`State`] and how it comes back from the store. It must not decide anything: what follows from an input starts
//! in `step.rs`; what people may ask is answered in `estimate.rs` and `fleet.rs`.

use crate::{
    Action, FileRow, FileState, JobRow, LeaseRow, LeaseState, NewJob, Record,
    fairness::Fair,
    faults::Faults,
    files::File,
    fleet::{Drone, Fleet},
    job::Job,
    lease::Lease,
};
use shared::{
    DroneId, Incarnation, JobId, LeaseToken, Num, Timestamp,
    protocol::{
        JobEvent, ToDrone,
        to_drone::{Role, RunFile},
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// Milliseconds that a drone may be away before its leases end.
pub const GRACE_MS: u64 = 30_000;

/// What is due at some time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Look at a job: delay, backoff, time limit, patience with others' cleanup, aging.
    Job(JobId),
    /// A drone's grace is over.
    Drone(DroneId),
}

/// All that the scheduler knows.
#[derive(Debug)]
pub struct State {
    pub(crate) grace: u64,
    pub(crate) now: Timestamp,
    pub(crate) jobs: BTreeMap<JobId, Job>,
    pub(crate) fleet: Fleet,
    pub(crate) fair: Fair,
    pub(crate) timers: BTreeSet<(Timestamp, Timer)>,
    pub(crate) dirty_jobs: BTreeSet<JobId>,
    pub(crate) dirty_drones: BTreeSet<DroneId>,
    pub(crate) touched: BTreeSet<DroneId>,
    pub(crate) out: Out,
    pub(crate) faults: Faults,
}

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    /// Nothing known, with the usual grace for drones that are away.
    #[must_use]
    pub fn new() -> Self {
        Self::with_grace(GRACE_MS)
    }

    /// Nothing known; a drone may be away for `grace` milliseconds.
    #[must_use]
    pub fn with_grace(grace: u64) -> Self {
        Self {
            grace,
            now: Timestamp(0),
            jobs: BTreeMap::new(),
            fleet: Fleet::default(),
            fair: Fair::default(),
            timers: BTreeSet::new(),
            dirty_jobs: BTreeSet::new(),
            dirty_drones: BTreeSet::new(),
            touched: BTreeSet::new(),
            out: Out::default(),
            faults: Faults::default(),
        }
    }

    /// Puts back what the store has: unfinished jobs and known drones (its last incarnation, whether it is draining, its
    /// learned factor). Every lease comes back suspended; what no drone answers for is handed out again after the
    /// grace. Feed [`Input::Wake`](crate::Input::Wake) at once: what was due while the queen was away happens then.
    #[must_use]
    pub fn restore(
        mut self,
        jobs: Vec<(NewJob, JobRow, Vec<FileRow>, Vec<LeaseRow>)>,
        drones: Vec<(DroneId, Option<Incarnation>, bool, Option<f64>)>,
        now: Timestamp,
    ) -> Self {
        self.now = now;
        for (id, incarnation, draining, learned) in drones {
            let drone = self.fleet.entry(&id);
            drone.incarnation = incarnation;
            drone.wished = draining;
            drone.learned = learned.unwrap_or(1.0);
            drone.saved = drone.learned;
        }
        for (new, row, files, leases) in jobs {
            self.restore_job(new, row, files, leases);
        }
        self
    }

    fn restore_job(&mut self, new: NewJob, row: JobRow, files: Vec<FileRow>, leases: Vec<LeaseRow>) {
        let id = row.id.clone();
        let class = self.fleet.class_of(&new.labels, &new.plugins);
        let mut job = Job::new(new, row, class);
        for row in leases {
            if row.state != LeaseState::Ended {
                let drone = self.fleet.entry(&row.drone);
                drone.incarnation.get_or_insert_with(|| row.incarnation.clone());
                drone.leases.insert(id.clone(), row.token);
                if drone.grace_end.is_none() {
                    let end = self.now.plus(self.grace);
                    drone.grace_end = Some(end);
                    self.timers.insert((end, Timer::Drone(row.drone.clone())));
                }
                if row.role == Role::Home {
                    job.home = Some(row.token);
                }
                job.by_drone.insert(row.drone.clone(), row.token);
                let mut lease = Lease::new(row, self.now);
                lease.row.state = LeaseState::Suspended;
                lease.deploying = lease.row.role == Role::Home
                    && !lease.row.closing
                    && job.row.deploy_given
                    && job.row.deploy_code.is_none();
                job.reserved(&mut lease);
                job.leases.insert(lease.row.token, lease);
            }
        }
        let total = job.row.files_total;
        for row in files.into_iter().filter(|row| row.index < total) {
            if row.index as usize == job.files.len() {
                job.files.push(File::new(row));
            }
        }
        job.value_files();
        let mut orphans = Vec::new();
        for index in 0..job.files.len() {
            let file = &job.files[index].row;
            match (file.state, file.num, file.token) {
                (FileState::Out, Some(num), Some(token)) if job.leases.contains_key(&token) => {
                    job.nums.insert(num, (file.index, token));
                    job.put_out(file.index, num, token, 0, false);
                }
                (FileState::Done, Some(num), Some(token)) => {
                    job.nums.insert(num, (file.index, token));
                }
                (FileState::Done, ..) => {}
                (FileState::Out, ..) => orphans.push(file.index),
                (FileState::Pending, ..) if job.row.plan.is_some() => job.push_pending(file.index),
                // The list is not whole yet.
                (FileState::Pending, ..) => {}
            }
        }
        // A row that is out under a lease that is over can only come from a write between the two: the attempt is void.
        for index in orphans {
            job.push_pending(index);
            self.out.dirty_files.insert((id.clone(), index));
        }
        for lease in job.leases.values() {
            if let Some(drone) = self.fleet.drones.get_mut(&lease.row.drone) {
                drone.demand += lease.slots();
            }
            job.usage += lease.slots();
        }
        self.fair.add_usage(&job.new.project, i64::from(job.usage));
        job.timer = Some(self.now);
        self.jobs.insert(id.clone(), job);
        self.recount(&id);
        self.dirty_jobs.insert(id.clone());
        self.timers.insert((self.now, Timer::Job(id)));
    }

    /// When [`Input::Wake`](crate::Input::Wake) is due next.
    #[must_use]
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// May what `drone` says of `job` be recorded: is its lease (this one, or whichever it holds) not over?
    #[must_use]
    pub fn fence(&self, job: &JobId, drone: &DroneId, lease: Option<LeaseToken>) -> bool {
        self.jobs.get(job).is_some_and(|job| {
            !job.row.state.is_final()
                && job
                    .by_drone
                    .get(drone)
                    .is_some_and(|held| lease.is_none_or(|lease| lease == *held))
        })
    }

    /// Is `num` a command of `job` that was given to `drone` or that it has begun of its own accord?
    #[must_use]
    pub fn started_num(&self, job: &JobId, drone: &DroneId, num: Num) -> bool {
        let Some(job) = self.jobs.get(job) else { return false };
        let Some(lease) = job.by_drone.get(drone).and_then(|token| job.leases.get(token)) else {
            return false;
        };
        match job.nums.get(&num) {
            Some((_, token)) => *token == lease.row.token,
            None => num >= lease.row.num && num < job.row.next_num,
        }
    }

    /// How a job stands; `None` if it is unknown or over and forgotten.
    #[must_use]
    pub fn job(&self, job: &JobId) -> Option<&JobRow> {
        self.jobs.get(job).map(|job| &job.row)
    }

    pub(crate) fn drone_mut(&mut self, id: &DroneId) -> &mut Drone {
        self.fleet.entry(id)
    }

    /// Writes what has changed of a job that is about to be forgotten.
    pub(crate) fn save_now(&mut self, id: &JobId) {
        let Some(job) = self.jobs.get(id) else { return };
        if self.out.dirty_jobs.remove(id) {
            self.out.save(Record::Job(job.row.clone()));
        }
        for (index, file) in (0..).zip(&job.files) {
            if self.out.dirty_files.remove(&(id.clone(), index)) {
                self.out.save(Record::File(file.row.clone()));
            }
        }
    }

    /// Everything that the step has to say, in order: events, then rows, then messages.
    pub(crate) fn flush(&mut self) -> Vec<Action> {
        let mut out = std::mem::take(&mut self.out);
        for id in std::mem::take(&mut out.dirty_jobs) {
            if let Some(job) = self.jobs.get(&id) {
                out.saves.push(Record::Job(job.row.clone()));
            }
        }
        for (id, index) in std::mem::take(&mut out.dirty_files) {
            if let Some(file) = self.jobs.get(&id).and_then(|job| job.files.get(index as usize)) {
                out.saves.push(Record::File(file.row.clone()));
            }
        }
        for (id, token) in std::mem::take(&mut out.dirty_leases) {
            if let Some(lease) = self.jobs.get(&id).and_then(|job| job.leases.get(&token)) {
                out.saves.push(Record::Lease(lease.row.clone()));
            }
        }
        let mut actions = out.events;
        actions.extend(out.saves.into_iter().map(Action::Save));
        actions.extend(out.sends);
        actions
    }
}

/// What a step has to say, gathered so that a row is written once however often it changed.
#[derive(Debug, Default)]
pub(crate) struct Out {
    events: Vec<Action>,
    saves: Vec<Record>,
    sends: Vec<Action>,
    runs: BTreeMap<(JobId, LeaseToken), usize>,
    pub(crate) dirty_jobs: BTreeSet<JobId>,
    pub(crate) dirty_files: BTreeSet<(JobId, u32)>,
    pub(crate) dirty_leases: BTreeSet<(JobId, LeaseToken)>,
}

impl Out {
    pub(crate) fn accept(&mut self) {
        self.events.push(Action::Accept { outcome: None });
    }

    pub(crate) fn accept_as(&mut self, outcome: Option<shared::outcome::FileOutcome>) {
        self.events.push(Action::Accept { outcome });
    }

    pub(crate) fn drop(&mut self, why: &'static str) {
        self.events.push(Action::Drop { why });
    }

    pub(crate) fn emit(&mut self, event: JobEvent) {
        self.events.push(Action::Emit(event));
    }

    pub(crate) fn whole(&mut self, whole: crate::Whole) {
        self.events.push(Action::Whole(whole));
    }

    pub(crate) fn save(&mut self, record: Record) {
        self.saves.push(record);
    }

    pub(crate) fn start(&mut self, drone: &DroneId, job: &JobId, lease: shared::protocol::Lease) {
        self.sends.push(Action::Start {
            drone: drone.clone(),
            job: job.clone(),
            lease,
        });
    }

    pub(crate) fn send(&mut self, drone: &DroneId, message: ToDrone) {
        self.sends.push(Action::Send {
            drone: drone.clone(),
            message,
        });
    }

    /// Adds `file` to the one `job:run` of this step for this lease.
    pub(crate) fn run(&mut self, drone: &DroneId, job: &JobId, lease: LeaseToken, file: RunFile) {
        let key = (job.clone(), lease);
        if let Some(Action::Send {
            message: ToDrone::JobRun { files, .. },
            ..
        }) = self.runs.get(&key).and_then(|at| self.sends.get_mut(*at))
        {
            files.push(file);
            return;
        }
        self.runs.insert(key, self.sends.len());
        let (job, files) = (job.clone(), vec![file]);
        self.send(drone, ToDrone::JobRun { job, lease, files });
    }

    /// Forgets changes of files that are themselves gone.
    pub(crate) fn forget_files(&mut self, job: &JobId) {
        self.dirty_files.retain(|(id, _)| id != job);
    }
}
