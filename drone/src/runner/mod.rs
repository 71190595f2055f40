//! Runners.

use crate::process::{Command, Ended, Mask, Output, SpawnError};
use shared::{
    outcome::{CaseResult, FileResult},
    settings::Settings,
};
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Why no list of test files could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunnerError {
    /// Settings name a runner that does not exist. Kind `runner` of `job:errored`.
    #[error("unknown runner {name:?}{hint}; known are {known}")]
    Unknown {
        /// The name.
        name: String,
        /// "; did you mean …?" or nothing.
        hint: String,
        /// All names.
        known: String,
    },
    /// Settings that do not fit together. Kind `settings`.
    #[error("{0}")]
    Settings(String),
    /// Nothing to run. Kind `no-tests`.
    #[error("{0}")]
    NoTests(String),
    /// The folder cannot be read. Kind `internal`.
    #[error("{path} cannot be read: {why}")]
    Unreadable {
        /// The folder or file.
        path: String,
        /// The system's word.
        why: String,
    },
}

impl RunnerError {
    /// The word for `job:errored`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "runner",
            Self::Settings(_) => "settings",
            Self::NoTests(_) => "no-tests",
            Self::Unreadable { .. } => "internal",
        }
    }
}

/// What is to be run, and by what.
#[derive(Debug, Clone)]
pub struct Listing {
    /// Runs each of the files.
    pub runner: Runner,
    /// Paths from the root of the tests, sorted, each once.
    pub files: Vec<String>,
}

/// Knows how a framework runs one file and how its results are read.
#[derive(Debug, Clone)]
pub struct Runner {}

/// The run of one file.
pub struct FileRun<'a> {
    /// The folder that all paths start from: the workspace, or `root` of the settings inside it.
    pub root: &'a Path,
    /// Path from [`Self::root`], as listed.
    pub file: &'a str,
    /// The whole environment of the command.
    pub env: &'a BTreeMap<String, String>,
    /// The file's time limit.
    pub timeout: Option<Duration>,
    /// Hides secrets in the output and in the cases.
    pub mask: &'a Arc<Mask>,
    /// Takes the output.
    pub output: &'a mpsc::Sender<Output>,
    /// Stops the run.
    pub cancel: &'a CancellationToken,
    /// An existing folder for the report, outside of the source.
    pub scratch: &'a Path,
}

/// What came of a file.
#[derive(Debug)]
pub struct FileReport {
    /// For `job:file:done`.
    pub result: FileResult,
    /// All cases, for `job:cases`; masked.
    pub cases: Vec<CaseResult>,
    /// How the process ended.
    pub ended: Ended,
    /// What a person should know and changes nothing: a report that could not be read, for example.
    pub warnings: Vec<String>,
}

/// Chooses the runner and lists the test files below `root` (the workspace, or `root` of the settings inside it).
/// `only`: nothing but these. Blocking; runs no program.
pub fn list(root: &Path, settings: &Settings, only: Option<&[String]>) -> Result<Listing, RunnerError> {
    let _ = (root, settings, only);
    Err(RunnerError::NoTests("nothing is listed yet".into()))
}

/// The runners that this machine can use, for `drone:info`: those whose program is on the drone's PATH, and `command`.
#[must_use]
pub fn names() -> Vec<String> {
    vec!["command".into()]
}

impl Runner {
    /// Its name: `pytest`, `cargo`, `command`…
    #[must_use]
    pub fn name(&self) -> &str {
        "command"
    }

    /// What runs `file`, with the arguments that make it write its results to `report`.
    #[must_use]
    pub fn command(&self, root: &Path, env: &BTreeMap<String, String>, file: &str, report: &Path) -> Command {
        let _ = (file, report);
        Command::new("true", root, env.clone())
    }

    /// The command line for people, without the arguments that are only there for the report. Not masked.
    #[must_use]
    pub fn display(&self, root: &Path, env: &BTreeMap<String, String>, file: &str) -> String {
        self.command(root, env, file, Path::new("report")).display()
    }

    /// Runs one file and reads its results.
    pub async fn run_file(&self, run: FileRun<'_>) -> Result<FileReport, SpawnError> {
        let command = self.command(run.root, run.env, run.file, &run.scratch.join("report"));
        Err(SpawnError::Missing {
            program: command.program,
        })
    }
}
