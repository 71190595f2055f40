//! What people and the engine may ask of the state: answers as data, ready to be shown.
//!
//! Owns the shapes only. The answers are put together in `estimate.rs` and `fleet.rs`.

use serde::Serialize;
use shared::{Attempt, DroneId, JobId, Num, Timestamp, protocol::to_queen::Info};

/// Why a job waits and when it is expected to end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explain {
    /// What it waits for, in words that follow "waits"; absent if it does not wait.
    pub waits: Option<String>,
    /// When it is expected to end; absent if nothing is known yet.
    pub expected_end: Option<Timestamp>,
    /// Milliseconds that the rest takes at least, with the drones that it has.
    pub lower_bound_ms: Option<u64>,
    /// Files that drones have now, in the order of their commands.
    pub running: Vec<RunningFile>,
    /// Drones that hold a lease of it.
    pub drones: Vec<DroneId>,
}

/// A file that a drone has now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunningFile {
    /// Its command.
    pub num: Num,
    /// Path.
    pub path: String,
    /// Who has it.
    pub drone: DroneId,
    /// Which try.
    pub attempt: Attempt,
    /// When it began; absent while it waits on the drone for a slot.
    pub since: Option<Timestamp>,
}

/// How a drone stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DroneStatus {
    /// Which.
    pub drone: DroneId,
    /// What people call it.
    pub name: String,
    /// It has a connection.
    pub connected: bool,
    /// What it last said that it can do.
    pub info: Info,
    /// It takes nothing new: an operator or the drone itself wants so.
    pub draining: bool,
    /// Slots in use.
    pub active: u32,
    /// Jobs of its backlog.
    pub queued: u32,
    /// Real speed over reported speed, as learned from durations; 1 until something is known.
    pub learned: f64,
    /// Reported speed times `learned`; 100 is the reference machine.
    pub speed: f64,
    /// Jobs that it holds leases of.
    pub jobs: Vec<JobId>,
    /// Files in its slots, those first that it began first; never more than it has slots.
    pub running: Vec<SlotFile>,
}

/// A file in a slot of a drone.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SlotFile {
    /// Its job.
    pub job: JobId,
    /// Its command.
    pub num: Num,
    /// Path.
    pub path: String,
    /// Which try.
    pub attempt: Attempt,
    /// When it began; absent while the drone has not said so, and after a restart of the queen.
    pub since: Option<Timestamp>,
}

/// Jobs that are not over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct JobCount {
    /// Those that no drone has begun.
    pub queued: u64,
    /// Those that one has.
    pub running: u64,
}

/// A job that waits for its first or next drone.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Waiting {
    /// Which.
    pub job: JobId,
    /// Why, in words that follow "waits".
    pub waits: String,
    /// Since when.
    pub since: Timestamp,
    /// The drone in whose backlog it is.
    pub backlog: Option<DroneId>,
}
