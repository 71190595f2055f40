//! What both sides of Skep say to each other, and what they mean by it.
//!
//! This crate owns ids, job data, triggers, states, results, settings and the messages of the three
//! sockets. It does no IO, reads no clock and starts no task. Read next: [`job`], then [`protocol`].

pub mod ids;
pub mod job;
pub mod nearest;
pub mod object;
pub mod outcome;
pub mod protocol;
pub mod secret;
pub mod settings;
pub mod trigger;

pub use ids::{Attempt, DroneId, Incarnation, JobId, LeaseToken, Num, Project, Seq, Timestamp};
pub use job::{JobData, JobState, JobType};
pub use secret::Secret;
