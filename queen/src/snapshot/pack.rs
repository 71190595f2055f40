//! Many blobs as one pack.
//!
//! Owns the pack's format; its index is libgit2's work. Read next: `files.rs`.

use super::SnapshotError;
use git2::{Indexer, Oid};
use sha1::{Digest, Sha1};
use std::{
    collections::HashSet,
    io::{self, Read, Seek, Write},
    path::Path,
};
use tempfile::SpooledTempFile;

/// Bytes that are gathered in memory before they go to a file.
const IN_MEMORY: usize = 32 * 1024 * 1024;
/// The type of a blob in a pack.
const BLOB: u8 = 3;

/// Gathers blobs. The number of them stands first in a pack, so they wait until all are known.
pub(super) struct Packer {
    spool: SpooledTempFile,
    known: HashSet<Oid>,
}

impl Packer {
    /// Large packs wait in a file of `dir`.
    pub fn new(dir: &Path) -> Self {
        Self {
            spool: tempfile::spooled_tempfile_in(IN_MEMORY, dir),
            known: HashSet::new(),
        }
    }

    /// Adds a blob of `size` bytes that `packed` holds in zlib's form. One that is there already is left out.
    pub fn add(&mut self, id: Oid, size: u64, packed: &[u8]) -> io::Result<()> {
        if !self.known.insert(id) {
            return Ok(());
        }
        // Four bits of the size beside the type, then seven in each byte; the highest bit says that more follow.
        let mut header = Vec::with_capacity(10);
        let mut byte = (BLOB << 4) | (size & 0x0f) as u8;
        let mut rest = size >> 4;
        while rest > 0 {
            header.push(byte | 0x80);
            byte = (rest & 0x7f) as u8;
            rest >>= 7;
        }
        header.push(byte);
        self.spool.write_all(&header)?;
        self.spool.write_all(packed)
    }

    /// Writes the pack into the repository at `repo`; false if there was nothing to write.
    pub fn finish(mut self, repo: &Path) -> Result<bool, SnapshotError> {
        if self.known.is_empty() {
            return Ok(false);
        }
        let failed = SnapshotError::git(repo);
        let lost = |error| SnapshotError::io(repo, error);
        let count = u32::try_from(self.known.len()).map_err(|error| lost(io::Error::other(error)))?;
        let mut indexer = Indexer::new(None, &repo.join("objects/pack"), 0, false).map_err(&failed)?;
        let mut hash = Sha1::new();
        let mut header = b"PACK\0\0\0\x02".to_vec();
        header.extend_from_slice(&count.to_be_bytes());
        hash.update(&header);
        indexer.write_all(&header).map_err(lost)?;
        self.spool.rewind().map_err(lost)?;
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let length = self.spool.read(&mut buffer).map_err(lost)?;
            if length == 0 {
                break;
            }
            hash.update(&buffer[..length]);
            indexer.write_all(&buffer[..length]).map_err(lost)?;
        }
        indexer.write_all(&hash.finalize()).map_err(lost)?;
        indexer.commit().map_err(&failed)?;
        Ok(true)
    }
}
