//! The scheduler from outside: rules one by one, and whole worlds made from a number.
//!
//! [`fake`] is a drone, [`ledger`] what the queen writes, [`checks`] what must hold. [`world`] puts them together for
//! [`rules`] and [`attempts`]; [`sim`] makes worlds in which everything goes wrong that may.

#![expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

mod attempts;
mod checks;
mod fake;
mod ledger;
mod losses;
mod parts;
mod rules;
mod sim;
mod world;
