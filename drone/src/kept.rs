//! Folders of work trees that stay for the project's next job: `node_modules`, `target`, `.venv`.
//!
//! A job takes a folder over by renaming it into its work tree, and puts it back in the same way: it is in one place or
//! the other, whole, and no two jobs ever have it. Much that is in such folders has its own path written in it, so a folder
//! goes back only to where it came from: a project's jobs stand in the same few places (`workspace.rs`), and each place
//! has folders of its own. What the source itself has in a folder is the source's, in each job anew. Must not know jobs.
//! Everything here blocks.

#[cfg(test)]
mod tests;

use crate::{
    cache::{self, Item, folders},
    workspace::remove_tree,
};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, Permissions},
    io::{self, ErrorKind},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// In a folder's home: the folder itself, and how many bytes it has. Anything else there is being removed.
const FOLDER: &str = "folder";
const BYTES: &str = "bytes";

/// The drone's kept folders.
#[derive(Debug, Clone)]
pub struct Kept(PathBuf);

/// A folder that a job has asked for.
#[derive(Debug)]
pub struct Folder {
    /// As the settings name it.
    pub name: String,
    /// Of the work tree, without links.
    root: PathBuf,
    home: PathBuf,
    /// What the source has in it, from the folder on.
    own: Vec<PathBuf>,
}

impl Kept {
    /// Opens the drone's folder of them; it is made when it is needed. What a drone that died was about to remove goes.
    pub fn open(dir: &Path) -> io::Result<Self> {
        for home in folders(dir)? {
            if !home.join(FOLDER).is_dir() {
                remove_tree(&home)?;
                continue;
            }
            for gone in folders(&home)?.iter().filter(|path| !path.ends_with(FOLDER)) {
                remove_tree(gone)?;
            }
        }
        Ok(Self(dir.to_owned()))
    }

    /// Moves the folder `name`, if it was kept, into the work tree at `root`; what the source has in it stays as it is.
    /// `aside` is a free path on the same file system, outside of the work tree. After an error the folder is as the source
    /// has it, or has some of what was kept as well.
    pub fn take(&self, project: &str, root: &Path, name: &str, aside: &Path) -> io::Result<Folder> {
        let root = fs::canonicalize(root)?;
        let path = root.join(name);
        let digest = Sha256::new()
            .chain_update(project)
            .chain_update([0])
            .chain_update(path.as_os_str().as_encoded_bytes())
            .finalize();
        let key: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        let mut folder = Folder {
            name: name.to_owned(),
            root,
            home: self.0.join(key),
            own: Vec::new(),
        };
        let has_source = folder.is_in_place()?;
        let into = if has_source { aside } else { &path };
        match fs::rename(folder.home.join(FOLDER), into) {
            Ok(()) if has_source => {
                folder.own = files_below(&path)?;
                merge(aside, &path)?;
            }
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if has_source {
                    folder.own = files_below(&path)?;
                }
            }
            Err(error) => return Err(error),
        }
        Ok(folder)
    }

    /// All that are not in use.
    pub fn items(&self) -> io::Result<Vec<Item>> {
        let homes = folders(&self.0)?.into_iter();
        Ok(homes.filter(|home| home.join(FOLDER).is_dir()).map(item).collect())
    }
}

impl Folder {
    /// Keeps it for the next job. False: there is none. Another job's, put back meanwhile, gives way.
    pub fn put_back(&self) -> io::Result<bool> {
        if !self.is_in_place()? {
            return Ok(false);
        }
        let path = self.root.join(&self.name);
        for file in &self.own {
            // Only its own name: what has become of it, or of a folder above, may be a link to elsewhere.
            if stands_in_folders(&path, file)
                && let Err(error) = fs::remove_file(path.join(file))
                && !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory)
            {
                return Err(error);
            }
        }
        let bytes = cache::bytes_below(&path);
        // A folder that its owner may not write to cannot be moved.
        let mode = fs::metadata(&path)?.permissions().mode();
        fs::set_permissions(&path, Permissions::from_mode(mode | 0o700))?;
        fs::create_dir_all(&self.home)?;
        let gone = set_aside(&self.home)?;
        // Its time is that of the last use.
        fs::write(self.home.join(BYTES), bytes.to_string())?;
        fs::rename(&path, self.home.join(FOLDER))?;
        gone.map_or(Ok(()), |gone| remove_tree(&gone))?;
        Ok(true)
    }

    /// False if nothing is there. An error: what is there is no folder of the work tree.
    fn is_in_place(&self) -> io::Result<bool> {
        let mut path = self.root.clone();
        let mut is_there = true;
        for part in Path::new(&self.name).components() {
            path.push(part);
            match fs::symlink_metadata(&path) {
                Ok(meta) if meta.is_dir() => {}
                Ok(_) => {
                    let what = path.strip_prefix(&self.root).unwrap_or(&path).display();
                    return Err(io::Error::other(format!("{what} is a file or a link")));
                }
                Err(error) if error.kind() == ErrorKind::NotFound => is_there = false,
                Err(error) => return Err(error),
            }
        }
        Ok(is_there)
    }
}

fn item(home: PathBuf) -> Item {
    let path = home.join(BYTES);
    let used = fs::metadata(&path).and_then(|meta| meta.modified());
    let bytes = fs::read_to_string(&path).ok().and_then(|text| text.parse().ok());
    Item {
        used: used.unwrap_or(SystemTime::UNIX_EPOCH),
        bytes: bytes.unwrap_or_else(|| cache::bytes_below(&home.join(FOLDER))),
        remove: Box::new(move || match set_aside(&home)? {
            Some(gone) => remove_tree(&gone).map(|()| true),
            // A job has taken it meanwhile.
            None => Ok(false),
        }),
    }
}

/// Takes what is kept out of the way, under a name that nobody takes for a kept folder.
fn set_aside(home: &Path) -> io::Result<Option<PathBuf>> {
    let gone = home.join(format!("gone-{}", uuid::Uuid::new_v4().simple()));
    match fs::rename(home.join(FOLDER), &gone) {
        Ok(()) => Ok(Some(gone)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Moves what is below `from` to `into`, unless something is there.
fn merge(from: &Path, into: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = into.join(entry.file_name());
        match fs::symlink_metadata(&target) {
            Ok(there) if there.is_dir() && entry.file_type()?.is_dir() => merge(&entry.path(), &target)?,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => fs::rename(entry.path(), target)?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whatever is no folder below `path`, from there on.
fn files_below(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(path.join(&folder))? {
            let entry = entry?;
            let inner = folder.join(entry.file_name());
            let is_folder = entry.file_type()?.is_dir();
            if is_folder { &mut folders } else { &mut found }.push(inner);
        }
    }
    Ok(found)
}

/// True if no folder between `path` and `file` below it has become a link.
fn stands_in_folders(path: &Path, file: &Path) -> bool {
    let between = file.ancestors().skip(1).filter(|part| !part.as_os_str().is_empty());
    between
        .map(|part| fs::symlink_metadata(path.join(part)))
        .all(|meta| meta.is_ok_and(|meta| meta.is_dir()))
}
