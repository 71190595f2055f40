//! Git over HTTP, as the queen serves it: real `git` and the drone's libgit2 clone, fetch and push.

#![expect(clippy::unwrap_used, reason = "a test fails where its set-up fails")]

use axum::{
    Router,
    extract::Request,
    http::{StatusCode, header},
    middleware::{Next, from_fn},
    response::IntoResponse,
};
use drone::source::{Fetch, Fetched, SourceError, fetch};
use queen::{
    api::git,
    git_http::RefUpdate,
    snapshot::{push, snapshot},
};
use shared::{
    Secret,
    job::{Auth, Ref, Repo, Vcs},
};
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const PASSWORD: &str = "correct-horse";

/// A queen's git routes on a port of their own.
struct Server {
    runtime: Runtime,
    address: SocketAddr,
    temp: TempDir,
    pushes: Arc<Mutex<Vec<(String, Vec<RefUpdate>)>>>,
    requests: Arc<AtomicUsize>,
}

impl Server {
    fn open() -> Self {
        Self::start(false, git::BODY_LIMIT)
    }

    fn start(guarded: bool, limit: u64) -> Self {
        let temp = TempDir::new().unwrap();
        let pushes = Arc::new(Mutex::new(Vec::new()));
        let requests = Arc::new(AtomicUsize::new(0));
        let heard = pushes.clone();
        let on_push: git::OnPush = Arc::new(move |project, updates| {
            heard.lock().unwrap().push((project.to_string(), updates.to_vec()));
        });
        let mut router = git::build(temp.path().join("git"), limit, Some(on_push));
        if guarded {
            router = guard(router);
        }
        let count = requests.clone();
        let router = router.layer(from_fn(move |request: Request, next: Next| {
            count.fetch_add(1, Ordering::SeqCst);
            next.run(request)
        }));
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async { axum::serve(listener, router).await });
        Self {
            runtime,
            address,
            temp,
            pushes,
            requests,
        }
    }

    fn url(&self, project: &str) -> String {
        format!("http://{}/git/{project}.git", self.address)
    }

    fn repo(&self, project: &str) -> PathBuf {
        self.temp.path().join(format!("git/{project}.git"))
    }

    fn heard(&self) -> Vec<(String, Vec<RefUpdate>)> {
        self.pushes.lock().unwrap().clone()
    }

    fn count(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Sends a request as it is; answers the status line and the body.
    fn raw(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn post(&self, path: &str, service: &str, headers: &str, body: &[u8]) -> String {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/x-{service}-request\r\n\
             Content-Length: {}\r\n{headers}\r\n",
            body.len()
        );
        self.raw(&[head.as_bytes(), body].concat())
    }
}

/// Asks for [`PASSWORD`] as a basic password or a bearer token.
fn guard(router: Router) -> Router {
    // `anyone:correct-horse` and `git:correct-horse`
    const BASIC: [&str; 2] = ["Basic YW55b25lOmNvcnJlY3QtaG9yc2U=", "Basic Z2l0OmNvcnJlY3QtaG9yc2U="];
    router.layer(from_fn(async |request: Request, next: Next| {
        let given = request.headers().get(header::AUTHORIZATION);
        let given = given.and_then(|value| value.to_str().ok()).unwrap_or_default();
        if BASIC.contains(&given) || given == format!("Bearer {PASSWORD}") {
            return next.run(request).await;
        }
        (
            StatusCode::UNAUTHORIZED,
            [(header::WWW_AUTHENTICATE, "Basic realm=\"skep\"")],
        )
            .into_response()
    }))
}

fn try_git(dir: &Path, args: &[&str]) -> Output {
    Command::new("git")
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
        .args(["-c", "init.defaultBranch=main", "-c", "advice.detachedHead=false"])
        .args(args)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .output()
        .expect("git is installed")
}

fn git_in(dir: &Path, args: &[&str]) -> String {
    let out = try_git(dir, args);
    assert!(
        out.status.success(),
        "git {args:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

/// A work tree with one commit.
fn work_tree(dir: &Path) -> PathBuf {
    let tree = dir.join("tree");
    fs::create_dir(&tree).unwrap();
    git_in(&tree, &["init", "-q", "-b", "main"]);
    commit(&tree, "a.txt", "one\n");
    tree
}

fn commit(tree: &Path, file: &str, text: &str) -> String {
    fs::write(tree.join(file), text).unwrap();
    git_in(tree, &["add", "."]);
    git_in(tree, &["commit", "-qm", text]);
    git_in(tree, &["rev-parse", "HEAD"])
}

/// One drone's workspaces and mirrors.
struct Drone {
    temp: TempDir,
    auth: Option<Auth>,
}

impl Drone {
    fn new() -> Self {
        Self {
            temp: TempDir::new().unwrap(),
            auth: None,
        }
    }

    fn with(password: &str) -> Self {
        Self {
            auth: Some(Auth::Https {
                username: String::new(),
                password: password.into(),
            }),
            ..Self::new()
        }
    }

    fn job(&self, url: &str, reference: Option<Ref>) -> Fetch {
        let into = tempfile::tempdir_in(self.temp.path()).unwrap().keep();
        Fetch {
            repo: Repo {
                url: url.to_owned(),
                auth: self.auth.clone(),
                provider: None,
                vcs: Vcs::Git,
            },
            reference,
            into,
            mirrors: self.temp.path().join("mirrors"),
        }
    }

    fn fetch(&self, url: &str, reference: Option<Ref>) -> Result<(Fetched, PathBuf), SourceError> {
        let job = self.job(url, reference);
        let fetched = fetch(&job, &AtomicBool::new(false), &mut |_| {})?;
        assert_eq!(git_in(&job.into, &["status", "--porcelain"]), "");
        assert_eq!(
            git_in(&job.into, &["rev-parse", "HEAD"]),
            fetched.commit.clone().unwrap()
        );
        Ok((fetched, job.into))
    }

    fn error(&self, url: &str, reference: Option<Ref>) -> SourceError {
        self.fetch(url, reference).map(|_| ()).unwrap_err()
    }

    fn mirror(&self) -> PathBuf {
        let mirrors = fs::read_dir(self.temp.path().join("mirrors/git")).unwrap();
        let mut mirrors = mirrors.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
        mirrors.next().unwrap()
    }
}

fn branch(name: &str) -> Option<Ref> {
    Some(Ref::Branch {
        branch: Some(name.into()),
        id: None,
    })
}

fn id(id: &str) -> Option<Ref> {
    Some(Ref::Branch {
        branch: None,
        id: Some(id.into()),
    })
}

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
