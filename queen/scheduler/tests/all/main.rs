//! The scheduler from outside: rules one by one, and random histories with a fake fleet.
//!
//! [`world`] is the fleet and the store; [`rules`] and [`histories`] drive it.

#![expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

mod attempts;
mod checks;
mod fake;
mod histories;
mod rules;
mod world;
