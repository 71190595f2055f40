//! A folder, copied by the rsync program.
//!
//! Owns rsync's arguments. There is no mirror: rsync sends only once, into an empty workspace. Read next: `program.rs`.

use super::{Fetch, Fetched, SourceError, address, program};
use shared::job::Auth;
use std::sync::atomic::AtomicBool;

/// See [`super::fetch`].
pub(super) fn fetch(
    fetch: &Fetch,
    cancelled: &AtomicBool,
    progress: &mut dyn FnMut(&str),
) -> Result<Fetched, SourceError> {
    let shown = address::shown(&fetch.repo.url);
    let (url, password) = address::without_password(&fetch.repo.url);
    let url = url.strip_prefix("file://").unwrap_or(&url);
    let mut command = std::process::Command::new("rsync");
    command
        .args(["--archive", "--no-owner", "--no-group", "--timeout=60"])
        .arg("--")
        .arg(format!("{}/", url.trim_end_matches('/')))
        .arg(format!("{}/", fetch.into.display()));
    let ssh = program::ssh_command(fetch.repo.auth.as_ref())?;
    if let Some((line, _)) = &ssh {
        command.env("RSYNC_RSH", line);
    }
    if let Some(password) = password {
        command.env("RSYNC_PASSWORD", password.expose());
    }
    if let Some(Auth::Https { username, password }) = &fetch.repo.auth {
        // Of an rsync daemon; given by the environment, never among the arguments.
        command.env("RSYNC_PASSWORD", password.expose());
        if !username.is_empty() {
            command.env("USER", username);
        }
    }
    let result = program::run("rsync", &format!("rsync {shown}"), command, cancelled, progress);
    match result {
        Err(SourceError::Program { detail, .. }) if detail.contains("No such file or directory") => {
            Err(SourceError::UnknownRepository {
                address: shown,
                detail: String::new(),
            })
        }
        result => result.map(|_| Fetched::default()),
    }
}
