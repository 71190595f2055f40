//! What warm workers have made of source and leave for later jobs: one file each, named by what it was made of.
//!
//! Owns how much of it is kept. Must not know what is in it (`drone/runners/bytecode.py` does).

use std::{fs, io, path::Path, time::SystemTime};

/// The most bytes that are kept.
const MOST: u64 = 256 << 20;

/// Makes the folder if there is none, and removes what was not used for the longest time, down to three quarters of the
/// limit, if there is more. Several may do so at once. Blocks.
pub fn shrink(folder: &Path) -> io::Result<()> {
    shrink_to(folder, MOST)
}

fn shrink_to(folder: &Path, most: u64) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut kept: Vec<_> = fs::read_dir(folder)?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            // Gone: somebody else removed it.
            let data = entry.metadata().ok()?;
            Some((
                data.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                data.len(),
                entry.path(),
            ))
        })
        .collect();
    let mut bytes: u64 = kept.iter().map(|(_, length, _)| length).sum();
    if bytes <= most {
        return Ok(());
    }
    kept.sort_unstable();
    for (_, length, path) in kept {
        if bytes <= most / 4 * 3 {
            break;
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => bytes -= length,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs::File, time::Duration};

    #[test]
    fn the_least_used_go_first() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("bytecode");
        shrink_to(&folder, 1000).unwrap();
        for age in 0..6 {
            let path = folder.join(age.to_string());
            fs::write(&path, [0; 200]).unwrap();
            let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 - age * 60);
            File::options()
                .write(true)
                .open(&path)
                .unwrap()
                .set_modified(then)
                .unwrap();
        }
        shrink_to(&folder, 1200).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 6);
        shrink_to(&folder, 1000).unwrap();
        let mut left: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["0", "1", "2"]);
    }
}
