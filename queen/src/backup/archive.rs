//! Files into a tar and out of it, each counted and hashed on its way.

use super::{BackupError, HEAD, Head, Listed, MANIFEST, Manifest, at};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, BufWriter, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Component, Path, PathBuf},
};

/// The most bytes of a description in the archive.
const DESCRIPTION: u64 = 256 * 1024 * 1024;

/// An archive that grows.
pub struct Writer {
    tar: tar::Builder<BufWriter<File>>,
    path: PathBuf,
    manifest: Manifest,
}

impl Writer {
    /// Begins an archive that only its owner can read.
    pub fn create(path: &Path) -> Result<Self, BackupError> {
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(at(path))?;
        Ok(Self {
            tar: tar::Builder::new(BufWriter::new(file)),
            path: path.to_owned(),
            manifest: Manifest::default(),
        })
    }

    /// Says what the archive is.
    pub fn head(&mut self, head: &Head) -> Result<(), BackupError> {
        self.describe(HEAD, head)
    }

    /// Adds a file that does not change, or only grows.
    pub fn add_file(&mut self, name: &str, path: &Path) -> Result<(), BackupError> {
        let file = File::open(path).map_err(at(path))?;
        let bytes = file.metadata().map_err(at(path))?.len();
        self.add(name, bytes, file.take(bytes))
    }

    /// Adds some bytes.
    pub fn add_bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), BackupError> {
        self.add(name, bytes.len() as u64, bytes)
    }

    fn add(&mut self, name: &str, bytes: u64, from: impl Read) -> Result<(), BackupError> {
        let mut from = Hashing::new(from);
        self.append(name, bytes, &mut from)?;
        let (read, sha256) = from.end();
        if read != bytes {
            return Err(at(&self.path)(io::Error::other(format!(
                "{name} became shorter while it was read"
            ))));
        }
        self.manifest.files.push(Listed {
            name: name.to_owned(),
            bytes,
            sha256,
        });
        Ok(())
    }

    fn append(&mut self, name: &str, bytes: u64, from: impl Read) -> Result<(), BackupError> {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes);
        header.set_mode(0o600);
        header.set_entry_type(tar::EntryType::Regular);
        self.tar.append_data(&mut header, name, from).map_err(at(&self.path))
    }

    fn describe(&mut self, name: &str, what: &impl Serialize) -> Result<(), BackupError> {
        let text = serde_json::to_vec_pretty(what).map_err(|error| at(&self.path)(error.into()))?;
        self.append(name, text.len() as u64, &*text)
    }

    /// Ends the archive, on the disk; answers its bytes.
    pub fn finish(mut self) -> Result<u64, BackupError> {
        let manifest = std::mem::take(&mut self.manifest);
        self.describe(MANIFEST, &manifest)?;
        let file = self.tar.into_inner().and_then(|buffer| Ok(buffer.into_inner()?));
        let synced = file.and_then(|file| {
            file.sync_all()?;
            Ok(file.metadata()?.len())
        });
        synced.map_err(at(&self.path))
    }
}

/// Reads what the archive at `path` is of.
pub fn head(path: &Path) -> Result<Head, BackupError> {
    let mut tar = open(path)?;
    let first = tar.entries().map_err(at(path))?.next();
    match first {
        Some(Ok(entry)) if name_of(&entry).as_deref() == Some(HEAD) => read(path, entry),
        _ => Err(bad(path, "it does not begin as one")),
    }
}

/// Unpacks everything that the archive at `path` holds into `folder`, and checks that it is what was put in.
pub fn unpack(path: &Path, folder: &Path) -> Result<(), BackupError> {
    let mut tar = open(path)?;
    let mut found = Vec::new();
    let mut manifest = None;
    for entry in tar.entries().map_err(at(path))? {
        let entry = entry.map_err(|error| bad(path, &error.to_string()))?;
        let name = name_of(&entry).ok_or_else(|| bad(path, "it has a file with a name that does not belong there"))?;
        match &*name {
            HEAD => {}
            MANIFEST => manifest = Some(read::<Manifest>(path, entry)?),
            _ => found.push(unpack_one(path, folder, name, entry)?),
        }
    }
    let manifest = manifest.ok_or_else(|| bad(path, "it is cut off before its end"))?;
    match manifest
        .files
        .iter()
        .zip(&found)
        .find(|(listed, found)| listed != found)
    {
        Some((listed, _)) => Err(bad(path, &format!("{} is damaged in it", listed.name))),
        None if manifest.files.len() != found.len() => Err(bad(path, "not everything is in it that it lists")),
        None => Ok(()),
    }
}

fn unpack_one(path: &Path, folder: &Path, name: String, entry: impl Read) -> Result<Listed, BackupError> {
    let to = folder.join(&name);
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(at(parent))?;
    }
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&to)
        .map_err(at(&to))?;
    let mut from = Hashing::new(entry);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let count = from
            .read(&mut buffer)
            .map_err(|error| bad(path, &format!("{name}: {error}")))?;
        if count == 0 {
            break;
        }
        file.write_all(&buffer[..count]).map_err(at(&to))?;
    }
    file.sync_all().map_err(at(&to))?;
    let (bytes, sha256) = from.end();
    Ok(Listed { name, bytes, sha256 })
}

fn open(path: &Path) -> Result<tar::Archive<BufReader<File>>, BackupError> {
    Ok(tar::Archive::new(BufReader::new(File::open(path).map_err(at(path))?)))
}

/// The name of a plain file that stays below the folder it is unpacked to.
fn name_of(entry: &tar::Entry<'_, impl Read>) -> Option<String> {
    let path = entry.path().ok()?;
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    let file = entry.header().entry_type() == tar::EntryType::Regular;
    (plain && file).then(|| path.to_str().map(ToOwned::to_owned))?
}

fn read<T: DeserializeOwned>(path: &Path, entry: impl Read) -> Result<T, BackupError> {
    let mut text = Vec::new();
    let done = entry.take(DESCRIPTION).read_to_end(&mut text);
    done.map_err(|error| bad(path, &error.to_string()))?;
    serde_json::from_slice(&text).map_err(|error| bad(path, &error.to_string()))
}

pub fn bad(path: &Path, why: &str) -> BackupError {
    BackupError::NoBackup {
        path: path.to_owned(),
        why: why.to_owned(),
    }
}

/// Counts and hashes what is read through it.
struct Hashing<R> {
    inner: R,
    bytes: u64,
    hash: Sha256,
}

impl<R: Read> Hashing<R> {
    fn new(inner: R) -> Self {
        Self {
            inner,
            bytes: 0,
            hash: Sha256::new(),
        }
    }

    fn end(self) -> (u64, String) {
        let hash = self.hash.finalize();
        (self.bytes, hash.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bytes += count as u64;
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
}
