//! Where the database's file is: SQLite does not notice that it was taken away, and would go on writing to a file that
//! nobody finds again.
//!
//! Knows no SQL. Read next: `mod.rs`, which asks before it says that something is written.

use crate::store::{StoreError, home::at};
use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// A database's file under a name, and its write-ahead log beside it.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    file: (u64, u64),
    log: PathBuf,
}

impl Place {
    /// The file that is there now.
    pub fn of(path: &Path) -> Result<Self, StoreError> {
        let meta = fs::metadata(path).map_err(at(path))?;
        Ok(Self {
            path: path.to_owned(),
            file: (meta.dev(), meta.ino()),
            log: path.with_extension("db-wal"),
        })
    }

    /// Fails if the name leads to another file, an empty one, or none, or if the log is gone. Costs two system calls.
    pub fn check(&self) -> Result<(), StoreError> {
        let moved = |path: &Path, what| {
            Err(StoreError::Moved {
                path: path.to_owned(),
                what,
            })
        };
        let meta = match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return moved(&self.path, GONE),
            found => found.map_err(at(&self.path))?,
        };
        if (meta.dev(), meta.ino()) != self.file {
            return moved(&self.path, REPLACED);
        }
        if meta.len() == 0 {
            return moved(&self.path, EMPTIED);
        }
        match fs::metadata(&self.log) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => moved(&self.log, GONE),
            found => found.map(drop).map_err(at(&self.log)),
        }
    }
}

const GONE: &str = "is gone: put it back, or stop the queen and put back a backup of the data directory";
const EMPTIED: &str = "was emptied while the queen runs: stop the queen and put back a backup of the data directory";
const REPLACED: &str =
    "was replaced while the queen runs: put back the file that was there, or start the queen again to use this one";
