//! Between the queen and a browser: requests up, recorded events and a few words of the queen's own down.

use super::messages;
use crate::{JobId, Num, Seq, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

/// What to hear of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Subscription {
    /// One job's events from a sequence number on (0 or 1: all of them).
    Job {
        /// The job.
        job: JobId,
        /// The first event wanted.
        #[serde(default)]
        from: u64,
        /// What is stored comes in outline: [`LineCounts`] in place of output, and of cases the bad ones alone.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        outline: bool,
    },
    /// Changes of a list.
    Topic {
        /// Which list.
        topic: Topic,
        /// For `project`: which one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        project: Option<String>,
    },
}

/// A list that can be listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Topic {
    /// All jobs: `jobs:changed`, `queue:changed`.
    Jobs,
    /// The fleet: `drone:joined`, `drone:left`, `drone:changed`.
    Drones,
    /// One project's jobs.
    Project,
}

messages! {
    /// A request of a browser or program.
    pub enum FromClient {
        /// Submit a job; answered by `job:info`, or `error`.
        QueueNew = "queue:new" { job: Value },
        /// Answered by `job:info` with all output so far.
        QueryInfo = "job:query-info" { job: JobId },
        /// Stop a job.
        Cancel = "job:cancel" { job: JobId },
        /// Hear of something.
        Subscribe = "subscribe" { what: Subscription },
        /// Hear no more of it.
        Unsubscribe = "unsubscribe" { what: Subscription },
    }
}

messages! {
    /// What the queen says beside recorded events.
    pub enum ToClient {
        /// Everything up to `seq` was sent; from here on it is live.
        Live = "live" { job: JobId, seq: Seq },
        /// The client was too slow; subscribe again from the event after `seq`.
        Lagged = "lagged" { job: JobId, seq: Seq },
        /// The answer to `job:query-info` and `queue:new`.
        Info = "job:info" { job: JobId, data: Value },
        /// A request could not be served; `about` is its type.
        Error = "error" { message: String, about: Option<String> },
        /// A drone came.
        DroneJoined = "drone:joined" { drone: Value },
        /// A drone left; the reason follows.
        DroneLeft = "drone:left" { drone: Value, reason: Option<String> },
        /// A drone's slots, load or settings changed.
        DroneChanged = "drone:changed" { drone: Value },
        /// A job's row changed.
        JobsChanged = "jobs:changed" { job: Value },
        /// What waits, and why, changed.
        QueueChanged = "queue:changed" { queue: Value },
    }
}

/// A recorded event as it goes to browsers and into the store: `{"seq", "at", "type", "args"}`.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Recorded<'a> {
    /// Its number in the job.
    pub seq: Seq,
    /// When the queen received it.
    pub at: Timestamp,
    /// The type word.
    #[serde(rename = "type", borrow)]
    pub kind: std::borrow::Cow<'a, str>,
    /// The args as they came.
    #[serde(borrow)]
    pub args: Vec<&'a RawValue>,
}

/// How many lines a command has, and the number of the line that is open on stdout and on stderr, 0 for none: `[num,
/// lines, out, err]`. Lines count from 1 in the order in which they begin, on whichever stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub struct LineCount(pub Num, pub u64, pub u64, pub u64);

/// In outline, what stands in place of output: `{"seq", "at", "type": "job:lines", "args": [job, [count, …]]}` with each
/// command that wrote since the last one. `seq` is the last event that it covers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct LineCounts {
    /// The last event of output.
    pub seq: Seq,
    /// When the queen received that.
    pub at: Timestamp,
    /// `job:lines`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The job and the counts.
    pub args: (JobId, Vec<LineCount>),
}

impl LineCounts {
    /// Puts one together.
    #[must_use]
    pub fn new(seq: Seq, at: Timestamp, job: JobId, counts: Vec<LineCount>) -> Self {
        Self {
            seq,
            at,
            kind: "job:lines".into(),
            args: (job, counts),
        }
    }
}
