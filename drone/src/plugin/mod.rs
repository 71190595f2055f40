//! Plugins: named contributors of environment, PATH and commands to a job's phases.
//!
//! A plugin only declares; the job runs what it declared, masks it and logs it. It knows nothing of the queen, slots or
//! other plugins. Read next: `builtin`, then `external` for programs of one's own.

mod builtin;
mod external;

pub use external::EventLines;
#[doc(hidden)]
pub use external::read_answer;

use serde::Deserialize;
use serde_json::Value;
use shared::{JobData, nearest::nearest, protocol::event::Phase};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};
use tokio_util::sync::CancellationToken;

/// One command that a plugin wants run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "AnyStep")]
pub struct Step {
    /// A shell script, or with [`Self::args`] a program.
    pub command: String,
    /// The program's arguments; `None`: `command` is a script.
    pub args: Option<Vec<String>>,
    /// What to show in the command's place.
    pub screen: Option<String>,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a text or {\"command\": …, \"args\": […], \"screen\": …}"
)]
enum AnyStep {
    Script(String),
    #[serde(rename_all = "lowercase")]
    Whole {
        command: String,
        #[serde(default)]
        args: Option<Vec<String>>,
        #[serde(default)]
        screen: Option<String>,
    },
}

impl From<AnyStep> for Step {
    fn from(step: AnyStep) -> Self {
        match step {
            AnyStep::Script(command) => Self::script(command),
            AnyStep::Whole { command, args, screen } => Self { command, args, screen },
        }
    }
}

impl Step {
    /// A shell script.
    pub fn script(command: impl Into<String>) -> Self {
        Self {
            command: command.into(),
            args: None,
            screen: None,
        }
    }
}

/// What a plugin brings to a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contribution {
    /// Variables for every command; the settings' own win.
    pub env: BTreeMap<String, String>,
    /// Folders in front of PATH.
    pub path: Vec<String>,
    /// Files to write once the source is there: path inside the workspace, and text.
    pub files: Vec<(PathBuf, String)>,
    /// Commands by phase, in order.
    pub commands: BTreeMap<Phase, Vec<Step>>,
}

/// What a plugin may know of the job.
#[derive(Debug)]
pub struct View<'a> {
    /// The job; its secrets do not serialize.
    pub job: &'a JobData,
    /// Where the source is or will be.
    pub workspace: &'a Path,
    /// For files that are not part of the source; removed with the workspace.
    pub scratch: &'a Path,
    /// The job's environment so far.
    pub env: &'a BTreeMap<String, String>,
    /// The job is stopped.
    pub cancel: &'a CancellationToken,
}

/// Why a plugin could not contribute.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// No plugin has this name.
    #[error(
        "this drone has no plugin {name:?}{hint}; it has {known}. Put a program skep-plugin-{name} on its plugin path"
    )]
    Unknown {
        /// The name.
        name: String,
        /// "; did you mean …?", or nothing.
        hint: String,
        /// All that there are.
        known: String,
    },
    /// Its part of the job's config is wrong.
    #[error("plugin {plugin}: {message}")]
    Config {
        /// Whose.
        plugin: String,
        /// What to do.
        message: String,
    },
    /// Its program failed.
    #[error("plugin {plugin}: its program {program} {message}")]
    Program {
        /// Whose.
        plugin: String,
        /// Which file.
        program: PathBuf,
        /// What happened.
        message: String,
    },
}

/// A contributor. `contribute` runs once a lease, before anything of the job runs; it changes nothing by itself.
#[async_trait::async_trait]
pub trait Plugin: Send + Sync {
    /// The name that jobs use.
    fn name(&self) -> &str;

    /// What it brings to this job. `config` is its part of the job's config, `null` if there is none.
    async fn contribute(&self, config: &Value, view: &View<'_>) -> Result<Contribution, PluginError>;
}

/// All plugins of this drone.
#[derive(Debug, Clone)]
pub struct Plugins {
    dirs: Vec<PathBuf>,
}

impl Plugins {
    /// The built-in ones and whatever `skep-plugin-NAME` programs lie in `dirs`, then on `path` (as in PATH).
    #[must_use]
    pub fn new(dirs: &[PathBuf], path: &str) -> Self {
        let path = std::env::split_paths(path).filter(|dir| dir.is_absolute());
        Self {
            dirs: dirs.iter().cloned().chain(path).collect(),
        }
    }

    /// Every name, sorted. Looks at the folders: call it from a blocking task.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names: BTreeSet<String> = builtin::NAMES.iter().map(|name| (*name).to_owned()).collect();
        names.extend(self.dirs.iter().flat_map(|dir| external::find(dir)));
        names.into_iter().collect()
    }

    /// The plugin of that name.
    pub fn get(&self, name: &str) -> Result<Box<dyn Plugin>, PluginError> {
        if let Some(plugin) = builtin::get(name) {
            return Ok(plugin);
        }
        if let Some(plugin) = self.dirs.iter().find_map(|dir| external::get(dir, name)) {
            return Ok(Box::new(plugin));
        }
        let names = self.names();
        let hint = nearest(name, names.iter().map(String::as_str))
            .map(|near| format!("; did you mean {near:?}?"))
            .unwrap_or_default();
        Err(PluginError::Unknown {
            name: name.to_owned(),
            hint,
            known: names.join(", "),
        })
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
