//! Getting a job's source into its workspace: one door, a room for each version control system.
//!
//! Owns the words for what can go wrong and the masking of addresses. Knows nothing of jobs, phases or the queen.
//! Everything here blocks: call it from a blocking task. Read next: `git.rs`, then `hg.rs` and `rsync.rs`.

use shared::job::{Ref, Repo};
use std::{path::PathBuf, sync::atomic::AtomicBool};

/// What to fetch, and where to.
#[derive(Debug, Clone)]
pub struct Fetch {
    /// Address and credentials.
    pub repo: Repo,
    /// What to check out. `None`: the default branch.
    pub reference: Option<Ref>,
    /// An existing, empty directory.
    pub into: PathBuf,
    /// The drone's own cache directory; made when it is missing.
    pub mirrors: PathBuf,
}

/// What was fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetched {
    /// The commit id that is checked out, if the system has such a thing.
    pub commit: Option<String>,
    /// The branch that it was reached by, if one was.
    pub branch: Option<String>,
}

/// Why a source could not be had. The messages name the address without credentials and say what to do.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The job was cancelled meanwhile.
    #[error("cancelled")]
    Cancelled,
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

impl SourceError {
    /// A short word for the kind of error, for metrics and tests.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::Other(_) => "other",
        }
    }
}

/// The command line to show for this fetch, without credentials: `git fetch https://host/repo main`.
#[must_use]
pub fn describe(fetch: &Fetch) -> String {
    format!("git fetch {}", fetch.repo.url)
}

/// Fetches the source into `fetch.into`. Blocks; `cancelled` is looked at while data comes in; `progress` gets lines
/// of text for the job's log.
pub fn fetch(fetch: &Fetch, cancelled: &AtomicBool, progress: &mut dyn FnMut(&str)) -> Result<Fetched, SourceError> {
    let _ = (cancelled, progress);
    Err(SourceError::Other(format!("cannot fetch {} yet", fetch.repo.url)))
}
