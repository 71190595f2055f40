//! Nothing is left of ten thousand payloads, of which one in a hundred kills its worker: no zombie, no descriptor, no
//! file. Alone in its process, so that nobody else's are counted.

#![expect(clippy::unwrap_used, reason = "a test fails where its set-up fails")]

use drone::{
    pool::{
        Error, Factory, Options, Payload, Pool,
        factory::{Pipe, Socket},
    },
    process::Command,
};
use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Duration};
use tempfile::TempDir;

const PAYLOADS: usize = 10_000;
const WORKERS: u32 = 2;

type Make = fn(&Path) -> Arc<dyn Factory>;

#[test]
fn ten_thousand_payloads_leave_nothing() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let folder = TempDir::new().unwrap();
    runtime.block_on(async {
        // The first worker of a process brings things that stay: the watch over its children, the runtime's threads.
        use_up(pipe(folder.path()), 10).await;
        let before = descriptors();
        let relays: [(Make, usize); 3] = [(pipe, PAYLOADS), (unix, PAYLOADS / 5), (tcp, PAYLOADS / 5)];
        for (factory, payloads) in relays {
            use_up(factory(folder.path()), payloads).await;
            // A task that was told to end does so when its turn comes.
            let settled = async {
                while descriptors() != before {
                    tokio::task::yield_now().await;
                }
            };
            let settled = tokio::time::timeout(Duration::from_secs(60), settled).await;
            assert!(settled.is_ok(), "{before:?} before, {:?} after", descriptors());
            assert_eq!(children(), Vec::<String>::new());
            let files = fs::read_dir(folder.path()).unwrap().count();
            assert_eq!(files, 0, "files are left");
        }
    });
}

/// Gives so many payloads to a pool, eight at a time, and destroys it.
async fn use_up(factory: Arc<dyn Factory>, payloads: usize) {
    let pool = Arc::new(Pool::new(factory, Options::new(WORKERS)));
    let callers: Vec<_> = (0..8)
        .map(|caller| {
            let pool = Arc::clone(&pool);
            tokio::spawn(async move {
                for number in (caller..payloads).step_by(8) {
                    if number % 100 == 99 {
                        let error = pool.exec(Payload::new("do:crash 3", "")).await.unwrap_err();
                        assert!(matches!(&error, Error::Worker { stderr, .. } if stderr == "about to crash\n"));
                    } else {
                        let sent = Payload::new("", number.to_string());
                        assert_eq!(pool.exec(sent.clone()).await.unwrap(), sent);
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    pool.destroy().await;
}

fn command(folder: &Path) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let temp = folder.display().to_string();
    let env = BTreeMap::from([("PATH".to_owned(), path), ("TMPDIR".to_owned(), temp)]);
    let mut command = Command::new("python3", folder, env);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pool/worker.py");
    command.args = vec!["-I".into(), "-S".into(), script.display().to_string()];
    command
}

fn pipe(folder: &Path) -> Arc<dyn Factory> {
    let folder = folder.to_owned();
    Arc::new(Pipe::new(move |_| command(&folder)))
}

fn unix(folder: &Path) -> Arc<dyn Factory> {
    let path = folder.join("socket");
    let folder = folder.to_owned();
    Arc::new(Socket::unix(&path, move |_, _| command(&folder)).unwrap())
}

fn tcp(folder: &Path) -> Arc<dyn Factory> {
    let folder = folder.to_owned();
    Arc::new(Socket::tcp(move |_, _| command(&folder)).unwrap())
}

/// What each open descriptor leads to.
fn descriptors() -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir("/proc/self/fd").unwrap() {
        // The one of this look is gone by now.
        if let Ok(target) = fs::read_link(entry.unwrap().path()) {
            let kind = target.to_string_lossy().split(':').next().unwrap().to_owned();
            *all.entry(kind).or_insert(0) += 1;
        }
    }
    all
}

/// The processes that this one has, dead or alive.
fn children() -> Vec<String> {
    let mut all = Vec::new();
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let children = fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default();
        all.extend(children.split_ascii_whitespace().map(str::to_owned));
    }
    all
}
