//! What an operator sets: flags over `DRONE_…` variables over a TOML file over defaults, checked once.
//!
//! It reads the file and the environment that it is given, and nothing after that: a [`Config`] is valid, and all that
//! the rest of the drone sees. Read next: [`flags`](crate::flags) for the command line, then `agent`.

use crate::link::Bounds;
use serde::Deserialize;
use shared::{Secret, nearest::nearest};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// Everything that a drone needs to know to run.
#[derive(Debug, Clone)]
pub struct Config {
    /// The queen's address, `http(s)://host[:port][/path]`, without a slash at its end.
    pub queen: String,
    /// Proves to the queen that this drone may join. A queen on loopback may need none.
    pub token: Option<Secret>,
    /// How many processes run test files at once; at least 1.
    pub capacity: u32,
    /// Higher is faster, 100 is the reference machine; `None`: measured at the start.
    pub speed: Option<u32>,
    /// What a job can ask for.
    pub labels: Vec<String>,
    /// What people call this drone.
    pub name: String,
    /// Where the drone keeps its id, mirrors, workspaces and what does not fit into memory.
    pub data: PathBuf,
    /// Time between TERM and KILL for whatever is stopped.
    pub grace: Duration,
    /// How long one command of the cleanup phase may take.
    pub cleanup_timeout: Duration,
    /// Bytes of output that one job may send from this drone.
    pub log_limit: u64,
    /// Bytes of mirrors and kept folders that stay for later jobs; mirrors in use count, and are never removed.
    pub cache_limit: u64,
    /// How many bytes of messages wait for the queen, in memory and on disk.
    pub outbox: Bounds,
    /// Folders with `skep-plugin-NAME` programs, before those of PATH.
    pub plugin_dirs: Vec<PathBuf>,
}

/// What is wrong with the configuration, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value cannot be used.
    #[error("{origin}: {message}")]
    Bad {
        /// Which flag, variable or file.
        origin: String,
        /// What to do.
        message: String,
    },
    /// The file that was named cannot be read.
    #[error("{path} cannot be read: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
}

/// One source of settings: every key may be absent. The same keys stand in the TOML file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Layer {
    /// See [`Config::queen`].
    pub queen: Option<String>,
    /// See [`Config::token`].
    pub token: Option<Secret>,
    /// See [`Config::capacity`]; absent: one slot a processor.
    pub capacity: Option<u32>,
    /// See [`Config::speed`].
    pub speed: Option<u32>,
    /// See [`Config::labels`].
    pub labels: Option<Vec<String>>,
    /// See [`Config::name`]; absent: the machine's name.
    pub name: Option<String>,
    /// See [`Config::data`]; absent: `$XDG_DATA_HOME/skep/drone` or `~/.local/share/skep/drone`.
    pub data: Option<PathBuf>,
    /// See [`Config::grace`], in seconds.
    pub grace: Option<u64>,
    /// See [`Config::cleanup_timeout`], in seconds.
    pub cleanup_timeout: Option<u64>,
    /// See [`Config::log_limit`]: `512M`, or bytes.
    pub log_limit: Option<Size>,
    /// See [`Config::cache_limit`]: `20G`, or bytes.
    pub cache_limit: Option<Size>,
    /// See [`Bounds::memory`].
    pub outbox_memory: Option<Size>,
    /// See [`Bounds::disk`].
    pub outbox_disk: Option<Size>,
    /// See [`Config::plugin_dirs`].
    pub plugin_dirs: Option<Vec<PathBuf>>,
}

const KEYS: &[&str] = &[
    "queen",
    "token",
    "capacity",
    "speed",
    "labels",
    "name",
    "data",
    "grace",
    "cleanup_timeout",
    "log_limit",
    "cache_limit",
    "outbox_memory",
    "outbox_disk",
    "plugin_dirs",
];

/// A number of bytes, written as `1048576`, `1024K`, `1M` or `1GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl std::str::FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let unit = text[digits.len()..].trim().to_ascii_lowercase();
        let shift = match unit.trim_end_matches("ib").trim_end_matches('b') {
            "" => 0,
            "k" => 10,
            "m" => 20,
            "g" => 30,
            _ => return Err(format!("{text:?} is no size: write bytes, or 64K, 512M, 2G")),
        };
        let number: u64 = digits
            .trim()
            .parse()
            .map_err(|_| format!("{text:?} is no size: write bytes, or 64K, 512M, 2G"))?;
        number
            .checked_mul(1 << shift)
            .map(Self)
            .ok_or_else(|| format!("{text:?} is more than any disk holds"))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a number of bytes or a text like \"512M\"")]
        enum Either {
            Bytes(u64),
            Text(String),
        }
        match Either::deserialize(input)? {
            Either::Bytes(bytes) => Ok(Self(bytes)),
            Either::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

impl Layer {
    /// Reads the TOML file; an unknown key is an error that names the nearest known one.
    pub fn from_toml(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let bad = |message: String| ConfigError::Bad {
            origin: path.display().to_string(),
            message,
        };
        let table: toml::Table = text
            .parse()
            .map_err(|error: toml::de::Error| bad(error.message().to_owned()))?;
        if let Some(key) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
            let hint = nearest(key, KEYS.iter().copied())
                .map(|near| format!("; did you mean {near:?}?"))
                .unwrap_or_default();
            return Err(bad(format!("unknown key {key:?}{hint}")));
        }
        // The whole error shows the line that it is about, which may be the token's.
        table
            .try_into()
            .map_err(|error: toml::de::Error| bad(error.message().to_owned()))
    }

    /// Reads the file that was named, or else the first of the usual ones that is there.
    pub fn from_files(named: Option<&Path>, home: Option<&Path>) -> Result<Self, ConfigError> {
        let usual = || {
            let own = home.map(|home| home.join(".config/skep/drone.toml"));
            own.into_iter()
                .chain([PathBuf::from("/etc/skep/drone.toml")])
                .find(|path| path.is_file())
        };
        let Some(path) = named.map(Path::to_owned).or_else(usual) else {
            return Ok(Self::default());
        };
        let text = std::fs::read_to_string(&path).map_err(|error| ConfigError::File {
            path: path.clone(),
            error,
        })?;
        Self::from_toml(&path, &text)
    }

    /// These settings, and `below` where they say nothing.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        Self {
            queen: self.queen.or(below.queen),
            token: self.token.or(below.token),
            capacity: self.capacity.or(below.capacity),
            speed: self.speed.or(below.speed),
            labels: self.labels.or(below.labels),
            name: self.name.or(below.name),
            data: self.data.or(below.data),
            grace: self.grace.or(below.grace),
            cleanup_timeout: self.cleanup_timeout.or(below.cleanup_timeout),
            log_limit: self.log_limit.or(below.log_limit),
            cache_limit: self.cache_limit.or(below.cache_limit),
            outbox_memory: self.outbox_memory.or(below.outbox_memory),
            outbox_disk: self.outbox_disk.or(below.outbox_disk),
            plugin_dirs: self.plugin_dirs.or(below.plugin_dirs),
        }
    }
}

impl Config {
    /// A drone of `queen` with its data in `data`, everything else as usual: for a drone inside another program.
    pub fn new(queen: &str, data: impl Into<PathBuf>) -> Result<Self, ConfigError> {
        Self::from_layer(Layer {
            queen: Some(queen.to_owned()),
            data: Some(data.into()),
            ..Layer::default()
        })
    }

    /// Checks a layer and puts the defaults in.
    pub fn from_layer(layer: Layer) -> Result<Self, ConfigError> {
        let bad = |origin: &str, message: String| {
            Err(ConfigError::Bad {
                origin: origin.to_owned(),
                message,
            })
        };
        let Some(queen) = layer.queen else {
            return bad(
                "queen",
                "no address is given: use --queen URL, DRONE_QUEEN or `queen = …` in drone.toml".into(),
            );
        };
        let queen = match check_address(&queen) {
            Ok(address) => address,
            Err(message) => return bad("queen", message),
        };
        let capacity = layer.capacity.unwrap_or_else(processors);
        if !(1..=4096).contains(&capacity) {
            return bad(
                "capacity",
                format!("{capacity} slots: use 1 to 4096; to stop taking work, drain the drone"),
            );
        }
        if layer.speed == Some(0) {
            return bad(
                "speed",
                "0 is no speed: 100 is the reference machine; leave it out to have it measured".into(),
            );
        }
        let labels = layer.labels.unwrap_or_default();
        if let Some(label) = labels.iter().find(|label| {
            label.trim().is_empty() || label.len() > 100 || label.chars().any(|c| c.is_control() || c == ',')
        }) {
            return bad(
                "labels",
                format!("{label:?} is no label: use up to 100 characters without commas"),
            );
        }
        let name = layer.name.unwrap_or_else(machine_name);
        if name.trim().is_empty() || name.len() > 100 || name.chars().any(char::is_control) {
            return bad("name", format!("{name:?} is no name: use 1 to 100 characters"));
        }
        let Some(data) = layer.data.or_else(default_data) else {
            return bad("data", "neither HOME nor --data says where to keep data".into());
        };
        let data = match std::path::absolute(&data) {
            Ok(data) => data,
            Err(error) => return bad("data", format!("{}: {error}", data.display())),
        };
        let default = Bounds::default();
        Ok(Self {
            queen,
            token: layer.token.filter(|token| !token.is_empty()),
            capacity,
            speed: layer.speed,
            labels,
            name,
            data,
            grace: Duration::from_secs(layer.grace.unwrap_or(10)),
            cleanup_timeout: Duration::from_secs(layer.cleanup_timeout.unwrap_or(300).max(1)),
            log_limit: layer.log_limit.map_or(512 << 20, |size| size.0),
            cache_limit: layer.cache_limit.map_or(20 << 30, |size| size.0),
            outbox: Bounds {
                memory: layer.outbox_memory.map_or(default.memory, |size| size.0),
                disk: layer.outbox_disk.map_or(default.disk, |size| size.0),
            },
            plugin_dirs: layer.plugin_dirs.unwrap_or_default(),
        })
    }

    /// The address of the drone socket.
    #[must_use]
    pub fn socket(&self) -> String {
        // "http" becomes "ws", "https" becomes "wss".
        let rest = self.queen.strip_prefix("http").unwrap_or(&self.queen);
        format!("ws{rest}/api/v1/drone")
    }
}

fn check_address(text: &str) -> Result<String, String> {
    let (scheme, rest) = text.trim().split_once("://").unwrap_or(("http", text.trim()));
    let scheme = match scheme {
        "http" | "ws" => "http",
        "https" | "wss" => "https",
        other => return Err(format!("{other:?} is no way to reach a queen: use http:// or https://")),
    };
    let rest = rest.trim_end_matches('/');
    if rest.contains('@') {
        return Err("the address holds a password: put the token into DRONE_TOKEN instead".into());
    }
    let host = rest.split('/').next().unwrap_or_default();
    if host.is_empty() || rest.contains(char::is_whitespace) || rest.contains(['?', '#']) {
        return Err(format!("{text:?} is no address: use http://host:port"));
    }
    Ok(format!("{scheme}://{rest}"))
}

fn processors() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1))
}

fn machine_name() -> String {
    let uname = rustix::system::uname();
    match uname.nodename().to_str() {
        Ok(name) if !name.is_empty() => name.chars().take(100).collect(),
        _ => "drone".into(),
    }
}

fn default_data() -> Option<PathBuf> {
    let xdg = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
    let base = xdg.filter(|dir| dir.is_absolute()).or_else(|| {
        let home = std::env::var_os("HOME").map(PathBuf::from)?;
        Some(home.join(".local/share"))
    })?;
    Some(base.join("skep/drone"))
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
