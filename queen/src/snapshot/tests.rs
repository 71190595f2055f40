//! What a snapshot takes, and what it leaves alone. Real `git` makes the repositories and is the judge.

use super::*;
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt, net::UnixListener},
    process::Command,
};
use tempfile::TempDir;

fn git(dir: &Path, args: &[&str]) -> String {
    let out = Command::new("git")
        .arg("-C")
        .arg(dir)
        .args([
            "-c",
            "user.name=T",
            "-c",
            "user.email=t@t",
            "-c",
            "protocol.file.allow=always",
        ])
        .args(args)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .expect("git is installed");
    assert!(
        out.status.success(),
        "git {args:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8_lossy(&out.stdout).trim_end().to_owned()
}

struct Tree {
    temp: TempDir,
}

impl Tree {
    fn plain() -> Self {
        let temp = TempDir::new().unwrap();
        fs::create_dir(temp.path().join("checkout")).unwrap();
        Self { temp }
    }

    fn repository() -> Self {
        let tree = Self::plain();
        git(&tree.dir(), &["init", "-q", "-b", "main"]);
        tree
    }

    /// A repository with one commit of `a.txt`.
    fn committed() -> Self {
        let tree = Self::repository();
        tree.write("a.txt", "one\n");
        tree.commit();
        tree
    }

    fn dir(&self) -> PathBuf {
        self.temp.path().join("checkout")
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.dir().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn commit(&self) {
        git(&self.dir(), &["add", "-A"]);
        git(&self.dir(), &["commit", "-qm", "a commit"]);
    }

    /// Takes a snapshot and checks that nothing here has changed by it.
    fn snapshot_of(&self, inside: &str) -> Result<Snapshot, SnapshotError> {
        let scratch = self.temp.path().join("scratch");
        let _ = fs::remove_dir_all(&scratch);
        fs::create_dir(&scratch).unwrap();
        let before = hashes(&self.dir());
        let result = snapshot(&self.dir().join(inside), &scratch);
        let after = hashes(&self.dir());
        let paths = before.keys().chain(after.keys());
        let touched: Vec<&PathBuf> = paths.filter(|path| before.get(*path) != after.get(*path)).collect();
        assert!(
            touched.is_empty(),
            "the snapshot changed what it was taken from: {touched:?}"
        );
        if let Ok(taken) = &result {
            git(&scratch, &["fsck", "--strict", "--no-dangling", &taken.commit]);
        }
        result
    }

    fn snapshot(&self) -> Snapshot {
        self.snapshot_of("").unwrap()
    }

    fn files(&self, taken: &Snapshot) -> String {
        git(&taken.repo, &["ls-tree", "-r", "--name-only", &taken.commit]).replace('\n', " ")
    }

    fn read(&self, taken: &Snapshot, path: &str) -> String {
        git(&taken.repo, &["show", &format!("{}:{path}", taken.commit)])
    }
}

/// Every file below `dir`, `.git` included, with its content and when it was written. Objects only with their content:
/// libgit2 freshens the time of one that it finds to be there already, which keeps `git gc` from it for a while.
fn hashes(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, Option<std::time::SystemTime>)> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let data = fs::symlink_metadata(&path).unwrap();
        if data.is_dir() {
            all.extend(hashes(&path));
            all.insert(path, (Vec::new(), data.modified().ok()));
        } else if data.is_file() {
            let hash = Sha256::digest(fs::read(&path).unwrap()).to_vec();
            let object = path.components().any(|part| part.as_os_str() == "objects");
            all.insert(path, (hash, data.modified().ok().filter(|_| !object)));
        }
    }
    all
}

mod repositories;

#[test]
fn uncommitted_untracked_and_removed_files() {
    let tree = Tree::committed();
    tree.write("gone.txt", "x");
    tree.write("staged.txt", "x");
    tree.write(".gitignore", "*.log\nbuild/\n");
    tree.commit();
    let head = git(&tree.dir(), &["rev-parse", "HEAD"]);
    tree.write("a.txt", "two\n");
    tree.write("new/deep.txt", "new");
    tree.write("x.log", "ignored");
    tree.write("build/out", "ignored");
    tree.write("staged.txt", "staged");
    git(&tree.dir(), &["add", "staged.txt"]);
    tree.write("staged.txt", "later");
    fs::remove_file(tree.dir().join("gone.txt")).unwrap();

    let taken = tree.snapshot();
    assert_eq!(tree.files(&taken), ".gitignore a.txt new/deep.txt staged.txt");
    assert_eq!(tree.read(&taken, "a.txt"), "two");
    assert_eq!(tree.read(&taken, "staged.txt"), "later");
    assert_eq!((taken.files, taken.changed), (4, 4));
    assert_eq!(taken.branch.as_deref(), Some("main"));
    assert_eq!(taken.head.as_ref(), Some(&head));
    assert_eq!(git(&taken.repo, &["rev-parse", &format!("{}^", taken.commit)]), head);
    assert_eq!(taken.project_hint, "local/checkout");
    assert_eq!(
        tree.snapshot().commit,
        taken.commit,
        "the same files are the same snapshot"
    );
}

#[test]
fn a_clean_tree_is_head_itself() {
    let tree = Tree::committed();
    git(&tree.dir(), &["remote", "add", "origin", "git@github.com:acme/web.git"]);
    let taken = tree.snapshot();
    assert_eq!(Some(&taken.commit), taken.head.as_ref());
    assert_eq!((taken.files, taken.changed), (1, 0));
    assert_eq!(taken.project_hint, "acme/web");
    let own = git(&taken.repo, &["count-objects"]);
    assert_eq!(own, "0 objects, 0 kilobytes", "nothing is hashed that has not changed");
}

#[test]
fn a_file_that_was_only_touched_is_no_change() {
    let tree = Tree::committed();
    let file = fs::File::options().write(true).open(tree.dir().join("a.txt")).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    drop(file);
    let taken = tree.snapshot();
    assert_eq!((taken.files, taken.changed), (1, 0));
    assert_eq!(Some(&taken.commit), taken.head.as_ref());
}

#[test]
fn a_folder_that_is_no_repository() {
    let tree = Tree::plain();
    tree.write("test.sh", "true");
    tree.write(".gitignore", "*.o\n");
    tree.write("x.o", "ignored");
    tree.write("sub/.gitignore", "y\n");
    tree.write("sub/y", "ignored");
    tree.write("sub/z", "kept");
    let taken = tree.snapshot();
    assert_eq!(tree.files(&taken), ".gitignore sub/.gitignore sub/z test.sh");
    assert_eq!((taken.head, taken.branch), (None, None));
    assert_eq!((taken.files, taken.changed), (4, 4));
    assert_eq!(taken.project_hint, "local/checkout");
}

#[test]
fn before_the_first_commit_and_with_a_detached_head() {
    let tree = Tree::repository();
    tree.write("a.txt", "one\n");
    let taken = tree.snapshot();
    assert_eq!(taken.head, None);
    assert_eq!(taken.branch.as_deref(), Some("main"));
    assert_eq!(taken.files, 1);
    tree.commit();
    git(&tree.dir(), &["checkout", "-q", "--detach"]);
    let taken = tree.snapshot();
    assert_eq!(taken.branch, None);
    assert!(taken.head.is_some());
}

#[test]
fn a_folder_inside_stands_for_itself() {
    let tree = Tree::committed();
    tree.write(".gitignore", "*.log\nvendor/\n");
    tree.write("pkg/[a]/x.txt", "x");
    tree.write("pkg/[a]/y.txt", "y");
    tree.write("pkg/a/other.txt", "y");
    tree.write("vendor/v.txt", "v");
    tree.commit();
    tree.write("pkg/[a]/new.txt", "new");
    tree.write("pkg/[a]/z.log", "ignored by the rules of the root");
    fs::remove_file(tree.dir().join("pkg/[a]/y.txt")).unwrap();
    tree.write("a.txt", "changed, elsewhere");
    let taken = tree.snapshot_of("pkg/[a]").unwrap();
    assert_eq!(tree.files(&taken), "new.txt x.txt");
    assert_eq!((taken.files, taken.changed), (2, 2));
    assert_eq!(taken.project_hint, "local/checkout/pkg/-a-");
    assert_eq!(git(&taken.repo, &["rev-list", "--count", &taken.commit]), "1");
    // What the repository ignores as a whole is a folder of its own.
    let taken = tree.snapshot_of("vendor").unwrap();
    assert_eq!(tree.files(&taken), "v.txt");
    assert_eq!(
        (taken.head.as_deref(), taken.project_hint.as_str()),
        (None, "local/vendor")
    );
}

#[test]
fn modes_links_and_names_that_are_no_text() {
    let tree = Tree::committed();
    let odd = OsStr::from_bytes(b"n\xff\xc3.txt");
    fs::write(tree.dir().join(odd), "odd").unwrap();
    tree.write("run.sh", "#!/bin/sh\n");
    fs::set_permissions(tree.dir().join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("a.txt", tree.dir().join("link")).unwrap();
    std::os::unix::fs::symlink("/etc", tree.dir().join("to-folder")).unwrap();
    std::os::unix::fs::symlink("nowhere", tree.dir().join("dangling")).unwrap();
    // A tracked file that has become a link, and one that has become a folder.
    tree.write("b", "b");
    tree.write("c", "c");
    git(&tree.dir(), &["add", "b", "c"]);
    git(&tree.dir(), &["commit", "-qm", "b c"]);
    fs::remove_file(tree.dir().join("b")).unwrap();
    std::os::unix::fs::symlink("a.txt", tree.dir().join("b")).unwrap();
    fs::remove_file(tree.dir().join("c")).unwrap();
    tree.write("c/inside", "x");

    let taken = tree.snapshot();
    let list = git(
        &taken.repo,
        &["ls-tree", "-r", "--format=%(objectmode) %(path)", &taken.commit],
    );
    let list: Vec<&str> = list.lines().collect();
    assert_eq!(
        list,
        [
            "100644 a.txt",
            "120000 b",
            "100644 c/inside",
            "120000 dangling",
            "120000 link",
            "100644 \"n\\377\\303.txt\"",
            "100755 run.sh",
            "120000 to-folder",
        ]
    );
    assert_eq!(tree.read(&taken, "to-folder"), "/etc");
}

#[test]
fn pipes_and_sockets_are_skipped() {
    let tree = Tree::committed();
    let pipe = std::ffi::CString::new(tree.dir().join("pipe").as_os_str().as_bytes()).unwrap();
    // SAFETY: a path that ends with a zero byte.
    assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);
    let _socket = UnixListener::bind(tree.dir().join("socket")).unwrap();
    fs::remove_file(tree.dir().join("a.txt")).unwrap();
    let pipe = std::ffi::CString::new(tree.dir().join("a.txt").as_os_str().as_bytes()).unwrap();
    // SAFETY: as above.
    assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);
    tree.write("kept", "x");
    assert_eq!(tree.files(&tree.snapshot()), "kept");
}

#[test]
fn many_files_line_ends_and_contents_that_do_not_compress() {
    let tree = Tree::committed();
    tree.write(".gitattributes", "*.crlf text eol=crlf\n*.id ident\n");
    tree.write("x.crlf", "a\r\nb\r\n");
    tree.write("raw.bin", "a\r\nb\r\n");
    tree.write("k.id", "$Id: 0123$\n");
    tree.write("empty", "");
    let mut state: u64 = 7;
    let mut noise = String::new();
    while noise.len() < 700_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        noise.push_str(&state.to_string());
    }
    tree.write("noise", &noise);
    for n in 0..500 {
        // Every other one has the content of the one before.
        tree.write(&format!("many/{}/{n}", n % 7), &format!("{}\n", n / 2));
    }
    let taken = tree.snapshot();
    assert_eq!(taken.files, 507);
    assert_eq!(tree.read(&taken, "x.crlf"), "a\nb");
    assert_eq!(tree.read(&taken, "raw.bin"), "a\r\nb");
    assert_eq!(tree.read(&taken, "k.id"), "$Id$");
    assert_eq!(tree.read(&taken, "noise"), noise);
    assert_eq!(tree.read(&taken, "many/3/493"), "246");
    // What git itself would commit is the same tree.
    tree.commit();
    let expected = git(&tree.dir(), &["rev-parse", "HEAD^{tree}"]);
    assert_eq!(
        git(&taken.repo, &["rev-parse", &format!("{}^{{tree}}", taken.commit)]),
        expected
    );
}

#[test]
fn line_ends_that_the_machine_converts() {
    let tree = Tree::committed();
    git(&tree.dir(), &["config", "core.autocrlf", "input"]);
    tree.write("text", "a\r\nb\r\n");
    tree.write("binary", "a\r\n\0");
    let taken = tree.snapshot();
    assert_eq!(tree.read(&taken, "text"), "a\nb");
    assert_eq!(tree.read(&taken, "binary"), "a\r\n\0");
}

#[test]
fn large_files_are_refused_by_name() {
    let tree = Tree::committed();
    for name in ["huge.bin", "sub/huge2.bin"] {
        tree.write(name, "");
        let file = fs::File::options().write(true).open(tree.dir().join(name)).unwrap();
        file.set_len(FILE_LIMIT + 1).unwrap();
    }
    tree.write("ignored.bin", "");
    let text = tree.snapshot_of("").unwrap_err().to_string();
    assert!(text.contains("huge.bin") && text.contains("sub/huge2.bin"), "{text}");
    assert!(text.contains("more than 100 MiB; add them to .gitignore"), "{text}");
}
