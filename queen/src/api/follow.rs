//! A job's events from any point on, first stored, then live, without a gap and nothing twice.
//!
//! Owns the hand-over from store to bus; knows nothing of sockets. The place on the bus is taken before the
//! store is asked how far it goes, so what is written in between comes through the bus. Read next: `sse.rs`, `live/`.

use super::error::{Answer, ApiError};
use crate::{
    app::Context,
    bus::{Bus, Feed},
    store::{Event, Store, StoreError},
};
use shared::{JobId, Seq};
use std::sync::Arc;
use tokio::sync::broadcast::{
    Receiver,
    error::{RecvError, TryRecvError},
};

/// About how many bytes of events one piece has at most.
pub const WINDOW: usize = 256 * 1024;

/// A piece of a job's stream.
#[derive(Debug)]
pub enum Piece {
    /// Events in order, each following the one before without a gap.
    Events(Vec<Event>),
    /// Everything up to this one was given; from here on it is live.
    Live(Seq),
    /// The reader fell behind: go on with a new [`Follow`] from the event after this one.
    Lagged(Seq),
}

/// One reader's way through a job's stream.
pub struct Follow {
    store: Arc<dyn Store>,
    job: JobId,
    /// The next event that the reader has not had.
    next: Seq,
    stage: Stage,
}

enum Stage {
    /// Up to `until` from the store, then on with `feed`, if the job is still live.
    Stored {
        until: Seq,
        feed: Option<Receiver<Event>>,
    },
    Live(Receiver<Event>),
    /// The place on the bus was lost.
    Lost,
    Ended,
}

impl Follow {
    /// Starts at event `from` (0 and 1: the first).
    pub async fn open(context: &Context, job: &JobId, from: u64) -> Answer<Self> {
        Self::over(&context.store, &context.bus, job, from).await
    }

    async fn over(store: &Arc<dyn Store>, bus: &Bus, job: &JobId, from: u64) -> Answer<Self> {
        let feed = bus.subscribe(job);
        let stored = store.job(job).await?.ok_or_else(|| ApiError::no_job(job.as_str()))?;
        ApiError::if_log_removed(&stored)?;
        let next = Seq(from.max(1));
        let stage = match feed {
            Some(Feed { last, events }) => Stage::Stored {
                until: last,
                feed: Some(events),
            },
            None if stored.row.state.is_final() => Stage::Stored {
                until: stored.last_seq,
                feed: None,
            },
            // The engine rebuilds; the reader comes back.
            None => Stage::Lost,
        };
        Ok(Self {
            store: Arc::clone(store),
            job: job.clone(),
            next,
            stage,
        })
    }

    /// How far the pieces before [`Piece::Live`] go; `None` if the place was lost at once.
    #[must_use]
    pub fn stored(&self) -> Option<Seq> {
        match &self.stage {
            Stage::Stored { until, .. } => Some(*until),
            _ => None,
        }
    }

    /// The next piece; `None` after the job's last event. Safe to drop half-way: what was not given is given again.
    pub async fn next(&mut self) -> Result<Option<Piece>, StoreError> {
        loop {
            match &mut self.stage {
                Stage::Stored { until, .. } if self.next <= *until => {
                    let events = self.store.events(&self.job, self.next, *until, WINDOW).await?;
                    if let Some(last) = events.last() {
                        self.next = last.seq.next();
                        return Ok(Some(Piece::Events(events)));
                    }
                    // What the row promises is not there; the reader must not be told that it has it.
                    return Err(StoreError::Corrupt {
                        what: "a job's events",
                        why: format!("{}: event {} is missing", self.job, self.next),
                    });
                }
                Stage::Stored { until, feed } => {
                    let until = *until;
                    self.stage = feed.take().map_or(Stage::Ended, Stage::Live);
                    return Ok(Some(Piece::Live(until)));
                }
                Stage::Live(feed) => {
                    let first = match feed.recv().await {
                        Ok(event) => event,
                        Err(RecvError::Closed) => {
                            self.stage = self.closed().await?;
                            continue;
                        }
                        Err(RecvError::Lagged(_)) => {
                            self.stage = Stage::Lost;
                            continue;
                        }
                    };
                    if let Some(events) = self.gather(first) {
                        return Ok(Some(Piece::Events(events)));
                    }
                }
                Stage::Lost => {
                    self.stage = Stage::Ended;
                    return Ok(Some(Piece::Lagged(Seq(self.next.0 - 1))));
                }
                Stage::Ended => return Ok(None),
            }
        }
    }

    /// Everything that waits in the feed beside `first`, up to a window; `None` if the reader has it all already.
    fn gather(&mut self, first: Event) -> Option<Vec<Event>> {
        let mut events = Vec::new();
        let mut bytes = 0;
        let mut arrived = Some(first);
        while let (Some(event), Stage::Live(feed)) = (arrived.take(), &mut self.stage) {
            // A reader that asked for a later event waits for it.
            if event.seq >= self.next {
                bytes += event.line.len();
                self.next = event.seq.next();
                events.push(event);
            }
            if bytes >= WINDOW {
                break;
            }
            match feed.try_recv() {
                Ok(event) => arrived = Some(event),
                Err(TryRecvError::Lagged(_)) => self.stage = Stage::Lost,
                // `Closed` is said again by the next wait.
                Err(TryRecvError::Empty | TryRecvError::Closed) => {}
            }
        }
        (!events.is_empty()).then_some(events)
    }

    /// The channel was closed: after the job's last event, or because the engine rebuilds.
    async fn closed(&self) -> Result<Stage, StoreError> {
        let job = self.store.job(&self.job).await?;
        let complete = job.is_none_or(|job| job.row.state.is_final() && job.last_seq < self.next);
        Ok(if complete { Stage::Ended } else { Stage::Lost })
    }
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
