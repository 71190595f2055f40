//! Git by libgit2: what a job asks for becomes a commit, and the commit a work tree.
//!
//! Owns the order of things: find the objects (on this machine, or in a mirror that is brought up to date), lend them
//! to the workspace, check out, then the submodules. Knows nothing of processes: no git program runs.
//! Read next: `git/local.rs`, `git/mirror.rs`, `git/transport.rs`, `git/workspace.rs`, `git/submodule.rs`.

mod local;
mod mirror;
mod submodule;
mod transport;
mod wanted;
mod workspace;

pub use transport::{set_timeouts, set_up, set_up_alone};

use super::{Borrowed, Fetch, Fetched, SourceError, address::Address, stop_if};
use shared::job::Auth;
use std::{
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};
use wanted::Wanted;

/// One repository to bring into one directory. The job's own, or a submodule of it.
struct Task<'a> {
    address: &'a Address,
    auth: Option<&'a Auth>,
    wanted: Wanted,
    into: &'a Path,
    mirrors: &'a Path,
    cancelled: &'a AtomicBool,
}

/// Where a commit and all that it needs is to be found.
struct Found {
    commit: git2::Oid,
    branch: Option<String>,
    /// Object directories, with those that they borrow from.
    objects: Vec<PathBuf>,
    /// Tags by their whole ref names.
    tags: Vec<(String, git2::Oid)>,
    /// The `shallow` file of the repository, if its history is cut.
    shallow: Option<Vec<u8>>,
    /// The mirror that lends the objects.
    borrowed: Borrowed,
}

/// See [`super::fetch`].
pub(super) fn fetch(
    fetch: &Fetch,
    cancelled: &AtomicBool,
    progress: &mut dyn FnMut(&str),
) -> Result<Fetched, SourceError> {
    set_up();
    let address = Address::parse(&fetch.repo.url)?;
    let task = Task {
        address: &address,
        auth: fetch.repo.auth.as_ref(),
        wanted: Wanted::of(fetch.reference.as_ref()),
        into: &fetch.into,
        mirrors: &fetch.mirrors,
        cancelled,
    };
    task.run(0, progress)
}

impl Task<'_> {
    /// `depth`: how many repositories are around this one.
    fn run(&self, depth: usize, progress: &mut dyn FnMut(&str)) -> Result<Fetched, SourceError> {
        let (found, repo) = match self.address {
            Address::Local(path) => {
                let found = local::find(path, &self.wanted)?;
                let repo = self.check_out(&found)?;
                (found, repo)
            }
            Address::Remote(remote) => {
                let found = mirror::find(self, remote, progress)?;
                match self.check_out(&found) {
                    Ok(repo) => (found, repo),
                    Err(error @ SourceError::Checkout { .. }) => {
                        // A mirror that lacks what its own refs name is broken; a fresh one tells whether it was that.
                        progress(&format!("{error}; fetching everything anew"));
                        workspace::empty(self.into)?;
                        mirror::remove(self, remote)?;
                        let found = mirror::find(self, remote, progress)?;
                        let repo = self.check_out(&found)?;
                        (found, repo)
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        let mut borrowed = found.borrowed;
        borrowed.join(submodule::fetch_all(self, &repo, depth, progress)?);
        Ok(Fetched {
            commit: Some(found.commit.to_string()),
            branch: found.branch,
            borrowed,
        })
    }

    fn check_out(&self, found: &Found) -> Result<git2::Repository, SourceError> {
        stop_if(self.cancelled)?;
        workspace::check_out(self.into, &self.address.shown(), found)
    }
}
