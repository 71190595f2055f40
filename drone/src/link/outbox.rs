//! Everything that the drone says, numbered and kept until the queen has it durable.
//!
//! It knows nothing of sockets: a session reads it through a [`Cursor`] from the first message that is not
//! acknowledged, and a new session starts again from there. Bounded in memory by bytes; beyond that it spills to disk;
//! at the disk bound [`Outbox::push`] waits, which stops whoever produces (a command's pipes). Read next: `spill`.

use super::spill::Spill;
use serde::Serialize;
use shared::{
    LeaseToken,
    protocol::frame::{Numbered, join},
};
use std::{
    collections::VecDeque,
    io,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// The most bytes of one frame of several messages.
pub const BATCH_LIMIT: usize = 256 * 1024;
/// What a kept message costs beside its text.
const OVERHEAD: u64 = 32;

/// How much an outbox may hold, or holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes in memory.
    pub memory: u64,
    /// Bytes on disk beyond that.
    pub disk: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            memory: 32 << 20,
            disk: 1 << 30,
        }
    }
}

/// Why the outbox can no longer promise that nothing is lost.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// Messages that were on disk cannot be read any more.
    #[error("messages for the queen that were kept on disk are lost: {0}")]
    Lost(io::Error),
    /// The folder cannot be made.
    #[error("the folder {path} for messages that do not fit into memory cannot be used: {error}")]
    Folder {
        /// Where.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// A message cannot be written as JSON.
    #[error("a message cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The queen acknowledged what was never sent.
    #[error("the queen acknowledged message {acked}, but only {sent} were ever written")]
    AckAhead {
        /// What it said.
        acked: u64,
        /// The last number in use.
        sent: u64,
    },
}

/// Numbered messages, kept until acknowledged.
#[derive(Debug)]
pub struct Outbox {
    state: Mutex<State>,
    bounds: Bounds,
    /// Held while waiting for room, so that those who wait get it in order.
    turn: tokio::sync::Mutex<()>,
    /// Something was pushed or came back from disk: the session may send.
    ready: Notify,
    /// Something was acknowledged.
    freed: Notify,
}

#[derive(Debug)]
struct State {
    /// The number of the first message in `memory`: the first that is not acknowledged.
    first: u64,
    /// The next number to give.
    next: u64,
    /// The last message that is not only an answer to the queen.
    said: u64,
    memory: VecDeque<Box<str>>,
    memory_bytes: u64,
    /// Everything after `memory`.
    spill: Spill,
    /// Everything after `spill`: the few messages that may not wait, while the disk takes nothing.
    tail: VecDeque<Box<str>>,
}

impl Outbox {
    /// An empty outbox that spills into `dir`; `dir` is emptied.
    pub fn open(dir: &Path, bounds: Bounds) -> Result<Self, OutboxError> {
        // Segments are a part of what memory takes, so that one always fits in when memory drains.
        let segment = (bounds.memory / 8).clamp(1, 1 << 20);
        let spill = Spill::open(dir, segment).map_err(|error| OutboxError::Folder {
            path: dir.display().to_string(),
            error,
        })?;
        Ok(Self {
            state: Mutex::new(State {
                first: 1,
                next: 1,
                said: 0,
                memory: VecDeque::new(),
                memory_bytes: 0,
                spill,
                tail: VecDeque::new(),
            }),
            bounds,
            turn: tokio::sync::Mutex::new(()),
            ready: Notify::new(),
            freed: Notify::new(),
        })
    }

    /// Gives `message` the next number and keeps it. Waits while the outbox is full, in the order of the calls.
    /// Dropped while it waits, it has pushed nothing.
    pub async fn push<M: Serialize>(&self, message: &M, lease: Option<LeaseToken>) -> Result<u64, OutboxError> {
        let text = write(message, lease)?;
        let _turn = self.turn.lock().await;
        loop {
            let freed = self.freed.notified();
            if let Some(n) = self.lock().keep_said(&text, self.bounds) {
                self.ready.notify_one();
                return Ok(n);
            }
            freed.await;
        }
    }

    /// Like [`push`](Self::push), but never waits: for the few messages that answer the queen, which must not wait
    /// behind output.
    pub fn push_now<M: Serialize>(&self, message: &M, lease: Option<LeaseToken>) -> Result<u64, OutboxError> {
        let text = write(message, lease)?;
        let n = self.lock().keep_now(&text, self.bounds);
        self.ready.notify_one();
        Ok(n)
    }

    /// Everything up to `n` is durable at the queen. An older `n` changes nothing.
    pub fn ack(&self, n: u64) -> Result<(), OutboxError> {
        {
            let mut state = self.lock();
            if n >= state.next {
                return Err(OutboxError::AckAhead {
                    acked: n,
                    sent: state.next - 1,
                });
            }
            state.forget(n, self.bounds).map_err(OutboxError::Lost)?;
        }
        self.freed.notify_waiters();
        self.ready.notify_one();
        Ok(())
    }

    /// The number of the first message that is not acknowledged: of the next message, if all are.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.lock().first
    }

    /// How many messages wait for their acknowledgement.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        let state = self.lock();
        state.next - state.first
    }

    /// How much it holds now.
    #[must_use]
    pub fn held(&self) -> Bounds {
        let state = self.lock();
        Bounds {
            memory: state.memory_bytes,
            disk: state.spill.bytes(),
        }
    }

    /// Returns when every message is acknowledged that is more than an answer to the queen.
    pub async fn flushed(&self) {
        loop {
            let freed = self.freed.notified();
            if self.is_flushed() {
                return;
            }
            freed.await;
        }
    }

    fn is_flushed(&self) -> bool {
        let state = self.lock();
        state.first > state.said
    }

    /// A reader from the first message that is not acknowledged. Only one at a time is woken.
    pub fn cursor(&self) -> Cursor<'_> {
        Cursor {
            outbox: self,
            next: self.first(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements that can panic: a poisoned lock says nothing about it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The message as JSON without its number, which is put in front of the last brace.
fn write<M: Serialize>(message: &M, lease: Option<LeaseToken>) -> Result<String, OutboxError> {
    Ok(serde_json::to_string(&Numbered {
        message,
        n: None,
        lease,
    })?)
}

impl State {
    /// Keeps a message, if there is room.
    fn keep(&mut self, text: &str, bounds: Bounds) -> Option<u64> {
        if !self.tail.is_empty() {
            return None;
        }
        let line = self.line(text);
        let size = line.len() as u64 + OVERHEAD;
        let fits = self.memory.is_empty() || self.memory_bytes + size <= bounds.memory;
        if self.spill.is_empty() && fits {
            self.memory.push_back(line);
            self.memory_bytes += size;
        } else if self.spill.bytes() + size > bounds.disk && !self.spill.is_empty() {
            return None;
        } else if let Err(error) = self.spill.append(&line) {
            // As good as a full disk.
            tracing::warn!(%error, "the outbox cannot spill to disk; commands wait until the queen has taken more");
            return None;
        }
        self.next += 1;
        Some(self.next - 1)
    }

    /// Keeps a message that matters also when the drone has left.
    fn keep_said(&mut self, text: &str, bounds: Bounds) -> Option<u64> {
        let n = self.keep(text, bounds)?;
        self.said = n;
        Some(n)
    }

    /// Keeps a message, room or not.
    fn keep_now(&mut self, text: &str, bounds: Bounds) -> u64 {
        let boundless = Bounds {
            disk: u64::MAX,
            ..bounds
        };
        self.keep(text, boundless).unwrap_or_else(|| {
            self.tail.push_back(self.line(text));
            self.next += 1;
            self.next - 1
        })
    }

    /// The message with the next number.
    fn line(&self, text: &str) -> Box<str> {
        let body = text.strip_suffix('}').unwrap_or(text);
        format!("{body},\"n\":{}}}", self.next).into()
    }

    /// Drops what is acknowledged, and brings back from disk what then fits.
    fn forget(&mut self, n: u64, bounds: Bounds) -> io::Result<()> {
        while self.first <= n {
            match self.memory.pop_front() {
                Some(line) => {
                    self.memory_bytes -= line.len() as u64 + OVERHEAD;
                    self.first += 1;
                }
                // What is on disk was never sent, so it cannot be acknowledged in good faith; it is skipped in order.
                None => self.refill()?,
            }
            if self.memory.is_empty() && self.spill.is_empty() && self.tail.is_empty() {
                self.first = self.next;
            }
        }
        while !self.spill.is_empty()
            && (self.memory.is_empty() || self.memory_bytes + self.spill.first_bytes() <= bounds.memory / 2)
        {
            self.refill()?;
        }
        if self.spill.is_empty() {
            self.refill()?;
        }
        Ok(())
    }

    fn refill(&mut self) -> io::Result<()> {
        let lines = match self.spill.is_empty() {
            true => self.tail.drain(..).collect(),
            false => self.spill.take_first()?,
        };
        for line in lines {
            self.memory_bytes += line.len() as u64 + OVERHEAD;
            self.memory.push_back(line);
        }
        Ok(())
    }
}

/// Reads the outbox for one connection.
#[derive(Debug)]
pub struct Cursor<'a> {
    outbox: &'a Outbox,
    next: u64,
}

impl Cursor<'_> {
    /// The number of the message that comes next.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.next
    }

    /// Waits for messages and returns them as one frame of at most [`BATCH_LIMIT`] bytes (a longer message stands
    /// alone). Dropped while it waits, it has taken nothing.
    pub async fn frame(&mut self) -> String {
        loop {
            let ready = self.outbox.ready.notified();
            if let Some(frame) = self.take() {
                return frame;
            }
            ready.await;
        }
    }

    fn take(&mut self) -> Option<String> {
        let state = self.outbox.lock();
        self.next = self.next.max(state.first);
        let skip = usize::try_from(self.next - state.first).unwrap_or(usize::MAX);
        let mut bytes = 2;
        let lines: Vec<&str> = state
            .memory
            .iter()
            .skip(skip)
            .map(AsRef::as_ref)
            .take_while(|line| {
                let first = bytes == 2;
                bytes += line.len() + 1;
                first || bytes <= BATCH_LIMIT
            })
            .collect();
        self.next += lines.len() as u64;
        join(lines, usize::MAX).pop()
    }
}
