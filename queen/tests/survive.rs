//! What real programs survive: killed, cut off, flooded, out of disk. `queen serve` and `drone start` as users start
//! them, on loopback.
//!
//! Every test waits for what happens, never for time. Read `survive/world.rs` for how the programs are held.

#![expect(clippy::unwrap_used, reason = "a test fails where its set-up fails")]

mod cli_support;
mod fleet;
mod grammar;
mod harness;
#[path = "postgres/mod.rs"]
#[expect(dead_code, reason = "the store's own tests use the rest")]
mod postgres;

#[path = "survive/crash.rs"]
mod crash;
#[path = "survive/cut.rs"]
mod cut;
#[path = "survive/disk.rs"]
mod disk;
#[path = "survive/drone_disk.rs"]
mod drone_disk;
#[path = "survive/drone_killed.rs"]
mod drone_killed;
#[path = "survive/flood.rs"]
mod flood;
#[path = "survive/follower.rs"]
mod follower;
#[path = "survive/leave.rs"]
mod leave;
#[path = "survive/proxy.rs"]
mod proxy;
#[path = "survive/queen_killed.rs"]
mod queen_killed;
#[path = "survive/restored.rs"]
mod restored;
#[path = "survive/store_lost.rs"]
mod store_lost;
#[path = "survive/world.rs"]
mod world;
