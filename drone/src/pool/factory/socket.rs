//! Workers that dial: over a unix socket, or TCP on loopback.
//!
//! Owns the listener and who is expected there. A connection greets with its pid and belongs to the worker that has it,
//! or to the one that is its ancestor: a program may be started by a shell. Must not know what the program does.

use super::{Factory, Ready, Relay, Starting, describe, pipe::RELAY};
use crate::process::{self, Child, Command};
use std::{
    collections::HashMap,
    io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    net::{TcpListener, UnixListener},
    sync::oneshot,
    task::JoinSet,
};
use tokio_util::task::AbortOnDropHandle;

/// Connections that may be greeting at once; more wait to be accepted.
const GREETINGS: usize = 64;
/// How long a connection may take to say its pid.
const GREETING: Duration = Duration::from_secs(10);
/// The time before the next connection is accepted when one could not be: the drone has no descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

/// Starts programs that dial the drone; both of their streams are output.
pub struct Socket {
    command: Program,
    address: String,
    expected: Expected,
    /// Removed at the end.
    path: Option<PathBuf>,
    _accepting: AbortOnDropHandle<()>,
}

/// The program of a seat that dials an address.
type Program = Box<dyn Fn(u32, &str) -> Command + Send + Sync>;

enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Socket {
    /// Listens at `path`, where nothing may be. `command` is the program of a seat, given the seat's number and the
    /// address as `unix://path`, which it also finds in [`RELAY`].
    pub fn unix(path: &Path, command: impl Fn(u32, &str) -> Command + Send + Sync + 'static) -> io::Result<Self> {
        let listener = UnixListener::bind(path)?;
        let address = format!("unix://{}", path.display());
        Ok(Self::new(
            Listener::Unix(listener),
            address,
            Some(path.to_owned()),
            command,
        ))
    }

    /// Listens on a free port of loopback, for workers that know no unix sockets: whoever may dial there could take a
    /// worker's place. The address is `tcp://127.0.0.1:port`.
    pub fn tcp(command: impl Fn(u32, &str) -> Command + Send + Sync + 'static) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = format!("tcp://{}", listener.local_addr()?);
        let listener = TcpListener::from_std(listener)?;
        Ok(Self::new(Listener::Tcp(listener), address, None, command))
    }

    fn new(
        listener: Listener,
        address: String,
        path: Option<PathBuf>,
        command: impl Fn(u32, &str) -> Command + Send + Sync + 'static,
    ) -> Self {
        let expected = Expected::default();
        let accepting = tokio::spawn(accept(listener, expected.clone()));
        Self {
            command: Box::new(command),
            address,
            expected,
            path,
            _accepting: AbortOnDropHandle::new(accepting),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some(path) = &self.path
            && let Err(error) = std::fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %path.display(), "a socket is left");
        }
    }
}

impl Factory for Socket {
    fn spawn(&self, seat: u32) -> Result<Starting, String> {
        let mut command = (self.command)(seat, &self.address);
        command.env.insert(RELAY.into(), self.address.clone());
        let (started, arrival) = self.expected.start(&command)?;
        let (mut process, mut arrival) = (started.child, arrival);
        Ok(Starting {
            stdout: Some(started.stdout),
            stderr: started.stderr,
            ready: Box::pin(async move {
                tokio::select! {
                    biased;
                    Ok(relay) = &mut arrival.relay => Ok(Ready { process, relay }),
                    exit = process.wait() => Err(format!("it {} before it had connected", describe(&exit))),
                }
            }),
        })
    }
}

/// The processes that are to dial.
#[derive(Clone, Default)]
struct Expected(Arc<Mutex<HashMap<i32, oneshot::Sender<Relay>>>>);

/// A process that is expected as long as this lives.
struct Arrival {
    pid: i32,
    relay: oneshot::Receiver<Relay>,
    expected: Expected,
}

impl Drop for Arrival {
    fn drop(&mut self) {
        self.expected.lock().remove(&self.pid);
    }
}

impl Expected {
    fn lock(&self) -> MutexGuard<'_, HashMap<i32, oneshot::Sender<Relay>>> {
        // A panic while it was held cannot have left it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self, command: &Command) -> Result<(process::Started, Arrival), String> {
        // Held over the start: the process may dial before its pid is noted.
        let mut expected = self.lock();
        let started = process::start(command, Stdio::null()).map_err(|error| error.to_string())?;
        let pid = pid(&started.child);
        let (sender, relay) = oneshot::channel();
        expected.insert(pid, sender);
        let arrival = Arrival {
            pid,
            relay,
            expected: self.clone(),
        };
        Ok((started, arrival))
    }

    /// Hands a connection to whoever waits for it.
    fn arrived(&self, from: i32, relay: Relay) {
        let mut expected = self.lock();
        let mut pid = Some(from);
        while let Some(one) = pid.filter(|pid| *pid > 1) {
            if let Some(sender) = expected.remove(&one) {
                // Who waited has given up.
                let _ = sender.send(relay);
                return;
            }
            pid = process::parent(one);
        }
        tracing::warn!(pid = from, "a process dialled that is no worker, and was turned away");
    }
}

fn pid(process: &Child) -> i32 {
    process.pid().as_raw_nonzero().get()
}

async fn accept(listener: Listener, expected: Expected) {
    let mut greetings = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if greetings.len() < GREETINGS => match accepted {
                Ok(relay) => drop(greetings.spawn(greet(relay, expected.clone()))),
                Err(error) => {
                    tracing::warn!(%error, "a worker's connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            Some(_) = greetings.join_next() => {}
        }
    }
}

async fn greet(mut relay: Relay, expected: Expected) {
    match tokio::time::timeout(GREETING, relay.greet()).await {
        Ok(Ok((_, pid))) => expected.arrived(pid, relay),
        Ok(Err(error)) => tracing::warn!(%error, "a connection is no worker's"),
        Err(_) => tracing::warn!("a connection did not say its pid within {GREETING:?}"),
    }
}

impl Listener {
    async fn accept(&self) -> io::Result<Relay> {
        match self {
            Self::Unix(listener) => {
                let (from, to) = listener.accept().await?.0.into_split();
                Ok(Relay::new(from, to))
            }
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let (from, to) = stream.into_split();
                Ok(Relay::new(from, to))
            }
        }
    }
}
