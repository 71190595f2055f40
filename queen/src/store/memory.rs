//! What the one connection that writes remembers of the rows, as of the last commit, so that a little output need not ask.

use super::{Applied, rows::ended, stream::Stream};
use scheduler::Record;
use shared::{DroneId, Incarnation, JobId};
use std::collections::HashMap;

/// Streams and drones that are remembered; with more at once they are read again.
const MOST: usize = 10_000;

/// Rows that are known to be there. What changes them behind its back must [`forget`](Memory::forget).
#[derive(Debug, Default)]
pub struct Memory {
    /// How the streams of unfinished jobs stand.
    pub streams: HashMap<JobId, Stream>,
    lives: HashMap<DroneId, Incarnation>,
}

impl Memory {
    /// Whether the drone and this life of it have their rows; only the last life that was written is remembered.
    pub fn has_life(&self, applied: &Applied) -> bool {
        self.lives.get(&applied.drone) == Some(&applied.incarnation)
    }

    /// Takes in what a commit has written.
    pub fn keep(&mut self, streams: HashMap<JobId, Stream>, records: &[Record], applied: &[Applied]) {
        self.streams.extend(streams);
        for id in ended(records).into_keys() {
            self.streams.remove(id);
        }
        for one in applied {
            if !self.has_life(one) {
                self.lives.insert(one.drone.clone(), one.incarnation.clone());
            }
        }
    }

    /// Forgets everything when it has become too much.
    pub fn bound(&mut self) {
        if self.streams.len().max(self.lives.len()) > MOST {
            self.forget();
        }
    }

    /// Forgets everything.
    pub fn forget(&mut self) {
        *self = Self::default();
    }
}
