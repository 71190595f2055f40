//! The engine's door: a handle that everybody clones, and the requests that go through it.
//!
//! One task ([`core`]) owns the scheduler's state. It takes all waiting requests, steps, hands one
//! transaction to the writer and only after the commit are replies, messages and events let out.

use crate::store::{Store, StoreError};
use scheduler::{DroneStatus, Explain, JobCount, Waiting};
use shared::{DroneId, JobData, JobId, protocol::Hello};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

mod core;
mod event_line;
mod gather;
mod links;
mod pace;
mod writer;

pub use core::start;
pub use event_line::{Incoming, Said};

/// Bytes of drone messages that may be on their way through the engine; a full budget stops reading sockets.
pub const BUDGET: usize = 64 * 1024 * 1024;
/// Requests that may wait for the engine.
const REQUESTS: usize = 4096;

/// Why a job was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The id belongs to another job.
    #[error("job {0} exists with other data: leave job_id out, or choose another")]
    Clash(JobId),
    /// Data that came from a response.
    #[error(
        "the job's secrets read \"[secret]\": responses never show them, so send the real values, or rerun the job instead"
    )]
    Redacted,
    /// The queen cannot write.
    #[error(transparent)]
    Down(#[from] Down),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The engine did not answer: it is stopping, or cannot write and is rebuilding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the queen cannot write just now, nothing was changed: try again shortly")]
pub struct Down;

/// A job that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Its id.
    pub job: JobId,
    /// The same job was there already.
    pub repeated: bool,
}

/// What became of a wish to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelOutcome {
    /// It will stop.
    Stopping,
    /// It had ended before, or is not known to be running.
    NotRunning,
}

/// What the engine tells a drone's session.
#[derive(Debug)]
pub enum ToSession {
    /// Send this message (one JSON object).
    Message(String),
    /// Everything up to this number is durable; only the newest of several has to be sent.
    Ack(u64),
}

/// Identifies one connection of a drone, so that a late word of an older one is not taken for the newer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionId(pub u64);

pub(crate) enum Request {
    Submit {
        job: Box<JobData>,
        digest: [u8; 32],
        /// `None`: the id belongs to another job.
        reply: oneshot::Sender<Option<Submission>>,
    },
    Cancel {
        job: JobId,
        reason: String,
        reply: oneshot::Sender<CancelOutcome>,
    },
    Drain {
        drone: DroneId,
        on: bool,
        reply: oneshot::Sender<bool>,
    },
    Explain {
        job: JobId,
        reply: oneshot::Sender<Option<Explain>>,
    },
    Drones {
        reply: oneshot::Sender<Vec<DroneStatus>>,
    },
    Queue {
        reply: oneshot::Sender<Vec<Waiting>>,
    },
    JobCount {
        reply: oneshot::Sender<JobCount>,
    },
    Connected {
        hello: Hello,
        outbound: writer::Outbound,
        reply: oneshot::Sender<SessionId>,
    },
    Said {
        session: SessionId,
        messages: Vec<Incoming>,
        permit: OwnedSemaphorePermit,
    },
    Gone {
        session: SessionId,
        reason: String,
        left: bool,
    },
}

/// The handle. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    requests: mpsc::Sender<Request>,
    budget: Arc<Semaphore>,
    store: Arc<dyn Store>,
    illness: watch::Receiver<Option<String>>,
}

impl Engine {
    /// Takes a job: when this answers, the job is durable. A repeat of the same data under the same id answers the same job.
    pub async fn submit(&self, mut job: JobData) -> Result<Submission, SubmitError> {
        if job.is_redacted() {
            return Err(SubmitError::Redacted);
        }
        // What tells a repeat from a clash: everything that the client sent, secrets included.
        let digest = self.store.fingerprint(&job.exposed().to_string());
        if let Some(id) = &job.job_id {
            if let Some(stored) = self.store.job(id).await? {
                return if stored.digest == digest {
                    Ok(Submission {
                        job: id.clone(),
                        repeated: true,
                    })
                } else {
                    Err(SubmitError::Clash(id.clone()))
                };
            }
        } else {
            job.job_id = Some(crate::clock::new_job_id());
        }
        let id = job.job_id.clone();
        match self
            .ask(|reply| Request::Submit {
                job: Box::new(job),
                digest,
                reply,
            })
            .await?
        {
            Some(submission) => Ok(submission),
            None => Err(id.map_or(SubmitError::Down(Down), SubmitError::Clash)),
        }
    }

    /// Stops a job. The wish is durable when this answers; the job ends a little later.
    pub async fn cancel(&self, job: JobId, reason: String) -> Result<CancelOutcome, Down> {
        self.ask(|reply| Request::Cancel { job, reason, reply }).await
    }

    /// Drains a drone, or takes that back; false if no such drone is known.
    pub async fn drain(&self, drone: DroneId, on: bool) -> Result<bool, Down> {
        self.ask(|reply| Request::Drain { drone, on, reply }).await
    }

    /// Why an unfinished job waits, when it is expected to end, what runs; `None` for one that has ended.
    pub async fn explain(&self, job: JobId) -> Result<Option<Explain>, Down> {
        self.ask(|reply| Request::Explain { job, reply }).await
    }

    /// The fleet.
    pub async fn drones(&self) -> Result<Vec<DroneStatus>, Down> {
        self.ask(|reply| Request::Drones { reply }).await
    }

    /// What waits, and why.
    pub async fn queue(&self) -> Result<Vec<Waiting>, Down> {
        self.ask(|reply| Request::Queue { reply }).await
    }

    /// How many jobs are not over.
    pub async fn count_jobs(&self) -> Result<JobCount, Down> {
        self.ask(|reply| Request::JobCount { reply }).await
    }

    /// A drone has said hello. It is told through `queue`; when that is full, or the drone has another connection, `cut`
    /// is cancelled and the session has to end.
    pub async fn connected(
        &self,
        hello: Hello,
        queue: mpsc::Sender<ToSession>,
        cut: CancellationToken,
    ) -> Result<SessionId, Down> {
        let outbound = writer::Outbound { queue, cut };
        self.ask(|reply| Request::Connected { hello, outbound, reply }).await
    }

    /// Passes on what a drone said, `bytes` long; waits while the budget is used up.
    pub async fn said(&self, session: SessionId, messages: Vec<Incoming>, bytes: usize) -> Result<(), Down> {
        let bytes = u32::try_from(bytes.clamp(1, BUDGET)).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.budget)
            .acquire_many_owned(bytes)
            .await
            .map_err(|_| Down)?;
        self.requests
            .send(Request::Said {
                session,
                messages,
                permit,
            })
            .await
            .map_err(|_| Down)
    }

    /// A drone's connection has ended. `left`: the drone said that it leaves, so nobody waits for it.
    pub async fn gone(&self, session: SessionId, reason: String, left: bool) {
        // An engine that is gone has no sessions either.
        let _ = self.requests.send(Request::Gone { session, reason, left }).await;
    }

    /// Why the queen cannot write; `None` while she can.
    #[must_use]
    pub fn illness(&self) -> Option<String> {
        self.illness.borrow().clone()
    }

    /// Changes of [`Engine::illness`].
    #[must_use]
    pub fn health(&self) -> watch::Receiver<Option<String>> {
        self.illness.clone()
    }

    /// Where durable things are read.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    async fn ask<T>(&self, make: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, Down> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(make(reply)).await.map_err(|_| Down)?;
        answer.await.map_err(|_| Down)
    }
}
