//! Decides which drone runs what and when. Pure: no IO, no clock, no randomness, no iteration in hash order.
//!
//! [`step`](State::step) takes the time and one [`Input`], changes the [`State`] and answers [`Action`]s in order. The
//! engine makes them durable and only then carries them out. The same inputs give the same actions.

pub mod action;
mod away;
mod back;
mod estimate;
mod fairness;
mod faults;
mod files;
mod fleet;
pub mod input;
mod job;
mod jobs;
mod lease;
mod placement;
mod retry;
mod split;
mod state;
mod step;
mod view;

pub use action::{Action, FilePart, FileRow, FileState, JobRow, LeaseRow, LeaseState, Record, Whole};
#[doc(hidden)]
pub use faults::Faults;
pub use input::{DroneInput, Expect, Input, JobInput, ListedFile, NewJob};
pub use state::{GRACE_MS, State};
pub use view::{DroneStatus, Explain, JobCount, RunningFile, SlotFile, Waiting};
