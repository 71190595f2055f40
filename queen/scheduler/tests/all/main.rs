//! The scheduler from outside: rules one by one, and random histories with a fake fleet.
//!
//! [`world`] is the fleet and the store; [`rules`] and [`histories`] drive it.

mod fake;
mod histories;
mod rules;
mod world;
