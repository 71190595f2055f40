//! The plugins that every drone has: git, hg, rsync, env, shell and files.
//!
//! Each only reads its part of the job's config. The three sources are names that a job may list: fetching happens
//! by `repo.vcs`, with or without them. Read next: [`super`] for what a contribution is.

use super::{Contribution, Plugin, PluginError, Step, View};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use shared::{job::is_env_name, protocol::event::Phase};
use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

/// What is built in.
pub(super) const NAMES: &[&str] = &["env", "files", "git", "hg", "rsync", "shell"];

/// The built-in plugin of that name.
pub(super) fn get(name: &str) -> Option<Box<dyn Plugin>> {
    NAMES
        .iter()
        .find(|known| **known == name)
        .map(|name| Box::new(Builtin(name)) as Box<dyn Plugin>)
}

struct Builtin(&'static str);

#[async_trait::async_trait]
impl Plugin for Builtin {
    fn name(&self) -> &str {
        self.0
    }

    async fn contribute(&self, config: &Value, _view: &View<'_>) -> Result<Contribution, PluginError> {
        let contribution = match self.0 {
            "env" => env(config),
            "shell" => shell(config),
            "files" => files(config),
            _ => Ok(Contribution::default()),
        };
        contribution.map_err(|message| PluginError::Config {
            plugin: self.0.to_owned(),
            message,
        })
    }
}

fn read<T: DeserializeOwned + Default>(config: &Value) -> Result<T, String> {
    if config.is_null() {
        return Ok(T::default());
    }
    T::deserialize(config).map_err(|error| error.to_string())
}

/// `{"NAME": "value"}`
fn env(config: &Value) -> Result<Contribution, String> {
    let mut env = BTreeMap::new();
    for (name, value) in read::<BTreeMap<String, Value>>(config)? {
        if !is_env_name(&name) {
            return Err(format!(
                "{name:?} is no name of an environment variable: use letters, digits and '_'"
            ));
        }
        let text = match value {
            Value::String(text) => text,
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            _ => return Err(format!("{name} must be a text, a number or true or false")),
        };
        env.insert(name, text);
    }
    Ok(Contribution {
        env,
        ..Contribution::default()
    })
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Shell {
    environment: Steps,
    prepare: Steps,
    test: Steps,
    deploy: Steps,
    cleanup: Steps,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a command or a list of commands")]
enum Steps {
    One(Step),
    Many(Vec<Step>),
}

impl Default for Steps {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

/// `{"prepare": ["make"], "deploy": [{"command": "ship", "args": ["--now"], "screen": "ship"}]}`
fn shell(config: &Value) -> Result<Contribution, String> {
    let shell: Shell = read(config)?;
    let commands = [
        (Phase::Environment, shell.environment),
        (Phase::Prepare, shell.prepare),
        (Phase::Test, shell.test),
        (Phase::Deploy, shell.deploy),
        (Phase::Cleanup, shell.cleanup),
    ]
    .map(|(phase, steps)| match steps {
        Steps::One(step) => (phase, vec![step]),
        Steps::Many(steps) => (phase, steps),
    });
    Ok(Contribution {
        commands: commands.into_iter().filter(|(_, steps)| !steps.is_empty()).collect(),
        ..Contribution::default()
    })
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Files {
    write: BTreeMap<PathBuf, String>,
}

/// `{"write": {"config/database.yml": "…"}}`
fn files(config: &Value) -> Result<Contribution, String> {
    let files: Files = read(config)?;
    for path in files.write.keys() {
        if !is_inside(path) {
            return Err(format!(
                "{} does not stay inside the workspace: use a path without '..' that does not begin with '/'",
                path.display()
            ));
        }
    }
    Ok(Contribution {
        files: files.write.into_iter().collect(),
        ..Contribution::default()
    })
}

fn is_inside(path: &Path) -> bool {
    let mut parts = path.components();
    !path.as_os_str().is_empty() && parts.all(|part| matches!(part, Component::Normal(_)))
}
