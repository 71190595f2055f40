//! What the server takes and gives, with the git program and with bytes by hand.

use crate::support::*;
use std::{fs, process::Command};
use tempfile::TempDir;

#[test]
fn git_pushes_clones_and_fetches() {
    let server = Server::open();
    let temp = TempDir::new().unwrap();
    let tree = work_tree(temp.path());
    let url = server.url("acme/web");
    git_in(&tree, &["remote", "add", "origin", &url]);
    git_in(&tree, &["push", "-q", "origin", "main"]);
    git_in(temp.path(), &["clone", "-q", &url, "clone"]);
    let clone = temp.path().join("clone");
    assert_eq!(git_in(&clone, &["rev-parse", "--abbrev-ref", "HEAD"]), "main");

    // More on both sides, with tags; a fetch that has something in common.
    for n in 0..40 {
        commit(&tree, "a.txt", &format!("{n}\n{}", "line\n".repeat(50)));
    }
    git_in(&tree, &["tag", "-a", "v1", "-m", "one"]);
    let tip = git_in(&tree, &["rev-parse", "HEAD"]);
    git_in(&tree, &["push", "-q", "--follow-tags", "origin", "main"]);
    commit(&clone, "mine.txt", "mine");
    git_in(&clone, &["fetch", "-q"]);
    assert_eq!(git_in(&clone, &["rev-parse", "origin/main"]), tip);
    assert_eq!(git_in(&clone, &["describe", "origin/main"]), "v1");
    git_in(&clone, &["fsck", "--strict"]);
    git_in(&server.repo("acme/web"), &["fsck", "--strict"]);
    assert_eq!(
        git_in(&tree, &["ls-remote", &url, "main"]),
        format!("{tip}\trefs/heads/main")
    );

    let heard = server.heard();
    assert_eq!(heard.len(), 2);
    assert_eq!(heard[0].0, "acme/web");
    assert_eq!(
        (heard[0].1[0].name.as_str(), heard[0].1[0].old.as_deref()),
        ("refs/heads/main", None)
    );
    assert_eq!(heard[1].1[0].new.as_deref(), Some(tip.as_str()));
}

#[test]
fn what_a_push_may_and_may_not() {
    let server = Server::open();
    let temp = TempDir::new().unwrap();
    let tree = work_tree(temp.path());
    let url = server.url("group/sub/web");
    let first = git_in(&tree, &["rev-parse", "HEAD"]);
    git_in(&tree, &["push", "-q", &url, "main:topic", "main:refs/skep/1"]);
    // The first branch becomes the default.
    assert!(git_in(&tree, &["ls-remote", "--symref", &url, "HEAD"]).contains("refs/heads/topic"));
    commit(&tree, "b.txt", "b");
    git_in(&tree, &["push", "-q", &url, "main:topic"]);
    let refused = |args: &[&str], words: &str| {
        let out = try_git(&tree, &[&["push", &url], args].concat());
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success() && text.contains(words), "{args:?}: {text}");
    };
    refused(&["main:refs/notes/x"], "only branches and tags can be pushed");
    refused(&["main^{tree}:refs/heads/tree"], "");
    refused(&["--atomic", "main:new", "main:refs/notes/x"], "atomic push failed");
    assert!(!git_in(&tree, &["ls-remote", &url]).contains("refs/heads/new"));
    // Rewriting history needs force, and then is allowed; so is deleting.
    refused(&[&format!("{first}:topic")], "non-fast-forward");
    git_in(&tree, &["push", "-q", "--force", &url, &format!("{first}:topic")]);
    git_in(&tree, &["push", "-q", &url, ":topic"]);
    assert!(!git_in(&tree, &["ls-remote", &url]).contains("topic"));
    let last = server.heard().pop().unwrap().1;
    assert_eq!(
        (last[0].old.as_deref(), last[0].new.as_deref()),
        (Some(first.as_str()), None)
    );
}

#[test]
fn a_large_push_is_chunked_and_thin_packs_are_completed() {
    let server = Server::open();
    let temp = TempDir::new().unwrap();
    let tree = work_tree(temp.path());
    // Does not compress, and is larger than git's buffer: git probes with an empty request, then sends chunks.
    let mut noise = Vec::new();
    let mut state: u64 = 1;
    while noise.len() < 3 * 1024 * 1024 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        noise.extend_from_slice(&state.to_le_bytes());
    }
    fs::write(tree.join("noise"), &noise).unwrap();
    commit(&tree, "b.txt", "b");
    let url = server.url("acme/large");
    git_in(&tree, &["push", "-q", &url, "main"]);
    // A small change of a large file: a delta against what only the server has.
    noise[1000] ^= 1;
    fs::write(tree.join("noise"), &noise).unwrap();
    commit(&tree, "c.txt", "c");
    git_in(&tree, &["push", "-q", "--thin", &url, "main"]);
    git_in(&server.repo("acme/large"), &["fsck", "--strict"]);
    git_in(temp.path(), &["clone", "-q", &url, "clone"]);
    assert_eq!(fs::read(temp.path().join("clone/noise")).unwrap(), noise);
    let drone = Drone::new();
    let (_, into) = drone.fetch(&url, branch("main")).unwrap();
    assert_eq!(fs::read(into.join("noise")).unwrap(), noise);
}

#[test]
fn old_clients_without_side_bands_and_acks() {
    let server = Server::open();
    let temp = TempDir::new().unwrap();
    let tree = work_tree(temp.path());
    let first = git_in(&tree, &["rev-parse", "HEAD"]);
    let second = commit(&tree, "b.txt", "b");
    let url = server.url("acme/web");
    git_in(&tree, &["push", "-q", &url, "main"]);
    let line = |text: &str| format!("{:04x}{text}", text.len() + 4);
    let body = [
        line(&format!("want {second}\n")),
        "0000".into(),
        line(&format!("have {first}\n")),
        line("done\n"),
    ]
    .concat();
    let path = "/git/acme/web.git/git-upload-pack";
    let answer = server.post(path, "git-upload-pack", "", body.as_bytes());
    assert!(
        answer.contains(&format!("ACK {first}\n")) && answer.contains("PACK"),
        "{answer}"
    );
    let zipped = Command::new("sh")
        .args(["-c", &format!("printf '{}' | gzip", body.replace('\n', "\\n"))])
        .output()
        .unwrap();
    let gzip = "Content-Encoding: gzip\r\n";
    let answer = server.post(path, "git-upload-pack", gzip, &zipped.stdout);
    assert!(
        answer.contains(&format!("ACK {first}\n")) && answer.contains("PACK"),
        "{answer}"
    );
}

#[test]
fn bad_requests_get_a_status_and_a_reason() {
    let server = Server::start(false, 64 * 1024);
    let temp = TempDir::new().unwrap();
    let tree = work_tree(temp.path());
    git_in(&tree, &["push", "-q", &server.url("acme/web"), "main"]);
    let get =
        |path: &str| server.raw(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes());
    let fetch_it = "info/refs?service=git-upload-pack";
    for (answer, status, words) in [
        (get(&format!("/git/acme/none.git/{fetch_it}")), 404, "push to it first"),
        (get("/git/acme/web.git/info/refs"), 403, "smart protocol"),
        (
            get("/git/acme/web.git/info/refs?service=git-bisect"),
            403,
            "smart protocol",
        ),
        (get("/git/acme/web.git/HEAD"), 404, "only git speaks here"),
        (get(&format!("/git/%2e%2e/%2e%2e/etc/{fetch_it}")), 404, "project"),
        (get(&format!("/git/acme/web.git/refs/x.git/{fetch_it}")), 404, ".git"),
    ] {
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(words),
            "{answer}"
        );
    }
    let up =
        |headers: &str, body: &[u8]| server.post("/git/acme/web.git/git-upload-pack", "git-upload-pack", headers, body);
    let down = |body: &[u8]| server.post("/git/acme/web.git/git-receive-pack", "git-receive-pack", "", body);
    let nowhere = "0123456789012345678901234567890123456789";
    let create = |name: &str| {
        let text = format!("{} {nowhere} {name}\0report-status", "0".repeat(40));
        format!("{:04x}{text}0000", text.len() + 4).into_bytes()
    };
    for (answer, status, words) in [
        (up("", b"zzzz"), 400, "four hexadecimal digits"),
        (up("", b"0001"), 400, "protocol version 2"),
        (up("", b"000"), 400, ""),
        (up("", b"0010want 1234567"), 400, "no object id"),
        (up("", b"000cdeepen 1"), 400, "leave --depth out"),
        (up("Content-Encoding: br\r\n", b"0000"), 415, "only gzip"),
        (up("Content-Encoding: gzip\r\n", b"0000"), 400, ""),
        (
            up("", format!("0032want {nowhere}\n00000009done\n").as_bytes()),
            200,
            "not our ref",
        ),
        (
            server.post("/git/acme/web.git/git-upload-pack", "text", "", b"0000"),
            415,
            "content type",
        ),
        (down(&vec![b'x'; 70 * 1024]), 413, "larger than"),
        (down(b"0008nope0000"), 400, "is no command"),
        (down(&create("refs/heads/x")), 400, "the pack is missing"),
        (
            down(&[create("refs/heads/x"), b"PACK\0\0\0\x02\0\0\0\x01garbage".to_vec()].concat()),
            200,
            "ng refs/heads/x unpacker",
        ),
        (
            down(&[create("refs/heads/x"), b"PACK\0\0\0\x02\0\0\0\0".to_vec()].concat()),
            200,
            "ng refs/heads/x the object is missing",
        ),
        (
            down(&[create("refs/heads/a..b"), b"PACK\0\0\0\x02\0\0\0\0".to_vec()].concat()),
            200,
            "no valid name",
        ),
    ] {
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(words),
            "{status} {words}: {answer}"
        );
    }
    // Packed small, unpacked large.
    let bomb = Command::new("sh")
        .args(["-c", "head -c 1000000 /dev/zero | tr '\\0' 0 | gzip"])
        .output()
        .unwrap();
    let answer = up("Content-Encoding: gzip\r\n", &bomb.stdout);
    assert!(
        answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 200"),
        "{answer}"
    );
    assert!(server.heard().len() == 1, "only the first push moved a ref");
}
