//! Test files that need others, or that bear none before them in their process: what one job has found out spares the next ones
//! the detour.
//!
//! Owns the notes, one file each: the path and what was in the file. A note counts as long as the file stays as it is, for a
//! week at most, because what others do may have changed. Must not know how files are run.

use sha2::{Digest, Sha256};
use shared::Timestamp;
use std::{collections::BTreeSet, fs, io, path::Path, time::UNIX_EPOCH};

/// How long a note counts, in milliseconds.
const AGE: u128 = 7 * 24 * 3600 * 1000;
/// The most notes that are kept.
const MOST: usize = 1000;

/// The files below `root` that are noted in `folder`. Removes notes that are too old. Blocks.
pub fn known(folder: &Path, root: &Path, now: Timestamp) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    // No folder: nothing was noted yet. What cannot be read is found out again.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let made = entry.metadata().and_then(|data| data.modified());
        let made = made.ok().and_then(|made| made.duration_since(UNIX_EPOCH).ok());
        let now = u128::try_from(now.0).unwrap_or_default();
        if made.is_none_or(|made| made.as_millis() + AGE <= now) {
            let _ = fs::remove_file(entry.path());
            continue;
        }
        let Ok(path) = fs::read_to_string(entry.path()) else {
            continue;
        };
        if name(root, &path).is_ok_and(|name| entry.file_name() == *name) {
            known.insert(path);
        }
    }
    known
}

/// Notes the file at `path` below `root`. Blocks.
pub fn note(folder: &Path, root: &Path, path: &str) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    if fs::read_dir(folder)?.count() >= MOST {
        return Ok(());
    }
    // A reader that sees half of it sees another path, and passes over it.
    fs::write(folder.join(name(root, path)?), path)
}

fn name(root: &Path, path: &str) -> io::Result<String> {
    let mut hash = Sha256::new();
    hash.update(path);
    hash.update([0]);
    hash.update(fs::read(root.join(path))?);
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_counts_while_the_file_is_the_same_and_for_a_week() {
        let home = tempfile::tempdir().unwrap();
        let (folder, root) = (home.path().join("order"), home.path().join("source"));
        fs::create_dir(&root).unwrap();
        for file in ["a.py", "b.py"] {
            fs::write(root.join(file), "1").unwrap();
        }
        let now = crate::clock::now();
        assert_eq!(known(&folder, &root, now), BTreeSet::new());
        note(&folder, &root, "a.py").unwrap();
        note(&folder, &root, "b.py").unwrap();
        assert!(note(&folder, &root, "gone.py").is_err());
        let both = BTreeSet::from(["a.py".to_owned(), "b.py".to_owned()]);
        assert_eq!(known(&folder, &root, now), both);
        fs::write(root.join("a.py"), "2").unwrap();
        assert_eq!(known(&folder, &root, now), BTreeSet::from(["b.py".to_owned()]));
        fs::write(root.join("a.py"), "1").unwrap();
        assert_eq!(known(&folder, &root, now), both, "as it was when it was noted");
        assert_eq!(
            known(&folder, &root, now.plus(7 * 24 * 3600 * 1000 + 1000)),
            BTreeSet::new()
        );
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "what is too old is removed");
    }

    #[test]
    fn no_more_notes_are_kept_than_there_may_be() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("order");
        fs::create_dir(&folder).unwrap();
        for number in 0..MOST {
            fs::write(folder.join(number.to_string()), "x").unwrap();
        }
        fs::write(home.path().join("a.py"), "1").unwrap();
        note(&folder, home.path(), "a.py").unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), MOST);
    }
}
