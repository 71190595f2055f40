//! Getting a job's source into its workspace: one door, a room for each version control system.
//!
//! Owns the choice of the system and the command line that the log shows. Knows nothing of jobs, phases or the queen.
//! Everything here blocks: call it from a blocking task. Read next: `git.rs`, then `hg.rs`, `rsync.rs`, `mirrors.rs`, `error.rs`.

mod address;
mod error;
mod git;
mod hg;
mod mirrors;
mod program;
mod rsync;

pub use error::SourceError;
pub use git::{set_timeouts, set_up, set_up_alone};
pub use mirrors::{Borrowed, mirrors};

use shared::job::{Ref, Repo, Vcs};
use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

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
#[derive(Debug, Clone, Default)]
pub struct Fetched {
    /// The commit id that is checked out, if the system has such a thing.
    pub commit: Option<String>,
    /// The branch that it was reached by, if one was.
    pub branch: Option<String>,
    /// To be kept as long as the source is.
    pub borrowed: Borrowed,
}

/// The command line to show for this fetch, without credentials: `git fetch https://host/repo main`.
#[must_use]
pub fn describe(fetch: &Fetch) -> String {
    let program = match fetch.repo.vcs {
        Vcs::Git => "git fetch",
        Vcs::Hg => "hg pull",
        Vcs::Rsync => "rsync",
    };
    let mut line = format!("{program} {}", address::shown(&fetch.repo.url));
    match &fetch.reference {
        None => {}
        Some(Ref::Fetch { fetch }) => {
            line.push(' ');
            line.push_str(fetch);
        }
        Some(Ref::Branch { branch, id }) => {
            for word in [branch, id].into_iter().flatten() {
                line.push(' ');
                line.push_str(word);
            }
        }
    }
    line
}

/// Fetches the source into `fetch.into`. Blocks; `cancelled` is looked at while data comes in; `progress` gets lines
/// of text for the job's log. After an error the directory may hold a part of the source.
pub fn fetch(fetch: &Fetch, cancelled: &AtomicBool, progress: &mut dyn FnMut(&str)) -> Result<Fetched, SourceError> {
    stop_if(cancelled)?;
    match fetch.repo.vcs {
        Vcs::Git => git::fetch(fetch, cancelled, progress),
        Vcs::Hg => hg::fetch(fetch, cancelled, progress),
        Vcs::Rsync => rsync::fetch(fetch, cancelled, progress),
    }
}

/// [`SourceError::Cancelled`] once the job is cancelled.
fn stop_if(cancelled: &AtomicBool) -> Result<(), SourceError> {
    if cancelled.load(Ordering::Relaxed) {
        return Err(SourceError::Cancelled);
    }
    Ok(())
}
