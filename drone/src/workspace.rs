//! Workspaces: a fresh folder for each job, removed whatever happens.
//!
//! Jobs of one project that follow each other have the same path, so that what one leaves for the next fits (`kept.rs`);
//! those that run at the same time have each their own. A drone's workspaces are in a folder of its own, beside a lock file that the system lets go when the drone dies, however
//! it dies. The next drone that opens the same place takes such locks over, kills the processes that are left, and removes
//! the folders. Must not know what a job does in its workspace.

#[cfg(test)]
mod tests;

use crate::process;
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

const LOCK: &str = "lock";
/// The most characters of a project's name in a path: sockets in a workspace have short ones.
const LONGEST: usize = 40;

/// The workspaces of this drone.
pub struct Workspaces {
    home: Arc<Home>,
}

/// The drone's own folder and its lock; both go when the last workspace and [`Workspaces`] are gone.
struct Home {
    path: PathBuf,
    /// Held as long as this lives.
    _lock: File,
}

impl Workspaces {
    /// Opens the folder `dir`, which several drones may share: kills the processes and removes the workspaces of drones
    /// that are dead. Blocking. What cannot be removed is logged and left for the next time.
    pub fn open(dir: &Path) -> io::Result<Self> {
        make_private(dir).map_err(|error| named(dir, "cannot be made", &error))?;
        let dir = &fs::canonicalize(dir)?;
        let (home, dead) = claim(dir).map_err(|error| named(dir, "cannot be used for workspaces", &error))?;
        let others = dead.iter().map(|(path, _)| path.clone());
        let homes: Vec<_> = others.chain([home.path.clone()]).collect();
        let killed = process::kill_orphans(&homes);
        if killed > 0 {
            tracing::warn!(killed, "processes of a dead drone were killed");
        }
        let remove_other = |path: &Path| remove_tree(path).and_then(|()| fs::remove_file(path.with_extension(LOCK)));
        let others = dead.iter().map(|(path, _lock)| (path, remove_other(path)));
        for (path, removed) in others.chain([(&home.path, home.empty())]) {
            match removed {
                Ok(()) => tracing::info!(path = %path.display(), "workspaces of a dead drone were removed"),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => tracing::warn!(%error, "workspaces of a dead drone are left"),
            }
        }
        make_private(&home.path).map_err(|error| named(&home.path, "cannot be made", &error))?;
        Ok(Self { home: Arc::new(home) })
    }

    /// Makes an empty workspace in the first place of `project` that is free. Blocking, short.
    pub fn create(&self, project: &str) -> io::Result<Workspace> {
        let name: String = project
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || "-_".contains(c) {
                    c
                } else {
                    '.'
                }
            })
            .take(LONGEST)
            .collect();
        let path = self.home.place(&name)?;
        let make = || {
            make_private(&path.join("source"))?;
            make_private(&path.join("scratch"))
        };
        make().map_err(|error| named(&path, "cannot be made", &error))?;
        Ok(Workspace {
            path: path.join("source"),
            scratch: path.join("scratch"),
            folder: path,
            _home: self.home.clone(),
            removed: false,
        })
    }
}

/// Takes this drone's home in `dir`, the first that no living drone has, and the locks of all others of the dead. What is in
/// them is not touched.
fn claim(dir: &Path) -> io::Result<(Home, Vec<(PathBuf, File)>)> {
    // Nobody else may look at a lock between its making and its locking.
    let gate = File::create(dir.join(".gate"))?;
    flock(&gate, FlockOperation::LockExclusive)?;
    let mut number = 1;
    let home = loop {
        let path = dir.join(number.to_string());
        if let Some(lock) = lock(&path.with_extension(LOCK))? {
            break Home { path, _lock: lock };
        }
        number += 1;
    };
    let mut dead = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == LOCK)
            && path != home.path.with_extension(LOCK)
            && let Some(lock) = lock(&path)?
        {
            dead.push((path.with_extension(""), lock));
        }
    }
    Ok((home, dead))
}

/// Nothing if a living drone holds it.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let file = File::options().create(true).append(true).open(path)?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(None);
    }
    // Whoever held it may have removed it at that moment: it is a lock no longer.
    let is_named = fs::metadata(path).is_ok_and(|named| file.metadata().is_ok_and(|own| own.ino() == named.ino()));
    if is_named { Ok(Some(file)) } else { lock(path) }
}

impl Home {
    /// Removes what a dead drone has left in it; an error of the kind `NotFound`: nothing was there.
    fn empty(&self) -> io::Result<()> {
        fs::symlink_metadata(&self.path)?;
        remove_tree(&self.path)
    }

    /// Makes a folder that nobody else has.
    fn place(&self, name: &str) -> io::Result<PathBuf> {
        let mut number = 1;
        loop {
            let path = self.path.join(format!("{name}-{number}"));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(path),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(named(&path, "cannot be made", &error)),
            }
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // What fails here is left for the next drone, whose task it then is.
        let removed = remove_tree(&self.path).and_then(|()| fs::remove_file(self.path.with_extension(LOCK)));
        if let Err(error) = removed {
            tracing::warn!(%error, "the drone's folder of workspaces is left");
        }
    }
}

/// One job's folder. Removed by [`Self::remove`], or at last when dropped, which blocks.
pub struct Workspace {
    folder: PathBuf,
    path: PathBuf,
    scratch: PathBuf,
    removed: bool,
    _home: Arc<Home>,
}

impl Workspace {
    /// Where the source goes: an empty folder, for this user only.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A folder beside the source, for reports and temporary files; removed with it.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// Removes it, read-only folders included. An error names what is left; the next drone tries again.
    pub async fn remove(mut self) -> io::Result<()> {
        let remove = move || {
            self.removed = true;
            remove_tree(&self.folder)
        };
        tokio::task::spawn_blocking(remove).await.map_err(io::Error::other)?
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if !self.removed
            && let Err(error) = remove_tree(&self.folder)
        {
            tracing::warn!(%error, "a workspace is left");
        }
    }
}

fn make_private(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn named(path: &Path, what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{} {what}: {error}", path.display()))
}

/// Removes a folder with all that is in it. Links are removed, never followed.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    const TRIES: u32 = 4;
    let mut tries = 0;
    loop {
        tries += 1;
        match fs::remove_dir_all(path) {
            Ok(()) => return Ok(()),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound if fs::symlink_metadata(path).is_err() => return Ok(()),
                // Something was written, or went, meanwhile.
                io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound if tries < TRIES => {}
                io::ErrorKind::PermissionDenied if tries < TRIES => open_folders(path),
                _ => return Err(named(path, "cannot be removed", &error)),
            },
        }
    }
}

/// Lets its owner into a folder and all that are in it.
fn open_folders(path: &Path) {
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        // A failure shows when it is removed.
        let _ = fs::set_permissions(&folder, Permissions::from_mode(0o700));
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        let inner = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        folders.extend(inner.map(|entry| entry.path()));
    }
}
