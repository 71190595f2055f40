//! Runs the program of a version control system: sanitized label, output to the log, killed when the job is cancelled.
//!
//! Owns the process and the files that carry its credentials. Read next: `hg.rs`, `rsync.rs`.

use super::{SourceError, stop_if};
use shared::{Secret, job::Auth};
use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, Command, Stdio},
    sync::{atomic::AtomicBool, mpsc},
    time::Duration,
};
use tempfile::NamedTempFile;

/// How often a silent program is looked at for a cancelled job.
const CANCEL_CHECK: Duration = Duration::from_millis(50);
/// Bytes of output that are kept for the caller, and of error output for the message.
const KEPT: usize = 64 * 1024;

enum Said {
    Out(Vec<u8>),
    Err(Vec<u8>),
}

/// Runs `command` to its end; answers what it printed. `label` stands for it in messages.
pub(super) fn run(
    program: &'static str,
    label: &str,
    mut command: Command,
    cancelled: &AtomicBool,
    progress: &mut dyn FnMut(&str),
) -> Result<String, SourceError> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut child = command.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => SourceError::NoProgram { program },
        _ => SourceError::Program {
            command: label.to_owned(),
            status: "an error before it began".to_owned(),
            detail: error.to_string(),
        },
    })?;
    let (send, receive) = mpsc::sync_channel(64);
    if let Some(out) = child.stdout.take() {
        lines(out, send.clone(), Said::Out);
    }
    if let Some(err) = child.stderr.take() {
        lines(err, send.clone(), Said::Err);
    }
    drop(send);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    loop {
        match receive.recv_timeout(CANCEL_CHECK) {
            Ok(Said::Out(line)) => keep(&mut out, &line),
            Ok(Said::Err(line)) => {
                progress(String::from_utf8_lossy(&line).trim_end());
                keep(&mut err, &line);
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
        if let Err(error) = stop_if(cancelled) {
            kill(&mut child);
            return Err(error);
        }
    }
    let status = child.wait().map_err(|error| SourceError::Program {
        command: label.to_owned(),
        status: "an unknown status".to_owned(),
        detail: error.to_string(),
    })?;
    if status.success() {
        return Ok(String::from_utf8_lossy(&out).into_owned());
    }
    let text = String::from_utf8_lossy(&err);
    let tail: Vec<&str> = text.trim_end().lines().rev().take(4).collect();
    Err(SourceError::Program {
        command: label.to_owned(),
        status: match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, signal) => format!("signal {}", signal.unwrap_or_default()),
        },
        detail: tail.into_iter().rev().collect::<Vec<_>>().join("; "),
    })
}

fn keep(all: &mut Vec<u8>, line: &[u8]) {
    all.extend_from_slice(line);
    if all.len() > KEPT {
        all.drain(..all.len() - KEPT);
    }
}

fn lines(stream: impl Read + Send + 'static, send: mpsc::SyncSender<Said>, wrap: fn(Vec<u8>) -> Said) {
    std::thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        loop {
            let mut line = Vec::new();
            match (&mut stream).take(KEPT as u64).read_until(b'\n', &mut line) {
                Ok(1..) => {
                    if send.send(wrap(line)).is_err() {
                        return;
                    }
                }
                _ => return,
            }
        }
    });
}

fn kill(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.wait();
}

/// A file that only this user can read, gone when it is dropped.
pub(super) fn secret_file(text: &str) -> Result<NamedTempFile, SourceError> {
    let write = || -> std::io::Result<NamedTempFile> {
        let mut file = NamedTempFile::with_prefix(".skep-")?;
        file.write_all(text.as_bytes())?;
        file.flush()?;
        Ok(file)
    };
    write().map_err(|error| SourceError::disk(&std::env::temp_dir(), &error))
}

/// An ssh command line that uses the job's key and asks nothing, with the file that holds the key.
pub(super) fn ssh_command(auth: Option<&Auth>) -> Result<Option<(String, NamedTempFile)>, SourceError> {
    let Some(Auth::Ssh { key }) = auth else {
        return Ok(None);
    };
    let file = secret_file(&with_newline(key))?;
    let line = format!(
        "ssh -o BatchMode=yes -o IdentitiesOnly=yes -i {}",
        file.path().display()
    );
    Ok(Some((line, file)))
}

fn with_newline(key: &Secret) -> String {
    format!("{}\n", key.expose().trim_end())
}
