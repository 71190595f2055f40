//! The pool from outside: real workers, over each relay.
//!
//! What is looked at is who answers (the pid), what is answered and in which order; never how long it took.

#![expect(clippy::unwrap_used, reason = "a test fails where its set-up fails")]

mod faults;
mod kit;
mod limits;
mod payloads;
mod swaps;
