//! The drone: works on one machine; knows nothing of other drones, of HTTP APIs or of the database.
//!
//! `main → agent → {link, job} → {phase, workspace, source, plugin, runner} → {pool, process}`. See ARCHITECTURE.md.

pub mod clock;
pub mod process;
pub mod runner;
pub mod source;
pub mod workspace;
