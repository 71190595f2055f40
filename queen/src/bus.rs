//! Fan-out of what is already durable to live clients. It knows nothing of sockets and never waits for a reader.
//!
//! Each unfinished job has a channel; a reader that falls behind loses its place and is told so, and reads the store
//! again from where it was. Only the engine's writer publishes, and only after the commit.

use crate::store::{Event, StoredJob};
use scheduler::DroneStatus;
use shared::{JobId, Seq};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{broadcast, watch};

/// Events that a slow reader may be behind before it loses its place.
const JOB_BACKLOG: usize = 1024;
/// List changes that a slow reader may be behind.
const TOPIC_BACKLOG: usize = 1024;

/// A change of a list, for those who listen to topics. It carries facts; how they are shown is the listener's business.
#[derive(Debug, Clone)]
pub enum Change {
    /// A job's row is new or changed.
    Job(Arc<StoredJob>),
    /// A drone has connected and said what it can do.
    DroneJoined(Arc<DroneStatus>),
    /// A drone is away, and why.
    DroneLeft(Arc<DroneStatus>, Arc<str>),
    /// A drone's slots, load or settings changed.
    DroneChanged(Arc<DroneStatus>),
    /// What waits changed.
    Queue,
}

/// The fan-out. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Bus {
    jobs: Arc<Mutex<HashMap<JobId, Channel>>>,
    changes: broadcast::Sender<Change>,
    ended: watch::Sender<u64>,
    rounds: watch::Sender<u64>,
}

#[derive(Debug)]
struct Channel {
    last: Seq,
    events: broadcast::Sender<Event>,
}

/// One reader's place in a live job.
#[derive(Debug)]
pub struct Feed {
    /// The last durable event at the moment of subscribing; everything after it comes through `events`.
    pub last: Seq,
    /// What happens from then on. `Lagged` or `Closed`: read the store again and subscribe anew.
    pub events: broadcast::Receiver<Event>,
}

impl Default for Bus {
    fn default() -> Self {
        Self {
            jobs: Arc::default(),
            changes: broadcast::channel(TOPIC_BACKLOG).0,
            ended: watch::Sender::new(0),
            rounds: watch::Sender::new(0),
        }
    }
}

impl Bus {
    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, Channel>> {
        // A panic while the map is held cannot leave it half-changed.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a job's channel, before its first event is durable.
    pub fn open(&self, job: &JobId, last: Seq) {
        self.lock().entry(job.clone()).or_insert_with(|| Channel {
            last,
            events: broadcast::channel(JOB_BACKLOG).0,
        });
    }

    /// Closes a job's channel after its last event. Readers get what is in it, then `Closed`.
    pub fn close(&self, job: &JobId) {
        self.lock().remove(job);
        self.ended.send_modify(|count| *count += 1);
    }

    /// Changes whenever a job has ended: the number of those that have since the queen started.
    #[must_use]
    pub fn ended(&self) -> watch::Receiver<u64> {
        self.ended.subscribe()
    }

    /// Says that the housekeeping has ended a round: what was due is gone.
    pub fn tidied(&self) {
        self.rounds.send_modify(|count| *count += 1);
    }

    /// Changes whenever the housekeeping has ended a round: the number of its rounds since the queen started.
    #[must_use]
    pub fn rounds(&self) -> watch::Receiver<u64> {
        self.rounds.subscribe()
    }

    /// Closes all channels: the engine rebuilds from the store, and readers have to as well.
    pub fn close_all(&self) {
        self.lock().clear();
    }

    /// Subscribes to a job; `None` if it is not live: then the store has all of it.
    #[must_use]
    pub fn subscribe(&self, job: &JobId) -> Option<Feed> {
        self.lock().get(job).map(|channel| Feed {
            last: channel.last,
            events: channel.events.subscribe(),
        })
    }

    /// Passes on durable events, each job's in order.
    pub fn publish(&self, events: &[Event]) {
        let mut jobs = self.lock();
        for event in events {
            if let Some(channel) = jobs.get_mut(&event.job) {
                channel.last = event.seq;
                // No reader is no error.
                let _ = channel.events.send(event.clone());
            }
        }
    }

    /// Passes on a change of a list.
    pub fn change(&self, change: Change) {
        let _ = self.changes.send(change);
    }

    /// True if somebody listens to changes of lists.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.changes.receiver_count() > 0
    }

    /// Hears of changes of lists.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }
}
