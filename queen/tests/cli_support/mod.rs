//! A suite in a folder of its own, and the built program run on it with a home, data and temporary folder of its own.

#![allow(dead_code, clippy::allow_attributes, reason = "each test program uses its part")]

use serde_json::Value;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStderr, ChildStdout, Command},
    time::timeout,
};

/// More than anything here may take, even on a busy machine.
pub const LONG: Duration = Duration::from_secs(90);

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// Standard output as one JSON document.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Standard output as JSON objects, one a line.
    pub fn lines(&self) -> Vec<Value> {
        let lines = self.stdout.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect()
    }

    /// Fails, with everything that was said, unless the program ended with `code`.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

/// A folder with a suite, and one around it for everything that the program keeps.
pub struct Suite {
    pub dir: PathBuf,
    home: TempDir,
}

impl Suite {
    pub fn new() -> Self {
        let home = TempDir::new().unwrap();
        let dir = home.path().join("suite");
        for part in ["suite", "tmp", "data"] {
            fs::create_dir(home.path().join(part)).unwrap();
        }
        Self { dir, home }
    }

    /// Adds a file.
    pub fn file(self, path: &str, text: &str) -> Self {
        let path = self.dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// Adds an executable test file, a shell script.
    pub fn test(self, path: &str, script: &str) -> Self {
        let full = self.dir.join(path);
        let suite = self.file(path, &format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(full, fs::Permissions::from_mode(0o755)).unwrap();
        suite
    }

    /// A place beside the suite.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The program with these arguments, in the suite's folder, with nothing of the caller's environment but PATH.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.program(Path::new(env!("CARGO_BIN_EXE_queen")));
        command.args(args);
        command
    }

    /// Any program in the same way.
    pub fn program(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(&self.dir)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("TMPDIR", self.beside("tmp"))
            .env("XDG_DATA_HOME", self.beside("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs the program to its end.
    pub async fn queen(&self, args: &[&str]) -> Ended {
        ended(self.command(args)).await
    }

    /// What a run must not leave: temporary folders, its scratch folder, workspaces.
    pub fn leftovers(&self) -> Vec<PathBuf> {
        let mut found = list(&self.beside("tmp"));
        for run in list(&self.beside("data").join("skep/run")) {
            found.extend(list(&run).into_iter().filter(|path| name(path).starts_with("run-")));
            let workspaces = list(&run.join("drone/workspaces"));
            found.extend(workspaces.into_iter().filter(|path| name(path) != ".gate"));
        }
        found
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn list(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Runs a command to its end.
pub async fn ended(mut command: Command) -> Ended {
    let output = timeout(LONG, command.output())
        .await
        .expect("the program ends")
        .unwrap();
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A program that runs, line by line.
pub struct Running {
    pub child: Child,
    pub stdout: Lines<BufReader<ChildStdout>>,
    pub stderr: Lines<BufReader<ChildStderr>>,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, stdout, stderr }
    }

    /// The first line of standard output that holds `text`.
    pub async fn until(&mut self, text: &str) -> String {
        until(&mut self.stdout, text).await
    }

    /// The first line of standard error that holds `text`.
    pub async fn complains(&mut self, text: &str) -> String {
        until(&mut self.stderr, text).await
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.child.id().expect("it runs")).unwrap();
        // SAFETY: a plain system call; the child has not been waited for, so the number is still its own.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    /// The exit code, and what it still printed.
    pub async fn end(mut self) -> (i32, String) {
        let rest = async {
            let mut rest = String::new();
            while let Some(line) = self.stdout.next_line().await.unwrap() {
                rest.push_str(&line);
                rest.push('\n');
            }
            (self.child.wait().await.unwrap().code().unwrap_or(-1), rest)
        };
        timeout(LONG, rest).await.expect("the program ends")
    }
}

async fn until<R: tokio::io::AsyncRead + Unpin>(lines: &mut Lines<BufReader<R>>, text: &str) -> String {
    let find = async {
        loop {
            let line = lines.next_line().await.unwrap();
            let line = line.unwrap_or_else(|| panic!("the program ended without saying {text:?}"));
            if line.contains(text) {
                return line;
            }
        }
    };
    timeout(LONG, find)
        .await
        .unwrap_or_else(|_| panic!("the program never said {text:?}"))
}

/// True while a process with this number is there and not merely waiting to be reaped.
pub fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}
