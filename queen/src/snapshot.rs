//! A work tree as it stands, uncommitted and untracked files too, as a commit that nobody else sees.
//!
//! Owns the scratch repository. Never writes to the user's index, refs, objects or files. Knows nothing of jobs.
//! Blocks: call it from a blocking task. Read next: `git_http.rs`, which takes a pushed snapshot in.

use shared::Secret;
use std::path::{Path, PathBuf};

/// A work tree as a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// A bare scratch repository; it borrows the objects of the user's.
    pub repo: PathBuf,
    /// The commit's id.
    pub commit: String,
    /// The branch that is checked out, unless HEAD is detached.
    pub branch: Option<String>,
    /// The commit that HEAD names; `None` before the first commit and outside of a repository.
    pub head: Option<String>,
    /// `owner/name` from the origin remote, else `local/<folder>`.
    pub project_hint: String,
    /// How many files are not as HEAD has them.
    pub changed: usize,
    /// How many files the snapshot has.
    pub files: usize,
}

/// Why a snapshot could not be made or handed over.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

/// Takes a snapshot of `dir`. `scratch` is an existing, empty directory that must live as long as the snapshot is used.
pub fn snapshot(dir: &Path, scratch: &Path) -> Result<Snapshot, SnapshotError> {
    Err(SnapshotError::Other(format!(
        "cannot take {} into {} yet",
        dir.display(),
        scratch.display()
    )))
}

/// Pushes the snapshot's commit to `reference` (`refs/skep/…`) of the repository at `url`.
pub fn push(snapshot: &Snapshot, url: &str, token: Option<&Secret>, reference: &str) -> Result<(), SnapshotError> {
    let _ = token;
    Err(SnapshotError::Other(format!(
        "cannot push {} to {url} {reference} yet",
        snapshot.commit
    )))
}
