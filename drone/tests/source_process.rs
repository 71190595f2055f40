//! What depends on the whole process: the machine's git configuration, timeouts, and the programs on the PATH.

#![expect(clippy::unwrap_used, reason = "a test fails where its set-up fails")]

use drone::source::{Fetch, fetch, set_timeouts, set_up};
use shared::job::{Repo, Vcs};
use std::{
    fs, net::TcpListener, os::unix::fs::PermissionsExt, path::Path, process::Command, sync::atomic::AtomicBool,
    time::Duration,
};
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
fn configuration_silence_and_missing_programs() {
    let temp = TempDir::new().unwrap();
    let never = AtomicBool::new(false);

    // What the machine's user has configured changes no file; a repository of another user is read all the same.
    let config = "[core]\n\tautocrlf = true\n\tfilemode = false\n[safe]\n\tdirectory = /elsewhere\n";
    fs::write(temp.path().join(".gitconfig"), config).unwrap();
    // SAFETY: this process runs one test, and no thread of it reads the environment yet.
    unsafe { std::env::set_var("HOME", temp.path()) };
    let repo = temp.path().join("repo");
    fs::create_dir(&repo).unwrap();
    let script = "git init -q && printf 'a\\n' >lf && printf 'a\\r\\n' >crlf && git -c core.autocrlf=false add . && \
                  git -c user.name=T -c user.email=t@t commit -qm x && if [ $(id -u) = 0 ]; then chown -R 12345 .; fi";
    let made = Command::new("sh")
        .args(["-ec", script])
        .current_dir(&repo)
        .status()
        .unwrap();
    assert!(made.success());
    let plain = job(temp.path(), &repo.display().to_string(), Vcs::Git);
    fetch(&plain, &never, &mut |_| {}).unwrap();
    assert_eq!(fs::read(plain.into.join("lf")).unwrap(), b"a\n");
    assert_eq!(fs::read(plain.into.join("crlf")).unwrap(), b"a\r\n");
    fs::remove_dir_all(&plain.into).unwrap();

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
