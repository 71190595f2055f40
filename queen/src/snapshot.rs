//! A work tree as it stands, uncommitted and untracked files too, as a commit that nobody else sees.
//!
//! Owns the scratch repository: it borrows the objects of the user's and holds what is new. Nothing of the user's is
//! written: not the index, not a ref, not an object, not a file (an object that is already there may get a fresh time,
//! as `git add` does, so that no `git gc` takes it from under the snapshot). Blocks: call it from a blocking task.
//!
//! What is taken:
//! - The root of a work tree: everything that is tracked, and what is untracked and not ignored, as it stands.
//! - A folder inside a work tree: that folder alone, as a tree of its own and without history; the ignore rules of the
//!   repository around it hold. A folder that those rules ignore stands for itself, as if there were no repository.
//! - A folder that is in no repository: all files that its `.gitignore` files do not name.
//! - Submodules and repositories inside the tree become plain folders, so that nobody needs access to them.
//! - A Git LFS file is taken as it stands in the work tree: content where there is content, a pointer where not.
//!
//! Equal trees over equal parents give equal commits; a tree without changes is HEAD itself.
//! Knows nothing of jobs. Read next: `snapshot/collect.rs`, `snapshot/files.rs`, `snapshot/push.rs`, `git_http.rs`.

mod collect;
mod files;
mod pack;
mod project;
mod push;

pub use push::push;

use collect::Collector;
use git2::{ErrorCode, Oid, Repository, Signature, Time};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Once,
};

/// New or changed files may have this many bytes.
pub const FILE_LIMIT: u64 = 100 * 1024 * 1024;

/// A work tree as a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// A bare scratch repository; it borrows the objects of the user's.
    pub repo: PathBuf,
    /// The commit's id.
    pub commit: String,
    /// The branch that is checked out, unless HEAD is detached.
    pub branch: Option<String>,
    /// The commit that HEAD names; `None` before the first commit and outside of a repository.
    pub head: Option<String>,
    /// `owner/name` from the origin remote, else `local/<folder>`; a folder inside of a work tree adds its own path.
    pub project_hint: String,
    /// How many files are not as HEAD has them, new and removed ones too.
    pub changed: usize,
    /// How many files the snapshot has.
    pub files: usize,
}

/// Why a snapshot could not be made or handed over.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// There is no such folder.
    #[error("{} is no folder", .0.display())]
    NoFolder(PathBuf),
    /// A bare repository has no files.
    #[error("{} is a bare repository: it has no work tree to run; clone it and run the clone", .0.display())]
    Bare(PathBuf),
    /// Nothing to take.
    #[error("{} has no files that are not ignored: there is nothing to run", .0.display())]
    Empty(PathBuf),
    /// Files that are too large.
    #[error(
        "{}: more than {} MiB; add {} to .gitignore, or keep large files elsewhere",
        .0.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "),
        FILE_LIMIT / 1024 / 1024,
        if .0.len() == 1 { "it" } else { "them" }
    )]
    TooLarge(Vec<PathBuf>),
    /// A file cannot be read, or the scratch repository not be written.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// libgit2 cannot read the repository.
    #[error("cannot read the repository at {}: {}", path.display(), error.message())]
    Git {
        /// The folder.
        path: PathBuf,
        /// libgit2's words.
        error: git2::Error,
    },
    /// The queen does not take it.
    #[error("cannot hand the work tree over to {url}: {detail}")]
    Push {
        /// The queen's address, without credentials.
        url: String,
        /// What happened, and what to do.
        detail: String,
    },
}

impl SnapshotError {
    fn io(path: &Path, error: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            error,
        }
    }

    fn git(path: &Path) -> impl Fn(git2::Error) -> Self + '_ {
        move |error| Self::Git {
            path: path.to_owned(),
            error,
        }
    }
}

/// The folder to take, and the repository around it.
struct Source {
    /// The folder as asked for.
    dir: PathBuf,
    /// The repository, unless there is none.
    repo: Option<Repository>,
    /// From the root of the work tree to `dir`; empty: the whole work tree.
    inside: PathBuf,
}

/// Takes a snapshot of `dir`. `scratch` is an existing, empty directory that must live as long as the snapshot is used.
///
/// Files over [`FILE_LIMIT`] are refused by name unless HEAD already has them; pipes, sockets and devices are skipped.
pub fn snapshot(dir: &Path, scratch: &Path) -> Result<Snapshot, SnapshotError> {
    set_up();
    let source = locate(dir)?;
    let dir = &source.dir;
    let failed = SnapshotError::git(dir);
    let own = scratch_repository(scratch, source.repo.as_ref())?;
    let odb = own.odb().map_err(&failed)?;

    let plain;
    let repo = match &source.repo {
        Some(repo) => repo,
        None => {
            plain = Repository::open_bare(scratch).map_err(&failed)?;
            plain.set_workdir(dir, false).map_err(&failed)?;
            &plain
        }
    };
    let mut collector = Collector::new(&odb, scratch);
    let collected = collector.collect(repo, &source.inside)?;
    if !collector.refused.is_empty() {
        return Err(SnapshotError::TooLarge(collector.refused));
    }
    if collected.files == 0 {
        return Err(SnapshotError::Empty(dir.clone()));
    }
    let tree = subtree(&own, collected.tree, &source.inside).map_err(&failed)?;

    let head = source.repo.as_ref().and_then(head_commit);
    let commit = write_commit(&own, tree, head, &source).map_err(&failed)?;
    let branch = source.repo.as_ref().and_then(branch);
    own.reference("refs/heads/snapshot", commit, true, "snapshot")
        .map_err(&failed)?;
    Ok(Snapshot {
        repo: scratch.to_owned(),
        commit: commit.to_string(),
        branch,
        head: head.map(|id| id.to_string()),
        project_hint: project::hint(&source),
        changed: collected.changed,
        files: collected.files,
    })
}

fn set_up() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: a plain switch of libgit2, set once. A work tree of another user (a mounted volume, root in a
        // container) is only read, and none of its hooks or programs run.
        let _ = unsafe { git2::opts::set_verify_owner_validation(false) };
    });
}

fn locate(dir: &Path) -> Result<Source, SnapshotError> {
    let dir = match fs::canonicalize(dir) {
        Ok(path) if path.is_dir() => path,
        _ => return Err(SnapshotError::NoFolder(dir.to_owned())),
    };
    let alone = |dir: PathBuf| Source {
        dir,
        repo: None,
        inside: PathBuf::new(),
    };
    let repo = match Repository::discover(&dir) {
        Ok(repo) => repo,
        Err(error) if error.code() == ErrorCode::NotFound => return Ok(alone(dir)),
        Err(error) => return Err(SnapshotError::git(&dir)(error)),
    };
    let root = repo.workdir().map(fs::canonicalize);
    let Some(Ok(root)) = root else {
        // A folder that merely lies inside of a bare repository is no bare repository.
        let bare = fs::canonicalize(repo.path()).is_ok_and(|path| path == dir);
        return if bare {
            Err(SnapshotError::Bare(dir))
        } else {
            Ok(alone(dir))
        };
    };
    let Ok(inside) = dir.strip_prefix(&root).map(Path::to_owned) else {
        return Ok(alone(dir));
    };
    let hidden = !inside.as_os_str().is_empty()
        && (inside.starts_with(".git") || repo.is_path_ignored(inside.join("")).unwrap_or(false));
    if hidden {
        return Ok(alone(dir));
    }
    Ok(Source {
        dir,
        repo: Some(repo),
        inside,
    })
}

/// A bare repository in `scratch` that borrows what `user` has.
fn scratch_repository(scratch: &Path, user: Option<&Repository>) -> Result<Repository, SnapshotError> {
    let lay_out = || -> io::Result<()> {
        for dir in ["objects/info", "objects/pack", "refs/heads"] {
            fs::create_dir_all(scratch.join(dir))?;
        }
        fs::write(scratch.join("HEAD"), "ref: refs/heads/snapshot\n")?;
        fs::write(
            scratch.join("config"),
            "[core]\n\trepositoryformatversion = 0\n\tbare = true\n",
        )?;
        if let Some(user) = user {
            collect::borrow(scratch, &user.commondir().join("objects"))?;
            let shallow = user.commondir().join("shallow");
            if shallow.is_file() {
                fs::copy(shallow, scratch.join("shallow"))?;
            }
        }
        Ok(())
    };
    lay_out().map_err(|error| SnapshotError::io(scratch, error))?;
    Repository::open_bare(scratch).map_err(SnapshotError::git(scratch))
}

fn subtree(repo: &Repository, tree: Oid, inside: &Path) -> Result<Oid, git2::Error> {
    if inside.as_os_str().is_empty() {
        return Ok(tree);
    }
    Ok(repo.find_tree(tree)?.get_path(inside)?.id())
}

fn head_commit(repo: &Repository) -> Option<Oid> {
    repo.head().ok()?.peel_to_commit().ok().map(|commit| commit.id())
}

fn branch(repo: &Repository) -> Option<String> {
    let head = repo.find_reference("HEAD").ok()?;
    let target = head.symbolic_target().ok().flatten()?;
    target.strip_prefix("refs/heads/").map(str::to_owned)
}

/// HEAD itself if the tree is HEAD's, else a commit on top of it. History that is cut, or that belongs to more than
/// this folder, is left out: nobody could take it over whole.
fn write_commit(repo: &Repository, tree: Oid, head: Option<Oid>, source: &Source) -> Result<Oid, git2::Error> {
    let shallow = source.repo.as_ref().is_some_and(Repository::is_shallow);
    let whole = source.inside.as_os_str().is_empty();
    let parent = match head {
        Some(id) => Some(repo.find_commit(id)?),
        None => None,
    };
    let parent = parent.filter(|_| whole && !shallow);
    if let Some(parent) = &parent
        && parent.tree_id() == tree
    {
        return Ok(parent.id());
    }
    // No clock: the same files on the same commit are the same snapshot.
    let time = parent.as_ref().map_or(Time::new(0, 0), git2::Commit::time);
    let author = Signature::new("skep", "skep@localhost", &time)?;
    let tree = repo.find_tree(tree)?;
    let parents: Vec<&git2::Commit<'_>> = parent.iter().collect();
    repo.commit(
        None,
        &author,
        &author,
        "Work tree with uncommitted changes\n",
        &tree,
        &parents,
    )
}

#[cfg(test)]
mod tests;
