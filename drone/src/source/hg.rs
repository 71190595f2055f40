//! Mercurial, by its own program: a mirror is pulled, and the workspace is a clone of the mirror.
//!
//! Owns hg's arguments. Read next: `program.rs`.

use super::{Borrowed, Fetch, Fetched, SourceError, address, program, stop_if};
use shared::job::{Auth, Ref};
use std::{fs, sync::atomic::AtomicBool};

/// See [`super::fetch`].
pub(super) fn fetch(
    fetch: &Fetch,
    cancelled: &AtomicBool,
    progress: &mut dyn FnMut(&str),
) -> Result<Fetched, SourceError> {
    let shown = address::shown(&fetch.repo.url);
    let (url, password) = address::without_password(&fetch.repo.url);
    let mirror = fetch.mirrors.join("hg").join(address::digest(url.as_bytes()));
    // The workspace is a clone that needs its mirror no longer.
    let _used = Borrowed::of(&mirror).map_err(|error| SourceError::disk(&mirror, &error))?;
    fs::create_dir_all(&mirror).map_err(|error| SourceError::disk(&mirror, &error))?;
    let ssh = program::ssh_command(fetch.repo.auth.as_ref())?;
    let mut rc = String::new();
    if let Some((line, _)) = &ssh {
        rc.push_str(&format!("[ui]\nssh = {line}\n"));
    }
    let (place, _) = url
        .split_once("://")
        .map_or(("", ""), |(_, rest)| rest.split_once('/').unwrap_or((rest, "")));
    let (user, host) = place.rsplit_once('@').unwrap_or(("", place));
    let login = match &fetch.repo.auth {
        Some(Auth::Https { username, password }) => Some((username.as_str(), password.clone())),
        _ => password.map(|password| (user, password)),
    };
    if let Some((user, password)) = login {
        let line = |text: &str| text.replace(['\n', '\r'], "");
        rc.push_str(&format!(
            "[auth]\nskep.prefix = {host}\nskep.username = {}\nskep.password = {}\n",
            line(user),
            line(password.expose())
        ));
    }
    let mut hg = Hg {
        rc: program::secret_file(&rc)?,
        cancelled,
        progress,
    };
    if !mirror.join(".hg").is_dir() {
        hg.run(&shown, &["init", "--", &mirror.to_string_lossy()])?;
    }
    let mirror = mirror.to_string_lossy().into_owned();
    match hg.run(&shown, &["pull", "--repository", &mirror, "--", &url]) {
        Err(SourceError::Program { detail, .. }) if detail.contains("not found") => {
            return Err(SourceError::UnknownRepository {
                address: shown,
                detail: format!(" ({detail})"),
            });
        }
        result => result?,
    };
    stop_if(cancelled)?;
    let (revision, branch) = match &fetch.reference {
        None => ("default".to_owned(), None),
        Some(Ref::Fetch { fetch }) => (fetch.clone(), None),
        Some(Ref::Branch { branch, id }) => (
            id.clone()
                .or_else(|| branch.clone())
                .unwrap_or_else(|| "default".into()),
            branch.clone(),
        ),
    };
    let into = fetch.into.to_string_lossy().into_owned();
    let update = format!("--updaterev={revision}");
    let cloned = hg.run(&shown, &["clone", &update, "--", &mirror, &into]);
    match cloned {
        Err(SourceError::Program { detail, .. }) if detail.contains("unknown revision") => {
            return Err(SourceError::MissingRef {
                reference: revision,
                address: shown,
                hint: String::new(),
            });
        }
        result => result?,
    };
    let commit = hg.run(
        &shown,
        &["log", "--repository", &into, "--rev", ".", "--template", "{node}"],
    )?;
    Ok(Fetched {
        commit: Some(commit.trim().to_owned()).filter(|id| !id.is_empty()),
        branch,
        borrowed: Borrowed::default(),
    })
}

struct Hg<'a> {
    /// The whole configuration; it may hold the password, which thereby never stands among the arguments.
    rc: tempfile::NamedTempFile,
    cancelled: &'a AtomicBool,
    progress: &'a mut dyn FnMut(&str),
}

impl Hg<'_> {
    fn run(&mut self, address: &str, args: &[&str]) -> Result<String, SourceError> {
        let mut command = std::process::Command::new("hg");
        command
            .arg("--noninteractive")
            .args(args)
            .env("HGPLAIN", "1")
            .env("HGRCPATH", self.rc.path());
        let label = format!("hg {} {address}", args.first().copied().unwrap_or_default());
        program::run("hg", &label, command, self.cancelled, self.progress)
    }
}
