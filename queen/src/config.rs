//! The queen's settings, typed and checked once; whoever needs one is given it.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// Everything that can be set.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where everything durable is kept.
    pub data: PathBuf,
    /// Address under which people reach the queen, for links; absent: the address that it listens on.
    pub public_url: Option<String>,
    /// How long a drone may be away before its work goes elsewhere.
    pub grace: Duration,
    /// Demand a token on loopback too.
    pub require_token: bool,
}

impl Config {
    /// Settings for a queen on a free loopback port with its data in `data`.
    #[must_use]
    pub fn local(data: PathBuf) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data,
            public_url: None,
            grace: DEFAULT_GRACE,
            require_token: false,
        }
    }
}

/// How long a drone may be away, if nothing else is set.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(30);
/// Where a queen listens, if nothing else is set.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:7874";
