//! What the pool's tests share: a pool of `worker.py` over each relay, and its events.

use drone::{
    pool::{
        Event, Factory, Kind, Options, Payload, Pool, State, Worker,
        factory::{Pipe, Socket},
    },
    process::Command,
};
use std::{
    collections::BTreeMap,
    future::Future,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// Long enough for whatever is waited for, on any machine.
pub const LONG: Duration = Duration::from_secs(120);

/// How the pool and its workers talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Pipe,
    Unix,
    Tcp,
}

/// A pool and what belongs to it.
pub struct Kit {
    pub pool: Arc<Pool>,
    pub folder: TempDir,
    events: tokio::sync::Mutex<mpsc::UnboundedReceiver<Event>>,
    pub seen: Mutex<Vec<Event>>,
}

/// Variables of the workers' environment.
pub type Vars = Vec<(&'static str, String)>;

pub fn command(vars: &Vars) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut env = BTreeMap::from([("PATH".to_owned(), path)]);
    env.extend(vars.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    let mut command = Command::new("python3", std::env::temp_dir(), env);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pool/worker.py");
    command.args = vec!["-I".into(), "-S".into(), script.display().to_string()];
    command
}

pub fn factory(by: By, folder: &Path, command: impl Fn() -> Command + Send + Sync + 'static) -> Arc<dyn Factory> {
    match by {
        By::Pipe => Arc::new(Pipe::new(move |_| command())),
        By::Unix => Arc::new(Socket::unix(&folder.join("socket"), move |_, _| command()).unwrap()),
        By::Tcp => Arc::new(Socket::tcp(move |_, _| command()).unwrap()),
    }
}

impl Kit {
    pub fn new(by: By, options: Options) -> Self {
        Self::with(by, options, |_| Vec::new())
    }

    pub fn with(by: By, mut options: Options, vars: impl FnOnce(&Path) -> Vars) -> Self {
        let folder = TempDir::new().unwrap();
        let vars = vars(folder.path());
        let (sender, events) = mpsc::unbounded_channel();
        options.listener = Arc::new(move |event| drop(sender.send(event)));
        let factory = factory(by, folder.path(), move || command(&vars));
        Self {
            pool: Arc::new(Pool::new(factory, options)),
            folder,
            events: tokio::sync::Mutex::new(events),
            seen: Mutex::default(),
        }
    }

    /// Asks a worker for what `context` says.
    pub async fn ask(&self, context: &str) -> String {
        text(&self.pool.exec(payload(context)).await.unwrap())
    }

    /// The pid of a worker.
    pub async fn pid(&self) -> i32 {
        self.ask("do:pid").await.parse().unwrap()
    }

    /// Waits for an event of this kind.
    pub async fn event(&self, kind: Kind) -> Event {
        self.event_that(|event| event.kind == kind).await
    }

    pub async fn event_that(&self, is_it: impl Fn(&Event) -> bool) -> Event {
        let mut events = self.events.lock().await;
        loop {
            let event = events.recv().await.expect("a pool that lives");
            self.seen.lock().unwrap().push(event.clone());
            if is_it(&event) {
                return event;
            }
        }
    }

    /// The kinds of all events up to now.
    pub async fn kinds(&self) -> Vec<Kind> {
        let mut events = self.events.lock().await;
        let mut seen = self.seen.lock().unwrap();
        while let Ok(event) = events.try_recv() {
            seen.push(event);
        }
        seen.iter().map(|event| event.kind).collect()
    }

    /// Waits until so many workers are there.
    pub async fn created(&self, count: usize) -> Vec<i32> {
        let mut pids = Vec::new();
        while pids.len() < count {
            pids.extend(self.event(Kind::Created).await.pid);
        }
        pids
    }

    pub fn worker(&self) -> Worker {
        self.pool.workers().pop().unwrap()
    }

    /// A gate for `do:wait`; the worker goes on when it is opened.
    pub fn gate(&self, name: &str) -> Gate {
        let path = self.folder.path().join(name);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )
        .unwrap();
        Gate(path)
    }
}

pub struct Gate(PathBuf);

impl Gate {
    pub fn payload(&self) -> Payload {
        payload(&format!("do:wait {}", self.0.display()))
    }

    pub async fn open(self) {
        let open = move || std::fs::OpenOptions::new().write(true).open(self.0).unwrap();
        tokio::task::spawn_blocking(open).await.unwrap();
    }
}

pub fn payload(context: &str) -> Payload {
    Payload::new(context.to_owned(), "")
}

pub fn text(payload: &Payload) -> String {
    String::from_utf8(payload.body.to_vec()).unwrap()
}

/// The process is there, and no zombie.
pub fn lives(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

pub fn is_ready(worker: &Worker) -> bool {
    worker.state == State::Ready
}

/// Runs a test in a runtime with two threads, and fails it if it does not end.
pub fn run<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { tokio::time::timeout(LONG, test).await.expect("the test ends") });
}

/// Makes of `async fn name(by: By)` a test for each relay.
macro_rules! over_each_relay {
    ($($name:ident),* $(,)?) => { $(
        mod $name {
            use crate::kit::{By, run};
            #[test]
            fn over_pipes() { run(super::$name(By::Pipe)); }
            #[test]
            fn over_unix_sockets() { run(super::$name(By::Unix)); }
            #[test]
            fn over_tcp() { run(super::$name(By::Tcp)); }
        }
    )* };
}
pub(crate) use over_each_relay;
