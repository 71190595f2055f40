//! Puts a backup into a data directory, whole or not at all.
//!
//! Everything is unpacked beside what is there and checked before anything is touched. Then what is there is put aside,
//! never removed, and the new takes its place; a mark says so meanwhile, and a queen does not start over it.

use super::{BackupError, DATABASE, FORM, GIT, Head, KEY, Kind, archive, at, sync_dir};
use crate::{
    clock, git_http,
    repositories::Repositories,
    store::{self, Address, Home, RESTORING},
};
use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// Where a backup is unpacked first.
const DRAFT: &str = "restore.new";
/// What makes up a queen's data; the database first, so that nothing else is ever taken for a new queen's.
const PARTS: [&str; 5] = [DATABASE, "skep.db-wal", "skep.db-shm", KEY, GIT];

/// A backup that was put back.
#[derive(Debug, Clone)]
pub struct Put {
    /// What it is of.
    pub head: Head,
    /// Where that was put aside which was there before.
    pub aside: Option<PathBuf>,
}

/// Puts the backup in `file` into the data directory `data`, and its database into the empty one at `server` if it is of
/// that kind. What is in the directory already is put aside with `force`, and keeps the backup out without.
pub async fn restore(file: &Path, data: &Path, server: Option<&Address>, force: bool) -> Result<Put, BackupError> {
    let (from, to, served) = (file.to_owned(), data.to_owned(), server.is_some());
    let (draft, head) = apart(file, move || Draft::unpack(&from, &to, served, force)).await?;
    let database = draft.folder.join(head.database.name());
    match server {
        None => store::after_copy_sqlite(&database).await?,
        // From when the server has it, what is in the directory does not belong to that any more.
        Some(server) => {
            store::put_back_postgres(server, &database, head.schema, || draft.mark().map(drop)).await?;
        }
    }
    let aside = apart(data, move || draft.put()).await?;
    Ok(Put { head, aside })
}

async fn apart<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(io::Error::other).map_err(at(path))?
}

/// A backup that is unpacked and whole, beside what it is to replace.
struct Draft {
    data: PathBuf,
    folder: PathBuf,
    /// Nobody else uses the data directory.
    _home: Home,
}

impl Draft {
    fn unpack(file: &Path, data: &Path, served: bool, force: bool) -> Result<(Self, Head), BackupError> {
        let head = archive::head(file)?;
        if (head.database == Kind::Postgres) != served {
            return Err(BackupError::OtherKind {
                path: file.to_owned(),
                of: head.database,
            });
        }
        let known = match head.database {
            Kind::Sqlite => store::newest_sqlite(),
            Kind::Postgres => store::newest_postgres(),
        };
        if head.form > FORM || head.schema > known {
            return Err(BackupError::Newer {
                path: file.to_owned(),
                version: head.version,
            });
        }
        let home = Home::lock(data)?;
        let occupied = PARTS.iter().any(|part| data.join(part).exists());
        if occupied && !force && !data.join(RESTORING).exists() {
            return Err(BackupError::Occupied(data.to_owned()));
        }
        let draft = Self {
            data: data.to_owned(),
            folder: data.join(DRAFT),
            _home: home,
        };
        // One that was killed has left it.
        remove(&draft.folder)?;
        DirBuilder::new()
            .mode(0o700)
            .create(&draft.folder)
            .map_err(at(&draft.folder))?;
        archive::unpack(file, &draft.folder)?;
        for needed in [head.database.name(), KEY] {
            if !draft.folder.join(needed).exists() {
                return Err(archive::bad(file, &format!("it has no {needed}")));
            }
        }
        // An archive has no empty folders, and git knows a repository by this one.
        let repositories = Repositories::new(draft.folder.join(GIT));
        for project in repositories.projects().map_err(at(repositories.root()))? {
            let refs = git_http::path_of(repositories.root(), &project)?.join("refs/heads");
            fs::create_dir_all(&refs).map_err(at(&refs))?;
        }
        Ok((draft, head))
    }

    /// Says that the data directory is neither the old nor the new.
    fn mark(&self) -> Result<PathBuf, BackupError> {
        let mark = self.data.join(RESTORING);
        File::create(&mark)
            .and_then(|mark| mark.sync_all())
            .map_err(at(&mark))?;
        sync_dir(&self.data)?;
        Ok(mark)
    }

    /// Puts what is there aside and takes its place; answers where it was put.
    fn put(self) -> Result<Option<PathBuf>, BackupError> {
        let mark = self.mark()?;
        let aside = put_aside(&self.data)?;
        for part in PARTS {
            rename(&self.folder.join(part), &self.data.join(part))?;
        }
        sync_dir(&self.data)?;
        fs::remove_file(&mark).map_err(at(&mark))?;
        sync_dir(&self.data)?;
        Ok(aside)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.folder) {
            tracing::warn!(%error, "a draft could not be removed");
        }
    }
}

/// Moves what is there into a folder of its own.
fn put_aside(data: &Path) -> Result<Option<PathBuf>, BackupError> {
    if !PARTS.iter().any(|part| data.join(part).exists()) {
        return Ok(None);
    }
    let at_time = jiff::Timestamp::from_millisecond(clock::now().0).unwrap_or_default();
    let name = at_time.strftime("before-restore-%Y%m%d-%H%M%S").to_string();
    let mut aside = data.join(&name);
    let mut more = 1;
    while aside.exists() {
        more += 1;
        aside = data.join(format!("{name}-{more}"));
    }
    DirBuilder::new().mode(0o700).create(&aside).map_err(at(&aside))?;
    for part in PARTS {
        rename(&data.join(part), &aside.join(part))?;
    }
    sync_dir(&aside)?;
    Ok(Some(aside))
}

/// Moves what is there.
fn rename(from: &Path, to: &Path) -> Result<(), BackupError> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(to)(error)),
        _ => Ok(()),
    }
}

fn remove(path: &Path) -> Result<(), BackupError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
        _ => Ok(()),
    }
}
