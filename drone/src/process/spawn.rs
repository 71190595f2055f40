//! Starts a command's first process, and says in words why one cannot be started.
//!
//! Owns the look-up on PATH, the pipes and the marker in the environment. Must not know what happens afterwards.
//! The program is looked up here, in the command's own PATH, so that the standard library can use `posix_spawn`: no
//! copy of the drone's page tables for a process that starts with `exec`. Read next: `reap.rs`.

use super::{Command, SpawnError, kin, reap::Child};
use rustix::{fs::Access, io::Errno, pipe::PipeFlags};
use std::{
    fs, io,
    io::Read,
    os::{
        fd::OwnedFd,
        unix::{fs::PermissionsExt, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::Stdio,
};

/// PATH of a command whose environment has none.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The shell and its name.
const SHELL: (&str, &str) = ("/bin/sh", "sh");

/// A command that has been started.
pub(crate) struct Started {
    pub child: Child,
    /// The end that the drone writes to, if a pipe was asked for.
    pub stdin: Option<OwnedFd>,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
}

/// Starts `command`; its time limit and its grace are the caller's to keep. `stdin` is null or a pipe.
pub(crate) fn start(command: &Command, stdin: Stdio) -> Result<Started, SpawnError> {
    let program = find(command)?;
    let explain = |error| explain(command, &program, error);
    let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|error| explain(error.into()));
    let (stdout, stdout_end) = pipe()?;
    let (stderr, stderr_end) = pipe()?;
    let mut process = std::process::Command::new(&program);
    process
        .arg0(&command.program)
        .args(&command.args)
        .current_dir(&command.cwd)
        .env_clear()
        .envs(&command.env)
        .stdin(stdin)
        .stdout(stdout_end)
        .stderr(stderr_end)
        .process_group(0);
    let (id, stdin) = kin::start(&mut process).map_err(explain)?;
    let child = Child::new(id).map_err(explain)?;
    Ok(Started {
        child,
        stdin,
        stdout,
        stderr,
    })
}

/// True if `program` is an executable file on `path`.
#[must_use]
pub fn is_on_path(program: &str, path: &str) -> bool {
    std::env::split_paths(path).any(|folder| is_executable(&folder.join(program)))
}

/// True if `path` is a file that this process may execute.
#[must_use]
pub fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, Access::EXEC_OK).is_ok()
}

fn find(command: &Command) -> Result<PathBuf, SpawnError> {
    let name = &command.program;
    if name.contains('/') {
        return Ok(command.cwd.join(name));
    }
    // Most commands are for a shell, whose place is fixed: no walk through PATH for each of them, as in system(3).
    if name == SHELL.1 && is_executable(Path::new(SHELL.0)) {
        return Ok(SHELL.0.into());
    }
    let path = command.env.get("PATH").map_or(DEFAULT_PATH, String::as_str);
    let mut closed = None;
    for folder in std::env::split_paths(path) {
        let candidate = command.cwd.join(folder).join(name);
        if is_executable(&candidate) {
            return Ok(candidate);
        }
        if closed.is_none() && candidate.is_file() {
            closed = Some(candidate);
        }
    }
    Err(match closed {
        Some(file) => SpawnError::NotExecutable {
            program: file.display().to_string(),
            why: no_permission(&file),
        },
        None => SpawnError::NotOnPath {
            program: name.clone(),
            path: path.to_owned(),
        },
    })
}

fn no_permission(file: &Path) -> String {
    match fs::metadata(file) {
        Ok(meta) if meta.is_dir() => "it is a folder".into(),
        Ok(meta) if meta.permissions().mode() & 0o111 == 0 => {
            "it has no permission to execute: set it with chmod +x".into()
        }
        _ => "the drone's user has no permission, or its file system is mounted noexec".into(),
    }
}

/// What the first line of a script asks for, if `file` is one.
fn interpreter(file: &Path) -> Option<String> {
    let mut start = [0; 256];
    let length = fs::File::open(file).ok()?.read(&mut start).ok()?;
    let text = String::from_utf8_lossy(&start[..length]).into_owned();
    let line = text.strip_prefix("#!")?.lines().next()?.to_owned();
    Some(line.split_whitespace().next()?.to_owned())
}

fn explain(command: &Command, file: &Path, error: io::Error) -> SpawnError {
    let program = command.program.clone();
    let shown = file.display().to_string();
    let unusable = |why: String| SpawnError::NotExecutable {
        program: shown.clone(),
        why,
    };
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE) => SpawnError::Limit { program, source: error },
        Some(Errno::TOOBIG) => SpawnError::TooLong {
            program,
            bytes: command.args.iter().map(|arg| arg.len() + 1).sum::<usize>()
                + command
                    .env
                    .iter()
                    .map(|(name, value)| name.len() + value.len() + 2)
                    .sum::<usize>(),
        },
        Some(Errno::NOENT | Errno::ACCESS | Errno::NOTDIR | Errno::LOOP)
            if rustix::fs::access(&command.cwd, Access::EXEC_OK).is_err() || !command.cwd.is_dir() =>
        {
            SpawnError::Cwd {
                cwd: command.cwd.display().to_string(),
                source: error,
            }
        }
        Some(Errno::NOENT | Errno::NOTDIR) if file.exists() => unusable(match interpreter(file) {
            Some(name) => format!("the interpreter in its first line, {name}, does not exist"),
            None => "its loader or a library that it needs does not exist on this machine".into(),
        }),
        Some(Errno::NOENT | Errno::NOTDIR) => SpawnError::Missing { program: shown },
        Some(Errno::ACCESS | Errno::PERM) => unusable(match interpreter(file) {
            Some(name) if is_executable(file) => format!("the interpreter in its first line, {name}, may not be run"),
            _ => no_permission(file),
        }),
        Some(Errno::NOEXEC) => {
            unusable("it is no program of this machine, and no script with a #! line that names its interpreter".into())
        }
        _ => SpawnError::Other { program, source: error },
    }
}
