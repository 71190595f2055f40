//! Folders that are kept, taken, laid under the source and removed: held against [`super`].

use super::*;
use crate::cache::{Shrunk, shrink};
use std::os::unix::fs::symlink;

struct Place {
    _dir: tempfile::TempDir,
    data: PathBuf,
    root: PathBuf,
    aside: PathBuf,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (data, root, aside) = (
            dir.path().join("kept"),
            dir.path().join("w/source"),
            dir.path().join("w/aside"),
        );
        fs::create_dir_all(&root).unwrap();
        Self {
            _dir: dir,
            data,
            root,
            aside,
        }
    }

    /// As the next job finds it: the place is empty but for its source.
    fn fetch(&self, files: &[(&str, &str)]) {
        fs::remove_dir_all(self.root.parent().unwrap()).unwrap();
        fs::create_dir_all(&self.root).unwrap();
        for (path, text) in files {
            let path = self.root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    fn kept(&self) -> Kept {
        Kept::open(&self.data).unwrap()
    }

    fn take(&self) -> Folder {
        self.kept().take("a/b", &self.root, "deps", &self.aside).unwrap()
    }

    fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root.join(path)).ok()
    }
}

#[test]
fn a_folder_goes_to_one_job_after_the_other_and_never_to_two() {
    let place = Place::new();
    let first = place.take();
    assert!(!first.put_back().unwrap(), "there is none yet");
    fs::create_dir_all(place.root.join("deps/deep")).unwrap();
    fs::write(place.root.join("deps/deep/x"), "1").unwrap();
    fs::set_permissions(place.root.join("deps"), Permissions::from_mode(0o555)).unwrap();
    assert!(first.put_back().unwrap());
    assert!(!place.root.join("deps").exists());
    let other = place.kept().take("a/c", &place.root, "deps", &place.aside).unwrap();
    assert!(!other.put_back().unwrap(), "another project has nothing of it");
    place.fetch(&[]);
    let second = place.take();
    assert_eq!(place.text("deps/deep/x").unwrap(), "1");
    place.fetch(&[]);
    let third = place.take();
    assert!(place.text("deps/deep/x").is_none(), "the second job has it");
    assert!(!third.put_back().unwrap() && !second.put_back().unwrap());
}

#[test]
fn what_the_source_has_wins_and_is_not_kept() {
    let place = Place::new();
    place.fetch(&[("deps/own/a", "old"), ("deps/gone", "old"), ("deps/shape/x", "old")]);
    let first = place.take();
    fs::write(place.root.join("deps/own/made"), "made").unwrap();
    fs::write(place.root.join("deps/own/a"), "changed by the job").unwrap();
    fs::remove_file(place.root.join("deps/shape/x")).unwrap();
    fs::create_dir(place.root.join("deps/shape/x")).unwrap();
    let outside = place.root.parent().unwrap().parent().unwrap().join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, place.root.join("deps/link")).unwrap();
    assert!(first.put_back().unwrap());

    place.fetch(&[
        ("deps/own/a", "new"),
        ("deps/link/into", "new"),
        ("deps/shape", "now a file"),
    ]);
    let second = place.take();
    assert_eq!(place.text("deps/own/a").unwrap(), "new");
    assert_eq!(place.text("deps/own/made").unwrap(), "made");
    assert_eq!(place.text("deps/gone"), None, "the source has it no longer");
    assert_eq!(place.text("deps/shape").unwrap(), "now a file");
    assert_eq!(place.text("deps/link/into").unwrap(), "new");
    assert_eq!(
        fs::read_dir(&outside).unwrap().count(),
        0,
        "nothing is written through a link"
    );
    // A job that makes its source's folder a link does not get the file behind it removed.
    fs::write(outside.join("into"), "precious").unwrap();
    fs::remove_dir_all(place.root.join("deps/link")).unwrap();
    symlink(&outside, place.root.join("deps/link")).unwrap();
    assert!(second.put_back().unwrap());
    assert_eq!(fs::read_to_string(outside.join("into")).unwrap(), "precious");
}

#[test]
fn what_is_no_folder_of_the_work_tree_is_not_kept() {
    let place = Place::new();
    let folder = place.take();
    symlink("/usr", place.root.join("deps")).unwrap();
    let error = folder.put_back().unwrap_err().to_string();
    assert_eq!(error, "deps is a file or a link");
    place.fetch(&[("deps", "a file of the source")]);
    let error = place.kept().take("a/b", &place.root, "deps", &place.aside).unwrap_err();
    assert_eq!(error.to_string(), "deps is a file or a link");
    place.fetch(&[]);
    symlink("/usr", place.root.join("deps")).unwrap();
    let error = place
        .kept()
        .take("a/b", &place.root, "deps/share", &place.aside)
        .unwrap_err();
    assert_eq!(error.to_string(), "deps is a file or a link");
}

#[test]
fn what_was_half_removed_when_the_drone_died_goes_at_the_next_start() {
    let place = Place::new();
    let folder = place.take();
    fs::create_dir(place.root.join("deps")).unwrap();
    fs::write(place.root.join("deps/x"), "whole").unwrap();
    folder.put_back().unwrap();
    let home = folders(&place.data).unwrap().remove(0);
    fs::create_dir_all(home.join("gone-1/deep")).unwrap();
    let other = place.data.join("0123");
    fs::create_dir_all(other.join("gone-2")).unwrap();
    fs::write(other.join(BYTES), "7").unwrap();
    place.take();
    assert_eq!(place.text("deps/x").unwrap(), "whole");
    assert!(!home.join("gone-1").exists() && !other.exists());
}

#[test]
fn kept_folders_give_way_to_the_limit_the_longest_unused_first() {
    let place = Place::new();
    for (project, bytes) in [("old", 1_000), ("new", 1_000)] {
        let folder = place.kept().take(project, &place.root, "deps", &place.aside).unwrap();
        fs::create_dir(place.root.join("deps")).unwrap();
        fs::write(place.root.join("deps/x"), vec![7; bytes]).unwrap();
        folder.put_back().unwrap();
        let age = if project == "old" { 1_000 } else { 2_000 };
        let note = fs::File::options().append(true).open(folder.home.join(BYTES)).unwrap();
        note.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(age))
            .unwrap();
    }
    let none = shrink(place.kept().items().unwrap(), 2_000).unwrap();
    assert_eq!(none, Shrunk::default());
    let one = shrink(place.kept().items().unwrap(), 1_999).unwrap();
    assert_eq!(one, Shrunk { items: 1, bytes: 1_000 });
    let take = |project| place.kept().take(project, &place.root, "deps", &place.aside).unwrap();
    take("old");
    assert_eq!(place.text("deps/x"), None);
    let items = place.kept().items().unwrap();
    take("new");
    assert!(place.text("deps/x").is_some());
    assert_eq!(shrink(items, 0).unwrap(), Shrunk::default(), "a job has it by now");
    assert!(place.text("deps/x").is_some());
}
