//! What is collected, what is kept, and what a kill in between leaves. Real `git` makes the repositories and judges them.

use super::{Collected, MARK, Repositories};
use git2::Repository;
use shared::Project;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

struct Place {
    temp: TempDir,
    repositories: Repositories,
    project: Project,
}

fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .args(["-c", "user.name=t", "-c", "user.email=t@t", "-c", "gc.auto=0"])
        .args(args)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "git {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Place {
    fn new() -> Self {
        let temp = TempDir::new().unwrap();
        let project = Project::new("a/b").unwrap();
        let repositories = Repositories::new(temp.path().join("data/git"));
        crate::git_http::ensure(repositories.root(), &project).unwrap();
        git(temp.path(), &["init", "-q", "-b", "main", "tree"]);
        Self {
            temp,
            repositories,
            project,
        }
    }

    fn repo(&self) -> PathBuf {
        self.repositories.root().join("a/b.git")
    }

    fn tree(&self) -> PathBuf {
        self.temp.path().join("tree")
    }

    /// Commits a large file that does not compress, and pushes it to `name`.
    fn push(&self, name: &str, seed: u64) -> String {
        let mut noise = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let bytes: Vec<u8> = (0..200_000)
            .map(|_| {
                noise ^= noise << 13;
                noise ^= noise >> 7;
                noise ^= noise << 17;
                noise.to_le_bytes()[0]
            })
            .collect();
        let tree = self.tree();
        fs::write(tree.join("large"), bytes).unwrap();
        git(&tree, &["add", "-A"]);
        git(&tree, &["commit", "-q", "-m", name]);
        let repo = self.repo();
        git(&tree, &["push", "-q", repo.to_str().unwrap(), &format!("HEAD:{name}")]);
        git(&tree, &["rev-parse", "HEAD"])
    }

    /// What is committed next has no past.
    fn apart(&self) {
        git(&self.tree(), &["checkout", "-q", "--orphan", "apart"]);
    }

    fn collect(&self) -> Collected {
        self.repositories.collect(&self.project).unwrap()
    }

    fn remove(&self, names: &[&str]) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let alone = self.repositories.alone(&self.project).unwrap().unwrap();
        alone.remove(&names).unwrap();
    }

    fn has(&self, commit: &str) -> bool {
        self.repositories.has(&self.project, commit).unwrap()
    }

    fn check(&self) {
        git(&self.repo(), &["fsck", "--full", "--strict"]);
    }
}

#[test]
fn what_no_ref_leads_to_goes_and_everything_else_stays() {
    let place = Place::new();
    let first = place.push("refs/skep/one", 1);
    place.apart();
    let second = place.push("refs/skep/two", 2);
    git(&place.tree(), &["tag", "-a", "-m", "x", "v1"]);
    git(&place.tree(), &["push", "-q", place.repo().to_str().unwrap(), "v1"]);
    let blob = git(&place.tree(), &["rev-parse", "HEAD:large"]);
    git(&place.repo(), &["update-ref", "refs/tags/blob", &blob]);

    let kept = place.repositories.kept(&place.project).unwrap();
    let jobs: Vec<_> = kept.iter().map(|kept| (kept.job(), kept.commit.as_str())).collect();
    assert_eq!(jobs, [("one", first.as_str()), ("two", second.as_str())]);
    assert!(kept[0].at.unwrap().0 > 1_600_000_000_000);
    assert!(!place.repositories.wants_collecting(&place.project));

    let before = place.repositories.bytes(&place.project);
    place.remove(&["refs/skep/one", "refs/skep/never-there"]);
    assert!(place.repositories.wants_collecting(&place.project));
    assert!(place.has(&first), "taking a ref away removes nothing yet");
    assert_eq!(place.collect(), Collected::Done);
    assert!(!place.repositories.wants_collecting(&place.project));
    assert!(!place.has(&first) && place.has(&second));
    let after = place.repositories.bytes(&place.project);
    assert!(after + 150_000 < before && after > 200_000, "{before} {after}");
    place.check();
    assert_eq!(git(&place.repo(), &["cat-file", "-t", "v1"]), "tag");
    // Once more, with nothing to do: the same pack in its own place.
    assert_eq!(place.collect(), Collected::Done);
    assert_eq!(place.repositories.bytes(&place.project), after);
    place.check();

    place.remove(&["refs/skep/two", "refs/tags/v1", "refs/tags/blob"]);
    assert_eq!(place.collect(), Collected::Gone);
    assert_eq!(place.repositories.bytes(&place.project), 0);
    assert!(!place.repositories.exists(&place.project) && !place.has(&second));
    assert_eq!(place.repositories.projects().unwrap(), []);
}

#[test]
fn whoever_is_in_there_and_a_backup_keep_the_files_where_they_are() {
    let place = Place::new();
    let first = place.push("refs/skep/one", 1);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let held = runtime.block_on(place.repositories.hold(&place.project));
    assert!(place.repositories.alone(&place.project).unwrap().is_none());
    assert_eq!(place.collect(), Collected::Busy);
    drop(held);
    let backup = super::backup_lock(place.repositories.root()).unwrap();
    backup.lock_shared().unwrap();
    assert!(place.repositories.alone(&place.project).unwrap().is_none());
    assert_eq!(place.collect(), Collected::Busy);
    assert!(
        place.repositories.wants_collecting(&place.project),
        "it is not forgotten"
    );
    drop(backup);
    assert_eq!(place.collect(), Collected::Done);
    assert!(place.has(&first));
    place.check();
}

#[test]
fn many_packs_become_one() {
    let place = Place::new();
    let mut last = String::new();
    for seed in 1..=52 {
        fs::write(place.tree().join("small"), seed.to_string()).unwrap();
        git(&place.tree(), &["add", "-A"]);
        git(&place.tree(), &["commit", "-q", "-m", "x"]);
        last = git(&place.tree(), &["rev-parse", "HEAD"]);
        let repo = place.repo();
        let push = ["push", "-q", repo.to_str().unwrap(), "HEAD:refs/heads/main"];
        git(&repo, &["config", "receive.unpackLimit", "1"]);
        git(&repo, &["config", "receive.autogc", "false"]);
        git(&place.tree(), &push);
    }
    assert!(place.repositories.wants_collecting(&place.project));
    assert_eq!(place.collect(), Collected::Done);
    assert!(!place.repositories.wants_collecting(&place.project));
    assert_eq!(fs::read_dir(place.repo().join("objects/pack")).unwrap().count(), 2);
    assert!(place.has(&last));
    place.check();
}

/// A kill can come after each change of a file; here the state of each moment is made, and must be valid and heal.
#[test]
fn a_kill_at_any_point_leaves_a_valid_repository() {
    let place = Place::new();
    let first = place.push("refs/skep/one", 1);
    place.apart();
    let second = place.push("refs/skep/two", 2);
    place.remove(&["refs/skep/one"]);
    let objects = place.repo().join("objects");
    let draft = objects.join("incoming-killed");
    fs::create_dir(&draft).unwrap();
    let repo = Repository::open_bare(place.repo()).unwrap();
    super::collect::pack(&repo, &crate::git_http::direct_refs(&repo).unwrap(), &draft).unwrap();
    let files: Vec<PathBuf> = fs::read_dir(&draft)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let of = |end: &str| files.iter().find(|path| path.extension().unwrap() == end).unwrap();
    let check = || {
        place.check();
        assert!(place.has(&second));
        assert!(place.repo().join(MARK).exists());
    };
    check();
    for end in ["pack", "idx"] {
        let name = of(end).file_name().unwrap();
        fs::copy(of(end), objects.join("pack").join(name)).unwrap();
        check();
    }
    // The first old files are gone, the others are not.
    let old = fs::read_dir(&objects).unwrap().map(|entry| entry.unwrap().path());
    let loose: Vec<_> = old.filter(|path| path.file_name().unwrap().len() == 2).collect();
    for path in loose.iter().take(2) {
        fs::remove_dir_all(path).unwrap();
        check();
    }
    assert_eq!(place.collect(), Collected::Done);
    place.check();
    assert!(place.has(&second) && !place.has(&first));
    assert!(!draft.exists());
}

#[test]
fn what_a_killed_queen_left_is_cleared_at_the_start() {
    let place = Place::new();
    place.push("refs/skep/one", 1);
    fs::create_dir(place.repo().join("objects/incoming-x")).unwrap();
    let gone = place.temp.path().join("data/git.gone");
    fs::create_dir_all(gone.join("objects")).unwrap();
    place.repositories.clear_leftovers().unwrap();
    assert!(!place.repo().join("objects/incoming-x").exists());
    assert!(!gone.exists());
    place.check();
    let none = Repositories::new(place.temp.path().join("nothing/git"));
    none.clear_leftovers().unwrap();
    assert_eq!(none.projects().unwrap(), []);
}
