//! What the simulated machines really did, and what everybody was told: the truth that the store is held against.

use super::memory::MemoryStore;
use drone::link::Outbox;
use serde_json::Value;
use shared::{DroneId, Incarnation, JobId, LeaseToken, Num};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
};

/// What a command wrote.
#[derive(Debug, Clone, Default)]
pub struct Written {
    /// Lines that are in the drone's outbox.
    pub lines: u64,
    /// Its end is there too, after all of its lines.
    pub ended: bool,
    /// The job cannot end without it: a file, or a command of the home drone.
    pub awaited: bool,
}

/// A living drone, as those who check see it.
pub struct Alive {
    pub life: Incarnation,
    pub outbox: Arc<Outbox>,
    /// Leases that it holds.
    pub leases: BTreeSet<(JobId, LeaseToken)>,
}

#[derive(Default)]
pub struct Ledger {
    pub violations: Vec<String>,
    /// What happened, in order: two runs of one seed have the same.
    pub history: Vec<String>,
    pub written: BTreeMap<(JobId, LeaseToken, Num), Written>,
    /// How often the deploy of a job was begun.
    pub deploys: BTreeMap<JobId, u32>,
    /// Jobs that a client was told are taken.
    pub accepted: BTreeSet<JobId>,
    /// Jobs of which a client was told that they will stop.
    pub stopping: BTreeSet<JobId>,
    pub alive: BTreeMap<DroneId, Alive>,
    pub lives: BTreeMap<DroneId, u32>,
    /// Events that each browser saw of each job, in order.
    pub seen: BTreeMap<(u32, JobId), Vec<Value>>,
    /// Events, commits, reconnects: for the report.
    pub reconnects: u64,
    pub submits: u64,
}

/// Shared by everything in a world.
#[derive(Clone)]
pub struct Book {
    ledger: Arc<Mutex<Ledger>>,
    pub store: MemoryStore,
}

impl Book {
    pub fn new(store: MemoryStore) -> Self {
        Self {
            ledger: Arc::default(),
            store,
        }
    }

    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    /// Something that must never be.
    pub fn violation(&self, what: impl Into<String>) {
        let what = what.into();
        let at = turmoil::sim_elapsed().map_or(String::new(), |at| format!(" at {at:?}"));
        self.ledger().violations.push(format!("{what}{at}"));
    }

    pub fn rule(&self, ok: bool, what: impl FnOnce() -> String) {
        if !ok {
            self.violation(what());
        }
    }

    pub fn note(&self, what: impl Into<String>) {
        let at = turmoil::sim_elapsed().map_or(0, |at| at.as_millis());
        self.ledger().history.push(format!("{at} {}", what.into()));
    }

    /// A new life of a drone.
    pub fn begin_life(&self, drone: &DroneId) -> Incarnation {
        let mut ledger = self.ledger();
        let life = ledger.lives.entry(drone.clone()).or_default();
        *life += 1;
        Incarnation::new(format!("{drone}-{life}")).unwrap()
    }

    /// A browser was shown an event: it must be in the store, as it is, and follow on what the browser saw before.
    pub fn shown(&self, browser: u32, job: &JobId, event: Value) {
        let seq = event["seq"].as_u64().unwrap_or(0);
        let stored = self.store.durable(job, |kept| {
            let line = kept.events.get(usize::try_from(seq).unwrap().wrapping_sub(1));
            line.map(|event| serde_json::from_str::<Value>(&event.line).unwrap())
        });
        self.rule(stored.flatten().as_ref() == Some(&event), || {
            format!("browser {browser} was shown an event of {job} that is not written: {event}")
        });
        let next = {
            let mut ledger = self.ledger();
            let seen = ledger.seen.entry((browser, job.clone())).or_default();
            seen.push(event);
            seen.len() as u64
        };
        self.rule(seq == next, || {
            format!("browser {browser} was shown event {seq} of {job} in place of {next}")
        });
    }

    /// What must hold at any moment.
    pub fn watch(&self) {
        let mut broken = Vec::new();
        for (id, alive) in &self.ledger().alive {
            let (acked, applied) = (alive.outbox.first() - 1, self.store.applied(id, &alive.life));
            if acked > applied {
                broken.push(format!(
                    "drone {id} was told that {acked} are durable, and {applied} are"
                ));
            }
        }
        for what in broken {
            self.violation(what);
        }
    }
}
