//! What is known of one job, and how it will end as far as that can be said.
//!
//! Owns the shape of [`Job`] and its plain questions. How it goes on is in `jobs.rs`.

use crate::{JobRow, NewJob, estimate::Work, fairness::Seat, files::File, fleet::ClassId, lease::Lease};
use shared::{DroneId, JobState, LeaseToken, Num, Timestamp};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

/// A pending file's place: failed before, longest first, as listed.
pub(crate) type Turn = (bool, Reverse<u64>, u32);

/// One job.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) new: NewJob,
    pub(crate) row: JobRow,
    pub(crate) class: ClassId,
    pub(crate) files: Vec<File>,
    /// The files' commands: which file, under which lease.
    pub(crate) nums: BTreeMap<Num, (u32, LeaseToken)>,
    pub(crate) pending: BTreeSet<Turn>,
    /// Handed out ahead, not begun, not asked back.
    pub(crate) ahead: BTreeSet<Num>,
    /// Asked back and not yet answered.
    pub(crate) asked: u32,
    /// Leases that are not over.
    pub(crate) leases: BTreeMap<LeaseToken, Lease>,
    pub(crate) by_drone: BTreeMap<DroneId, LeaseToken>,
    pub(crate) home: Option<LeaseToken>,
    /// Drones that can take a file of it now, fastest first.
    pub(crate) open: BTreeSet<(u64, DroneId)>,
    /// Drones that could not help and are not asked again.
    pub(crate) barred: BTreeSet<DroneId>,
    pub(crate) work: Work,
    /// Files that have a slot, and the sum of those slots' speeds.
    pub(crate) in_slots: u32,
    pub(crate) rate: u64,
    /// Leases that will take files; slots, and their speeds, that are still preparing.
    pub(crate) able: u32,
    pub(crate) coming_slots: u32,
    pub(crate) coming_rate: u64,
    /// Slots in use, for fairness.
    pub(crate) usage: u32,
    /// Since when it has none.
    pub(crate) starved: Timestamp,
    pub(crate) seat: Option<Seat>,
    pub(crate) backlog: Option<DroneId>,
    pub(crate) timer: Option<Timestamp>,
    /// How long the home drone took to prepare.
    pub(crate) prepare: Option<u64>,
    /// Rows of leases that have just ended.
    pub(crate) ended: Vec<crate::LeaseRow>,
    /// How long others' cleanup may hold the job's end.
    pub(crate) settle_by: Option<Timestamp>,
}

impl Job {
    pub(crate) fn new(new: NewJob, row: JobRow, class: ClassId) -> Self {
        Self {
            class,
            files: Vec::new(),
            nums: BTreeMap::new(),
            pending: BTreeSet::new(),
            ahead: BTreeSet::new(),
            asked: 0,
            leases: BTreeMap::new(),
            by_drone: BTreeMap::new(),
            home: None,
            open: BTreeSet::new(),
            barred: BTreeSet::new(),
            work: Work::default(),
            in_slots: 0,
            rate: 0,
            able: 0,
            coming_slots: 0,
            coming_rate: 0,
            usage: 0,
            starved: row.not_before.unwrap_or(new.submitted).max(new.submitted),
            seat: None,
            backlog: None,
            timer: None,
            prepare: None,
            ended: Vec::new(),
            settle_by: None,
            new,
            row,
        }
    }

    pub(crate) fn home_lease(&self) -> Option<&Lease> {
        self.leases.get(self.home.as_ref()?)
    }

    /// It is to end before its work is done.
    pub(crate) fn stopping(&self) -> bool {
        self.row.error.is_some() || (self.row.cancel.is_some() && self.by_codes().is_none())
    }

    fn by_codes(&self) -> Option<JobState> {
        let code = |code: i32| if code == 0 { JobState::Passed } else { JobState::Failed };
        if self.new.job_type.tests() {
            match self.row.test_code? {
                0 if self.new.job_type.deploys() => {}
                other => return Some(code(other)),
            }
        }
        self.row.deploy_code.map(code)
    }

    /// How the job ends, once nothing can change that any more. A result that was complete before somebody wanted to
    /// stop the job stands.
    pub(crate) fn verdict(&self) -> Option<JobState> {
        if self.row.error.is_some() {
            return Some(JobState::Errored);
        }
        self.by_codes()
            .or_else(|| self.row.cancel.as_ref().map(|_| JobState::Cancelled))
    }

    pub(crate) fn all_accounted(&self) -> bool {
        self.row.plan.is_some() && self.row.test_code.is_none() && self.row.files_done >= self.row.files_total
    }

    pub(crate) fn deploy_due(&self) -> bool {
        self.new.job_type.deploys()
            && !self.row.deploy_given
            && (!self.new.job_type.tests() || self.row.test_code == Some(0))
    }

    pub(crate) fn take_nums(&mut self, count: u32) -> Num {
        let first = self.row.next_num;
        self.row.next_num = Num(first.0.saturating_add(count));
        first
    }
}
