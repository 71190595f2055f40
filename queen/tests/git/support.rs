//! A server on a port of its own, a drone with a cache of its own, and the git program.

use axum::{
    Router,
    extract::Request,
    http::{StatusCode, header},
    middleware::{Next, from_fn},
    response::IntoResponse,
};
use drone::source::{Fetch, Fetched, SourceError, fetch};
use queen::{api::git, git_http::RefUpdate, repositories::Repositories};
use shared::job::{Auth, Ref, Repo, Vcs};
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

pub const PASSWORD: &str = "correct-horse";

/// Projects, and the refs that each push has moved.
type Pushes = Vec<(String, Vec<RefUpdate>)>;

/// A queen's git routes on a port of their own.
pub struct Server {
    pub runtime: Runtime,
    pub address: SocketAddr,
    pub temp: TempDir,
    pub pushes: Arc<Mutex<Pushes>>,
    pub requests: Arc<AtomicUsize>,
}

impl Server {
    pub fn open() -> Self {
        Self::start(false, git::BODY_LIMIT)
    }

    pub fn start(guarded: bool, limit: u64) -> Self {
        let temp = TempDir::new().unwrap();
        let pushes = Arc::new(Mutex::new(Vec::new()));
        let requests = Arc::new(AtomicUsize::new(0));
        let heard = pushes.clone();
        let on_push: git::OnPush = Arc::new(move |project, updates| {
            heard.lock().unwrap().push((project.to_string(), updates.to_vec()));
        });
        let repositories = Repositories::new(temp.path().join("git"));
        let mut router = git::build(repositories, limit, Some(on_push));
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

    pub fn url(&self, project: &str) -> String {
        format!("http://{}/git/{project}.git", self.address)
    }

    pub fn repo(&self, project: &str) -> PathBuf {
        self.temp.path().join(format!("git/{project}.git"))
    }

    pub fn heard(&self) -> Pushes {
        self.pushes.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Sends a request as it is; answers the status line and the body.
    pub fn raw(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub fn post(&self, path: &str, service: &str, headers: &str, body: &[u8]) -> String {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/x-{service}-request\r\n\
             Content-Length: {}\r\n{headers}\r\n",
            body.len()
        );
        self.raw(&[head.as_bytes(), body].concat())
    }
}

/// Asks for [`PASSWORD`] as a basic password or a bearer token.
pub fn guard(router: Router) -> Router {
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

pub fn try_git(dir: &Path, args: &[&str]) -> Output {
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

pub fn git_in(dir: &Path, args: &[&str]) -> String {
    let out = try_git(dir, args);
    assert!(
        out.status.success(),
        "git {args:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

/// A work tree with one commit.
pub fn work_tree(dir: &Path) -> PathBuf {
    let tree = dir.join("tree");
    fs::create_dir(&tree).unwrap();
    git_in(&tree, &["init", "-q", "-b", "main"]);
    commit(&tree, "a.txt", "one\n");
    tree
}

pub fn commit(tree: &Path, file: &str, text: &str) -> String {
    fs::write(tree.join(file), text).unwrap();
    git_in(tree, &["add", "."]);
    git_in(tree, &["commit", "-qm", text]);
    git_in(tree, &["rev-parse", "HEAD"])
}

/// One drone's workspaces and mirrors.
pub struct Drone {
    pub temp: TempDir,
    pub auth: Option<Auth>,
}

impl Drone {
    pub fn new() -> Self {
        Self {
            temp: TempDir::new().unwrap(),
            auth: None,
        }
    }

    pub fn with(password: &str) -> Self {
        Self {
            auth: Some(Auth::Https {
                username: String::new(),
                password: password.into(),
            }),
            ..Self::new()
        }
    }

    pub fn job(&self, url: &str, reference: Option<Ref>) -> Fetch {
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

    pub fn fetch(&self, url: &str, reference: Option<Ref>) -> Result<(Fetched, PathBuf), SourceError> {
        let job = self.job(url, reference);
        let fetched = fetch(&job, &AtomicBool::new(false), &mut |_| {})?;
        assert_eq!(git_in(&job.into, &["status", "--porcelain"]), "");
        assert_eq!(
            git_in(&job.into, &["rev-parse", "HEAD"]),
            fetched.commit.clone().unwrap()
        );
        Ok((fetched, job.into))
    }

    pub fn error(&self, url: &str, reference: Option<Ref>) -> SourceError {
        self.fetch(url, reference).map(|_| ()).unwrap_err()
    }

    pub fn mirror(&self) -> PathBuf {
        let mirrors = fs::read_dir(self.temp.path().join("mirrors/git")).unwrap();
        let mut mirrors = mirrors.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
        mirrors.next().unwrap()
    }
}

pub fn branch(name: &str) -> Option<Ref> {
    Some(Ref::Branch {
        branch: Some(name.into()),
        id: None,
    })
}

pub fn id(id: &str) -> Option<Ref> {
    Some(Ref::Branch {
        branch: None,
        id: Some(id.into()),
    })
}
