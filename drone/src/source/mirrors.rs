//! The folder of mirrors: which there are, and which are in use.
//!
//! A mirror has two lock files beside it. Whoever changes it holds `.lock` alone; whoever borrows its objects holds
//! `.used` with others, as long as the workspace lives, and writes it, so that its time tells the last use. A mirror is
//! removed only under both, by whichever drone of the machine it is. The system drops the locks of a drone that dies.

use crate::cache::{Item, bytes_below, folders};
use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
    sync::Arc,
    time::SystemTime,
};

/// Mirrors that a source borrows from: none of them is removed as long as this lives.
#[derive(Debug, Clone, Default)]
pub struct Borrowed(Vec<Arc<File>>);

impl Borrowed {
    /// Marks a mirror as used. To be called under its lock, or before anything is read of it.
    pub(super) fn of(mirror: &Path) -> io::Result<Self> {
        if let Some(parent) = mirror.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file = File::create(mirror.with_extension("used"))?;
        file.lock_shared()?;
        file.write_all(b"x")?;
        Ok(Self(vec![Arc::new(file)]))
    }

    /// Takes over what another one holds.
    pub(super) fn join(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

/// All mirrors below `mirrors`. Blocks.
pub fn mirrors(mirrors: &Path) -> io::Result<Vec<Item>> {
    let mut found = Vec::new();
    for kind in ["git", "hg"] {
        for path in folders(&mirrors.join(kind))? {
            if path.extension().is_some_and(|end| end == "gone") {
                // Half removed by a drone that died.
                remove(&path)?;
                continue;
            }
            let used = fs::metadata(path.with_extension("used")).and_then(|meta| meta.modified());
            found.push(Item {
                used: used.unwrap_or(SystemTime::UNIX_EPOCH),
                bytes: bytes_below(&path),
                remove: Box::new(move || remove_unused(&path)),
            });
        }
    }
    Ok(found)
}

/// False if somebody uses it.
fn remove_unused(mirror: &Path) -> io::Result<bool> {
    let mut locks = Vec::new();
    // In the order in which they are taken to use it.
    for end in ["lock", "used"] {
        let file = File::options()
            .create(true)
            .append(true)
            .open(mirror.with_extension(end))?;
        match file.try_lock() {
            Ok(()) => locks.push(file),
            Err(fs::TryLockError::WouldBlock) => return Ok(false),
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
    }
    // Under another name first: half a mirror is never taken for one.
    let gone = mirror.with_extension("gone");
    remove(&gone)?;
    fs::rename(mirror, &gone)?;
    remove(&gone)?;
    Ok(true)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Shrunk;
    use std::time::Duration;

    fn shrink(dir: &Path, limit: u64) -> io::Result<Shrunk> {
        crate::cache::shrink(mirrors(dir)?, limit)
    }

    /// A mirror of `bytes` that was used last so many hours ago.
    fn mirror(dir: &Path, name: &str, bytes: usize, hours: u64) -> std::path::PathBuf {
        let path = dir.join(name);
        fs::create_dir_all(path.join("objects")).unwrap();
        fs::write(path.join("objects/pack"), vec![7; bytes]).unwrap();
        let used = File::create(path.with_extension("used")).unwrap();
        let base = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        used.set_modified(base - Duration::from_secs(hours * 3_600)).unwrap();
        path
    }

    #[test]
    fn the_one_goes_first_that_was_not_used_for_the_longest_time() {
        let dir = tempfile::tempdir().unwrap();
        let new = mirror(dir.path(), "git/new.git", 1_000, 1);
        let old = mirror(dir.path(), "git/old.git", 1_000, 9);
        let hg = mirror(dir.path(), "hg/older", 1_000, 10);
        assert_eq!(
            shrink(dir.path(), 3_000).unwrap(),
            Shrunk::default(),
            "as much as may be"
        );
        let gone = Shrunk { items: 2, bytes: 2_000 };
        assert_eq!(shrink(dir.path(), 1_999).unwrap(), gone);
        assert!(new.exists() && !old.exists() && !hg.exists());
        // A use makes it the last to go.
        let other = mirror(dir.path(), "git/other.git", 1_000, 0);
        drop(Borrowed::of(&new).unwrap());
        shrink(dir.path(), 1_000).unwrap();
        assert!(new.exists() && !other.exists());
        assert_eq!(shrink(&dir.path().join("nothing"), 0).unwrap(), Shrunk::default());
    }

    #[test]
    fn what_is_in_use_stays_and_what_was_half_removed_goes() {
        let dir = tempfile::tempdir().unwrap();
        let borrowed = mirror(dir.path(), "git/borrowed.git", 1_000, 9);
        let fetching = mirror(dir.path(), "git/fetching.git", 1_000, 8);
        let half = mirror(dir.path(), "git/half.gone", 1_000, 1);
        let held = Borrowed::of(&borrowed).unwrap();
        let lock = File::create(fetching.with_extension("lock")).unwrap();
        lock.lock().unwrap();
        assert_eq!(shrink(dir.path(), 0).unwrap(), Shrunk::default());
        assert!(borrowed.exists() && fetching.exists() && !half.exists());
        drop((held, lock));
        assert_eq!(shrink(dir.path(), 0).unwrap().items, 2);
        assert!(!borrowed.exists() && !fetching.exists());
    }
}
