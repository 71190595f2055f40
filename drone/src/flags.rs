//! The command line: `drone start`, `drone info`, `drone completions`.
//!
//! It turns words into a [`Layer`] and knows nothing of what the drone does with it. Read next: [`config`](crate::config).

use crate::config::{Config, ConfigError, Layer, Size};
use clap::{Args, Parser, Subcommand};
use shared::Secret;
use std::path::{Path, PathBuf};

/// An agent of Skep on a build machine: fetches repositories and runs their test files for a queen.
#[derive(Debug, Parser)]
#[command(name = "drone", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Connect to a queen and work for it. SIGTERM or Ctrl-C: finish what runs, then leave; again: leave at once.
    Start(Flags),
    /// Print what this drone would report to a queen.
    Info {
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// The settings, as for `start`.
        #[command(flatten)]
        flags: Flags,
    },
    /// Print completions for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// Settings. The token is never a flag (others could read it): use DRONE_TOKEN or `token` in the file.
#[derive(Debug, Clone, Default, Args)]
pub struct Flags {
    /// TOML file with the same settings [default: ~/.config/skep/drone.toml, else /etc/skep/drone.toml]
    #[arg(long, env = "DRONE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The queen's address
    #[arg(long, env = "DRONE_QUEEN", value_name = "URL")]
    pub queen: Option<String>,
    /// How many processes run test files at once [default: one a processor]
    #[arg(long, env = "DRONE_CAPACITY", value_name = "N")]
    pub capacity: Option<u32>,
    /// How fast this machine is, 100 being the reference [default: measured]
    #[arg(long, env = "DRONE_SPEED", value_name = "N")]
    pub speed: Option<u32>,
    /// Something that jobs can ask for; may be given several times
    #[arg(long = "label", env = "DRONE_LABELS", value_name = "L", value_delimiter = ',')]
    pub labels: Option<Vec<String>>,
    /// What people call this drone [default: the machine's name]
    #[arg(long, env = "DRONE_NAME", value_name = "NAME")]
    pub name: Option<String>,
    /// Where to keep the drone's id, mirrors and workspaces [default: ~/.local/share/skep/drone]
    #[arg(long, env = "DRONE_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Seconds between TERM and KILL for what is stopped [default: 10]
    #[arg(long, env = "DRONE_GRACE", value_name = "SECONDS")]
    pub grace: Option<u64>,
    /// Seconds that one command of a cleanup may take [default: 300]
    #[arg(long, env = "DRONE_CLEANUP_TIMEOUT", value_name = "SECONDS")]
    pub cleanup_timeout: Option<u64>,
    /// Output that one job may send from this drone [default: 512M]
    #[arg(long, env = "DRONE_LOG_LIMIT", value_name = "SIZE")]
    pub log_limit: Option<Size>,
    /// Mirrors of repositories and folders of `[prepare] cache` that stay for later jobs; the least recently used go first [default: 20G]
    #[arg(long, env = "DRONE_CACHE_LIMIT", value_name = "SIZE")]
    pub cache_limit: Option<Size>,
    /// Messages that wait for the queen in memory [default: 32M]
    #[arg(long, env = "DRONE_OUTBOX_MEMORY", value_name = "SIZE")]
    pub outbox_memory: Option<Size>,
    /// Messages that wait for the queen on disk; beyond it commands wait [default: 1G]
    #[arg(long, env = "DRONE_OUTBOX_DISK", value_name = "SIZE")]
    pub outbox_disk: Option<Size>,
    /// Folder with `skep-plugin-NAME` programs; may be given several times
    #[arg(
        long = "plugin-dir",
        env = "DRONE_PLUGIN_DIRS",
        value_name = "DIR",
        value_delimiter = ':'
    )]
    pub plugin_dirs: Option<Vec<PathBuf>>,
}

impl Flags {
    /// These flags and `token` over the file.
    pub fn load(self, token: Option<Secret>, home: Option<&Path>) -> Result<Config, ConfigError> {
        Config::from_layer(self.layer(token, home)?)
    }

    /// These flags and `token` over the file, not yet checked.
    pub fn layer(self, token: Option<Secret>, home: Option<&Path>) -> Result<Layer, ConfigError> {
        let file = Layer::from_files(self.config.as_deref(), home)?;
        let flags = Layer {
            queen: self.queen,
            token,
            capacity: self.capacity,
            speed: self.speed,
            labels: self.labels,
            name: self.name,
            data: self.data,
            grace: self.grace,
            cleanup_timeout: self.cleanup_timeout,
            log_limit: self.log_limit,
            cache_limit: self.cache_limit,
            outbox_memory: self.outbox_memory,
            outbox_disk: self.outbox_disk,
            plugin_dirs: self.plugin_dirs,
        };
        Ok(flags.over(file))
    }
}
