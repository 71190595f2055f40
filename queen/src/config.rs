//! The queen's settings, typed and checked once; whoever needs one is given it.

use crate::store::Address;
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// Everything that can be set.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where everything durable is kept.
    pub data: PathBuf,
    /// A PostgreSQL database for what else would be in a file of `data`; the key and repositories stay there.
    pub database: Option<Address>,
    /// Address under which people reach the queen, for links; absent: the address that it listens on.
    pub public_url: Option<String>,
    /// How long a drone may be away before its work goes elsewhere.
    pub grace: Duration,
    /// Demand a token on loopback too.
    pub require_token: bool,
    /// How long things are kept that are over.
    pub keep: Retention,
    /// Count what happens from the start; else from the first time that somebody asks. To begin may take 200 ms.
    pub metrics: bool,
}

/// How long, and how much of, what is over is kept. Absent limits are none. Nothing of an unfinished job ever goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Finished jobs, from their end.
    pub jobs: Option<Duration>,
    /// Logs of finished jobs: their output and cases. Absent: as long as the jobs.
    pub logs: Option<Duration>,
    /// Bytes of finished jobs in the database; beyond them the oldest logs go, then the oldest jobs.
    pub bytes: Option<u64>,
    /// Work trees that `queen run` handed over, from the end of their job.
    pub snapshots: Option<Duration>,
    /// Bytes of all repositories of the queen; beyond them the oldest work trees go.
    pub snapshot_bytes: Option<u64>,
    /// What was learned of a test file, from its last run.
    pub learned: Option<Duration>,
}

impl Default for Retention {
    fn default() -> Self {
        let days = |count: u64| Some(Duration::from_secs(count * DAY));
        Self {
            jobs: days(DEFAULT_KEEP_DAYS),
            logs: None,
            bytes: None,
            snapshots: days(DEFAULT_KEEP_SNAPSHOTS_DAYS),
            snapshot_bytes: Some(DEFAULT_KEEP_SNAPSHOTS_GB * 1_000_000_000),
            learned: days(DEFAULT_KEEP_LEARNED_DAYS),
        }
    }
}

impl Config {
    /// Settings for a queen on a free loopback port with its data in `data`, which starts at once.
    #[must_use]
    pub fn local(data: PathBuf) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data,
            database: None,
            public_url: None,
            grace: DEFAULT_GRACE,
            require_token: false,
            keep: Retention::default(),
            metrics: false,
        }
    }
}

/// How long a drone may be away, if nothing else is set.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(30);
/// Where a queen listens, if nothing else is set.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:7874";
/// Seconds of a day.
pub const DAY: u64 = 86_400;
/// Days that finished jobs are kept, if nothing else is set.
pub const DEFAULT_KEEP_DAYS: u64 = 90;
/// Days that handed-over work trees are kept after their job, if nothing else is set.
pub const DEFAULT_KEEP_SNAPSHOTS_DAYS: u64 = 14;
/// Gigabytes that all repositories of the queen may take, if nothing else is set.
pub const DEFAULT_KEEP_SNAPSHOTS_GB: u64 = 20;
/// Days that what was learned of a test file is kept after its last run, if nothing else is set.
pub const DEFAULT_KEEP_LEARNED_DAYS: u64 = 365;
