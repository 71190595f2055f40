//! One payload from the caller's side: waiting for a worker, what comes meanwhile, the answer.
//!
//! Owns `allocate_timeout`. Must not know how a worker is talked to (`worker.rs`).

use super::{Error, Kind, goridge::Payload, queue::Shared};
use crate::process::{Exit, Output};
use std::{pin::Pin, sync::Arc};
use tokio::{sync::mpsc, time::Sleep};

/// Replies that may wait for the caller; then the worker's pipes are not read.
pub(super) const REPLIES: usize = 32;

/// What a seat says about a payload; small, because there is room for many as soon as there is room for one.
pub(super) enum Reply {
    Taken(Holder),
    /// Unseen by the caller: the payload waits again.
    Back,
    Frame(Box<Payload>),
    Output(Box<Output>),
    Done(Box<Result<Answer, Error>>),
}

/// Who has a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// The worker's seat, from 1.
    pub seat: u32,
    /// Its process.
    pub pid: i32,
    /// Payloads that it has had before.
    pub executions: u32,
}

/// What happens to a payload before its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A worker has it. Said again if that one gives it back and another one takes it.
    Began(Holder),
    /// The worker has sent a payload and will send more.
    Frame(Payload),
    /// The worker has written something, masked. What it wrote before its first payload, or between two, comes with the
    /// next one.
    Output(Output),
}

/// The answer to a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The worker's last frame.
    pub payload: Payload,
    /// How the worker's process ended, if this was its last payload; all that it has written came before.
    pub exit: Option<Exit>,
}

/// A payload that waits or runs. Dropped, it is not run any more: the worker that has it is killed and replaced.
pub struct Execution {
    shared: Arc<Shared>,
    id: u64,
    replies: mpsc::Receiver<Reply>,
    /// The worker that it was given to at once, until that is told.
    placed: Option<Holder>,
    /// Runs while no worker has the payload.
    patience: Option<Pin<Box<Sleep>>>,
    result: Option<Result<Answer, Error>>,
}

impl Execution {
    pub(super) fn new(shared: Arc<Shared>, id: u64, replies: mpsc::Receiver<Reply>, placed: Option<Holder>) -> Self {
        let mut execution = Self {
            shared,
            id,
            replies,
            placed,
            patience: None,
            result: None,
        };
        if placed.is_none() {
            execution.wait_anew();
        }
        execution
    }

    fn wait_anew(&mut self) {
        let time = self.shared.options.allocate_timeout;
        self.patience = Some(Box::pin(tokio::time::sleep(time)));
    }

    /// What happens next; nothing when the payload is done, see [`Self::end`]. Cancel-safe.
    pub async fn next(&mut self) -> Option<Progress> {
        if let Some(holder) = self.placed.take() {
            return Some(Progress::Began(holder));
        }
        while self.result.is_none() {
            let reply = tokio::select! {
                biased;
                reply = self.replies.recv() => reply,
                () = async { self.patience.as_mut().expect("guarded").await }, if self.patience.is_some() => {
                    self.patience = None;
                    // Not found: a worker has just taken it, and says so.
                    if self.shared.withdraw(self.id) {
                        self.result = Some(Err(self.no_worker()));
                    }
                    continue;
                }
            };
            match reply {
                Some(Reply::Taken(holder)) => {
                    self.patience = None;
                    return Some(Progress::Began(holder));
                }
                Some(Reply::Back) => self.wait_anew(),
                Some(Reply::Frame(payload)) => return Some(Progress::Frame(*payload)),
                Some(Reply::Output(output)) => return Some(Progress::Output(*output)),
                Some(Reply::Done(result)) => self.result = Some(*result),
                None => self.result = Some(Err(Error::Destroyed)),
            }
        }
        None
    }

    /// The answer, once there is one. What comes before it and was not asked for is passed over.
    pub async fn end(mut self) -> Result<Answer, Error> {
        while self.next().await.is_some() {}
        self.result.take().unwrap_or(Err(Error::Destroyed))
    }

    fn no_worker(&self) -> Error {
        let after = self.shared.options.allocate_timeout;
        let why = self.shared.why_none();
        self.shared.tell(0, None, Kind::AllocateTimeout, why.clone());
        Error::NoWorker { after, why }
    }
}

impl Drop for Execution {
    fn drop(&mut self) {
        if self.result.is_none() {
            // It must not keep others out of the queue.
            self.shared.withdraw(self.id);
        }
    }
}
