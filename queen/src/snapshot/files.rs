//! New and changed files on their way into the scratch repository: read, hashed and compressed on all cores, written as
//! one pack. One file for each object would take ten times as long.
//!
//! Owns what becomes of each kind of file. Read next: `pack.rs`.

use super::{FILE_LIMIT, SnapshotError, collect::path_of, pack::Packer};
use flate2::{Compress, Compression, FlushCompress, Status};
use git2::{AttrCheckFlags, ErrorCode, ObjectType, Odb, OdbLookupFlags, Oid, Repository};
use std::{
    fs::{self, Metadata},
    io,
    num::NonZeroUsize,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
};

/// The modes of a tree's entries.
pub(super) const FILE: u32 = 0o100_644;
pub(super) const PROGRAM: u32 = 0o100_755;
pub(super) const LINK: u32 = 0o120_000;

/// More threads than this only wait for the disk.
const THREADS: usize = 8;
/// Fewer files than this are not worth a thread.
const SHARE: usize = 64;

/// A file whose content is in the scratch repository.
pub(super) struct Taken {
    pub path: Vec<u8>,
    pub mode: u32,
    pub id: Oid,
}

/// What became of the files.
#[derive(Default)]
pub(super) struct TakenFiles {
    pub files: Vec<Taken>,
    /// Not there any more, or a pipe, a socket, a folder.
    pub gone: Vec<Vec<u8>>,
    /// Too large.
    pub refused: Vec<PathBuf>,
}

/// What one file is.
enum Seen {
    Content {
        mode: u32,
        id: Oid,
        size: u64,
        packed: Vec<u8>,
    },
    /// Its line ends or keywords have to be changed if the repository's rules say so.
    Convertible {
        mode: u32,
        bytes: Vec<u8>,
    },
    Gone,
    TooLarge,
    Failed(io::Error),
}

/// Takes the files at `paths`, which are relative to `root`. They come back in any order.
pub(super) fn take(
    repo: &Repository,
    odb: &Odb<'_>,
    scratch: &Path,
    root: &Path,
    paths: Vec<Vec<u8>>,
) -> Result<TakenFiles, SnapshotError> {
    let mut taken = TakenFiles::default();
    let converts = match repo.config().and_then(|config| config.get_bool("core.autocrlf")) {
        Ok(converts) => converts,
        // `input` is no boolean.
        Err(error) => error.code() != ErrorCode::NotFound,
    };
    let mut zlib = Compress::new(Compression::fast(), true);
    let mut packer = Packer::new(scratch);
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = (paths.len() / SHARE).clamp(1, cores.min(THREADS));
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| -> Result<(), SnapshotError> {
        let (send, receive) = mpsc::sync_channel(2 * threads);
        for _ in 0..threads {
            let (send, next, paths) = (send.clone(), &next, &paths);
            scope.spawn(move || {
                let mut zlib = Compress::new(Compression::fast(), true);
                while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let seen = look(&root.join(path_of(path)), &mut zlib).unwrap_or_else(Seen::Failed);
                    if send.send((path, seen)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        for (path, seen) in receive {
            let whole = root.join(path_of(path));
            let seen = match seen {
                Seen::Convertible { mode, bytes } if !(converts || has_rule(repo, path_of(path))) => {
                    content(mode, &bytes, &mut zlib).map_err(|error| SnapshotError::io(&whole, error))?
                }
                seen => seen,
            };
            let (mode, id) = match seen {
                Seen::Content { mode, id, size, packed } => {
                    if !odb.exists_ext(id, OdbLookupFlags::NO_REFRESH) {
                        packer
                            .add(id, size, &packed)
                            .map_err(|error| SnapshotError::io(scratch, error))?;
                    }
                    (mode, id)
                }
                Seen::Convertible { mode, .. } => (mode, repo.blob_path(&whole).map_err(SnapshotError::git(&whole))?),
                Seen::Gone => {
                    taken.gone.push(path.clone());
                    continue;
                }
                Seen::TooLarge => {
                    taken.refused.push(whole);
                    continue;
                }
                Seen::Failed(error) => return Err(SnapshotError::io(&whole, error)),
            };
            let path = path.clone();
            taken.files.push(Taken { path, mode, id });
        }
        Ok(())
    })?;
    if packer.finish(scratch)? {
        odb.refresh().map_err(SnapshotError::git(scratch))?;
    }
    taken.files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    taken.refused.sort();
    Ok(taken)
}

/// True if attributes name `path` that may change what git stores of it. libgit2 knows the rules, but writes one file for
/// each object.
fn has_rule(repo: &Repository, path: &Path) -> bool {
    ["text", "crlf", "eol", "ident", "filter"].iter().any(|name| {
        let value = repo.get_attr(path, name, AttrCheckFlags::FILE_THEN_INDEX);
        !matches!(value, Ok(None))
    })
}

fn look(path: &Path, zlib: &mut Compress) -> io::Result<Seen> {
    let missing = |error: &io::Error| matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
    let data = match fs::symlink_metadata(path) {
        Ok(data) => data,
        Err(error) if missing(&error) => return Ok(Seen::Gone),
        Err(error) => return Err(error),
    };
    if data.is_symlink() {
        let target = fs::read_link(path)?;
        return content(LINK, target.as_os_str().as_bytes(), zlib);
    }
    if !data.is_file() {
        return Ok(Seen::Gone);
    }
    if data.len() > FILE_LIMIT {
        return Ok(Seen::TooLarge);
    }
    let bytes = fs::read(path)?;
    let mode = mode(&data);
    if memchr::memmem::find(&bytes, b"\r\n").is_some() || memchr::memmem::find(&bytes, b"$Id").is_some() {
        return Ok(Seen::Convertible { mode, bytes });
    }
    content(mode, &bytes, zlib)
}

fn mode(data: &Metadata) -> u32 {
    if data.permissions().mode() & 0o100 != 0 {
        PROGRAM
    } else {
        FILE
    }
}

fn content(mode: u32, bytes: &[u8], zlib: &mut Compress) -> io::Result<Seen> {
    let id = Oid::hash_object(ObjectType::Blob, bytes).map_err(io::Error::other)?;
    // One compressor for many files: a new one costs more than a small file does.
    zlib.reset();
    let mut packed = Vec::with_capacity(bytes.len() / 2 + 64);
    loop {
        let rest = bytes.get(usize::try_from(zlib.total_in()).unwrap_or(usize::MAX)..);
        let status = zlib
            .compress_vec(rest.unwrap_or_default(), &mut packed, FlushCompress::Finish)
            .map_err(io::Error::other)?;
        if status == Status::StreamEnd {
            break;
        }
        packed.reserve(packed.capacity());
    }
    Ok(Seen::Content {
        mode,
        id,
        size: bytes.len() as u64,
        packed,
    })
}
