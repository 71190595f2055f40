//! Why a payload has no answer.
//!
//! Owns the errors of the pool and their words. Must not know how they come about.

use crate::process::Exit;
use std::time::Duration;

/// Why a payload has no answer. Texts are masked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Neither context nor body.
    #[error("an empty payload cannot be run: give it a context or a body")]
    Empty,
    /// More bytes than a frame may have.
    #[error("a payload of {0} bytes is too long: {limit} are allowed", limit = super::goridge::LIMIT)]
    TooLong(usize),
    /// As many payloads wait as may.
    #[error("{0} payloads wait for a worker and no more may: add workers or raise queue_size")]
    Full(usize),
    /// The pool has been destroyed.
    #[error("the pool has been destroyed")]
    Destroyed,
    /// No worker was free, or would start.
    #[error("no worker could be had within {after:?}: {why}")]
    NoWorker {
        /// The `allocate_timeout`.
        after: Duration,
        /// What stood against it, with the last words of a worker that would not start.
        why: String,
    },
    /// The worker says that this payload cannot be done. It is kept, unless this was its last one.
    #[error("{message}")]
    Job {
        /// Its words.
        message: String,
        /// How it ended, if it has.
        exit: Option<Exit>,
    },
    /// The worker broke. Another one takes its place.
    #[error("the worker failed: {message}{}", said(stderr))]
    Worker {
        /// How.
        message: String,
        /// The end of its standard error.
        stderr: String,
        /// How it ended, if that is known.
        exit: Option<Exit>,
    },
    /// The payload took too long and its worker was killed. Another one takes its place.
    #[error("the payload took longer than {after:?} and its worker was killed{}", said(stderr))]
    TimedOut {
        /// The limit.
        after: Duration,
        /// The end of its standard error.
        stderr: String,
        /// How it ended, if that is known.
        exit: Option<Exit>,
    },
}

impl Error {
    /// How the worker's process ended, if it did.
    #[must_use]
    pub fn exit(&self) -> Option<Exit> {
        match self {
            Self::Job { exit, .. } | Self::Worker { exit, .. } | Self::TimedOut { exit, .. } => *exit,
            _ => None,
        }
    }
}

/// What a worker wrote on its standard error, as the end of a sentence.
pub(super) fn said(stderr: &str) -> String {
    match stderr.trim() {
        "" => String::new(),
        stderr => format!("; its stderr ends with:\n{stderr}"),
    }
}
