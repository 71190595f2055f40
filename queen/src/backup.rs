//! A queen in one file: taken while she runs, put back whole or not at all.
//!
//! Owns the form of the file, a plain tar: first what it is ([`Head`]), then the database, the key and the repositories,
//! at last the [`Manifest`] with the length and the SHA-256 of each, so that a file that was cut off or damaged is never
//! taken for a backup. Knows directories and databases, not the engine: it works beside a queen that runs, as a process of
//! its own. Read next: `backup/make.rs`, `backup/restore.rs`; both lean on `backup/archive.rs`.

mod archive;
mod make;
mod restore;

pub use make::{Made, backup};
pub use restore::{Put, restore};

use crate::{git_http::GitHttpError, store::StoreError};
use serde::{Deserialize, Serialize};
use std::{
    io,
    path::{Path, PathBuf},
};

/// What the form of the file is called; a later one has another number.
const FORM: u32 = 1;
/// Names in the archive that are not the data's own.
const HEAD: &str = "skep-backup.json";
const MANIFEST: &str = "manifest.json";
/// The tables of a database on a server.
const TABLES: &str = "postgres";
/// Names in a data directory.
const DATABASE: &str = "skep.db";
const KEY: &str = "secret.key";
const GIT: &str = "git";

/// What a backup is of.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Head {
    /// Form of the file.
    pub form: u32,
    /// The queen that made it.
    pub version: String,
    /// When, as Unix milliseconds.
    pub made: i64,
    /// Its kind.
    pub database: Kind,
    /// Version of the database's schema.
    pub schema: i64,
}

/// Where a queen's database is.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// In her data directory.
    Sqlite,
    /// On a PostgreSQL server.
    Postgres,
}

impl Kind {
    /// The name of its file in the archive, or of the folder of its tables.
    fn name(self) -> &'static str {
        match self {
            Self::Sqlite => DATABASE,
            Self::Postgres => TABLES,
        }
    }
}

/// What must be in the archive.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Manifest {
    files: Vec<Listed>,
}

#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
struct Listed {
    name: String,
    bytes: u64,
    sha256: String,
}

/// Why a backup could not be made or put back. Nothing was changed, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Nothing to back up.
    #[error("{} holds no queen's data: give her data directory with --data", .0.display())]
    NoData(PathBuf),
    /// The database is not in the data directory.
    #[error(
        "{} has a key but no database: if that one is on a PostgreSQL server, say where with --database or QUEEN_DATABASE",
        .0.display()
    )]
    Elsewhere(PathBuf),
    /// Nothing is ever written over.
    #[error("{} is there already: choose another name, or remove it first", .0.display())]
    Exists(PathBuf),
    /// Not made by this program, or not whole.
    #[error("{} is no whole backup of a queen: {why}", path.display())]
    NoBackup {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A newer queen made it.
    #[error(
        "{} was made by queen {version}, with a database that this one does not know yet: restore it with that version or a newer one",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Who made it.
        version: String,
    },
    /// It belongs into another kind of database.
    #[error("{} is of a queen {}", path.display(), match of {
        Kind::Sqlite => "with her database in the data directory: restore it without --database and QUEEN_DATABASE",
        Kind::Postgres => "with a PostgreSQL database: say with --database or QUEEN_DATABASE into which empty one it goes",
    })]
    OtherKind {
        /// The file.
        path: PathBuf,
        /// What it is of.
        of: Kind,
    },
    /// There is something in the place.
    #[error(
        "{} holds a queen's data already: restore into another directory, or give --force to put what is there aside",
        .0.display()
    )]
    Occupied(PathBuf),
    /// A file cannot be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A repository.
    #[error("a repository cannot be read: {0}")]
    Git(#[from] GitHttpError),
}

/// Says which file an error is of.
fn at(path: &Path) -> impl FnOnce(io::Error) -> BackupError + use<> {
    let path = path.to_owned();
    move |error| BackupError::File { path, error }
}

/// Makes names durable that were made, moved or removed in a directory.
fn sync_dir(dir: &Path) -> Result<(), BackupError> {
    std::fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(at(dir))
}
