//! The workspace as a git repository of its own: written by hand in a few files, its objects borrowed.
//!
//! Owns the layout of `.git` in a workspace. No configuration of the machine's user has a say in it.
//! Read next: `submodule.rs`.

use super::Found;
use crate::source::SourceError;
use git2::{Config, ConfigLevel, ErrorClass, Repository, RepositoryOpenFlags, build::CheckoutBuilder};
use std::{
    ffi::OsStr,
    fs,
    io::{ErrorKind, Write},
    os::unix::ffi::OsStrExt,
    path::Path,
};

/// Makes `into` a repository with `found.commit` checked out and HEAD detached at it.
pub(super) fn check_out(into: &Path, origin: &str, found: &Found) -> Result<Repository, SourceError> {
    lay_out(into, origin, found).map_err(|error| SourceError::disk(&into.join(".git"), &error))?;
    let failed = |error: git2::Error| match error.class() {
        ErrorClass::Os | ErrorClass::Filesystem => SourceError::disk(into, &error.message()),
        _ => SourceError::Checkout {
            commit: found.commit.to_string(),
            address: origin.to_owned(),
            detail: error.message().to_owned(),
        },
    };
    let repo = Repository::open_ext(into, RepositoryOpenFlags::NO_SEARCH, &[] as &[&OsStr]).map_err(failed)?;
    let mut config = Config::new().map_err(failed)?;
    config
        .add_file(&into.join(".git/config"), ConfigLevel::Local, false)
        .map_err(failed)?;
    repo.set_config(&config).map_err(failed)?;
    let commit = repo.find_object(found.commit, None).map_err(failed)?;
    repo.checkout_tree(&commit, Some(CheckoutBuilder::new().force()))
        .map_err(failed)?;
    drop(commit);
    Ok(repo)
}

fn lay_out(into: &Path, origin: &str, found: &Found) -> std::io::Result<()> {
    let git = into.join(".git");
    for dir in ["objects/info", "objects/pack", "refs/heads", "refs/tags", "info"] {
        fs::create_dir_all(git.join(dir))?;
    }
    fs::write(git.join("HEAD"), format!("{}\n", found.commit))?;
    fs::write(
        git.join("config"),
        format!(
            "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = true\n\
             [remote \"origin\"]\n\turl = {}\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n",
            quoted(origin)
        ),
    )?;
    let mut alternates = Vec::new();
    for objects in &found.objects {
        alternates.extend_from_slice(objects.as_os_str().as_bytes());
        alternates.push(b'\n');
    }
    fs::write(git.join("objects/info/alternates"), alternates)?;
    if let Some(shallow) = &found.shallow {
        fs::write(git.join("shallow"), shallow)?;
    }
    let mut refs: Vec<(String, git2::Oid)> = found.tags.clone();
    if let Some(branch) = &found.branch {
        refs.push((format!("refs/remotes/origin/{branch}"), found.commit));
    }
    refs.retain(|(name, _)| git2::Reference::is_valid_name(name));
    refs.sort();
    let mut packed = b"# pack-refs with: sorted \n".to_vec();
    for (name, id) in refs {
        writeln!(packed, "{id} {name}")?;
    }
    fs::write(git.join("packed-refs"), packed)
}

/// A value for git's configuration file.
pub(super) fn quoted(value: &str) -> String {
    let mut out = String::from("\"");
    for c in value.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Removes everything in `dir` but not `dir` itself.
pub(super) fn empty(dir: &Path) -> Result<(), SourceError> {
    let clear = || -> std::io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    };
    match clear() {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(SourceError::disk(dir, &error)),
        _ => Ok(()),
    }
}
