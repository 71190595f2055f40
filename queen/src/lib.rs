//! The queen: takes jobs, balances them over drones, hands files to slots, keeps and shows everything that happens.
//!
//! `main → cli → app → {api, hub, provider} → engine → {scheduler, store, bus}`. See ARCHITECTURE.md for the map.

pub mod git_http;
pub mod snapshot;
pub mod store;
