//! Write, then tell: the one task that commits, and that lets out what follows from a commit, in order.
//!
//! While it commits, the engine gathers the next work (group commit without a timer). After a failed commit it lets
//! nothing out and says so once; the engine then rebuilds from the store.

use super::ToSession;
use crate::{
    bus::{Bus, Change},
    store::{Batch, Store, StoreError},
};
use scheduler::Record;
use shared::JobId;
use std::{collections::HashSet, sync::Arc};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;

/// How a drone's session is reached.
#[derive(Debug, Clone)]
pub(crate) struct Outbound {
    pub queue: mpsc::Sender<ToSession>,
    pub cut: CancellationToken,
}

impl Outbound {
    /// Queues a message. A drone that does not read is cut: after its reconnect it is told anew.
    pub fn tell(&self, message: ToSession) {
        if self.queue.try_send(message).is_err() {
            self.cut.cancel();
        }
    }
}

/// Something to let out after the commit.
pub(super) enum Tell {
    /// Answer a request.
    Reply(Box<dyn FnOnce() + Send>),
    /// Say something to a drone.
    Drone(Outbound, ToSession),
    /// Tell those who watch lists.
    Change(Change),
    /// Nothing more comes of this job.
    Close(JobId),
}

/// One transaction and what follows from it.
#[derive(Default)]
pub(super) struct Work {
    pub batch: Batch,
    pub tells: Vec<Tell>,
    /// Held until the commit, so that the budget counts what is not yet durable.
    pub permits: Vec<OwnedSemaphorePermit>,
}

impl Work {
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty() && self.tells.is_empty() && self.permits.is_empty()
    }
}

/// Commits works until the channel closes (`Ok`) or a commit fails; says after each that it was `done`.
pub(super) async fn write(
    store: Arc<dyn Store>,
    bus: Bus,
    mut works: mpsc::Receiver<Work>,
    done: mpsc::Sender<()>,
) -> Result<(), StoreError> {
    while let Some(mut work) = works.recv().await {
        let events = std::mem::take(&mut work.batch.events);
        if !work.batch.is_empty() || !events.is_empty() {
            let mut batch = work.batch;
            batch.records = newest(batch.records);
            batch.events.clone_from(&events);
            store.commit(batch).await?;
        }
        metrics::counter!("skep_events_recorded_total").increment(events.len() as u64);
        bus.publish(&events);
        for tell in work.tells {
            match tell {
                Tell::Reply(reply) => reply(),
                Tell::Drone(outbound, message) => outbound.tell(message),
                Tell::Change(change) => bus.change(change),
                Tell::Close(job) => bus.close(&job),
            }
        }
        // Nobody hears it where the engine waits for the end.
        let _ = done.try_send(());
    }
    Ok(())
}

/// Only the last of the records of one row.
fn newest(records: Vec<Record>) -> Vec<Record> {
    let mut seen = HashSet::new();
    let mut kept: Vec<Record> = records
        .into_iter()
        .rev()
        .filter(|record| {
            seen.insert(match record {
                Record::Job(row) => ("job", row.id.to_string(), 0),
                Record::File(row) => ("file", row.job.to_string(), u64::from(row.index)),
                Record::NoFiles(job) => ("no files", job.to_string(), 0),
                Record::Lease(row) => ("lease", row.job.to_string(), row.token.0),
                Record::Drain { drone, .. } => ("drain", drone.to_string(), 0),
                Record::Learned { drone, .. } => ("learned", drone.to_string(), 0),
            })
        })
        .collect();
    kept.reverse();
    kept
}
