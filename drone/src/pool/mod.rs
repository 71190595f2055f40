//! The pool of workers: processes that are started once and given one payload after the other.
//!
//! Owns who runs a payload and when a worker is replaced. Knows `process` and nothing above; it could be a library of
//! its own. Read next: [`Factory`], `seat.rs`.

pub mod factory;
pub mod goridge;

mod error;
mod event;
mod options;

pub use error::Error;
pub use event::{Event, Kind, State, Worker};
pub use factory::{Factory, Ready, Relay, Starting};
pub use goridge::{Codec, Payload};
pub use options::{Listener, Options};
