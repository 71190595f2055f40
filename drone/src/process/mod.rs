//! Commands: one process group each, its output as it comes, and the certainty that nothing of it is left.
//!
//! Owns starting (`spawn.rs`), reading (`output.rs`), masking ([`mask`]), reaping (`reap.rs`), and the search for what
//! is left (`kin.rs`, `linger.rs`). Must not know jobs, phases, runners, the pool or the queen. Read next: [`run`], for a
//! command from start to end; the pool, whose processes outlive a single task, is built of the same pieces.

pub mod mask;

mod kin;
mod linger;
mod output;
mod reap;
mod spawn;
#[cfg(test)]
mod tests;

pub(crate) use kin::parent;
pub use kin::{MARKER, kill_orphans, new_marker};
pub use mask::Mask;
pub(crate) use reap::abandoned;
pub use reap::{Child, Exit};
pub use spawn::{is_executable, is_on_path};

pub(crate) use linger::SHORT_GRACE;
pub(crate) use output::{Pipe, Reader};
pub(crate) use spawn::{Started, start};

use crate::clock;
use rustix::process::Signal;
use std::{collections::BTreeMap, io, os::fd::OwnedFd, path::PathBuf, process::Stdio, sync::Arc, time::Duration};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::mpsc,
};
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

impl Ended {
    /// Cancelled before it began.
    pub(crate) fn unstarted() -> Self {
        let signal = Signal::TERM.as_raw();
        Self {
            code: 128 + signal,
            signal: Some(signal),
            timed_out: false,
            cancelled: true,
            wall: Duration::ZERO,
            cpu: Duration::ZERO,
            peak_memory: 0,
            stderr_tail: String::new(),
        }
    }
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
        source: io::Error,
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
        source: io::Error,
    },
    /// Anything else.
    #[error("{program} could not be started: {source}")]
    Other {
        /// The program.
        program: String,
        /// The system's word.
        source: io::Error,
    },
}

/// Runs `command` to its end and sends its output as it comes; a full `output` stops the reading of its pipes.
///
/// When this returns, no process of the command is left: not in its group, not outside of it. Dropping the future
/// kills them too. A closed `output` discards what is still written. A command that is cancelled before it has begun
/// is not started and counts as ended by TERM.
pub async fn run(
    command: Command,
    mask: &Arc<Mask>,
    output: &mpsc::Sender<Output>,
    cancel: &CancellationToken,
) -> Result<Ended, SpawnError> {
    if cancel.is_cancelled() {
        return Ok(Ended::unstarted());
    }
    let start = clock::instant();
    let mut started = spawn::start(&command, Stdio::null())?;
    let pipes = [Pipe::new(started.stdout), Pipe::new(started.stderr)];
    let reader = |stream, pipe: &Pipe| {
        Reader::new(stream, pipe, mask.stream()).map_err(|source| SpawnError::Limit {
            program: command.program.clone(),
            source,
        })
    };
    let stdout = reader(Stream::Stdout, &pipes[0])?;
    let stderr = reader(Stream::Stderr, &pipes[1])?;
    let last_call = CancellationToken::new();
    let ending = async {
        let (exit, stopped) = until_exit(&mut started.child, &command, cancel).await;
        let wall = clock::instant() - start;
        let short = command.grace.min(SHORT_GRACE);
        let grace = if stopped.is_some() { command.grace } else { short };
        end_kin(&started.child, &pipes, grace).await;
        last_call.cancel();
        (exit, stopped, wall)
    };
    let (_, stderr_tail, (exit, stopped, wall)) =
        tokio::join!(stdout.read(output, &last_call), stderr.read(output, &last_call), ending);
    Ok(Ended {
        code: exit.code,
        signal: exit.signal,
        timed_out: stopped == Some(Stop::TimedOut),
        cancelled: stopped == Some(Stop::Cancelled),
        wall,
        cpu: exit.cpu,
        peak_memory: exit.peak_memory,
        stderr_tail,
    })
}

/// Ends whatever is left of a command whose first process has ended: TERM, and KILL after `grace`.
pub(crate) async fn end_kin(child: &Child, pipes: &[Pipe], grace: Duration) {
    let is_held = || pipes.iter().any(Pipe::is_held);
    let is_held = is_held() && {
        kin::wait_for_starts();
        is_held()
    };
    if is_held || kin::may_linger(child.id()) {
        linger::stop(child.id(), pipes.iter().map(Pipe::inode).collect(), grace).await;
    }
}

/// Watches a descriptor for being readable.
fn watch(fd: Arc<OwnedFd>) -> io::Result<AsyncFd<Arc<OwnedFd>>> {
    // SAFETY: the `Arc` is kept by what is returned, so the descriptor stays open, and stays the same, as long as it is
    // registered.
    Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
}

/// Why a command is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    TimedOut,
    Cancelled,
}

/// Waits for the first process; at the time limit or when cancelled, its group gets TERM, and KILL after the grace.
async fn until_exit(child: &mut Child, command: &Command, cancel: &CancellationToken) -> (Exit, Option<Stop>) {
    let limit = async {
        match command.timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    let stop = tokio::select! {
        biased;
        exit = child.wait() => return (exit, None),
        () = cancel.cancelled() => Stop::Cancelled,
        () = limit => Stop::TimedOut,
    };
    child.signal(Signal::TERM);
    let exit = match tokio::time::timeout(command.grace, child.wait()).await {
        Ok(exit) => exit,
        Err(_) => {
            child.signal(Signal::KILL);
            child.wait().await
        }
    };
    (exit, Some(stop))
}
