//! Mercurial repositories and plain folders, by the real programs.

#![expect(clippy::unwrap_used, reason = "a test fails where its set-up fails")]

use drone::source::{Fetch, Fetched, SourceError, fetch};
use shared::job::{Ref, Repo, Vcs};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::AtomicBool,
};
use tempfile::TempDir;

/// False if the program is missing, which is only let pass outside of CI.
fn installed(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    assert!(found || std::env::var_os("CI").is_none(), "{program} is not installed");
    found
}

fn hg(dir: &Path, args: &[&str]) -> String {
    let out = Command::new("hg")
        .current_dir(dir)
        .args(args)
        .env("HGPLAIN", "1")
        .env("HGRCPATH", "")
        .env("HGUSER", "T")
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "hg {args:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

fn take(temp: &Path, url: &str, vcs: Vcs, reference: Option<Ref>) -> Result<(Fetched, PathBuf), SourceError> {
    let into = tempfile::tempdir_in(temp).unwrap().keep();
    let job = Fetch {
        repo: Repo {
            url: url.to_owned(),
            auth: None,
            provider: None,
            vcs,
        },
        reference,
        into: into.clone(),
        mirrors: temp.join("mirrors"),
    };
    Ok((fetch(&job, &AtomicBool::new(false), &mut |_| {})?, into))
}

fn branch(name: &str) -> Option<Ref> {
    Some(Ref::Branch {
        branch: Some(name.into()),
        id: None,
    })
}

#[test]
fn mercurial_by_branch_and_id() {
    if !installed("hg") {
        return;
    }
    let temp = TempDir::new().unwrap();
    let repo = temp.path().join("repo");
    fs::create_dir(&repo).unwrap();
    hg(&repo, &["init"]);
    fs::write(repo.join("a.txt"), "one\n").unwrap();
    hg(&repo, &["commit", "-Aqm", "first"]);
    let first = hg(&repo, &["log", "-r", ".", "-T", "{node}"]);
    hg(&repo, &["branch", "-q", "next"]);
    fs::write(repo.join("a.txt"), "two\n").unwrap();
    hg(&repo, &["commit", "-qm", "second"]);
    let second = hg(&repo, &["log", "-r", ".", "-T", "{node}"]);
    let url = repo.display().to_string();
    let by_id = Some(Ref::Branch {
        branch: None,
        id: Some(first.clone()),
    });
    for (reference, want, text) in [
        (None, &first, "one\n"),
        (branch("next"), &second, "two\n"),
        (by_id, &first, "one\n"),
    ] {
        let (fetched, into) = take(temp.path(), &url, Vcs::Hg, reference).unwrap();
        assert_eq!(fetched.commit.as_ref(), Some(want));
        assert_eq!(fs::read_to_string(into.join("a.txt")).unwrap(), text);
    }
    let error = take(temp.path(), &url, Vcs::Hg, branch("nxt")).unwrap_err();
    assert_eq!(error.kind(), "missing-ref", "{error}");
    let error = take(temp.path(), "/nowhere", Vcs::Hg, None).unwrap_err();
    assert_eq!(error.kind(), "unknown-repository", "{error}");
}

#[test]
fn a_folder_by_rsync() {
    if !installed("rsync") {
        return;
    }
    let temp = TempDir::new().unwrap();
    let source = temp.path().join("source");
    fs::create_dir_all(source.join("sub")).unwrap();
    fs::write(source.join("sub/a.txt"), "a").unwrap();
    std::os::unix::fs::symlink("sub/a.txt", source.join("link")).unwrap();
    let (fetched, into) = take(temp.path(), &source.display().to_string(), Vcs::Rsync, None).unwrap();
    assert_eq!((fetched.commit, fetched.branch), (None, None));
    assert_eq!(fs::read_to_string(into.join("link")).unwrap(), "a");
    let error = take(temp.path(), "/nowhere", Vcs::Rsync, None).unwrap_err();
    assert_eq!(error.kind(), "unknown-repository", "{error}");
}
