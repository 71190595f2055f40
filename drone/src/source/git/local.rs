//! A repository on this machine: its objects are lent to the workspace as they are, nothing is copied.
//!
//! Owns finding a commit in a repository that is there; the mirrors use the same. Writes nothing.
//! Read next: `workspace.rs`.

use super::{
    Found,
    wanted::{Wanted, branch_name, hint},
};
use crate::source::{Borrowed, SourceError};
use git2::{ErrorCode, ObjectType, Oid, Repository, RepositoryOpenFlags};
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// Finds what is wanted in the repository at `path`, a bare one or a work tree.
pub(super) fn find(path: &Path, wanted: &Wanted) -> Result<Found, SourceError> {
    let address = path.display().to_string();
    let repo = Repository::open_ext(path, RepositoryOpenFlags::NO_SEARCH, &[] as &[&OsStr]).map_err(|error| {
        let detail = match error.code() {
            ErrorCode::NotFound if path.exists() => " (the folder is there, but is no git repository)".to_owned(),
            ErrorCode::NotFound => " (the folder does not exist on this drone)".to_owned(),
            _ => format!(" ({})", error.message()),
        };
        SourceError::UnknownRepository {
            address: address.clone(),
            detail,
        }
    })?;
    let (commit, branch) = resolve(&repo, wanted, &address)?;
    lend(&repo, commit, branch)
}

/// The wanted commit and the branch that names it.
fn resolve(repo: &Repository, wanted: &Wanted, address: &str) -> Result<(Oid, Option<String>), SourceError> {
    match wanted {
        Wanted::Commit { id, branch } => {
            if repo.find_commit(*id).is_err() {
                return Err(missing_commit(*id, branch.as_deref(), address));
            }
            Ok((*id, branch.clone()))
        }
        Wanted::Default => {
            let head = repo.head().map_err(|error| match error.code() {
                ErrorCode::UnbornBranch => SourceError::Empty {
                    address: address.to_owned(),
                },
                _ => unreadable(address, &error),
            })?;
            let branch = head.name().ok().and_then(branch_name);
            Ok((peel(head.peel(ObjectType::Commit), "HEAD", address)?.id(), branch))
        }
        Wanted::Branch(_) | Wanted::Ref(_) => {
            for name in wanted.candidates() {
                let Ok(reference) = repo.find_reference(&name) else {
                    continue;
                };
                let object = peel(reference.peel(ObjectType::Commit), wanted.name(), address)?;
                return Ok((object.id(), branch_name(&name)));
            }
            let names: Vec<String> = repo
                .references()
                .map_err(|error| unreadable(address, &error))?
                .names()
                .flatten()
                .map(str::to_owned)
                .collect();
            Err(SourceError::MissingRef {
                reference: wanted.name().to_owned(),
                address: address.to_owned(),
                hint: hint(names.iter().map(String::as_str)),
            })
        }
    }
}

fn peel<T>(object: Result<T, git2::Error>, reference: &str, address: &str) -> Result<T, SourceError> {
    object.map_err(|error| match error.code() {
        ErrorCode::Peel | ErrorCode::InvalidSpec => SourceError::NoCommit {
            reference: reference.to_owned(),
            address: address.to_owned(),
            kind: "tree or file".to_owned(),
        },
        _ => unreadable(address, &error),
    })
}

/// The error for a commit that is nowhere.
pub(super) fn missing_commit(id: Oid, branch: Option<&str>, address: &str) -> SourceError {
    SourceError::MissingCommit {
        commit: id.to_string(),
        place: match branch {
            Some(branch) => format!("branch {branch} of {address}"),
            None => address.to_owned(),
        },
    }
}

fn unreadable(address: &str, error: &git2::Error) -> SourceError {
    SourceError::UnknownRepository {
        address: address.to_owned(),
        detail: format!(" that can be read ({})", error.message()),
    }
}

/// What a workspace needs to borrow `commit` from `repo`.
pub(super) fn lend(repo: &Repository, commit: Oid, branch: Option<String>) -> Result<Found, SourceError> {
    let mut objects = Vec::new();
    borrowed(&repo.commondir().join("objects"), &mut objects, &mut BTreeSet::new());
    let tags = repo
        .references_glob("refs/tags/*")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|tag| Some((tag.name().ok()?.to_owned(), tag.target()?)))
        .collect();
    Ok(Found {
        commit,
        branch,
        objects,
        tags,
        shallow: fs::read(repo.commondir().join("shallow")).ok(),
        borrowed: Borrowed::default(),
    })
}

/// An object directory and, one after the other, those that it borrows from: flat and absolute, since git follows
/// relative ones only from the first.
fn borrowed(objects: &Path, out: &mut Vec<PathBuf>, seen: &mut BTreeSet<PathBuf>) {
    let Ok(objects) = fs::canonicalize(objects) else {
        return;
    };
    if !seen.insert(objects.clone()) {
        return;
    }
    out.push(objects.clone());
    let list = fs::read(objects.join("info/alternates")).unwrap_or_default();
    for line in list.split(|byte| *byte == b'\n') {
        if !line.is_empty() && !line.starts_with(b"#") {
            borrowed(&objects.join(OsStr::from_bytes(line)), out, seen);
        }
    }
}
