//! The queen: takes jobs, balances them over drones, hands files to slots, keeps and shows everything that happens.
//!
//! `main → cli → app → {api, hub, provider} → engine → {scheduler, store, bus}`. See ARCHITECTURE.md for the map.

pub mod api;
pub mod app;
pub mod backup;
pub mod bus;
pub mod clock;
pub mod config;
pub mod engine;
pub mod git_http;
pub mod housekeeping;
pub mod hub;
pub mod repositories;
pub mod snapshot;
pub mod store;
