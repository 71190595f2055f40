//! Git's smart HTTP protocol (version 0) over repositories of the queen, without the git program.
//!
//! Owns what is in the bodies; knows nothing of HTTP itself, of accounts or of jobs. Everything here blocks.
//! Read next: `api/git.rs`, which mounts it.

use shared::Project;
use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
};

/// The two things that a client can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Clone and fetch.
    UploadPack,
    /// Push.
    ReceivePack,
}

/// One ref that a push has moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefUpdate {
    /// Whole name, `refs/heads/main`.
    pub name: String,
    /// The commit before; `None`: the ref is new.
    pub old: Option<String>,
    /// The commit now; `None`: the ref is gone.
    pub new: Option<String>,
}

/// What came of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The response body.
    pub response: Vec<u8>,
    /// Refs that have moved, in the order of the commands.
    pub updates: Vec<RefUpdate>,
}

/// Why a request could not be served.
#[derive(Debug, thiserror::Error)]
pub enum GitHttpError {
    /// The repository is not there.
    #[error("there is no repository {0}")]
    NoRepository(String),
    /// The client broke the protocol.
    #[error("bad request: {0}")]
    Protocol(String),
    /// Reading or writing failed.
    #[error("input or output failed: {0}")]
    Io(#[from] std::io::Error),
    /// libgit2 failed.
    #[error("git: {0}")]
    Git(#[from] git2::Error),
}

/// Where the repository of `project` is below `root` (`<data>/git`), whether it exists or not.
#[must_use]
pub fn path_of(root: &Path, project: &Project) -> PathBuf {
    root.join(format!("{project}.git"))
}

/// Makes the bare repository of `project` below `root` unless it is there; answers its path.
pub fn ensure(root: &Path, project: &Project) -> Result<PathBuf, GitHttpError> {
    let path = path_of(root, project);
    if !path.join("HEAD").is_file() {
        std::fs::create_dir_all(&path)?;
        git2::Repository::init_bare(&path)?;
    }
    Ok(path)
}

/// The body of `GET info/refs?service=…`.
pub fn advertise(repo: &Path, service: Service) -> Result<Vec<u8>, GitHttpError> {
    let _ = service;
    Err(GitHttpError::NoRepository(repo.display().to_string()))
}

/// Serves the body of `POST git-upload-pack`, writing the response to `out`.
pub fn upload_pack(repo: &Path, body: &mut dyn Read, out: &mut dyn Write) -> Result<(), GitHttpError> {
    let _ = (body, out);
    Err(GitHttpError::NoRepository(repo.display().to_string()))
}

/// Serves the body of `POST git-receive-pack`.
pub fn receive_pack(repo: &Path, body: &mut dyn Read) -> Result<Received, GitHttpError> {
    let _ = body;
    Err(GitHttpError::NoRepository(repo.display().to_string()))
}
