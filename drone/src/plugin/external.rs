//! Plugins of one's own: a program `skep-plugin-NAME` that reads JSON and answers with JSON.
//!
//! It owns finding the program, asking it, and the lines by which a plugin's commands send `job:plugin` events. Read
//! next: docs/plugins.md for the author's side.

use super::{Contribution, Plugin, PluginError, Step, View};
use crate::process::{self, Command, Mask, Stream};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::{job::is_env_name, protocol::event::Phase};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::mpsc;

const PREFIX: &str = "skep-plugin-";
/// How long a plugin may think.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How much it may answer, in bytes.
const ANSWER_LIMIT: usize = 1024 * 1024;

/// The names of the plugins in a folder.
pub(super) fn find(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let file = entry.file_name();
            let name = file.to_str()?.strip_prefix(PREFIX)?;
            get(dir, name).map(|plugin| plugin.name)
        })
        .collect()
}

/// The plugin of that name in a folder.
pub(super) fn get(dir: &Path, name: &str) -> Option<External> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || !name.chars().all(plain) {
        return None;
    }
    let program = dir.join(format!("{PREFIX}{name}"));
    let meta = fs::metadata(&program).ok()?;
    (meta.is_file() && meta.permissions().mode() & 0o111 != 0).then(|| External {
        name: name.to_owned(),
        program,
    })
}

/// A program that contributes.
#[derive(Debug)]
pub(super) struct External {
    name: String,
    program: PathBuf,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct Answer {
    env: BTreeMap<String, String>,
    path: Vec<String>,
    environment: Vec<Step>,
    prepare: Vec<Step>,
    test: Vec<Step>,
    deploy: Vec<Step>,
    cleanup: Vec<Step>,
}

#[async_trait::async_trait]
impl Plugin for External {
    fn name(&self) -> &str {
        &self.name
    }

    async fn contribute(&self, config: &Value, view: &View<'_>) -> Result<Contribution, PluginError> {
        let fail = |message: String| PluginError::Program {
            plugin: self.name.clone(),
            program: self.program.clone(),
            message,
        };
        let text = self.ask(config, view).await.map_err(fail)?;
        read_answer(&text).map_err(fail)
    }
}

/// What a plugin's answer brings; the error says what is wrong with it.
#[doc(hidden)]
pub fn read_answer(text: &str) -> Result<Contribution, String> {
    let answer: Answer = shared::object::from_str(text)
        .map_err(|error| format!("answered with something else than the JSON of a plugin: {error}"))?;
    if let Some(name) = answer.env.keys().find(|name| !is_env_name(name)) {
        return Err(format!("sets {name:?}, which is no name of an environment variable"));
    }
    let commands = [
        (Phase::Environment, answer.environment),
        (Phase::Prepare, answer.prepare),
        (Phase::Test, answer.test),
        (Phase::Deploy, answer.deploy),
        (Phase::Cleanup, answer.cleanup),
    ];
    Ok(Contribution {
        env: answer.env,
        path: answer.path,
        files: Vec::new(),
        commands: commands.into_iter().filter(|(_, steps)| !steps.is_empty()).collect(),
    })
}

impl External {
    /// Runs the program with the question on its stdin and returns what it wrote to stdout.
    async fn ask(&self, config: &Value, view: &View<'_>) -> Result<String, String> {
        let question = json!({"config": config, "job": view.job, "workspace": view.workspace});
        let input = view.scratch.join(format!("{PREFIX}{}.json", self.name));
        tokio::fs::write(&input, question.to_string())
            .await
            .map_err(|error| format!("cannot be asked: {}: {error}", input.display()))?;
        // The shell only opens the file as stdin; the program then takes its place.
        let mut command = Command::shell("exec \"$1\" < \"$2\"", view.workspace, view.env.clone());
        command.args.extend([
            "sh".into(),
            self.program.display().to_string(),
            input.display().to_string(),
        ]);
        command.timeout = Some(TIMEOUT);
        command.grace = Duration::ZERO;
        let mask = Arc::new(Mask::default());
        let (sender, mut output) = mpsc::channel(16);
        let run = async move {
            let ended = process::run(command, &mask, &sender, view.cancel).await;
            drop(sender);
            ended
        };
        let collect = async {
            let mut text = String::new();
            while let Some(piece) = output.recv().await {
                if piece.stream == Stream::Stdout && text.len() <= ANSWER_LIMIT {
                    text.push_str(&piece.text);
                }
            }
            text
        };
        let (ended, text) = tokio::join!(run, collect);
        let ended = ended.map_err(|error| format!("cannot be run: {error}"))?;
        if ended.timed_out {
            return Err(format!("did not answer within {} s", TIMEOUT.as_secs()));
        }
        if ended.code != 0 {
            let said = ended.stderr_tail.trim();
            return Err(format!("ended with code {}: {said}", ended.code));
        }
        if text.len() > ANSWER_LIMIT {
            return Err(format!("answered with more than {ANSWER_LIMIT} bytes"));
        }
        Ok(text)
    }
}

/// Takes the lines `::skep-plugin NAME {json}` out of a command's standard output, also where pieces cut them.
#[derive(Debug)]
pub struct EventLines {
    marker: String,
    held: String,
    at_line_start: bool,
}

/// A longer line is plain output.
const LINE_LIMIT: usize = 64 * 1024;

impl EventLines {
    /// For a command of `plugin`.
    #[must_use]
    pub fn new(plugin: &str) -> Self {
        Self {
            marker: format!("::skep-plugin {plugin} "),
            held: String::new(),
            at_line_start: true,
        }
    }

    /// Takes a piece of output; answers with what is to be shown and the events in it.
    pub fn push(&mut self, text: &str) -> (String, Vec<Value>) {
        let text = std::mem::take(&mut self.held) + text;
        let (mut shown, mut events) = (String::new(), Vec::new());
        for line in text.split_inclusive('\n') {
            let whole = line.ends_with('\n');
            let start = std::mem::replace(&mut self.at_line_start, whole);
            if start && line.starts_with(&self.marker) && line.len() <= LINE_LIMIT {
                if !whole {
                    self.held = line.to_owned();
                    self.at_line_start = true;
                } else if let Ok(event) = serde_json::from_str(&line[self.marker.len()..]) {
                    events.push(event);
                } else {
                    shown.push_str(line);
                }
            } else if start && !whole && self.marker.starts_with(line) {
                self.held = line.to_owned();
                self.at_line_start = true;
            } else {
                shown.push_str(line);
            }
        }
        (shown, events)
    }

    /// What was held back when the output ended.
    #[must_use]
    pub fn finish(&mut self) -> (String, Vec<Value>) {
        let held = std::mem::take(&mut self.held);
        match held.strip_prefix(&self.marker).map(serde_json::from_str) {
            Some(Ok(event)) => (String::new(), vec![event]),
            _ => (held, Vec::new()),
        }
    }
}
