//! Takes a backup beside a queen that runs, or that does not.
//!
//! First the database, as one moment of it, then the repositories: while they are copied the queen takes nothing out of
//! them, so every work tree that a job of that moment needs is in the backup. What was handed over later may be in it too,
//! and is of no harm.

use super::{BackupError, DATABASE, FORM, GIT, Head, KEY, Kind, archive::Writer, at, sync_dir};
use crate::{
    clock,
    git_http::{self, GitHttpError},
    repositories::{Repositories, backup_lock},
    store::{self, Address},
};
use rustix::fs::{FlockOperation, flock};
use shared::Project;
use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// A backup that was made.
#[derive(Debug, Clone)]
pub struct Made {
    /// What it is of.
    pub head: Head,
    /// Its size.
    pub bytes: u64,
    /// Repositories in it.
    pub repositories: usize,
}

/// Writes everything of the queen whose data is in `data`, and whose database is at `server` or there too, to `file`,
/// which must not be there yet.
///
/// Beside it there must be room for a copy of the database as long as this takes.
pub async fn backup(data: &Path, server: Option<&Address>, file: &Path) -> Result<Made, BackupError> {
    let (database, key) = (data.join(DATABASE), data.join(KEY));
    match (key.is_file(), server.is_some() || database.is_file()) {
        (true, true) => {}
        (true, false) => return Err(BackupError::Elsewhere(data.to_owned())),
        (false, _) => return Err(BackupError::NoData(data.to_owned())),
    }
    if file.exists() {
        return Err(BackupError::Exists(file.to_owned()));
    }
    let repositories = Repositories::new(data.join(GIT));
    // Until this is dropped, nothing is taken out of a repository.
    let lock = tokio::task::spawn_blocking({
        let root = repositories.root().to_owned();
        move || {
            let lock = backup_lock(&root)?;
            flock(&lock, FlockOperation::LockShared)?;
            Ok(lock)
        }
    });
    let lock = finished(lock.await).map_err(at(data))?;
    let draft = Draft::new(file)?;
    let (kind, schema) = match server {
        None => (Kind::Sqlite, store::copy_sqlite(&database, &draft.database).await?),
        Some(server) => {
            let tables = draft.tables()?;
            (Kind::Postgres, store::copy_postgres(server, data, &tables).await?)
        }
    };
    let head = Head {
        form: FORM,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        made: clock::now().0,
        database: kind,
        schema,
    };
    let to = file.to_owned();
    let written = tokio::task::spawn_blocking(move || {
        let _lock = lock;
        Ok(write(head, &key, &to, &repositories, &draft))
    });
    finished(written.await).map_err(at(file))?
}

fn finished<T>(task: Result<io::Result<T>, tokio::task::JoinError>) -> io::Result<T> {
    task.unwrap_or_else(|broken| Err(io::Error::other(broken)))
}

fn write(head: Head, key: &Path, file: &Path, repositories: &Repositories, draft: &Draft) -> Result<Made, BackupError> {
    let mut writer = Writer::create(&draft.archive)?;
    writer.head(&head)?;
    add_database(&mut writer, head.database, &draft.database)?;
    writer.add_file(KEY, key)?;
    let projects = repositories.projects().map_err(at(repositories.root()))?;
    let mut count = 0;
    for project in projects {
        count += usize::from(add_repository(&mut writer, repositories, &project)?);
    }
    let bytes = writer.finish()?;
    fs::rename(&draft.archive, file).map_err(at(file))?;
    sync_dir(&draft.folder)?;
    Ok(Made {
        head,
        bytes,
        repositories: count,
    })
}

fn add_database(writer: &mut Writer, kind: Kind, from: &Path) -> Result<(), BackupError> {
    if from.is_file() {
        return writer.add_file(kind.name(), from);
    }
    for entry in fs::read_dir(from).map_err(at(from))? {
        let entry = entry.map_err(at(from))?;
        let name = format!("{}/{}", kind.name(), entry.file_name().to_string_lossy());
        writer.add_file(&name, &entry.path())?;
    }
    Ok(())
}

/// Adds a repository as it is now: its refs first, then all objects, which hold whatever those refs lead to. False if it
/// is only just being made.
fn add_repository(writer: &mut Writer, repositories: &Repositories, project: &Project) -> Result<bool, BackupError> {
    let path = git_http::path_of(repositories.root(), project)?;
    let repo = match git_http::open(&path) {
        Ok(repo) => repo,
        Err(GitHttpError::NoRepository(_)) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let name = |rest: &str| format!("{GIT}/{project}.git/{rest}");
    // Sorted, as git reads them.
    let mut refs = String::from("# pack-refs with: sorted \n");
    for (reference, id) in git_http::direct_refs(&repo)? {
        refs.push_str(&format!("{id} {reference}\n"));
    }
    for file in ["HEAD", "config", "description"] {
        let from = path.join(file);
        if from.is_file() {
            writer.add_file(&name(file), &from)?;
        }
    }
    writer.add_bytes(&name("packed-refs"), refs.as_bytes())?;
    let mut left = vec![path.join("objects")];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(&folder).map_err(at(&folder))? {
            let entry = entry.map_err(at(&folder))?;
            let from = entry.path();
            let own = entry.file_name().to_string_lossy().into_owned();
            let half = own.starts_with("incoming-") || own.starts_with("tmp_") || own.ends_with(".lock");
            if from.is_dir() && !half {
                left.push(from);
            } else if !half && let Some(rest) = from.strip_prefix(&path).ok().and_then(Path::to_str) {
                writer.add_file(&name(rest), &from)?;
            }
        }
    }
    Ok(true)
}

/// What is written before the backup has its name; gone at the end, whatever happens.
struct Draft {
    folder: PathBuf,
    archive: PathBuf,
    /// A file, or a folder of tables.
    database: PathBuf,
}

impl Draft {
    fn new(file: &Path) -> Result<Self, BackupError> {
        let beside = |end: &str| {
            let mut name = file.as_os_str().to_owned();
            name.push(end);
            PathBuf::from(name)
        };
        let folder = match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let draft = Self {
            folder,
            archive: beside(".part"),
            database: beside(".part.db"),
        };
        // A backup that was killed has left them.
        draft.clear().map_err(at(&draft.archive))?;
        Ok(draft)
    }

    /// Makes the place for a database of tables.
    fn tables(&self) -> Result<PathBuf, BackupError> {
        let made = DirBuilder::new().mode(0o700).create(&self.database);
        made.map_err(at(&self.database))?;
        Ok(self.database.clone())
    }

    fn clear(&self) -> io::Result<()> {
        for path in [&self.archive, &self.database] {
            let removed = match path.is_dir() {
                true => fs::remove_dir_all(path),
                false => fs::remove_file(path),
            };
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Err(error) = self.clear() {
            tracing::warn!(%error, file = %self.archive.display(), "a draft could not be removed");
        }
    }
}
