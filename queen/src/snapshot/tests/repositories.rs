//! Repositories that are not as simple: inside of each other, in the middle of a merge, cut, spread.

use super::*;

#[test]
fn submodules_and_inner_repositories_become_folders() {
    let inner = Tree::committed();
    inner.write("tests/t.sh", "true");
    inner.commit();
    let outer = Tree::committed();
    let url = inner.dir().display().to_string();
    git(&outer.dir(), &["submodule", "--quiet", "add", &url, "libs/inner"]);
    git(&outer.dir(), &["submodule", "--quiet", "add", &url, "absent"]);
    outer.commit();
    git(&outer.dir(), &["submodule", "--quiet", "deinit", "-f", "absent"]);
    outer.write("libs/inner/tests/t.sh", "false");
    outer.write("libs/inner/untracked", "u");
    git(&outer.dir(), &["init", "-q", "stray"]);
    outer.write("stray/s.txt", "s");
    drop(inner);

    let taken = outer.snapshot();
    assert_eq!(
        outer.files(&taken),
        ".gitmodules a.txt libs/inner/a.txt libs/inner/tests/t.sh libs/inner/untracked stray/s.txt"
    );
    assert_eq!(outer.read(&taken, "libs/inner/tests/t.sh"), "false");
    assert_eq!((taken.files, taken.changed), (6, 3));
}

#[test]
fn lfs_content_is_taken_and_pointers_stay() {
    let tree = Tree::committed();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5000\n";
    tree.write(".gitattributes", "*.bin filter=lfs -text\n");
    tree.write("here.bin", pointer);
    tree.write("there.bin", pointer);
    tree.commit();
    fs::create_dir(tree.dir().join(".git/lfs")).unwrap();
    let content = "x".repeat(5000);
    tree.write("here.bin", &content);
    // Git LFS leaves the pointer in the index, with the times of the content.
    let clean = format!("filter.lfs.clean=printf '{}'", pointer.replace('\n', "\\n"));
    git(&tree.dir(), &["-c", &clean, "add", "here.bin"]);
    assert_eq!(git(&tree.dir(), &["diff", "--cached", "--stat"]), "");
    let taken = tree.snapshot();
    assert_eq!(tree.read(&taken, "here.bin"), content);
    assert_eq!(tree.read(&taken, "there.bin"), pointer.trim_end());
    assert_eq!(taken.changed, 0);
}

#[test]
fn a_merge_in_conflict_is_taken_as_the_files_are() {
    let tree = Tree::committed();
    git(&tree.dir(), &["checkout", "-qb", "other"]);
    tree.write("a.txt", "theirs\n");
    tree.commit();
    git(&tree.dir(), &["checkout", "-q", "main"]);
    tree.write("a.txt", "ours\n");
    tree.commit();
    let merge = Command::new("git")
        .arg("-C")
        .arg(tree.dir())
        .args(["-c", "user.name=T", "-c", "user.email=t@t", "merge", "-q", "other"])
        .output()
        .unwrap();
    assert!(!merge.status.success());
    let taken = tree.snapshot();
    assert!(
        tree.read(&taken, "a.txt").starts_with("<<<<<<<"),
        "{}",
        tree.read(&taken, "a.txt")
    );
}

#[test]
fn work_trees_sparse_split_and_shallow_repositories() {
    let tree = Tree::committed();
    tree.write("big/b.txt", "b");
    tree.commit();
    // A linked work tree: its objects are elsewhere.
    git(&tree.dir(), &["worktree", "add", "-q", "../linked", "-b", "side"]);
    let linked = tree.temp.path().join("linked");
    fs::write(linked.join("n.txt"), "n").unwrap();
    let scratch = TempDir::new().unwrap();
    let taken = snapshot(&linked, scratch.path()).unwrap();
    assert_eq!(tree.files(&taken), "a.txt big/b.txt n.txt");
    assert_eq!(taken.branch.as_deref(), Some("side"));
    // What a sparse checkout leaves out is part of the commit all the same.
    git(&tree.dir(), &["sparse-checkout", "set", "--no-cone", "/a.txt"]);
    assert!(!tree.dir().join("big").exists());
    assert_eq!(tree.files(&tree.snapshot()), "a.txt big/b.txt");
    git(&tree.dir(), &["sparse-checkout", "disable"]);
    // An index in a form that libgit2 does not read.
    git(&tree.dir(), &["update-index", "--split-index"]);
    tree.write("more.txt", "m");
    assert_eq!(tree.files(&tree.snapshot()), "a.txt big/b.txt more.txt");
    // A shallow clone cannot hand its history over.
    let url = format!("file://{}", tree.dir().display());
    git(tree.temp.path(), &["clone", "-q", "--depth", "1", &url, "shallow"]);
    let shallow = tree.temp.path().join("shallow");
    fs::write(shallow.join("n.txt"), "n").unwrap();
    let scratch = TempDir::new().unwrap();
    let taken = snapshot(&shallow, scratch.path()).unwrap();
    assert_eq!(git(&taken.repo, &["rev-list", "--count", &taken.commit]), "1");
}

#[test]
fn what_is_nothing_to_run() {
    let tree = Tree::plain();
    tree.write("bare/x", "");
    git(&tree.dir(), &["init", "-q", "--bare", "bare.git"]);
    fs::create_dir(tree.dir().join("empty")).unwrap();
    for (inside, message) in [
        ("bare.git", "is a bare repository: it has no work tree to run"),
        ("empty", "has no files that are not ignored"),
        ("missing", "is no folder"),
        ("bare/x", "is no folder"),
    ] {
        let text = tree.snapshot_of(inside).unwrap_err().to_string();
        assert!(text.contains(message), "{inside}: {text}");
    }
}
