//! Commands: one process group each, its output as it comes, and the certainty that nothing of it is left.
//!
//! Owns starting ([`spawn`]), reading ([`output`]), masking ([`mask`]), stopping and reaping ([`group`], [`reap`]).
//! Must not know jobs, phases, runners or the queen. Read next: [`run`], then `spawn.rs`.

pub mod mask;

pub use mask::Mask;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Which of a command's two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A piece of a command's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Where it was written.
    pub stream: Stream,
    /// Masked and valid UTF-8 (other bytes are shown as `\xNN`), at most
    /// [`TEXT_LIMIT`](shared::protocol::frame::TEXT_LIMIT) bytes, never empty.
    pub text: String,
}

/// What to run.
#[derive(Clone)]
pub struct Command {
    /// A name to look up on `PATH` of [`Self::env`], or a path; a relative path starts at [`Self::cwd`].
    pub program: String,
    /// Arguments after the program's name.
    pub args: Vec<String>,
    /// Where it runs.
    pub cwd: PathBuf,
    /// The whole environment: nothing is inherited.
    pub env: BTreeMap<String, String>,
    /// Stop it after this time.
    pub timeout: Option<Duration>,
    /// Time between TERM and KILL.
    pub grace: Duration,
}

/// The usual time between TERM and KILL.
pub const GRACE: Duration = Duration::from_secs(5);

impl Command {
    /// A program with arguments.
    #[must_use]
    pub fn new(program: impl Into<String>, cwd: impl Into<PathBuf>, env: BTreeMap<String, String>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            cwd: cwd.into(),
            env,
            timeout: None,
            grace: GRACE,
        }
    }

    /// `sh -c script`.
    #[must_use]
    pub fn shell(script: &str, cwd: impl Into<PathBuf>, env: BTreeMap<String, String>) -> Self {
        let mut command = Self::new("sh", cwd, env);
        command.args = vec!["-c".into(), script.into()];
        command
    }

    /// The command as a person would type it: a shell's script alone, else words, quoted where needed. Not masked.
    #[must_use]
    pub fn display(&self) -> String {
        if let ("sh", [flag, script]) = (self.program.as_str(), self.args.as_slice())
            && flag == "-c"
        {
            return script.clone();
        }
        let words: Vec<_> = std::iter::once(&self.program)
            .chain(&self.args)
            .map(|word| quote(word))
            .collect();
        words.join(" ")
    }
}

/// `word` as a POSIX shell reads it back.
#[must_use]
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The exit code; 128+n for a process ended by signal n.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// It was stopped at its time limit.
    pub timed_out: bool,
    /// It was stopped because the caller cancelled.
    pub cancelled: bool,
    /// From start to exit.
    pub wall: Duration,
    /// User and system time, children that it waited for included.
    pub cpu: Duration,
    /// Peak resident memory in bytes, of the largest process that it waited for.
    pub peak_memory: u64,
    /// The last bytes of its standard error, masked; at most 8 KiB.
    pub stderr_tail: String,
}

/// Why a command could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// No such program.
    #[error("{program} is not on PATH ({path}): install it on this drone, or add its folder to PATH")]
    NotOnPath {
        /// The name that was looked up.
        program: String,
        /// The PATH of the command.
        path: String,
    },
    /// A path at which there is no file.
    #[error("{program} does not exist")]
    Missing {
        /// The path.
        program: String,
    },
    /// The file is there but may not be run.
    #[error("{program} may not be run: {why}")]
    NotExecutable {
        /// The path.
        program: String,
        /// What stands against it, and what to do.
        why: String,
    },
    /// The folder to run in cannot be entered.
    #[error("the folder {cwd} cannot be entered: {source}")]
    Cwd {
        /// The folder.
        cwd: String,
        /// The system's word.
        source: std::io::Error,
    },
    /// Arguments and environment are more than the system takes.
    #[error("{program}: arguments and environment together are too long for this system ({bytes} bytes)")]
    TooLong {
        /// The program.
        program: String,
        /// Their length.
        bytes: usize,
    },
    /// The machine has no process, memory or file descriptor left for it.
    #[error(
        "{program} could not be started: {source}; the drone is at a limit of processes, memory or open files: raise it or lower the capacity"
    )]
    Limit {
        /// The program.
        program: String,
        /// The system's word.
        source: std::io::Error,
    },
    /// Anything else.
    #[error("{program} could not be started: {source}")]
    Other {
        /// The program.
        program: String,
        /// The system's word.
        source: std::io::Error,
    },
}

/// Runs `command` to its end and sends its output as it comes; a full `output` stops the reading of its pipes.
///
/// When this returns, no process of the command is left: not in its group, not outside of it. Dropping the future
/// kills the group. A closed `output` discards what is still written.
pub async fn run(
    command: Command,
    mask: &Arc<Mask>,
    output: &mpsc::Sender<Output>,
    cancel: &CancellationToken,
) -> Result<Ended, SpawnError> {
    let _ = (mask, output, cancel);
    Err(SpawnError::Missing {
        program: command.program,
    })
}
