//! Workspaces that are made, left behind and cleared up: held against [`super`].

use super::*;
use crate::process::{Command, Mask, Output};
use std::{collections::BTreeMap, os::unix::fs::symlink, time::Duration};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

fn folders(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_dir()).collect()
}

#[tokio::test]
async fn each_workspace_is_fresh_and_private() {
    let dir = tempfile::tempdir().unwrap();
    let workspaces = Workspaces::open(&dir.path().join("a/b")).unwrap();
    let (first, second) = (workspaces.create("a/b").unwrap(), workspaces.create("a/b").unwrap());
    assert_ne!(first.path(), second.path());
    assert_ne!(first.path(), first.scratch());
    fs::write(first.path().join("x"), "1").unwrap();
    assert_eq!(fs::read_dir(second.path()).unwrap().count(), 0);
    assert_eq!(fs::metadata(first.path()).unwrap().permissions().mode() & 0o777, 0o700);
    let (one, two) = (first.path().to_owned(), second.path().to_owned());
    first.remove().await.unwrap();
    assert!(!one.exists() && two.exists());
    let next = workspaces.create("a/b").unwrap();
    assert_eq!(next.path(), one, "a place that is free again is taken again");
    drop(next);
    assert_ne!(workspaces.create("b").unwrap().path(), one);
    drop(second);
    assert!(!two.exists());
    drop(workspaces);
    assert!(folders(&dir.path().join("a/b")).is_empty());
}

#[tokio::test]
async fn read_only_folders_are_removed_and_links_are_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("keep"), "").unwrap();
    fs::set_permissions(&outside, Permissions::from_mode(0o555)).unwrap();
    let workspaces = Workspaces::open(&dir.path().join("w")).unwrap();
    let workspace = workspaces.create("a/b").unwrap();
    let deep = workspace.path().join("go/pkg/mod");
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("x.go"), "").unwrap();
    symlink(&outside, deep.join("link")).unwrap();
    for (folder, mode) in [("go/pkg/mod", 0o555), ("go/pkg", 0o000), ("go", 0o500)] {
        fs::set_permissions(workspace.path().join(folder), Permissions::from_mode(mode)).unwrap();
    }
    let path = workspace.path().to_owned();
    workspace.remove().await.unwrap();
    assert!(!path.exists() && outside.join("keep").exists());
    assert_eq!(fs::metadata(&outside).unwrap().permissions().mode() & 0o777, 0o555);
}

#[test]
fn a_living_drone_keeps_its_workspaces() {
    let dir = tempfile::tempdir().unwrap();
    let living = Workspaces::open(dir.path()).unwrap();
    let workspace = living.create("a/b").unwrap();
    let other = Workspaces::open(dir.path()).unwrap();
    assert!(workspace.path().exists());
    drop(living);
    drop(Workspaces::open(dir.path()).unwrap());
    assert!(workspace.path().exists(), "the workspace itself still holds the lock");
    drop((workspace, other));
    assert!(folders(dir.path()).is_empty());
}

#[test]
fn a_place_that_cannot_be_used_is_named() {
    let error = Workspaces::open(Path::new("/proc/nowhere")).err().unwrap().to_string();
    assert!(error.starts_with("/proc/nowhere cannot be made: "), "{error}");
}

/// A drone in a process of its own is killed with a command running; the next one cleans up after it.
#[tokio::test]
async fn what_a_killed_drone_leaves_is_cleaned_at_the_next_start() {
    const CHILD: &str = "SKEP_TEST_WORKSPACES";
    let env = || BTreeMap::from([("PATH".to_owned(), std::env::var("PATH").unwrap())]);
    let (sender, mut receiver) = mpsc::channel::<Output>(4);
    let (mask, cancel) = (Arc::new(Mask::default()), CancellationToken::new());
    if let Ok(dir) = std::env::var(CHILD) {
        let workspaces = Workspaces::open(Path::new(&dir)).unwrap();
        let workspace = workspaces.create("a/b").unwrap();
        fs::write(workspace.path().join("x"), "").unwrap();
        // The test harness keeps what a test prints; the file tells the parent that all is there.
        let script = "setsid sleep 100 & echo $! > \"$1.pid\"; exec sleep 100";
        let mut command = Command::shell(script, "/", env());
        command.args.extend(["sh".into(), dir]);
        process::run(command, &mask, &sender, &cancel).await.unwrap();
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("w");
    fs::create_dir(&place).unwrap();
    let name = "workspace::tests::what_a_killed_drone_leaves_is_cleaned_at_the_next_start";
    let script = "\"$0\" --exact \"$1\" & until [ -s \"$2.pid\" ]; do sleep 0.02; done; kill -9 $!; wait $!; echo killed; sleep 100";
    let mut command = Command::shell(script, "/", env());
    command.env.insert(CHILD.into(), place.display().to_string());
    let exe = std::env::current_exe().unwrap().display().to_string();
    command.args.extend([exe, name.into(), place.display().to_string()]);
    let stop = cancel.clone();
    let task = tokio::spawn(async move { process::run(command, &mask, &sender, &cancel).await });
    let mut said = String::new();
    while !said.contains("killed") {
        said.push_str(
            &timeout(Duration::from_secs(20), receiver.recv())
                .await
                .unwrap()
                .unwrap()
                .text,
        );
    }
    let pid = fs::read_to_string(place.with_extension("pid")).unwrap();
    let process = PathBuf::from(format!("/proc/{}/exe", pid.trim()));
    assert!(fs::read_link(&process).is_ok(), "the daemon outlives its drone");
    assert_eq!(folders(&place).len(), 1);
    let next = Workspaces::open(&place).unwrap();
    assert_eq!(folders(&place), std::slice::from_ref(&next.home.path));
    assert!(fs::read_link(&process).is_err(), "{pid} is left");
    stop.cancel();
    timeout(Duration::from_secs(20), task).await.unwrap().unwrap().unwrap();
}
