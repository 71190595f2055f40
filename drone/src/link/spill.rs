//! The part of the outbox that did not fit into memory: append-only segment files, read back whole and in order.
//!
//! It knows nothing of numbers, sockets or messages: lines go in at the back and come out at the front. A spill dies
//! with its process (a new process is a new incarnation, to which the old messages mean nothing), so nothing is synced.
//! Read next: [`outbox`](super::outbox).

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Lines on disk, oldest first.
#[derive(Debug)]
pub(super) struct Spill {
    dir: PathBuf,
    segment_limit: u64,
    next_name: u64,
    segments: VecDeque<Segment>,
    /// Open for appending: always the newest segment.
    open: Option<File>,
    bytes: u64,
}

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    bytes: u64,
}

impl Spill {
    /// A spill in `dir`, which is emptied of what an earlier process left. A segment is closed at `segment_limit` bytes.
    pub(super) fn open(dir: &Path, segment_limit: u64) -> io::Result<Self> {
        match fs::remove_dir_all(dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::create_dir_all(dir)?;
        Ok(Self {
            dir: dir.to_owned(),
            segment_limit,
            next_name: 0,
            segments: VecDeque::new(),
            open: None,
            bytes: 0,
        })
    }

    /// Bytes on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// True if there is nothing on disk.
    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Bytes of the oldest segment.
    pub(super) fn first_bytes(&self) -> u64 {
        self.segments.front().map_or(0, |segment| segment.bytes)
    }

    /// Appends one line, which holds no line break. On an error nothing of it counts as written.
    pub(super) fn append(&mut self, line: &str) -> io::Result<()> {
        let size = line.len() as u64 + 1;
        let fits = |segment: &Segment| segment.bytes + size <= self.segment_limit;
        if self.open.is_none() || !self.segments.back().is_some_and(fits) {
            let path = self.dir.join(format!("{:012}.segment", self.next_name));
            let file = File::options().append(true).create_new(true).open(&path)?;
            self.next_name += 1;
            self.open = Some(file);
            self.segments.push_back(Segment { path, bytes: 0 });
        }
        if let (Some(file), Some(segment)) = (&mut self.open, self.segments.back_mut()) {
            if let Err(error) = file.write_all(format!("{line}\n").as_bytes()) {
                // Half a line must not stay. If even that fails, the length tells when the segment is read.
                let _ = file.set_len(segment.bytes);
                return Err(error);
            }
            segment.bytes += size;
            self.bytes += size;
        }
        Ok(())
    }

    /// Takes the oldest segment out, with all its lines, and deletes its file.
    pub(super) fn take_first(&mut self) -> io::Result<Vec<Box<str>>> {
        if self.segments.len() == 1 {
            self.open = None;
        }
        let Some(segment) = self.segments.front() else {
            return Ok(Vec::new());
        };
        let text = fs::read_to_string(&segment.path)?;
        if text.len() as u64 != segment.bytes {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "{} has {} bytes and should have {}",
                    segment.path.display(),
                    text.len(),
                    segment.bytes
                ),
            ));
        }
        fs::remove_file(&segment.path)?;
        self.bytes -= segment.bytes;
        self.segments.pop_front();
        Ok(text.lines().map(Into::into).collect())
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        self.open = None;
        // What cannot be removed now is removed at the next start.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_as_they_went_in_and_leave_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut spill = Spill::open(&dir.path().join("outbox"), 20).unwrap();
        let lines: Vec<String> = (0..10).map(|i| format!("line {i}")).collect();
        for line in &lines {
            spill.append(line).unwrap();
        }
        assert!(spill.segments.len() > 1);
        let mut out = Vec::new();
        while !spill.is_empty() {
            out.extend(spill.take_first().unwrap().into_iter().map(String::from));
        }
        assert_eq!((out, spill.bytes()), (lines, 0));
        assert_eq!(fs::read_dir(dir.path().join("outbox")).unwrap().count(), 0);
    }

    #[test]
    fn a_segment_that_somebody_cut_is_an_error_and_not_a_gap() {
        let dir = tempfile::tempdir().unwrap();
        let mut spill = Spill::open(dir.path(), 1000).unwrap();
        spill.append("a").unwrap();
        spill.append("b").unwrap();
        fs::write(&spill.segments[0].path, "a\n").unwrap();
        assert!(spill.take_first().unwrap_err().to_string().contains("should have 4"));
    }

    #[test]
    fn what_an_earlier_process_left_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("000.segment"), "old").unwrap();
        let spill = Spill::open(dir.path(), 1000).unwrap();
        assert!(spill.is_empty());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
