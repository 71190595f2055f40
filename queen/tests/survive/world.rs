//! One queen and its drones as programs of their own, a folder around all that they keep, and ways to wait for them.

use crate::{
    cli_support::{LONG, Suite},
    fleet,
    harness::{
        http::{Reply, Request},
        job,
    },
    postgres::Server,
};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, SystemTime},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    sync::watch,
    time::{sleep, timeout},
};

/// How soon something is looked at again that gives no sign of itself: a file, a process, a closed port.
pub const LOOK: Duration = Duration::from_millis(20);

/// A place for one queen and any number of drones.
pub struct World {
    pub suite: Suite,
    /// `127.0.0.1:port`, the same over restarts.
    pub addr: String,
    /// The address of a PostgreSQL database; absent: a file.
    database: Option<String>,
}

impl World {
    pub fn new() -> Self {
        Self {
            suite: Suite::new(),
            addr: format!("127.0.0.1:{}", free_port()),
            database: None,
        }
    }

    /// One whose queen keeps everything in a database of this server.
    pub async fn on(server: &Server) -> Self {
        let database = server.database().await;
        Self {
            database: Some(server.url(&database)),
            ..Self::new()
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// A place beside the suite.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.suite.beside(name)
    }

    /// A repository of test scripts; see [`fleet::suite`].
    pub fn repository(&self, settings: &str, scripts: &[(&str, &str)]) -> PathBuf {
        fleet::suite(&self.beside("repository"), settings, scripts)
    }

    /// The command line of the queen, without what sets it apart.
    pub fn serve(&self, flags: &[&str]) -> Command {
        let data = self.beside("queen");
        let args = ["serve", "--listen", &self.addr, "--data", data.to_str().unwrap()];
        let mut command = self.suite.command(&[&args, flags].concat());
        command.envs(self.database.iter().map(|database| ("QUEEN_DATABASE", database)));
        command
    }

    /// Starts the queen and waits until it serves.
    pub async fn queen(&self, flags: &[&str]) -> Program {
        let queen = Program::start("queen", self.serve(flags));
        queen.says("listens on ").await;
        queen
    }

    /// The command line of a drone that joins at `url`. Its data is in `name`.
    pub fn drone_at(&self, url: &str, name: &str, flags: &[&str]) -> Command {
        let data = self.beside(name);
        let mut command = self.suite.program(&drone_program());
        command
            .args([
                "start",
                "--queen",
                url,
                "--name",
                name,
                "--data",
                data.to_str().unwrap(),
            ])
            .env("DRONE_SPEED", "100")
            .args(flags);
        command
    }

    /// Starts a drone and waits until it is connected.
    pub async fn drone(&self, name: &str, flags: &[&str]) -> Program {
        let drone = Program::start(name, self.drone_at(&self.url(), name, flags));
        drone.says("connected").await;
        drone
    }

    pub async fn get(&self, path: &str) -> Reply {
        timeout(LONG, Request::new("GET", path).send(&self.addr))
            .await
            .expect("an answer")
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        let request = Request::new("POST", path).body(body.to_string());
        timeout(LONG, request.send(&self.addr)).await.expect("an answer")
    }

    /// Submits a job that takes its source from `repository`; answers its id.
    pub async fn submit(&self, repository: &Path, more: Value) -> String {
        let mut body = job(json!({"repo": {"url": repository.to_str().unwrap()}}));
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        let reply = self.post("/api/v1/jobs", &body).await;
        assert_eq!(reply.status, 201, "{}", reply.body);
        reply.json()["id"].as_str().unwrap().to_owned()
    }

    /// The job as the API shows it.
    pub async fn job(&self, id: &str) -> Value {
        self.get(&format!("/api/v1/jobs/{id}")).await.json()
    }

    /// The stored events of a job.
    pub async fn stored(&self, id: &str) -> Vec<Value> {
        let reply = self.get(&format!("/api/v1/jobs/{id}/events?follow=false")).await;
        let lines = reply.body.lines();
        lines.map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A program that runs; everything that it says is kept.
pub struct Program {
    pub name: String,
    child: Child,
    said: watch::Receiver<Vec<String>>,
}

impl Program {
    pub fn start(name: &str, mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let (lines, said) = watch::channel(Vec::new());
        tokio::spawn(keep(child.stdout.take().unwrap(), lines.clone()));
        tokio::spawn(keep(child.stderr.take().unwrap(), lines));
        Self {
            name: name.into(),
            child,
            said,
        }
    }

    /// Waits until it has said something; answers the first such line.
    pub async fn says(&self, text: &str) -> String {
        self.says_after(0, text).await
    }

    /// The same, its first `lines` left out.
    pub async fn says_after(&self, lines: usize, text: &str) -> String {
        let found = |said: &Vec<String>| said.iter().skip(lines).find(|line| line.contains(text)).cloned();
        let mut said = self.said.clone();
        match timeout(LONG, said.wait_for(|said| found(said).is_some())).await {
            Ok(Ok(said)) => found(&said).unwrap(),
            Ok(Err(_)) => panic!("{} ended without saying {text:?}: {:#?}", self.name, self.lines()),
            Err(_) => panic!("{} never said {text:?}: {:#?}", self.name, self.lines()),
        }
    }

    pub fn lines(&self) -> Vec<String> {
        self.said.borrow().clone()
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id().expect("it runs")).unwrap()
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: a plain system call; the child has not been waited for, so the number is still its own.
        assert_eq!(unsafe { libc::kill(self.pid(), signal) }, 0);
    }

    /// Kills it with the signal that nobody can catch.
    pub async fn kill(mut self) {
        self.signal(libc::SIGKILL);
        self.child.wait().await.unwrap();
    }

    /// Waits for its end; answers its exit code, -1 after a signal.
    pub async fn end(&mut self) -> i32 {
        match timeout(LONG, self.child.wait()).await {
            Ok(ended) => ended.unwrap().code().unwrap_or(-1),
            Err(_) => panic!("{} does not end: {:#?}", self.name, self.lines()),
        }
    }

    /// Tells it to stop and waits until it has.
    pub async fn stop(mut self) {
        self.signal(libc::SIGTERM);
        assert_eq!(self.end().await, 0, "{}: {:#?}", self.name, self.lines());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{} said:\n{}", self.name, self.lines().join("\n"));
        }
    }
}

async fn keep(source: impl AsyncRead + Unpin, lines: watch::Sender<Vec<String>>) {
    let mut source = BufReader::new(source).lines();
    while let Ok(Some(line)) = source.next_line().await {
        lines.send_modify(|lines| lines.push(line));
    }
}

/// Looks until `look` finds something.
pub async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let search = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            sleep(LOOK).await;
        }
    };
    match timeout(LONG, search).await {
        Ok(found) => found,
        Err(_) => panic!("waited {LONG:?} for {what}"),
    }
}

/// The names in a folder; none if there is no folder.
pub fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// A port that stays free while the queen is away: below those that the system gives to whoever connects.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 10_000).unwrap();
    for _ in 0..10_000 {
        let port = 15_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port between 15000 and 25000 is free");
}

/// The `drone` program beside the queen's. `make test` has built it; alone, these tests build it themselves.
fn drone_program() -> PathBuf {
    static BUILT: std::sync::Once = std::sync::Once::new();
    let program = Path::new(env!("CARGO_BIN_EXE_queen")).with_file_name("drone");
    BUILT.call_once(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let newest = ["drone/src", "shared/src"].map(|dir| changed(&root.join(dir)));
        let built = fs::metadata(&program).and_then(|meta| meta.modified());
        if built.is_ok_and(|built| newest.iter().all(|changed| *changed <= built)) {
            return;
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let target = program.parent().and_then(Path::parent).unwrap();
        let mut build = std::process::Command::new(cargo);
        build
            .current_dir(root)
            .args(["build", "-q", "-p", "drone", "--bin", "drone"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        let built = build.arg("--target-dir").arg(target).status().unwrap();
        assert!(
            built.success(),
            "the drone could not be built: run `cargo build -p drone`"
        );
    });
    program
}

/// When anything in a folder was last changed.
fn changed(dir: &Path) -> SystemTime {
    let entries = fs::read_dir(dir).unwrap().flatten();
    let times = entries.map(|entry| match entry.file_type().unwrap().is_dir() {
        true => changed(&entry.path()),
        false => entry.metadata().unwrap().modified().unwrap(),
    });
    times.max().unwrap_or(SystemTime::UNIX_EPOCH)
}
