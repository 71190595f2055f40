//! `skep.toml` and the layers around it: the queen's project settings < `skep.toml` < the job's `config`.
//!
//! Each layer is checked on its own, so that an error names where the key stands, and the nearest known one. Then
//! the layers are merged key by key (lists replace lists) and read into [`Settings`].

use crate::nearest::nearest;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The file's name, in the root of a repository.
pub const FILE_NAME: &str = "skep.toml";

/// What is wrong with settings, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {message}")]
pub struct BadSettings {
    /// `skep.toml`, `the job's config`, `the project's settings`.
    pub origin: String,
    /// The key and what to do.
    pub message: String,
}

/// Everything that a repository, project or job can set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Folder of a monorepo that everything is relative to.
    pub root: Option<String>,
    /// Environment of every command.
    #[serde(deserialize_with = "env_values")]
    pub env: BTreeMap<String, String>,
    /// What makes the source ready.
    pub prepare: Prepare,
    /// What is run, and how.
    pub test: Test,
    /// The process pool.
    pub pool: Pool,
    /// Commands at set moments.
    pub hooks: Hooks,
    /// What a deploy does.
    pub deploy: Deploy,
    /// What is done at the end, whatever happened.
    pub cleanup: Cleanup,
}

/// `[prepare]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Prepare {
    /// Shell commands, in order; the first that fails fails the job.
    #[serde(deserialize_with = "one_or_many")]
    pub run: Vec<String>,
    /// Folders that are kept for the project's next job on the same drone.
    #[serde(deserialize_with = "one_or_many")]
    pub cache: Vec<String>,
}

/// `[test]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Test {
    /// Globs of test files; empty: the runner's own.
    #[serde(deserialize_with = "one_or_many")]
    pub files: Vec<String>,
    /// Globs of files to leave out.
    #[serde(deserialize_with = "one_or_many")]
    pub exclude: Vec<String>,
    /// The runner's name; absent: detected.
    pub runner: Option<String>,
    /// Shell command that runs one file; `{file}` is its path, `{report}` a path for JUnit XML.
    pub command: Option<String>,
    /// Seconds that one file may take.
    pub timeout: Option<u64>,
    /// How often a failed file is tried again.
    pub retries: Option<u32>,
    /// How many drones may share a job.
    pub spread: Option<u32>,
    /// Stop handing out files after the first that is bad.
    pub fail_fast: Option<bool>,
    /// Which files go first.
    pub order: Option<Order>,
    /// How files are kept apart; absent: [`Isolation::Auto`].
    pub isolation: Option<Isolation>,
    /// A file that is far longer than the rest may be run in parts, where its runner can tell that they do not depend on each
    /// other. Absent: where a part that fails is run once more with its whole file, which is where
    /// children are forked.
    pub split: Option<bool>,
    /// More arguments for the runner.
    #[serde(deserialize_with = "one_or_many")]
    pub args: Vec<String>,
}

/// Which files go first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Failed before, then longest expected first.
    #[default]
    Smart,
    /// As listed.
    Listed,
}

/// How files are kept apart by a warm runner.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// As [`Self::Fork`], but a few short files in a row share a child where that makes no difference that can be seen.
    #[default]
    Auto,
    /// A child forked from a warm template for each file.
    Fork,
    /// A process for each file.
    Process,
    /// One process for all files of a slot.
    None,
}

/// `[pool]`: seconds and bytes; absent: the default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pool {
    /// Processes at once; absent: the drone's capacity.
    pub workers: Option<u32>,
    /// Payloads after which a worker is replaced; 0: never.
    pub max_executions: Option<u32>,
    /// Seconds to wait for a free worker.
    pub allocate_timeout: Option<u64>,
    /// Seconds between TERM and KILL.
    pub destroy_timeout: Option<u64>,
    /// Seconds that one payload may take; then the worker is killed.
    pub exec_timeout: Option<u64>,
    /// Seconds that a worker lives.
    pub ttl: Option<u64>,
    /// Seconds that a used worker may idle.
    pub idle_ttl: Option<u64>,
    /// Bytes of memory after which a worker is replaced.
    pub max_memory: Option<u64>,
    /// Payloads that may wait; more are refused.
    pub queue_size: Option<u32>,
}

/// `[hooks]`: shell commands at set moments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hooks {
    /// On the client, before the job is submitted.
    #[serde(deserialize_with = "one_or_many")]
    pub before_originate: Vec<String>,
    /// On each drone, when the source is there.
    #[serde(deserialize_with = "one_or_many")]
    pub after_sync: Vec<String>,
    /// On each drone, before its first worker starts.
    #[serde(deserialize_with = "one_or_many")]
    pub before_creating_workers: Vec<String>,
    /// In each worker's slot, before its first file.
    #[serde(deserialize_with = "one_or_many")]
    pub before_start: Vec<String>,
    /// In each worker's slot, after its last file.
    #[serde(deserialize_with = "one_or_many")]
    pub after_complete: Vec<String>,
    /// On each drone, when all workers have ended.
    #[serde(deserialize_with = "one_or_many")]
    pub after_creating_workers: Vec<String>,
    /// On the client, when the job has ended.
    #[serde(deserialize_with = "one_or_many")]
    pub after_job_finishes: Vec<String>,
}

/// `[deploy]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Deploy {
    /// Shell commands, in order; the first that fails fails the deploy.
    #[serde(deserialize_with = "one_or_many")]
    pub run: Vec<String>,
    /// Branch glob on which a deploy is allowed; absent: every branch.
    pub when: Option<String>,
}

/// `[cleanup]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cleanup {
    /// Shell commands, in order; a failing one is a warning.
    #[serde(deserialize_with = "one_or_many")]
    pub run: Vec<String>,
}

/// The sections and their keys. A test holds this table against [`Settings`].
const KEYS: &[(&str, &[&str])] = &[
    ("root", &[]),
    ("env", &[]),
    ("prepare", &["run", "cache"]),
    (
        "test",
        &[
            "files",
            "exclude",
            "runner",
            "command",
            "timeout",
            "retries",
            "spread",
            "fail_fast",
            "order",
            "isolation",
            "split",
            "args",
        ],
    ),
    (
        "pool",
        &[
            "workers",
            "max_executions",
            "allocate_timeout",
            "destroy_timeout",
            "exec_timeout",
            "ttl",
            "idle_ttl",
            "max_memory",
            "queue_size",
        ],
    ),
    (
        "hooks",
        &[
            "before_originate",
            "after_sync",
            "before_creating_workers",
            "before_start",
            "after_complete",
            "after_creating_workers",
            "after_job_finishes",
        ],
    ),
    ("deploy", &["run", "when"]),
    ("cleanup", &["run"]),
];

/// True for a top-level key of `skep.toml`; other keys of a job's `config` belong to plugins.
#[must_use]
pub fn is_section(key: &str) -> bool {
    KEYS.iter().any(|(section, _)| *section == key)
}

/// One layer of settings, checked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Layer(Map<String, Value>);

impl Layer {
    /// Reads `skep.toml`.
    pub fn from_toml(text: &str) -> Result<Self, BadSettings> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| BadSettings {
            origin: FILE_NAME.into(),
            message: error.to_string().trim().replace('\n', " "),
        })?;
        let value = serde_json::to_value(table).map_err(|error| BadSettings {
            origin: FILE_NAME.into(),
            message: error.to_string(),
        })?;
        Self::checked(FILE_NAME, value.as_object().cloned().unwrap_or_default())
    }

    /// Takes the sections of a job's `config`; what belongs to plugins is left to them.
    pub fn from_config(config: &Map<String, Value>) -> Result<Self, BadSettings> {
        let sections = config.iter().filter(|(key, _)| is_section(key));
        Self::checked(
            "the job's config",
            sections.map(|(k, v)| (k.clone(), v.clone())).collect(),
        )
    }

    /// Takes a project's settings as the queen keeps them.
    pub fn from_project(settings: &Map<String, Value>) -> Result<Self, BadSettings> {
        Self::checked("the project's settings", settings.clone())
    }

    fn checked(origin: &str, map: Map<String, Value>) -> Result<Self, BadSettings> {
        let bad = |message| {
            Err(BadSettings {
                origin: origin.into(),
                message,
            })
        };
        for (section, value) in &map {
            let Some((_, keys)) = KEYS.iter().find(|(name, _)| name == section) else {
                let all = KEYS.iter().flat_map(|(name, keys)| keys.iter().chain([name]).copied());
                return bad(format!("unknown key {section:?}{}", hint(section, all)));
            };
            if keys.is_empty() {
                continue;
            }
            let Some(table) = value.as_object() else {
                return bad(format!("[{section}] must be a section with keys, not a single value"));
            };
            if let Some(key) = table.keys().find(|key| !keys.contains(&key.as_str())) {
                return bad(format!(
                    "unknown key {key:?} in [{section}]{}",
                    hint(key, keys.iter().copied())
                ));
            }
        }
        // Read alone, so that a value of a wrong type is reported with this layer's origin.
        read(origin, &map)?;
        Ok(Self(map))
    }
}

fn hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known)
        .map(|near| format!("; did you mean {near:?}?"))
        .unwrap_or_default()
}

fn read(origin: &str, map: &Map<String, Value>) -> Result<Settings, BadSettings> {
    let bad = |message| BadSettings {
        origin: origin.into(),
        message,
    };
    for (section, value) in map {
        let alone = Map::from_iter([(section.clone(), value.clone())]);
        serde_json::from_value::<Settings>(Value::Object(alone))
            .map_err(|error| bad(format!("[{section}] {error}")))?;
    }
    let mut settings: Settings =
        serde_json::from_value(Value::Object(map.clone())).map_err(|error| bad(error.to_string()))?;
    if let Some(root) = &settings.root
        && (root.starts_with('/') || root.split('/').any(|part| part == ".."))
    {
        return Err(bad(format!("root {root:?} must be a folder inside the repository")));
    }
    folders(&mut settings.prepare.cache).map_err(bad)?;
    for pattern in settings.test.files.iter().chain(&settings.test.exclude) {
        globset::Glob::new(pattern).map_err(|error| bad(format!("[test] bad glob {pattern:?}: {}", error.kind())))?;
    }
    if settings.test.timeout == Some(0) {
        return Err(bad("[test] timeout is 0 seconds: leave it out for no limit".into()));
    }
    if settings.test.spread == Some(0) {
        return Err(bad("[test] spread is 0: at least one drone must run the job".into()));
    }
    Ok(settings)
}

impl Test {
    /// True if a file may be run in parts.
    #[must_use]
    pub fn splits(&self) -> bool {
        let isolation = self.isolation.unwrap_or_default();
        let has_second_look = matches!(isolation, Isolation::Auto | Isolation::Fork);
        self.split.unwrap_or(has_second_look)
    }
}

impl Settings {
    /// Merges layers, the later over the earlier.
    pub fn merge(layers: &[Layer]) -> Result<Self, BadSettings> {
        let mut merged = Map::new();
        for layer in layers {
            overlay(&mut merged, &layer.0);
        }
        read("the settings together", &merged)
    }
}

/// Names folders inside of the work tree, none within another, in one way.
fn folders(names: &mut Vec<String>) -> Result<(), String> {
    let bad = |name: &str, why: &str| {
        Err(format!(
            "[prepare] cache {name:?} {why}: name a folder inside the repository, such as \"node_modules\""
        ))
    };
    for name in &mut *names {
        let parts = || name.split('/').filter(|part| !matches!(*part, "" | "."));
        match parts().next() {
            Some("~" | "$HOME" | "${HOME}") => return bad(name, "is in the home folder, which all jobs share"),
            _ if name.starts_with('/') => return bad(name, "is an absolute path"),
            None => return bad(name, "is the repository itself"),
            Some(".git" | ".hg") => return bad(name, "is where the source is kept"),
            _ if parts().any(|part| part == "..") => return bad(name, "leads out of the repository"),
            _ => *name = parts().collect::<Vec<_>>().join("/"),
        }
    }
    names.sort();
    names.dedup();
    let within = |name: &&String| names.iter().any(|other| name.starts_with(&format!("{other}/")));
    if let Some(name) = names.iter().find(within) {
        return bad(name, "is within another folder that is kept");
    }
    Ok(())
}

fn overlay(base: &mut Map<String, Value>, over: &Map<String, Value>) {
    for (key, value) in over {
        match (base.get_mut(key), value) {
            (Some(Value::Object(below)), Value::Object(above)) => overlay(below, above),
            _ => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}

fn one_or_many<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a text or a list of texts")]
    enum Either {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Either::deserialize(input)? {
        Either::One(one) => vec![one],
        Either::Many(many) => many,
    })
}

fn env_values<'de, D: Deserializer<'de>>(input: D) -> Result<BTreeMap<String, String>, D::Error> {
    use serde::de::Error;
    BTreeMap::<String, Value>::deserialize(input)?
        .into_iter()
        .map(|(name, value)| {
            if !crate::job::is_env_name(&name) {
                return Err(D::Error::custom(format!(
                    "{name:?} is no name of an environment variable: use letters, digits and '_'"
                )));
            }
            match value {
                Value::String(text) => Ok((name, text)),
                Value::Number(_) | Value::Bool(_) => Ok((name, value.to_string())),
                _ => Err(D::Error::custom(format!(
                    "{name} must be a text, a number or true or false"
                ))),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests;
