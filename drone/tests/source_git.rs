//! Git repositories on this machine, checked out into workspaces, and what goes wrong. Real `git` is the judge.

#![expect(clippy::unwrap_used, reason = "a test fails where its set-up fails")]

use drone::source::{Fetch, Fetched, SourceError, describe, fetch};
use shared::job::{Ref, Repo, Vcs};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::AtomicBool,
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
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

/// A repository with two commits on main, one on next, and a tag.
struct Origin {
    temp: TempDir,
    first: String,
    main: String,
    next: String,
}

impl Origin {
    fn new() -> Self {
        let temp = TempDir::new().unwrap();
        let dir = temp.path().join("repo");
        fs::create_dir(&dir).unwrap();
        git(&dir, &["init", "-q", "-b", "main"]);
        fs::write(dir.join("a.txt"), "one\n").unwrap();
        git(&dir, &["add", "."]);
        git(&dir, &["commit", "-qm", "first"]);
        let first = git(&dir, &["rev-parse", "HEAD"]);
        git(&dir, &["tag", "-a", "v1", "-m", "one"]);
        fs::write(dir.join("a.txt"), "two\n").unwrap();
        git(&dir, &["commit", "-qam", "second"]);
        let main = git(&dir, &["rev-parse", "HEAD"]);
        git(&dir, &["checkout", "-qb", "next"]);
        fs::write(dir.join("b.txt"), "next\n").unwrap();
        git(&dir, &["add", "."]);
        git(&dir, &["commit", "-qm", "third"]);
        let next = git(&dir, &["rev-parse", "HEAD"]);
        git(&dir, &["checkout", "-q", "main"]);
        Self {
            temp,
            first,
            main,
            next,
        }
    }

    fn dir(&self) -> PathBuf {
        self.temp.path().join("repo")
    }
}

struct Workspace {
    temp: TempDir,
}

impl Workspace {
    fn new() -> Self {
        let temp = TempDir::new().unwrap();
        fs::create_dir(temp.path().join("work")).unwrap();
        Self { temp }
    }

    fn dir(&self) -> PathBuf {
        self.temp.path().join("work")
    }

    fn fetch(&self, url: &str, reference: Option<Ref>) -> Result<Fetched, SourceError> {
        let fetch_it = Fetch {
            repo: Repo {
                url: url.to_owned(),
                auth: None,
                provider: None,
                vcs: Vcs::Git,
            },
            reference,
            into: self.dir(),
            mirrors: self.temp.path().join("mirrors"),
        };
        fetch(&fetch_it, &AtomicBool::new(false), &mut |_| {})
    }

    fn assert_clean(&self) {
        assert_eq!(git(&self.dir(), &["status", "--porcelain", "--ignored"]), "");
        git(&self.dir(), &["fsck", "--no-dangling"]);
    }
}

fn branch(name: &str) -> Option<Ref> {
    Some(Ref::Branch {
        branch: Some(name.into()),
        id: None,
    })
}

fn commit(id: &str) -> Option<Ref> {
    Some(Ref::Branch {
        branch: None,
        id: Some(id.into()),
    })
}

fn refspec(name: &str) -> Option<Ref> {
    Some(Ref::Fetch { fetch: name.into() })
}

#[test]
fn every_way_to_name_a_commit() {
    let origin = Origin::new();
    for (reference, id, name) in [
        (None, &origin.main, Some("main")),
        (branch("next"), &origin.next, Some("next")),
        (branch("refs/heads/next"), &origin.next, Some("next")),
        (branch("v1"), &origin.first, None),
        (commit(&origin.first), &origin.first, None),
        (refspec("refs/heads/next"), &origin.next, Some("next")),
        (refspec("+refs/tags/v1:refs/x"), &origin.first, None),
        (refspec("heads/next"), &origin.next, Some("next")),
        (refspec(&origin.next), &origin.next, None),
    ] {
        for url in [
            origin.dir().display().to_string(),
            format!("file://{}", origin.dir().display()),
            origin.dir().join(".git").display().to_string(),
        ] {
            let work = Workspace::new();
            let fetched = work.fetch(&url, reference.clone()).unwrap();
            assert_eq!(fetched.commit.as_ref(), Some(id), "{reference:?}");
            assert_eq!(fetched.branch.as_deref(), name, "{reference:?}");
            assert_eq!(&git(&work.dir(), &["rev-parse", "HEAD"]), id);
            work.assert_clean();
        }
    }
}

#[test]
fn the_workspace_borrows_and_copies_nothing() {
    let origin = Origin::new();
    let work = Workspace::new();
    work.fetch(&origin.dir().display().to_string(), branch("main")).unwrap();
    assert_eq!(git(&work.dir(), &["count-objects"]), "0 objects, 0 kilobytes");
    assert!(
        !work.temp.path().join("mirrors").exists(),
        "a local repository needs no mirror"
    );
    assert_eq!(git(&work.dir(), &["describe"]).split('-').next(), Some("v1"));
    assert_eq!(git(&work.dir(), &["rev-parse", "origin/main"]), origin.main);
    assert_eq!(
        git(&work.dir(), &["remote", "get-url", "origin"]),
        origin.dir().display().to_string()
    );
}

#[test]
fn a_repository_that_borrows_itself_is_borrowed_through() {
    let origin = Origin::new();
    let second = origin.temp.path().join("second");
    let source = origin.dir().display().to_string();
    git(origin.temp.path(), &["clone", "-q", "--shared", &source, "second"]);
    git(origin.temp.path(), &["clone", "-q", "--shared", "second", "third"]);
    let third = origin.temp.path().join("third");
    assert!(second.join(".git/objects/info/alternates").exists());
    let work = Workspace::new();
    work.fetch(&third.display().to_string(), commit(&origin.first)).unwrap();
    work.assert_clean();
}

#[test]
fn modes_links_line_ends_and_odd_names() {
    use std::os::unix::{ffi::OsStrExt, fs::PermissionsExt};
    let origin = Origin::new();
    let dir = origin.dir();
    fs::write(dir.join("run.sh"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(dir.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("a.txt", dir.join("link")).unwrap();
    std::os::unix::fs::symlink("/nowhere", dir.join("dangling")).unwrap();
    fs::write(dir.join("crlf.txt"), "a\r\nb\r\n").unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"n\xff\xfe \xc3\xa9\n.txt");
    fs::write(dir.join(odd), "odd").unwrap();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    fs::write(
        dir.join(".gitattributes"),
        "*.bin filter=lfs diff=lfs merge=lfs -text\n",
    )
    .unwrap();
    fs::write(dir.join("big.bin"), pointer).unwrap();
    git(&dir, &["add", "."]);
    git(&dir, &["commit", "-qm", "odd"]);

    let work = Workspace::new();
    work.fetch(&dir.display().to_string(), None).unwrap();
    let at = |name: &str| work.dir().join(name);
    assert_eq!(fs::metadata(at("run.sh")).unwrap().permissions().mode() & 0o111, 0o111);
    assert_eq!(fs::metadata(at("a.txt")).unwrap().permissions().mode() & 0o111, 0);
    assert_eq!(fs::read_link(at("link")).unwrap(), Path::new("a.txt"));
    assert_eq!(fs::read_link(at("dangling")).unwrap(), Path::new("/nowhere"));
    assert_eq!(fs::read(at("crlf.txt")).unwrap(), b"a\r\nb\r\n");
    assert_eq!(fs::read(at("big.bin")).unwrap(), pointer.as_bytes());
    assert_eq!(fs::read(work.dir().join(odd)).unwrap(), b"odd");
    work.assert_clean();
}

#[test]
fn a_shallow_repository_stays_whole_as_far_as_it_goes() {
    let origin = Origin::new();
    let url = format!("file://{}", origin.dir().display());
    git(origin.temp.path(), &["clone", "-q", "--depth", "1", &url, "shallow"]);
    let work = Workspace::new();
    let shallow = origin.temp.path().join("shallow");
    work.fetch(&shallow.display().to_string(), None).unwrap();
    assert_eq!(git(&work.dir(), &["rev-list", "--count", "HEAD"]), "1");
    work.assert_clean();
}

#[test]
fn submodules_in_submodules_come_along() {
    let inner = Origin::new();
    let middle = Origin::new();
    let outer = Origin::new();
    let inner_url = inner.dir().display().to_string();
    git(
        &middle.dir(),
        &["submodule", "--quiet", "add", &inner_url, "deep/inner"],
    );
    git(&middle.dir(), &["commit", "-qm", "inner"]);
    // A relative address, and a commit that no branch names any more.
    let beside = outer.temp.path().join("beside");
    fs::rename(middle.dir(), &beside).unwrap();
    git(
        &outer.dir(),
        &["remote", "add", "origin", &outer.dir().display().to_string()],
    );
    git(&outer.dir(), &["submodule", "--quiet", "add", "../beside", "middle"]);
    git(&outer.dir(), &["commit", "-qm", "middle"]);

    let work = Workspace::new();
    work.fetch(&outer.dir().display().to_string(), None).unwrap();
    assert_eq!(
        fs::read_to_string(work.dir().join("middle/deep/inner/a.txt")).unwrap(),
        "two\n"
    );
    work.assert_clean();
    let status = git(&work.dir(), &["submodule", "status", "--recursive"]);
    assert!(status.lines().all(|line| !line.starts_with(['-', '+'])), "{status}");
}

#[test]
fn a_missing_submodule_says_which() {
    let inner = Origin::new();
    let outer = Origin::new();
    let inner_url = inner.dir().display().to_string();
    git(&outer.dir(), &["submodule", "--quiet", "add", &inner_url, "sub"]);
    git(&outer.dir(), &["commit", "-qm", "sub"]);
    drop(inner);
    let error = Workspace::new()
        .fetch(&outer.dir().display().to_string(), None)
        .unwrap_err();
    assert_eq!(error.kind(), "submodule");
    let text = error.to_string();
    assert!(
        text.contains("submodule \"sub\"") && text.contains("does not exist on this drone"),
        "{text}"
    );
}

#[test]
fn a_gitlink_without_an_address_is_left_empty() {
    let origin = Origin::new();
    let dir = origin.dir();
    let cacheinfo = format!("160000,{},stray", origin.first);
    git(&dir, &["update-index", "--add", "--cacheinfo", &cacheinfo]);
    git(&dir, &["commit", "-qm", "stray"]);
    let work = Workspace::new();
    work.fetch(&dir.display().to_string(), None).unwrap();
    assert!(work.dir().join("a.txt").exists());
}

#[test]
fn errors_say_what_to_do() {
    let origin = Origin::new();
    let url = origin.dir().display().to_string();
    let empty = origin.temp.path().join("empty");
    let plain = origin.temp.path().join("plain");
    git(origin.temp.path(), &["init", "-q", "empty"]);
    fs::create_dir(&plain).unwrap();
    let blob = git(&origin.dir(), &["rev-parse", "HEAD:a.txt"]);
    git(&origin.dir(), &["tag", "blob", &blob]);
    let nowhere = "0123456789012345678901234567890123456789";
    let on_main = Some(Ref::Branch {
        branch: Some("main".into()),
        id: Some(nowhere.into()),
    });
    for (url, reference, kind, message) in [
        (
            "/nowhere/repo",
            None,
            "unknown-repository",
            "does not exist on this drone",
        ),
        (
            plain.to_str().unwrap(),
            None,
            "unknown-repository",
            "is no git repository",
        ),
        ("repo", None, "bad-address", "use https://"),
        (empty.to_str().unwrap(), None, "empty", "push a commit first"),
        (&url, branch("nxt"), "missing-ref", "\"nxt\" is not in"),
        (&url, branch("nxt"), "missing-ref", ": it has main, next"),
        (&url, commit(nowhere), "missing-commit", nowhere),
        (&url, on_main, "missing-commit", "not in branch main of"),
        (&url, refspec("refs/tags/blob"), "no-commit", "is no commit"),
        ("ftp://me:secret@host/x", None, "bad-address", "\"ftp://host/x\""),
    ] {
        let work = Workspace::new();
        let error = work.fetch(url, reference).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let text = error.to_string();
        assert!(text.contains(message), "{text} has no {message:?}");
        assert!(!text.contains("secret"), "{text}");
    }
}

#[test]
fn a_cancelled_job_fetches_nothing() {
    let origin = Origin::new();
    let work = Workspace::new();
    let job = Fetch {
        repo: Repo {
            url: origin.dir().display().to_string(),
            auth: None,
            provider: None,
            vcs: Vcs::Git,
        },
        reference: None,
        into: work.dir(),
        mirrors: work.temp.path().join("mirrors"),
    };
    let error = fetch(&job, &AtomicBool::new(true), &mut |_| {}).unwrap_err();
    assert_eq!(error.kind(), "cancelled");
    assert_eq!(fs::read_dir(work.dir()).unwrap().count(), 0);
}

#[test]
fn the_shown_command_has_no_credentials() {
    let shown = |url: &str, vcs, reference| {
        describe(&Fetch {
            repo: Repo {
                url: url.into(),
                auth: None,
                provider: None,
                vcs,
            },
            reference,
            into: PathBuf::new(),
            mirrors: PathBuf::new(),
        })
    };
    assert_eq!(
        shown("https://u:p@host/repo?t=1", Vcs::Git, branch("main")),
        "git fetch https://host/repo main"
    );
    assert_eq!(
        shown("git@host:a/b", Vcs::Git, refspec("refs/x")),
        "git fetch git@host:a/b refs/x"
    );
    assert_eq!(shown("rsync://u@host/m", Vcs::Rsync, None), "rsync rsync://host/m");
}
