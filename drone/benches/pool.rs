//! The round trip of a payload of 1 KiB: through the pool, and over bare pipes to the same program, with a thread that
//! blocks and with the tokio that the pool is built on.
//!
//! `cargo bench -p drone --bench pool`; `ROUNDS=40 TRIPS=5000` for more. The rounds take turns, so that a machine's mood
//! hits all alike; what is printed is the median of the rounds. The program is this one, started with an argument.

use drone::{
    pool::{
        Options, Payload, Pool,
        factory::{Pipe, Socket},
        goridge::{Control, Frame},
    },
    process::Command,
};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::pipe,
};

const CHILD: &str = "echo";
/// Bytes that a frame of this bench has room in.
const ROOM: usize = 64 * 1024;

fn main() {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some(CHILD) {
        return child();
    }
    let number = |name: &str, default: usize| {
        let value = std::env::var(name).ok().and_then(|value| value.parse().ok());
        value.unwrap_or(default)
    };
    let (rounds, trips) = (number("ROUNDS", 20), number("TRIPS", 2000));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let mut bare = Bare::new();
    let mut bare_tokio = runtime.block_on(async { Some(Bare::new().in_tokio()) });
    let pools = runtime.block_on(async {
        let unix = Socket::unix(&folder.path().join("socket"), |_, _| command()).expect("a socket");
        let tcp = Socket::tcp(|_, _| command()).expect("a socket");
        [
            ("pool, pipes", pool(Arc::new(Pipe::new(|_| command())))),
            ("pool, unix socket", pool(Arc::new(unix))),
            ("pool, tcp", pool(Arc::new(tcp))),
        ]
    });
    let mut times: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    for _ in 0..rounds {
        times.entry("bare pipes").or_default().push(bare.round(trips));
        let Some(mut pipes) = bare_tokio.take() else { return };
        let (round, pipes) = runtime
            .block_on(async { tokio::spawn(async move { (pipes.round(trips).await, pipes) }).await })
            .expect("no failure");
        times.entry("bare pipes, tokio").or_default().push(round);
        bare_tokio = Some(pipes);
        for (name, pool) in &pools {
            let task = round_of(Arc::clone(pool), trips);
            let round = runtime.block_on(async { tokio::spawn(task).await.expect("no failure") });
            times.entry(*name).or_default().push(round);
        }
    }
    let median = |name: &str| {
        let mut all = times[name].clone();
        all.sort_unstable();
        all[all.len() / 2].as_secs_f64() * 1e6 / trips as f64
    };
    let base = median("bare pipes");
    println!("round trip of 1 KiB, median of {rounds} rounds of {trips}:");
    for name in times.keys() {
        println!(
            "{name:<18} {:>8.1} µs  {:>5.2} times bare pipes",
            median(name),
            median(name) / base
        );
    }
}

fn payload() -> Payload {
    Payload::new("", vec![b'x'; 1024])
}

fn pool(factory: Arc<dyn drone::pool::Factory>) -> Arc<Pool> {
    Arc::new(Pool::new(factory, Options::new(1)))
}

#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
async fn round_of(pool: Arc<Pool>, trips: usize) -> Duration {
    let payload = payload();
    pool.exec(payload.clone()).await.expect("an answer");
    let start = Instant::now();
    for _ in 0..trips {
        let answer = pool.exec(payload.clone()).await.expect("an answer");
        assert_eq!(answer.body.len(), payload.body.len());
    }
    start.elapsed()
}

/// The program, on pipes that nobody else touches.
struct Bare {
    process: std::process::Child,
}

impl Bare {
    fn new() -> Self {
        let mut process = std::process::Command::new(std::env::current_exe().expect("a path"))
            .arg(CHILD)
            .env("RR_RELAY", "pipes")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let hello = Control::Pid(1).frame().encode();
        process
            .stdin
            .as_mut()
            .expect("a pipe")
            .write_all(&hello)
            .expect("a reader");
        read_frame(process.stdout.as_mut().expect("a pipe"), &mut vec![0; ROOM]);
        Self { process }
    }

    #[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
    fn round(&mut self, trips: usize) -> Duration {
        let frame = Frame::of(&payload());
        let mut answer = vec![0; frame.len()];
        let (to, from) = (self.process.stdin.as_mut(), self.process.stdout.as_mut());
        let (to, from) = (to.expect("a pipe"), from.expect("a pipe"));
        let start = Instant::now();
        for _ in 0..trips {
            to.write_all(&frame).expect("a reader");
            from.read_exact(&mut answer).expect("an answer");
        }
        start.elapsed()
    }
}

/// The same without a thread that blocks.
struct BareTokio {
    to: pipe::Sender,
    from: pipe::Receiver,
    _process: Bare,
}

impl Bare {
    fn in_tokio(mut self) -> BareTokio {
        let (to, from) = (self.process.stdin.take(), self.process.stdout.take());
        BareTokio {
            to: pipe::Sender::from_owned_fd(to.expect("a pipe").into()).expect("a pipe"),
            from: pipe::Receiver::from_owned_fd(from.expect("a pipe").into()).expect("a pipe"),
            _process: self,
        }
    }
}

impl BareTokio {
    #[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
    async fn round(&mut self, trips: usize) -> Duration {
        let frame = Frame::of(&payload());
        let mut answer = vec![0; frame.len()];
        let start = Instant::now();
        for _ in 0..trips {
            self.to.write_all(&frame).await.expect("a reader");
            self.from.read_exact(&mut answer).await.expect("an answer");
        }
        start.elapsed()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // It has nothing to read any more.
        let _ = self.process.wait();
    }
}

fn command() -> Command {
    let program = std::env::current_exe().expect("a path");
    let mut command = Command::new(program.display().to_string(), std::env::temp_dir(), BTreeMap::new());
    command.args = vec![CHILD.into()];
    command
}

/// Sends back what it gets.
fn child() {
    let relay = std::env::var("RR_RELAY").expect("a relay");
    if relay == "pipes" {
        // Without the buffers of the standard library, which look for ends of lines.
        let own = |fd: BorrowedFd<'_>| File::from(fd.try_clone_to_owned().expect("a descriptor"));
        echo(own(std::io::stdin().as_fd()), own(std::io::stdout().as_fd()));
    } else if let Some(path) = relay.strip_prefix("unix://") {
        let stream = UnixStream::connect(path).expect("a listener");
        echo(&stream, &stream);
    } else if let Some(address) = relay.strip_prefix("tcp://") {
        let stream = std::net::TcpStream::connect(address).expect("a listener");
        stream.set_nodelay(true).expect("an option");
        echo(&stream, &stream);
    }
}

fn echo(mut from: impl Read, mut to: impl Write) {
    let own = Control::Pid(i32::try_from(std::process::id()).expect("a pid"));
    let mut room = vec![0; ROOM];
    let _ = read_frame(&mut from, &mut room);
    to.write_all(&own.frame().encode()).expect("a reader");
    loop {
        let Some(length) = read_frame(&mut from, &mut room) else {
            return;
        };
        if room[1] & 1 != 0 || to.write_all(&room[..length]).is_err() {
            return;
        }
    }
}

/// The length of a whole frame; nothing at the end.
fn read_frame(from: &mut impl Read, frame: &mut [u8]) -> Option<usize> {
    let mut length = 0;
    loop {
        let read = from.read(&mut frame[length..]).ok().filter(|read| *read > 0)?;
        length += read;
        if length >= 12 {
            let words = usize::from(frame[0] & 15);
            let body = u32::from_le_bytes([frame[2], frame[3], frame[4], frame[5]]) as usize;
            if length >= words * 4 + body {
                return Some(length);
            }
        }
    }
}
