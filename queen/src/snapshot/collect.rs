//! The tree of a work tree: the index's own knowledge for what has not changed, the files for what has.
//!
//! Owns the temporary index (in memory, never written back), submodules and the like. Read next: `files.rs`.

use super::{
    FILE_LIMIT, SnapshotError,
    files::{self, FILE, LINK, PROGRAM},
};
use git2::{AttrCheckFlags, Delta, DiffOptions, Index, IndexEntry, IndexTime, Odb, Oid, Repository};
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs, io,
    io::Write,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

const GITLINK: u32 = 0o160_000;
/// `git update-index --skip-worktree`, also what a sparse checkout leaves out.
const SKIP_WORKTREE: u16 = 1 << 14;
/// Repositories within repositories, at most.
const DEPTH: usize = 16;
/// No LFS pointer is longer.
const POINTER_LIMIT: u64 = 1024;

/// What was found.
pub(super) struct Collected {
    /// The tree of the whole work tree.
    pub tree: Oid,
    /// Files in the part that was asked for.
    pub files: usize,
    /// Of those, the ones that are not as HEAD has them, and the removed ones.
    pub changed: usize,
    /// The index that the tree was written from.
    index: Index,
}

/// Collects a work tree and those inside of it into one object database.
pub(super) struct Collector<'a> {
    odb: &'a Odb<'a>,
    scratch: &'a Path,
    depth: usize,
    /// Files that are too large.
    pub refused: Vec<PathBuf>,
}

/// Adds an object directory, and those that it borrows from, to what `scratch` borrows.
pub(super) fn borrow(scratch: &Path, objects: &Path) -> io::Result<()> {
    let mut list = Vec::new();
    chain(objects, &mut list, &mut BTreeSet::new());
    let mut file = fs::File::options()
        .create(true)
        .append(true)
        .open(scratch.join("objects/info/alternates"))?;
    for path in list {
        file.write_all(path.as_os_str().as_bytes())?;
        file.write_all(b"\n")?;
    }
    Ok(())
}

/// Flat and absolute, since relative entries are only followed from the first repository.
fn chain(objects: &Path, list: &mut Vec<PathBuf>, seen: &mut BTreeSet<PathBuf>) {
    let Ok(objects) = fs::canonicalize(objects) else {
        return;
    };
    if !seen.insert(objects.clone()) {
        return;
    }
    list.push(objects.clone());
    let alternates = fs::read(objects.join("info/alternates")).unwrap_or_default();
    for line in alternates.split(|byte| *byte == b'\n') {
        if !line.is_empty() && !line.starts_with(b"#") {
            chain(&objects.join(OsStr::from_bytes(line)), list, seen);
        }
    }
}

impl<'a> Collector<'a> {
    pub fn new(odb: &'a Odb<'a>, scratch: &'a Path) -> Self {
        Self {
            odb,
            scratch,
            depth: 0,
            refused: Vec::new(),
        }
    }

    /// Collects the work tree of `repo`; of its changes only those below `inside`.
    pub fn collect(&mut self, repo: &Repository, inside: &Path) -> Result<Collected, SnapshotError> {
        let root = repo.workdir().unwrap_or_else(|| repo.path()).to_owned();
        let failed = SnapshotError::git(&root);
        let head = repo.head().ok().and_then(|head| head.peel_to_tree().ok());
        let mut index = match repo.index() {
            Ok(index) => index,
            // A format that libgit2 does not read (split, sparse): begin with what HEAD has, and read every file.
            Err(_) => {
                let mut index = Index::new().map_err(&failed)?;
                if let Some(head) = &head {
                    index.read_tree(head).map_err(&failed)?;
                }
                repo.set_index(&mut index).map_err(&failed)?;
                index
            }
        };
        // From here on, whatever this handle writes lands in the scratch repository.
        repo.set_odb(self.odb).map_err(&failed)?;

        let links: Vec<Vec<u8>> = index
            .iter()
            .filter(|entry| entry.mode == GITLINK && below(&entry.path, inside))
            .map(|entry| entry.path)
            .collect();
        let mut nested = self.take_changes(repo, &root, &mut index, inside)?;
        let mut changed = changes_from(repo, head.as_ref(), &index, inside).map_err(&failed)?;
        self.take_lfs(repo, &root, &mut index, inside)?;
        for link in &links {
            index.remove(path_of(link), 0).map_err(&failed)?;
        }
        nested.extend(links);
        for path in nested {
            changed += self.take_repository(&root, &path, &mut index)?;
        }
        let tree = index.write_tree_to(repo).map_err(&failed)?;
        let files = index.iter().filter(|entry| below(&entry.path, inside)).count();
        Ok(Collected {
            tree,
            files,
            changed,
            index,
        })
    }

    /// Brings `index` to what the files are. Answers the repositories inside that it does not name as submodules.
    fn take_changes(
        &mut self,
        repo: &Repository,
        root: &Path,
        index: &mut Index,
        inside: &Path,
    ) -> Result<Vec<Vec<u8>>, SnapshotError> {
        let failed = SnapshotError::git(root);
        let mut options = DiffOptions::new();
        options
            .include_untracked(true)
            .recurse_untracked_dirs(true)
            .include_typechange(true)
            .include_unreadable_as_untracked(true)
            .ignore_submodules(true)
            .skip_binary_check(true);
        if !inside.as_os_str().is_empty() {
            options.pathspec(inside).disable_pathspec_match(true);
        }
        let changes: Vec<(Vec<u8>, Delta)> = {
            let diff = repo
                .diff_index_to_workdir(Some(index), Some(&mut options))
                .map_err(&failed)?;
            diff.deltas()
                .filter_map(|delta| {
                    let file = match delta.status() {
                        Delta::Deleted => delta.old_file(),
                        _ => delta.new_file(),
                    };
                    Some((file.path_bytes()?.to_owned(), delta.status()))
                })
                .collect()
        };
        let mut nested = Vec::new();
        let mut paths = Vec::with_capacity(changes.len());
        for (path, status) in changes {
            if path.ends_with(b"/") {
                nested.push(path[..path.len() - 1].to_owned());
                continue;
            }
            let left_out = |entry: IndexEntry| entry.flags_extended & SKIP_WORKTREE != 0;
            if status == Delta::Deleted && index.get_path(path_of(&path), 0).is_some_and(left_out) {
                continue;
            }
            paths.push(path);
        }
        // What is in conflict stands in the index more than once, and as it is in the file.
        let conflicts: BTreeSet<Vec<u8>> = index
            .iter()
            .filter(|entry| entry.flags >> 12 & 0x3 != 0)
            .map(|entry| entry.path)
            .collect();
        paths.extend(conflicts);
        self.take_files(repo, root, paths, index)?;
        Ok(nested)
    }

    /// Takes files as they stand, or takes them out where there are none any more.
    fn take_files(
        &mut self,
        repo: &Repository,
        root: &Path,
        paths: Vec<Vec<u8>>,
        index: &mut Index,
    ) -> Result<(), SnapshotError> {
        if paths.is_empty() {
            return Ok(());
        }
        let failed = SnapshotError::git(root);
        let trust_mode = repo
            .config()
            .and_then(|config| config.get_bool("core.filemode"))
            .unwrap_or(true);
        let taken = files::take(repo, self.odb, self.scratch, root, paths)?;
        for path in &taken.gone {
            // It may stand there as a conflict, or not at all.
            let _ = index.conflict_remove(path_of(path));
            let _ = index.remove(path_of(path), 0);
        }
        for file in taken.files {
            let known = index.get_path(path_of(&file.path), 0).map(|entry| entry.mode);
            let mode = match known {
                Some(mode @ (FILE | PROGRAM)) if !trust_mode && file.mode != LINK => mode,
                _ => file.mode,
            };
            let _ = index.conflict_remove(path_of(&file.path));
            index.add(&entry(file.path, mode, file.id)).map_err(&failed)?;
        }
        self.refused.extend(taken.refused);
        Ok(())
    }

    /// Files of Git LFS whose content is in the work tree: the index has only their pointers.
    fn take_lfs(
        &mut self,
        repo: &Repository,
        root: &Path,
        index: &mut Index,
        inside: &Path,
    ) -> Result<(), SnapshotError> {
        if !repo.commondir().join("lfs").is_dir() {
            return Ok(());
        }
        let candidates: Vec<Vec<u8>> = index
            .iter()
            .filter(|entry| {
                below(&entry.path, inside)
                    && u64::from(entry.file_size) > POINTER_LIMIT
                    && u64::from(entry.file_size) <= FILE_LIMIT
            })
            .map(|entry| entry.path)
            .filter(|path| {
                matches!(
                    repo.get_attr(path_of(path), "filter", AttrCheckFlags::FILE_THEN_INDEX),
                    Ok(Some("lfs"))
                )
            })
            .collect();
        self.take_files(repo, root, candidates, index)
    }

    /// A submodule or another repository inside: its work tree becomes a folder. Answers how many files have changed
    /// in it. Where nothing is checked out there is nothing.
    fn take_repository(&mut self, root: &Path, path: &[u8], index: &mut Index) -> Result<usize, SnapshotError> {
        let whole = root.join(path_of(path));
        if !whole.join(".git").exists() || self.depth >= DEPTH {
            return Ok(0);
        }
        let failed = SnapshotError::git(&whole);
        let repo = Repository::open(&whole).map_err(&failed)?;
        let objects = repo.commondir().join("objects");
        borrow(self.scratch, &objects).map_err(|error| SnapshotError::io(self.scratch, error))?;
        let mut list = Vec::new();
        chain(&objects, &mut list, &mut BTreeSet::new());
        for objects in list {
            if let Some(objects) = objects.to_str() {
                self.odb.add_disk_alternate(objects).map_err(&failed)?;
            }
        }
        self.depth += 1;
        let collected = self.collect(&repo, Path::new(""));
        self.depth -= 1;
        let collected = collected?;
        for inner in collected.index.iter() {
            let path = [path, b"/", &inner.path].concat();
            index.add(&entry(path, inner.mode, inner.id)).map_err(&failed)?;
        }
        Ok(collected.changed)
    }
}

/// How many files of `index` are not as HEAD has them.
fn changes_from(
    repo: &Repository,
    head: Option<&git2::Tree<'_>>,
    index: &Index,
    inside: &Path,
) -> Result<usize, git2::Error> {
    let mut options = DiffOptions::new();
    options.ignore_submodules(true);
    if !inside.as_os_str().is_empty() {
        options.pathspec(inside).disable_pathspec_match(true);
    }
    let diff = repo.diff_tree_to_index(head, Some(index), Some(&mut options))?;
    Ok(diff.deltas().len())
}

fn below(path: &[u8], inside: &Path) -> bool {
    inside.as_os_str().is_empty()
        || path
            .strip_prefix(inside.as_os_str().as_bytes())
            .is_some_and(|rest| rest.first() == Some(&b'/'))
}

pub(super) fn path_of(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

fn entry(path: Vec<u8>, mode: u32, id: Oid) -> IndexEntry {
    IndexEntry {
        ctime: IndexTime::new(0, 0),
        mtime: IndexTime::new(0, 0),
        dev: 0,
        ino: 0,
        mode,
        uid: 0,
        gid: 0,
        file_size: 0,
        id,
        flags: 0,
        flags_extended: 0,
        path,
    }
}
