//! The drone's folder: its id, the lock against a second drone, and where everything else lies.
//!
//! It knows what lies where and nothing of what is in it. Nothing here is precious: a drone that loses its folder is a
//! new drone.

use shared::DroneId;
use std::{
    fs::{self, File, TryLockError},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};

/// An open data folder. No other drone can have it while this value lives.
#[derive(Debug)]
pub struct Data {
    dir: PathBuf,
    drone: DroneId,
    /// The lock ends with the file's handle.
    _lock: File,
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// Another drone has it.
    #[error("another drone{holder} uses {dir}: stop it, or give this one a folder of its own with --data")]
    Taken {
        /// Which folder.
        dir: PathBuf,
        /// " (process 123)", or nothing.
        holder: String,
    },
    /// It cannot be read or written.
    #[error("{path} cannot be used: {error}; give a folder that this user may write to with --data")]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl Data {
    /// Opens the folder, makes it if there is none, and takes its lock. Blocks shortly.
    pub fn open(dir: &Path, name: &str) -> Result<Self, DataError> {
        let fail = |path: &Path| {
            let path = path.to_owned();
            move |error| DataError::Io { path, error }
        };
        fs::create_dir_all(dir).map_err(fail(dir))?;
        let path = dir.join("lock");
        let mut lock = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(fail(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let holder = match lock.read_to_string(&mut text) {
                    Ok(_) if !text.trim().is_empty() => format!(" (process {})", text.trim()),
                    _ => String::new(),
                };
                return Err(DataError::Taken {
                    dir: dir.to_owned(),
                    holder,
                });
            }
            Err(TryLockError::Error(error)) => return Err(fail(&path)(error)),
        }
        let note = format!("{}\n", std::process::id());
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| lock.write_all(note.as_bytes()))
            .map_err(fail(&path))?;
        let drone = identity(&dir.join("drone-id"), name)?;
        Ok(Self {
            dir: dir.to_owned(),
            drone,
            _lock: lock,
        })
    }

    /// The drone's id, the same over restarts.
    #[must_use]
    pub fn drone(&self) -> &DroneId {
        &self.drone
    }

    /// Mirrors of repositories.
    #[must_use]
    pub fn mirrors(&self) -> PathBuf {
        self.dir.join("mirrors")
    }

    /// Workspaces of jobs.
    #[must_use]
    pub fn workspaces(&self) -> PathBuf {
        self.dir.join("workspaces")
    }

    /// Folders of jobs that are kept for the next one.
    #[must_use]
    pub fn kept(&self) -> PathBuf {
        self.dir.join("kept")
    }

    /// What warm workers leave for later jobs.
    #[must_use]
    pub fn warm(&self) -> PathBuf {
        self.dir.join("warm")
    }

    /// Messages that do not fit into memory.
    #[must_use]
    pub fn outbox(&self) -> PathBuf {
        self.dir.join("outbox")
    }
}

/// Reads the id, or makes one. An unreadable one is replaced: the queen then sees a new drone.
fn identity(path: &Path, name: &str) -> Result<DroneId, DataError> {
    let fail = |error| DataError::Io {
        path: path.to_owned(),
        error,
    };
    match fs::read_to_string(path) {
        Ok(text) => {
            if let Ok(id) = DroneId::new(text.trim()) {
                return Ok(id);
            }
            tracing::warn!(path = %path.display(), "the drone's id cannot be read; it gets a new one");
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(fail(error)),
    }
    // People meet the id in every event: it begins with the name, and its end keeps it apart from a namesake's.
    let name: String = name
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c))
        .take(40)
        .collect();
    let unique = uuid::Uuid::new_v4().simple().to_string();
    let text = format!("{}-{}", if name.is_empty() { "drone" } else { &name }, &unique[..8]);
    let id = DroneId::new(&text).map_err(|error| fail(io::Error::other(error)))?;
    let fresh = path.with_extension("new");
    fs::write(&fresh, format!("{text}\n")).map_err(fail)?;
    fs::rename(&fresh, path).map_err(fail)?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_stays_and_a_second_drone_is_kept_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/er");
        let first = Data::open(&path, "host.example").unwrap();
        let id = first.drone().clone();
        let error = Data::open(&path, "host.example").unwrap_err().to_string();
        assert!(
            error.contains("--data") && error.contains(&std::process::id().to_string()),
            "{error}"
        );
        drop(first);
        assert_eq!(*Data::open(&path, "host.example").unwrap().drone(), id);
    }

    #[test]
    fn a_broken_id_is_replaced_and_a_folder_that_cannot_be_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("drone-id"), "not / an id").unwrap();
        assert!(
            Data::open(dir.path(), "host.example")
                .unwrap()
                .drone()
                .as_str()
                .starts_with("host.example-")
        );
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Data::open(&file, "host.example").unwrap_err().to_string();
        assert!(error.contains("file cannot be used"), "{error}");
    }
}
