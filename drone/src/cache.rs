//! What is kept between jobs and may take only so much: what was not used for the longest time goes first.
//!
//! Owns the limit. Must not know what the things are: mirrors are `source/mirrors.rs`'s, folders of work trees `kept.rs`'s.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// One thing that can be had again.
pub struct Item {
    /// When it was last used.
    pub used: SystemTime,
    /// What it takes.
    pub bytes: u64,
    /// Removes it; false if somebody uses it.
    pub remove: Box<dyn FnOnce() -> io::Result<bool> + Send>,
}

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shrunk {
    /// How many.
    pub items: usize,
    /// Bytes that they took.
    pub bytes: u64,
}

/// Removes what nobody uses, the one first whose last use is the longest ago, until what is left takes at most `limit`
/// bytes or is in use. Blocks.
pub fn shrink(mut items: Vec<Item>, limit: u64) -> io::Result<Shrunk> {
    items.sort_by_key(|item| (item.used, item.bytes));
    let mut total: u64 = items.iter().map(|item| item.bytes).sum();
    let mut shrunk = Shrunk::default();
    for item in items {
        if total <= limit {
            break;
        }
        if (item.remove)()? {
            total = total.saturating_sub(item.bytes);
            shrunk.items += 1;
            shrunk.bytes += item.bytes;
        }
    }
    Ok(shrunk)
}

/// The folders in `path`; none if there is no such folder.
pub fn folders(path: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(path) {
        Ok(entries) => Ok(entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
            .collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// What the files below take together. What vanishes meanwhile takes nothing; links are not followed.
#[must_use]
pub fn bytes_below(path: &Path) -> u64 {
    let mut bytes = 0;
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => folders.push(entry.path()),
                Ok(meta) => bytes += meta.len(),
                Err(_) => {}
            }
        }
    }
    bytes
}
