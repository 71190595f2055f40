//! Objects that nothing leads to any more, really removed.
//!
//! Everything that refs lead to is written into one new pack, beside the repository's work; then, alone in the
//! repository, the new pack takes the place of all older packs and loose objects. The new one is whole and on the disk
//! before the first old file goes, so a queen that is killed anywhere in between leaves a valid repository, and a mark that
//! it is to be collected again.

use super::{Alone, MARK, Repositories};
use crate::git_http::{self, GitHttpError, direct_refs};
use git2::{ObjectType, Oid, Repository};
use shared::Project;
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// Packs that a repository may have before they are made one: each is opened by every push and fetch.
const PACKS: usize = 50;

/// What became of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Collected {
    /// Only what is still led to is there.
    Done,
    /// Nothing led anywhere: the repository is gone.
    Gone,
    /// Somebody was in there, or pushed meanwhile: to be tried again.
    Busy,
}

impl Repositories {
    /// True if something was taken out of a repository since it was last collected, or pushes have left many packs.
    #[must_use]
    pub fn wants_collecting(&self, project: &Project) -> bool {
        let Ok(path) = git_http::path_of(self.root(), project) else {
            return false;
        };
        path.join(MARK).exists() || packs(&path).is_ok_and(|packs| packs > PACKS)
    }

    /// Where a repository is that is being removed; beside the others, where no project's name leads.
    fn gone(&self) -> PathBuf {
        self.root().with_extension("gone")
    }

    /// Removes what a queen has left that was killed: half pushes, half removals. What is in use is left alone.
    pub fn clear_leftovers(&self) -> Result<(), GitHttpError> {
        for project in self.projects()? {
            if let Some(alone) = self.alone(&project)? {
                remove_incoming(&alone.path.join("objects"), None)?;
            }
        }
        Ok(remove_if_there(&self.gone())?)
    }

    /// Removes what no ref leads to. Blocks for as long as writing all the rest takes.
    pub fn collect(&self, project: &Project) -> Result<Collected, GitHttpError> {
        let path = git_http::path_of(self.root(), project)?;
        let repo = git_http::open(&path)?;
        fs::write(path.join(MARK), "")?;
        let before = direct_refs(&repo)?;
        let objects = path.join("objects");
        let draft = tempfile::Builder::new().prefix("incoming-").tempdir_in(&objects)?;
        if !before.is_empty() {
            pack(&repo, &before, draft.path())?;
        }
        drop(repo);
        let Some(alone) = self.alone(project)? else {
            return Ok(Collected::Busy);
        };
        if direct_refs(&git_http::open(&path)?)? != before {
            return Ok(Collected::Busy);
        }
        if before.is_empty() {
            remove_wholly(&alone, &self.gone())?;
            return Ok(Collected::Gone);
        }
        exchange(&objects, draft.path())?;
        fs::remove_file(path.join(MARK))?;
        Ok(Collected::Done)
    }
}

/// Writes everything that `refs` lead to as one pack into `folder`, onto the disk.
pub(super) fn pack(repo: &Repository, refs: &[(String, Oid)], folder: &Path) -> Result<(), GitHttpError> {
    let mut builder = repo.packbuilder()?;
    // Nobody waits for it; the other processors are for those who do.
    builder.set_threads(1);
    let mut walk = repo.revwalk()?;
    for (_, id) in refs {
        let mut object = repo.find_object(*id, None)?;
        while object.kind() == Some(ObjectType::Tag) {
            builder.insert_object(object.id(), None)?;
            match object.as_tag().map(git2::Tag::target) {
                Some(target) => object = target?,
                None => break,
            }
        }
        match object.kind() {
            Some(ObjectType::Commit) => walk.push(object.id())?,
            _ => builder.insert_recursive(object.id(), None)?,
        }
    }
    builder.insert_walk(&mut walk)?;
    builder.write(folder, 0)?;
    for entry in fs::read_dir(folder)? {
        File::open(entry?.path())?.sync_all()?;
    }
    Ok(())
}

/// Puts the pack in `draft` in the place of everything that is in `objects`.
fn exchange(objects: &Path, draft: &Path) -> Result<(), GitHttpError> {
    let packs = objects.join("pack");
    let mut fresh = Vec::new();
    // The index last: a pack without one is not looked at.
    for end in ["pack", "idx"] {
        for entry in fs::read_dir(draft)? {
            let path = entry?.path();
            if let Some(name) = path
                .file_name()
                .filter(|_| path.extension().is_some_and(|own| own == end))
            {
                fs::rename(&path, packs.join(name))?;
                fresh.push(name.to_owned());
            }
        }
    }
    File::open(&packs)?.sync_all()?;
    // Indexes first, for the same reason.
    for index in [true, false] {
        for entry in fs::read_dir(&packs)? {
            let path = entry?.path();
            let kept = path.file_name().is_some_and(|name| fresh.iter().any(|own| own == name));
            if !kept && index == path.extension().is_some_and(|end| end == "idx") {
                fs::remove_file(path)?;
            }
        }
    }
    for entry in fs::read_dir(objects)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.len() == 2 && name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            fs::remove_dir_all(path)?;
        }
    }
    Ok(remove_incoming(objects, Some(draft))?)
}

/// Nobody else is in there: what is coming in belongs to pushes of a queen that was killed.
fn remove_incoming(objects: &Path, mine: Option<&Path>) -> io::Result<()> {
    for entry in fs::read_dir(objects)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with("incoming-") && Some(&*path) != mine {
            fs::remove_dir_all(path)?;
        }
    }
    Ok(())
}

/// To another place first: half a repository is never taken for one.
fn remove_wholly(alone: &Alone, gone: &Path) -> io::Result<()> {
    remove_if_there(gone)?;
    fs::rename(&alone.path, gone)?;
    fs::remove_dir_all(gone)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn packs(repo: &Path) -> io::Result<usize> {
    let entries = fs::read_dir(repo.join("objects/pack"))?;
    Ok(entries
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|end| end == "idx"))
        .count())
}
