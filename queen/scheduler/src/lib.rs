//! Decides which drone runs what and when. Pure: no IO, no clock, no randomness, no iteration in hash order.
//!
//! [`step`](State::step) takes the time and one [`Input`], changes the [`State`] and answers [`Action`]s in order. The
//! engine makes them durable and only then carries them out. The same inputs give the same actions.

pub mod action;
pub mod input;
mod state;
mod view;

pub use action::{Action, FileRow, FileState, JobRow, LeaseRow, LeaseState, Record};
pub use input::{DroneInput, Expect, Input, JobInput, ListedFile, NewJob};
pub use state::State;
pub use view::{DroneStatus, Explain, RunningFile, Waiting};
