//! The repositories that were handed over (`<data>/git`): where they are, who uses them just now, what they take.
//!
//! Owns the locks. Whoever reads or writes a repository holds it; whoever takes something out of it needs it alone, and
//! asks for that only when nobody else is there, so that no push and no fetch ever waits for more than the moment in
//! which old files are exchanged for new ones. A file lock beside them (`git.lock`) keeps a backup, which is a process of
//! its own, from losing what it copies. Knows nothing of HTTP and of jobs. Read next: `repositories/collect.rs`.

mod collect;

pub use collect::Collected;

use crate::git_http::{self, GitHttpError};
use git2::{Oid, Repository};
use rustix::fs::{FlockOperation, flock};
use shared::{Project, Timestamp};
use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::UNIX_EPOCH,
};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// Where `queen run` leaves work trees: the rest of the name is the job's id.
pub const SNAPSHOTS: &str = "refs/skep/";
/// A repository that something was taken out of has this file until its objects are collected.
const MARK: &str = "skep-collect";
/// Locks that are kept before those are dropped that nobody holds.
const LOCKS: usize = 1_000;

/// All repositories of a queen. Cloning shares the locks.
#[derive(Debug, Clone)]
pub struct Repositories(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    locks: Mutex<HashMap<Project, Arc<RwLock<()>>>>,
}

/// As long as it lives, nothing is taken out of the repository.
#[derive(Debug)]
pub struct Held {
    _lock: OwnedRwLockReadGuard<()>,
}

/// As long as it lives, nobody else is in the repository.
#[derive(Debug)]
pub struct Alone {
    path: PathBuf,
    _lock: OwnedRwLockWriteGuard<()>,
    _file: File,
}

/// A work tree that was handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Whole name of its ref.
    pub name: String,
    /// Its commit.
    pub commit: String,
    /// When it was handed over; absent if that is no longer known.
    pub at: Option<Timestamp>,
}

impl Kept {
    /// The job that it was handed over for.
    #[must_use]
    pub fn job(&self) -> &str {
        self.name.strip_prefix(SNAPSHOTS).unwrap_or_default()
    }
}

impl Repositories {
    /// The repositories below `root`.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self(Arc::new(Inner {
            root,
            locks: Mutex::default(),
        }))
    }

    /// The folder that they are in.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.0.root
    }

    /// Waits for the moment in which files are exchanged, if that is now.
    pub async fn hold(&self, project: &Project) -> Held {
        Held {
            _lock: self.lock_of(project).read_owned().await,
        }
    }

    /// Everything of `project` for the caller alone; `None` while somebody is in there, or a backup is made.
    pub fn alone(&self, project: &Project) -> Result<Option<Alone>, GitHttpError> {
        let path = git_http::path_of(self.root(), project)?;
        let Ok(lock) = self.lock_of(project).try_write_owned() else {
            return Ok(None);
        };
        let file = backup_lock(self.root())?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Alone {
                path,
                _lock: lock,
                _file: file,
            })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }

    fn lock_of(&self, project: &Project) -> Arc<RwLock<()>> {
        let mut locks = self.0.locks.lock().unwrap_or_else(PoisonError::into_inner);
        if locks.len() >= LOCKS {
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        }
        Arc::clone(locks.entry(project.clone()).or_default())
    }

    /// The projects that have a repository.
    pub fn projects(&self) -> io::Result<Vec<Project>> {
        let mut found = Vec::new();
        gather(self.root(), self.root(), &mut found)?;
        found.sort();
        Ok(found)
    }

    /// Bytes that a project's repository takes on the disk.
    #[must_use]
    pub fn bytes(&self, project: &Project) -> u64 {
        git_http::path_of(self.root(), project).map_or(0, |path| bytes_below(&path))
    }

    /// The work trees that were handed over for a project.
    pub fn kept(&self, project: &Project) -> Result<Vec<Kept>, GitHttpError> {
        let path = git_http::path_of(self.root(), project)?;
        let repo = git_http::open(&path)?;
        let mut kept = Vec::new();
        for reference in repo.references_glob("refs/skep/*")? {
            let reference = reference?;
            if let (Ok(name), Some(id)) = (reference.name(), reference.target()) {
                kept.push(Kept {
                    name: name.to_owned(),
                    commit: id.to_string(),
                    at: modified(&path.join(name)),
                });
            }
        }
        Ok(kept)
    }

    /// True if a project's repository has this commit. A repository that is not there has none.
    pub fn has(&self, project: &Project, commit: &str) -> Result<bool, GitHttpError> {
        let repo = match git_http::open(&git_http::path_of(self.root(), project)?) {
            Ok(repo) => repo,
            Err(GitHttpError::NoRepository(_)) => return Ok(false),
            Err(error) => return Err(error),
        };
        Ok(Oid::from_str(commit).is_ok_and(|id| repo.find_commit(id).is_ok()))
    }

    /// True if there is a repository of the project.
    #[must_use]
    pub fn exists(&self, project: &Project) -> bool {
        git_http::path_of(self.root(), project).is_ok_and(|path| path.join("HEAD").is_file())
    }
}

impl Alone {
    /// Takes refs away. Their objects stay until the repository is collected, which it will be, whatever happens.
    pub fn remove(&self, names: &[String]) -> Result<(), GitHttpError> {
        fs::write(self.path.join(MARK), "")?;
        let repo = Repository::open_bare(&self.path)?;
        for name in names {
            match repo.find_reference(name) {
                Ok(mut reference) => reference.delete()?,
                Err(error) if error.code() == git2::ErrorCode::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// The file whose lock a backup shares while it copies repositories.
pub fn backup_lock(root: &Path) -> io::Result<File> {
    if let Some(parent) = root.parent() {
        fs::create_dir_all(parent)?;
    }
    File::options()
        .create(true)
        .append(true)
        .open(root.with_extension("lock"))
}

/// Finds repositories below `folder`; a project's name is the way to it.
fn gather(root: &Path, folder: &Path, found: &mut Vec<Project>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "git") {
            let way = path.strip_prefix(root).ok().and_then(Path::to_str);
            let name = way.and_then(|way| way.strip_suffix(".git"));
            found.extend(name.and_then(|name| Project::new(name).ok()));
        } else if path.is_dir() {
            gather(root, &path, found)?;
        }
    }
    Ok(())
}

/// What the files below take together. What vanishes meanwhile takes nothing.
fn bytes_below(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => bytes_below(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

fn modified(path: &Path) -> Option<Timestamp> {
    let at = fs::metadata(path).ok()?.modified().ok()?;
    let since = at.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp(i64::try_from(since.as_millis()).ok()?))
}

#[cfg(test)]
mod tests;
