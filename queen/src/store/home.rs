//! A queen's data directory: its lock and the key that secrets are sealed with. The database may be elsewhere.

use super::{
    StoreError,
    seal::{KEY_BYTES, Sealer},
};
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

const LOCK: &str = "queen.lock";
const KEY: &str = "secret.key";
/// There while a restore moves files: what lies beside it is neither the old data nor the new.
pub const RESTORING: &str = "restore.unfinished";
/// What a database keeps under the key, to know it again; the name is bound into the seal.
pub const KEY_CHECK: &str = "key-check";

/// A data directory that is ours alone as long as this is kept.
#[derive(Debug)]
pub struct Home {
    dir: PathBuf,
    /// Held as long as the directory is in use.
    _lock: File,
}

impl Home {
    /// Makes the directory if it is not there and locks it.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let home = Self::lock(dir)?;
        match dir.join(RESTORING).exists() {
            true => Err(StoreError::HalfRestored(dir.to_owned())),
            false => Ok(home),
        }
    }

    /// The same without a look at what is in there.
    pub fn lock(dir: &Path) -> Result<Self, StoreError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(at(dir))?;
        let path = dir.join(LOCK);
        let file = owned(&path).map_err(at(&path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self {
                dir: dir.to_owned(),
                _lock: file,
            }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::InUse(dir.to_owned())),
            Err(error) => Err(at(&path)(error.into())),
        }
    }

    /// Reads the key, or makes it for a new database. A database knows its key again by `check`: with another one its
    /// secrets would be lost, and the queen says so now rather than when a job needs them. The second value is what a
    /// new database is to keep as its check.
    pub fn sealer(&self, check: Option<&[u8]>) -> Result<(Sealer, Option<Vec<u8>>), StoreError> {
        let path = self.dir.join(KEY);
        let key = match (read_key(&path).map_err(at(&path))?, check) {
            (Some(key), _) => key,
            (None, None) => make_key(&path).map_err(at(&path))?,
            (None, Some(_)) => {
                return Err(bad(&path)(
                    "the key of this database is gone: put it back from a backup, or give another data directory",
                ));
            }
        };
        let sealer = Sealer::new(&key);
        match check {
            Some(check) => {
                sealer.open(KEY_CHECK, check).map_err(|_| {
                    bad(&path)(
                        "this is not the key that the database was written with: put that one back from a backup",
                    )
                })?;
                Ok((sealer, None))
            }
            None => {
                let check = sealer
                    .seal(KEY_CHECK, b"")
                    .map_err(|error| StoreError::Refused(error.to_string()))?;
                Ok((sealer, Some(check)))
            }
        }
    }
}

/// Fails unless the key in the data directory `dir`, which may be in use, is the one of the database with this `check`.
pub fn fits(dir: &Path, check: &[u8]) -> Result<(), StoreError> {
    let path = dir.join(KEY);
    let key = read_key(&path).map_err(at(&path))?;
    match key.map(|key| Sealer::new(&key).open(KEY_CHECK, check)) {
        Some(Ok(_)) => Ok(()),
        _ => Err(bad(&path)(
            "this is not the key that the database was written with: give the data directory that belongs to it",
        )),
    }
}

fn bad(path: &Path) -> impl FnOnce(&str) -> StoreError + use<> {
    let at = at(path);
    move |message| at(io::Error::new(io::ErrorKind::InvalidData, message))
}

/// Says which file an error is of.
pub fn at(path: &Path) -> impl FnOnce(io::Error) -> StoreError + use<> {
    let path = path.to_owned();
    move |error| StoreError::File { path, error }
}

/// Opens a file to be read and written, made with mode 0600 if it is not there.
pub fn owned(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path)
}

fn read_key(path: &Path) -> io::Result<Option<[u8; KEY_BYTES]>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(mut file) => file.read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let found = bytes.len();
    bytes.try_into().map(Some).map_err(|_| {
        let message = format!("it has {found} bytes, a key has {KEY_BYTES}: put the right one back from a backup");
        io::Error::new(io::ErrorKind::InvalidData, message)
    })
}

fn make_key(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let key: [u8; KEY_BYTES] = rand::random();
    // Under another name first, so that a queen killed here never leaves half a key.
    let draft = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(&key)?;
    file.sync_all()?;
    std::fs::rename(draft, path)?;
    Ok(key)
}
