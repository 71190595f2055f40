//! Connections of drones: one session each, from the upgrade to the last word.
//!
//! The hub turns frames into what the engine takes and the engine's words into frames. It decides nothing.

pub mod session;

pub use session::upgrade;
