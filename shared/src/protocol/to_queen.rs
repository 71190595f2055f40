//! What a drone says to the queen. Each message but `drone:hello` and `drone:keep-alive` carries the drone's own number `n`.

use super::{JobEvent, Message, frame::FrameError, messages};
use crate::{DroneId, Incarnation, JobId, LeaseToken, Num};
use serde::{Deserialize, Serialize, Serializer};

/// First on every connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Who it is, over restarts.
    #[serde(rename = "id")]
    pub drone: DroneId,
    /// Which life of it.
    pub incarnation: Incarnation,
    /// What people call it.
    pub name: String,
    /// The program's version.
    #[serde(default)]
    pub version: String,
    /// The protocol versions that it speaks.
    pub protocols: Vec<u32>,
    /// The first `n` that was not acknowledged; the next message with a number has this one.
    #[serde(default = "one")]
    pub first: u64,
}

fn one() -> u64 {
    1
}

/// What the drone can do. A drone that has not said it gets no work.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Info {
    /// Higher is faster; 100 is the reference machine.
    pub speed: u32,
    /// How many processes run test files at once; 0 is draining.
    pub capacity: u32,
    /// Plugins that it has, built in or found.
    pub plugins: Vec<String>,
    /// Runners that it has.
    pub runners: Vec<String>,
    /// What a job can ask for.
    pub labels: Vec<String>,
    /// Operating system and processor, `linux-x86_64` for example.
    pub platform: String,
    /// The program's version.
    pub version: String,
}

/// What the drone still holds after a reconnect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// Its leases.
    pub jobs: Vec<ResumeJob>,
}

/// One lease that the drone still holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeJob {
    /// The job.
    pub id: JobId,
    /// The token.
    pub lease: LeaseToken,
    /// Files that it has taken and not reported as done.
    #[serde(default)]
    pub running: Vec<Num>,
}

messages! {
    /// What a drone says of itself.
    pub enum Agent {
        /// Who it is.
        Hello = "drone:hello" { hello: Hello },
        /// What it can do.
        Info = "drone:info" { info: Info },
        /// What it still holds.
        Resume = "drone:resume" { resume: Resume },
        /// It lives.
        KeepAlive = "drone:keep-alive" {},
    }
}

/// A message to the queen: of the drone itself, or of a job.
#[derive(Debug, Clone, PartialEq)]
pub enum ToQueen {
    /// Of the drone itself.
    Agent(Agent),
    /// Of a job.
    Job(JobEvent),
}

impl ToQueen {
    /// Reads a message; `None` for a type that no drone sends.
    pub fn read(message: &Message<'_>) -> Result<Option<Self>, FrameError> {
        if message.kind.starts_with("drone:") {
            return Ok(Agent::read(message)?.map(Self::Agent));
        }
        Ok(JobEvent::read(message)?.map(Self::Job))
    }
}

impl Serialize for ToQueen {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Agent(message) => message.serialize(out),
            Self::Job(message) => message.serialize(out),
        }
    }
}
