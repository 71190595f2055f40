//! What a drone fetches from it, and how a snapshot gets there.

use crate::support::*;
use drone::source::fetch;
use queen::{
    api::git,
    snapshot::{push, snapshot},
};
use shared::{Secret, job::Ref};
use std::{
    fs,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
};
use tempfile::TempDir;

#[test]
fn a_drone_fetches_branches_ids_tags_and_the_default() {
    let server = Server::open();
    let temp = TempDir::new().unwrap();
    let tree = work_tree(temp.path());
    let url = server.url("acme/web");
    let first = git_in(&tree, &["rev-parse", "HEAD"]);
    git_in(&tree, &["tag", "-a", "v1", "-m", "one"]);
    let second = commit(&tree, "b.txt", "b");
    git_in(&tree, &["push", "-q", &url, "main", "v1", "main:refs/skep/job-1"]);
    let by = |fetch: &str| Some(Ref::Fetch { fetch: fetch.into() });
    for (reference, want, name) in [
        (None, &second, Some("main")),
        (branch("main"), &second, Some("main")),
        (id(&first), &first, None),
        (branch("v1"), &first, None),
        (by("refs/skep/job-1"), &second, None),
        (by("tags/v1"), &first, None),
    ] {
        // A drone that has nothing, and one that has it all.
        let drone = Drone::new();
        for _ in 0..2 {
            let (fetched, into) = drone.fetch(&url, reference.clone()).unwrap();
            assert_eq!(fetched.commit.as_ref(), Some(want), "{reference:?}");
            assert_eq!(fetched.branch.as_deref(), name, "{reference:?}");
            assert_eq!(git_in(&into, &["describe", &first]), "v1");
        }
    }
}

#[test]
fn a_known_commit_needs_no_network() {
    let server = Server::start(true, git::BODY_LIMIT);
    let temp = TempDir::new().unwrap();
    let tree = work_tree(temp.path());
    let url = server.url("acme/web");
    let first = git_in(&tree, &["rev-parse", "HEAD"]);
    git_in(
        &tree,
        &[
            "-c",
            &format!("http.extraHeader=Authorization: Bearer {PASSWORD}"),
            "push",
            "-q",
            &url,
            "main",
        ],
    );
    let mut drone = Drone::with(PASSWORD);
    drone.fetch(&url, branch("main")).unwrap();
    let before = server.count();
    drone.fetch(&url, id(&first)).unwrap();
    assert_eq!(
        server.count(),
        before,
        "a commit that the mirror has was asked for again"
    );
    // Whoever has no right to it gets it from no mirror either.
    drone.auth = None;
    assert_eq!(drone.error(&url, id(&first)).kind(), "no-credentials");
    drone.auth = Drone::with("wrong").auth;
    assert_eq!(drone.error(&url, id(&first)).kind(), "wrong-credentials");
    // Nothing of a password is in the cache or in the workspace.
    drone.auth = Drone::with(PASSWORD).auth;
    drone.fetch(&url, None).unwrap();
    let found = Command::new("grep")
        .args(["-rl", PASSWORD])
        .arg(drone.temp.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
}

#[test]
fn a_drone_says_what_is_wrong() {
    let server = Server::start(true, git::BODY_LIMIT);
    let temp = TempDir::new().unwrap();
    let tree = work_tree(temp.path());
    let url = server.url("acme/web");
    let header = format!("http.extraHeader=Authorization: Bearer {PASSWORD}");
    git_in(&tree, &["-c", &header, "push", "-q", &url, "main"]);
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/r", listener.local_addr().unwrap())
    };
    let nowhere = "0123456789012345678901234567890123456789";
    let on_main = Some(Ref::Branch {
        branch: Some("main".into()),
        id: Some(nowhere.into()),
    });
    let good = Drone::with(PASSWORD);
    for (drone, url, reference, kind, words) in [
        (&Drone::new(), &url, None, "no-credentials", "set repo.auth"),
        (
            &Drone::with("hunter2"),
            &url,
            None,
            "wrong-credentials",
            "refused the user name or password",
        ),
        (
            &good,
            &server.url("acme/none"),
            None,
            "unknown-repository",
            "there is no repository at http://",
        ),
        (
            &good,
            &format!("http://{}/", server.address),
            None,
            "unknown-repository",
            "there is no repository",
        ),
        (&good, &url, branch("nxt"), "missing-ref", "\"nxt\" is not in http://"),
        (&good, &url, branch("nxt"), "missing-ref", ": it has main"),
        (&good, &url, id(nowhere), "missing-commit", nowhere),
        (&good, &url, on_main, "missing-commit", "not in branch main of http://"),
        (&good, &closed, None, "network", "cannot fetch from http://127.0.0.1"),
        (
            &good,
            &"http://host.invalid/r".to_owned(),
            None,
            "network",
            "host.invalid",
        ),
    ] {
        let error = drone.error(url, reference);
        let text = error.to_string();
        assert_eq!(error.kind(), kind, "{text}");
        assert!(text.contains(words), "{text} has no {words:?}");
        assert!(!text.contains("hunter2") && !text.contains(PASSWORD), "{text}");
    }
    // An empty repository: made by a push that only deletes.
    queen::git_http::ensure(
        &server.temp.path().join("git"),
        &shared::Project::new("acme/empty").unwrap(),
    )
    .unwrap();
    assert_eq!(good.error(&server.url("acme/empty"), None).kind(), "empty");
    assert_eq!(good.error(&server.url("acme/empty"), branch("main")).kind(), "empty");
}

#[test]
fn branches_that_get_in_each_others_way() {
    let server = Server::open();
    let temp = TempDir::new().unwrap();
    let tree = work_tree(temp.path());
    let url = server.url("acme/web");
    git_in(&tree, &["push", "-q", &url, "main", "main:topic"]);
    let drone = Drone::new();
    drone.fetch(&url, branch("topic")).unwrap();
    let next = commit(&tree, "n.txt", "n");
    git_in(&tree, &["push", "-q", &url, ":topic"]);
    git_in(&tree, &["push", "-q", &url, "main:topic/deeper"]);
    let (fetched, _) = drone.fetch(&url, branch("topic/deeper")).unwrap();
    assert_eq!(fetched.commit.unwrap(), next);
    // And one that was rewritten.
    git_in(&tree, &["commit", "-q", "--amend", "-m", "other"]);
    let other = git_in(&tree, &["rev-parse", "HEAD"]);
    git_in(&tree, &["push", "-q", "-f", &url, "main:topic/deeper"]);
    let (fetched, _) = drone.fetch(&url, branch("topic/deeper")).unwrap();
    assert_eq!(fetched.commit.unwrap(), other);
}

#[test]
fn a_damaged_mirror_is_fetched_anew() {
    let server = Server::open();
    let temp = TempDir::new().unwrap();
    let tree = work_tree(temp.path());
    let url = server.url("acme/web");
    git_in(&tree, &["push", "-q", &url, "main"]);
    let head = git_in(&tree, &["rev-parse", "HEAD"]);
    let damages: [fn(&Path); 5] = [
        |mirror| fs::remove_dir_all(mirror.join("objects/pack")).unwrap(),
        |mirror| fs::write(mirror.join("config"), "[core\nnonsense").unwrap(),
        |mirror| fs::write(mirror.join("HEAD"), "garbage").unwrap(),
        |mirror| {
            for entry in fs::read_dir(mirror.join("objects/pack")).unwrap() {
                let path = entry.unwrap().path();
                let mut permissions = fs::metadata(&path).unwrap().permissions();
                std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
                fs::set_permissions(&path, permissions).unwrap();
                let length = fs::metadata(&path).unwrap().len();
                fs::write(&path, vec![0; usize::try_from(length).unwrap()]).unwrap();
            }
        },
        |mirror| {
            let refs = mirror.join("refs/skep");
            for entry in fs::read_dir(&refs).unwrap() {
                fs::write(entry.unwrap().path(), "garbage").unwrap();
            }
        },
    ];
    for (n, damage) in damages.into_iter().enumerate() {
        for reference in [branch("main"), id(&head)] {
            let drone = Drone::new();
            drone.fetch(&url, branch("main")).unwrap();
            damage(&drone.mirror());
            let (fetched, _) = drone
                .fetch(&url, reference)
                .unwrap_or_else(|error| panic!("damage {n}: {error}"));
            assert_eq!(fetched.commit.as_ref(), Some(&head), "damage {n}");
        }
    }
}

#[test]
fn many_jobs_fetch_at_once_and_only_one_asks_for_the_pack() {
    let server = Server::open();
    let temp = TempDir::new().unwrap();
    let tree = work_tree(temp.path());
    let url = server.url("acme/web");
    git_in(&tree, &["push", "-q", &url, "main"]);
    let drone = Drone::new();
    std::thread::scope(|scope| {
        let jobs: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| drone.fetch(&url, branch("main")).map(|_| ())))
            .collect();
        for job in jobs {
            job.join().unwrap().unwrap();
        }
    });
    let packs = fs::read_dir(drone.mirror().join("objects/pack")).unwrap();
    let packs = packs.filter(|entry| entry.as_ref().unwrap().path().extension() == Some("pack".as_ref()));
    assert_eq!(packs.count(), 1);
}

#[test]
fn a_cancelled_job_stops_waiting_and_stops_taking() {
    let server = Server::open();
    let temp = TempDir::new().unwrap();
    let tree = work_tree(temp.path());
    let url = server.url("acme/web");
    git_in(&tree, &["push", "-q", &url, "main"]);
    let drone = Drone::new();
    // In the middle of the conversation: the log line comes before the connection is made.
    let cancelled = AtomicBool::new(false);
    let error = fetch(&drone.job(&url, None), &cancelled, &mut |_| {
        cancelled.store(true, Ordering::SeqCst)
    })
    .unwrap_err();
    assert_eq!(error.kind(), "cancelled");
    // While another job holds the mirror.
    drone.fetch(&url, None).unwrap();
    let lock = fs::File::open(drone.mirror().with_extension("lock")).unwrap();
    lock.lock().unwrap();
    let cancelled = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let job = drone.job(&url, None);
        let waiting = scope.spawn({
            let cancelled = &cancelled;
            move || fetch(&job, cancelled, &mut |_| {})
        });
        cancelled.store(true, Ordering::SeqCst);
        assert_eq!(waiting.join().unwrap().unwrap_err().kind(), "cancelled");
    });
    lock.unlock().unwrap();
    drone.fetch(&url, None).unwrap();
}

#[test]
fn submodules_come_from_the_server_with_the_same_login() {
    let server = Server::start(true, git::BODY_LIMIT);
    let temp = TempDir::new().unwrap();
    let header = format!("http.extraHeader=Authorization: Bearer {PASSWORD}");
    let tree = work_tree(temp.path());
    git_in(&tree, &["-c", &header, "push", "-q", &server.url("acme/inner"), "main"]);
    let outer = temp.path().join("outer");
    fs::create_dir(&outer).unwrap();
    git_in(&outer, &["init", "-q", "-b", "main"]);
    git_in(&outer, &["remote", "add", "origin", &server.url("acme/outer")]);
    git_in(
        &outer,
        &[
            "-c",
            &header,
            "submodule",
            "--quiet",
            "add",
            "../inner.git",
            "libs/inner",
        ],
    );
    git_in(&outer, &["commit", "-qm", "outer"]);
    git_in(&outer, &["-c", &header, "push", "-q", "origin", "main"]);
    let drone = Drone::with(PASSWORD);
    let (_, into) = drone.fetch(&server.url("acme/outer"), None).unwrap();
    assert_eq!(fs::read_to_string(into.join("libs/inner/a.txt")).unwrap(), "one\n");
    // Another host gets no password, and a path on this machine is never followed.
    let elsewhere = Server::start(true, git::BODY_LIMIT);
    git_in(
        &tree,
        &["-c", &header, "push", "-q", &elsewhere.url("acme/inner"), "main"],
    );
    for (address, words) in [
        (elsewhere.url("acme/inner"), "set repo.auth"),
        (tree.display().to_string(), "cannot name one on the drone's own disk"),
        (
            format!("file://{}", tree.display()),
            "cannot name one on the drone's own disk",
        ),
    ] {
        git_in(
            &outer,
            &["config", "-f", ".gitmodules", "submodule.libs/inner.url", &address],
        );
        git_in(&outer, &["commit", "-qam", "moved"]);
        git_in(&outer, &["-c", &header, "push", "-q", "origin", "main"]);
        let error = drone.error(&server.url("acme/outer"), None);
        assert_eq!(error.kind(), "submodule");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn a_snapshot_is_handed_over_and_fetched_by_a_drone() {
    let server = Server::start(true, git::BODY_LIMIT);
    let temp = TempDir::new().unwrap();
    let tree = work_tree(temp.path());
    fs::write(tree.join("uncommitted.txt"), "u").unwrap();
    let scratch = temp.path().join("scratch");
    fs::create_dir(&scratch).unwrap();
    let taken = snapshot(&tree, &scratch).unwrap();
    let url = server.url(&taken.project_hint);
    let token = Secret::new(PASSWORD);
    push(&taken, &url, Some(&token), "refs/skep/run-1").unwrap();
    // Again, with nothing new to send.
    push(&taken, &url, Some(&token), "refs/skep/run-2").unwrap();
    let drone = Drone::with(PASSWORD);
    let (fetched, into) = drone.fetch(&url, id(&taken.commit)).unwrap();
    assert_eq!(fetched.commit.as_ref(), Some(&taken.commit));
    assert_eq!(fs::read_to_string(into.join("uncommitted.txt")).unwrap(), "u");
    // Without any server: a drone on this machine borrows the objects.
    let (_, into) = drone
        .fetch(&taken.repo.display().to_string(), id(&taken.commit))
        .unwrap();
    assert_eq!(fs::read_to_string(into.join("uncommitted.txt")).unwrap(), "u");

    let small = Server::start(false, 64);
    for (url, token, reference, words) in [
        (&url, None, "refs/skep/x", "asks for a token: set QUEEN_TOKEN"),
        (&url, Some(Secret::new("wrong")), "refs/skep/x", "refused the token"),
        (&url, Some(token.clone()), "refs/notes/x", "only branches and tags"),
        (&small.url("a/b"), None, "refs/skep/x", "larger than the queen takes"),
        (
            &format!("http://{}/x/y.git", small.address),
            None,
            "refs/skep/x",
            "check QUEEN_URL",
        ),
    ] {
        let text = push(&taken, url, token.as_ref(), reference).unwrap_err().to_string();
        assert!(text.contains(words), "{text} has no {words:?}");
        assert!(!text.contains("wrong") && !text.contains(PASSWORD), "{text}");
    }
    drop(small);
    let _ = &server.runtime;
}
