//! Who is next: priority with aging, then the project and the job with the fewest slots in use, then age.
//!
//! Owns the order of the jobs that want a slot on any drone of a class. Start-time fair queueing with the slots in use
//! as virtual time: whoever has least now goes first, so a small job never waits behind a huge one. All weights are 1.
//! It knows nothing of drones. Read next: `placement.rs`, which asks for the order.

use crate::{fleet::ClassId, job::Job};
use shared::{JobId, Project, Timestamp};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

/// A job without any slot rises by one priority each time that it has waited so long, in milliseconds.
pub(crate) const AGING_MS: u64 = 300_000;

/// A job's place within its project: slots in use, age, id.
pub(crate) type Rank = (u32, Timestamp, JobId);

/// A job's place among all: smaller goes first.
pub(crate) type FairKey = (Reverse<i64>, u32, Rank);

/// Where a job stands in the order, so that it can be taken out again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seat {
    class: ClassId,
    level: Reverse<i64>,
    rank: Rank,
}

#[derive(Debug, Default)]
struct Share {
    usage: u32,
    lanes: BTreeSet<(ClassId, Reverse<i64>)>,
}

#[derive(Debug, Default)]
struct Lane {
    order: BTreeSet<(u32, Rank, Project)>,
    queues: BTreeMap<Project, BTreeSet<Rank>>,
}

impl Lane {
    fn unlist(&mut self, project: &Project, usage: u32) {
        if let Some(first) = self.queues.get(project).and_then(BTreeSet::first) {
            self.order.remove(&(usage, first.clone(), project.clone()));
        }
    }

    fn list(&mut self, project: &Project, usage: u32) {
        if let Some(first) = self.queues.get(project).and_then(BTreeSet::first) {
            self.order.insert((usage, first.clone(), project.clone()));
        }
    }
}

/// The order of all jobs that want a slot.
#[derive(Debug, Default)]
pub(crate) struct Fair {
    shares: BTreeMap<Project, Share>,
    lanes: BTreeMap<(ClassId, Reverse<i64>), Lane>,
}

impl Fair {
    /// A project has more or fewer slots in use.
    pub(crate) fn add_usage(&mut self, project: &Project, more: i64) {
        if more == 0 {
            return;
        }
        let share = self.shares.entry(project.clone()).or_default();
        let old = share.usage;
        share.usage = u32::try_from(i64::from(old) + more).unwrap_or(0);
        for id in &share.lanes {
            if let Some(lane) = self.lanes.get_mut(id) {
                lane.unlist(project, old);
                lane.list(project, share.usage);
            }
        }
        self.forget_idle(project);
    }

    /// Gives a job a place.
    pub(crate) fn insert(&mut self, project: &Project, seat: &Seat) {
        let share = self.shares.entry(project.clone()).or_default();
        let id = (seat.class, seat.level);
        share.lanes.insert(id);
        let lane = self.lanes.entry(id).or_default();
        lane.unlist(project, share.usage);
        lane.queues
            .entry(project.clone())
            .or_default()
            .insert(seat.rank.clone());
        lane.list(project, share.usage);
    }

    /// Takes a job's place away.
    pub(crate) fn remove(&mut self, project: &Project, seat: &Seat) {
        let Some(share) = self.shares.get_mut(project) else {
            return;
        };
        let id = (seat.class, seat.level);
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        lane.unlist(project, share.usage);
        if let Some(queue) = lane.queues.get_mut(project) {
            queue.remove(&seat.rank);
            if queue.is_empty() {
                lane.queues.remove(project);
                share.lanes.remove(&id);
            }
        }
        lane.list(project, share.usage);
        if lane.queues.is_empty() {
            self.lanes.remove(&id);
        }
        self.forget_idle(project);
    }

    fn forget_idle(&mut self, project: &Project) {
        if self
            .shares
            .get(project)
            .is_some_and(|share| share.usage == 0 && share.lanes.is_empty())
        {
            self.shares.remove(project);
        }
    }

    /// The jobs of a class that want a slot, first in order first.
    pub(crate) fn waiting(&self, class: ClassId) -> impl Iterator<Item = &JobId> {
        self.lanes
            .range((class, Reverse(i64::MAX))..=(class, Reverse(i64::MIN)))
            .flat_map(|(_, lane)| {
                lane.order
                    .iter()
                    .filter_map(|(_, _, project)| lane.queues.get(project))
                    .flatten()
                    .map(|(_, _, job)| job)
            })
    }

    fn seat(job: &Job, now: Timestamp) -> Seat {
        let aged = if job.usage == 0 {
            now.since(job.starved) / AGING_MS
        } else {
            0
        };
        let level = i64::from(job.new.priority).saturating_add(i64::try_from(aged).unwrap_or(i64::MAX));
        Seat {
            class: job.class,
            level: Reverse(level),
            rank: (job.usage, job.new.submitted, job.row.id.clone()),
        }
    }

    /// Puts a job where it belongs now, or nowhere if it does not want a slot.
    pub(crate) fn place(&mut self, job: &mut Job, wants: bool, now: Timestamp) {
        let seat = wants.then(|| Self::seat(job, now));
        if seat == job.seat {
            return;
        }
        if let Some(old) = job.seat.take() {
            self.remove(&job.new.project, &old);
        }
        if let Some(seat) = &seat {
            self.insert(&job.new.project, seat);
        }
        job.seat = seat;
    }

    /// A job's place among all, whether or not it has a seat.
    pub(crate) fn key(&self, job: &Job, now: Timestamp) -> FairKey {
        let seat = Self::seat(job, now);
        let usage = self.shares.get(&job.new.project).map_or(0, |share| share.usage);
        (seat.level, usage, seat.rank)
    }

    /// When a job without a slot rises next.
    pub(crate) fn next_rise(job: &Job, now: Timestamp) -> Option<Timestamp> {
        (job.usage == 0).then(|| job.starved.plus((now.since(job.starved) / AGING_MS + 1) * AGING_MS))
    }
}
