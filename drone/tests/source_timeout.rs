//! A server that says nothing, and programs that are not there. In a process of its own: it changes the process's
//! timeouts and its PATH.

#![expect(clippy::unwrap_used, reason = "a test fails where its set-up fails")]

use drone::source::{Fetch, fetch, set_timeouts, set_up};
use shared::job::{Repo, Vcs};
use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt, path::Path, sync::atomic::AtomicBool, time::Duration};
use tempfile::TempDir;

fn job(temp: &Path, url: &str, vcs: Vcs) -> Fetch {
    let into = temp.join("work");
    fs::create_dir_all(&into).unwrap();
    Fetch {
        repo: Repo {
            url: url.to_owned(),
            auth: None,
            provider: None,
            vcs,
        },
        reference: None,
        into,
        mirrors: temp.join("mirrors"),
    }
}

/// One test, so that nothing runs beside the changes to the environment.
#[test]
fn silence_and_missing_programs_are_told() {
    let temp = TempDir::new().unwrap();
    let never = AtomicBool::new(false);

    // The connection is accepted by the system and nobody ever reads from it.
    set_up();
    set_timeouts(Duration::from_millis(300), Duration::from_millis(300));
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/repo", silent.local_addr().unwrap());
    let error = fetch(&job(temp.path(), &url, Vcs::Git), &never, &mut |_| {}).unwrap_err();
    assert_eq!(error.kind(), "timeout", "{error}");
    assert!(error.to_string().contains("did not answer in time"), "{error}");

    let programs = temp.path().join("programs");
    fs::create_dir(&programs).unwrap();
    let path = std::env::var_os("PATH").unwrap();
    // SAFETY: this process runs one test, and libgit2 has no thread that reads the environment.
    unsafe { std::env::set_var("PATH", &programs) };
    for (vcs, url, words) in [
        (Vcs::Hg, "https://host/r", "hg is not installed on this drone"),
        (Vcs::Rsync, "/srv/folder", "rsync is not installed on this drone"),
    ] {
        let error = fetch(&job(temp.path(), url, vcs), &never, &mut |_| {}).unwrap_err();
        assert_eq!(error.kind(), "no-program");
        assert!(error.to_string().contains(words), "{error}");
    }

    // A program that stands in for rsync and shows what it was given, then fails.
    let mut all = programs.clone().into_os_string();
    all.push(":");
    all.push(path);
    // SAFETY: as above.
    unsafe { std::env::set_var("PATH", all) };
    let rsync = programs.join("rsync");
    fs::write(&rsync, "#!/bin/sh\necho \"args: $*\" >&2\nexit 23\n").unwrap();
    fs::set_permissions(&rsync, fs::Permissions::from_mode(0o755)).unwrap();
    let mut log = Vec::new();
    let url = "rsync://me:secret@host/module";
    let error = fetch(&job(temp.path(), url, Vcs::Rsync), &never, &mut |line| {
        log.push(line.to_owned())
    })
    .unwrap_err();
    assert_eq!(error.kind(), "program");
    let text = error.to_string();
    assert!(
        text.starts_with("rsync rsync://host/module ended with exit code 23"),
        "{text}"
    );
    assert!(log.iter().any(|line| line.contains(" -- ")), "{log:?}");
    assert!(
        !text.contains("secret") && !log.concat().contains("secret"),
        "{text} {log:?}"
    );

    // One that never ends is ended with the job.
    fs::write(&rsync, "#!/bin/sh\necho begun >&2\nexec sleep 1000\n").unwrap();
    let cancelled = AtomicBool::new(false);
    let error = fetch(&job(temp.path(), url, Vcs::Rsync), &cancelled, &mut |_| {
        cancelled.store(true, std::sync::atomic::Ordering::SeqCst);
    })
    .unwrap_err();
    assert_eq!(error.kind(), "cancelled");
}
