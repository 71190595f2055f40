//! Workers forked from a template: one process loads what all of them need, and each worker begins as its copy.
//!
//! Owns the template's process, the socket that it and its children dial, and the news of their exits, which only the
//! template can see. Must not know what the template has loaded. A template that dies is started again for the next
//! worker that is wanted; its children run on. The words are JSON: the template dials and says `{"pid", "template": true}`,
//! and later `exited {"pid", "id", "status", "cpu", "memory"}`; it is told `fork {"id", "env"}` with two descriptors,
//! standard output and standard error; the child dials and says `{"pid", "id"}`. Read next: `drone/runners/worker.py`.

use super::{Factory, Ready, Relay, Starting, describe, home, socket_path};
use crate::{
    pool::{
        error::said,
        goridge::{Control, Frame, FrameError, Frames, Payload},
    },
    process::{self, Child, Command, Exit, MARKER, Mask, Pipe, Reader, Stream, new_marker},
};
use futures_util::FutureExt;
use rustix::{
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
    pipe::PipeFlags,
    process::{Pid, Signal},
};
use serde::Deserialize;
use std::{
    collections::HashMap,
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    process::Stdio,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncWriteExt, Interest},
    net::{UnixListener, UnixStream, unix::OwnedWriteHalf},
    sync::{Mutex as Gate, oneshot},
    task::coop,
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

/// How long a template that was told to stop may take.
const STOP_TIME: Duration = Duration::from_secs(5);
/// How long what a template has left behind may take to end.
const LEFT_TIME: Duration = Duration::from_secs(1);
/// How long whoever dials may take to say who it is.
const HELLO_TIME: Duration = Duration::from_secs(30);

/// A template and the workers that it forks. Dropped, it ends the template and all that is left of its children.
pub struct Zygote {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    _stop: DropGuard,
    /// Of the socket.
    _folder: tempfile::TempDir,
}

struct Shared {
    command: Command,
    mask: Arc<Mask>,
    /// The template that forks now; locked while one is being started.
    current: Gate<Option<Arc<Template>>>,
    expected: Mutex<Expected>,
    numbers: AtomicU64,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Who is going to dial, and who is going to end.
#[derive(Default)]
struct Expected {
    template: Option<oneshot::Sender<(Hello, Frames, OwnedWriteHalf)>>,
    /// By the number of the request.
    children: HashMap<u64, Forked>,
}

/// A child that a template was asked for.
struct Forked {
    /// The template's number.
    template: u64,
    dials: Option<oneshot::Sender<(i32, Relay)>>,
    ends: oneshot::Sender<Exit>,
}

struct Template {
    number: u64,
    control: Gate<OwnedWriteHalf>,
    gone: CancellationToken,
}

/// The first word of whoever dials.
#[derive(Deserialize)]
struct Hello {
    pid: i32,
    /// The request that it answers; a template has none.
    id: Option<u64>,
    /// What a template has to tell people.
    #[serde(default)]
    warnings: Vec<String>,
}

/// A template's news of one of its children.
#[derive(Deserialize)]
struct Exited {
    id: u64,
    status: i32,
    /// Seconds.
    #[serde(default)]
    cpu: f64,
    /// KiB.
    #[serde(default)]
    memory: u64,
}

impl Zygote {
    /// Starts the template, however long that takes, and answers with what it has to tell people. `command`: what starts a
    /// template that dials this socket. `folder`: an existing one, for the socket.
    ///
    /// An error: why there is no template, with its last words.
    pub async fn start(
        folder: &Path,
        mask: Arc<Mask>,
        command: impl FnOnce(&Path) -> Command,
    ) -> Result<(Self, Vec<String>), String> {
        let fail = |error: io::Error| format!("there is no socket for its processes: {error}");
        let folder = home(folder).map_err(fail)?;
        let path = socket_path(folder.path());
        let listener = UnixListener::bind(&path).map_err(fail)?;
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let shared = Arc::new(Shared {
            command: command(&path),
            mask,
            current: Gate::default(),
            expected: Mutex::default(),
            numbers: AtomicU64::new(0),
            stop: stop.clone(),
            tasks: tasks.clone(),
        });
        let zygote = Self {
            shared: Arc::clone(&shared),
            tasks: tasks.clone(),
            _stop: stop.drop_guard(),
            _folder: folder,
        };
        tasks.spawn(Arc::clone(&shared).listen(listener));
        let (template, warnings) = shared.start().await?;
        *shared.current.lock().await = Some(template);
        Ok((zygote, warnings))
    }

    /// Ends the template, and whatever is left of it and its children. No worker can be had any more.
    pub async fn stop(&self) {
        self.shared.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Factory for Zygote {
    fn spawn(&self, _seat: u32) -> Result<Starting, String> {
        let pipe = || {
            rustix::pipe::pipe_with(PipeFlags::CLOEXEC)
                .map_err(|error| format!("there is no pipe for its output: {error}"))
        };
        let (stdout, stdout_end) = pipe()?;
        let (stderr, stderr_end) = pipe()?;
        let shared = Arc::clone(&self.shared);
        Ok(Starting {
            stdout: Some(stdout),
            stderr,
            ready: Box::pin(async move { shared.fork([stdout_end, stderr_end]).await }),
        })
    }
}

impl Shared {
    fn expected(&self) -> MutexGuard<'_, Expected> {
        // A panic while it was held cannot have left it half changed.
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A child that can take payloads, whose output goes to `outputs`.
    async fn fork(self: Arc<Self>, outputs: [OwnedFd; 2]) -> Result<Ready, String> {
        let template = self.template().await?;
        let id = self.numbers.fetch_add(1, Ordering::Relaxed);
        let (dials, mut dialled) = oneshot::channel();
        let (ends, mut told) = oneshot::channel();
        let forked = Forked {
            template: template.number,
            dials: Some(dials),
            ends,
        };
        self.expected().children.insert(id, forked);
        let marker = new_marker();
        let request = serde_json::json!({"id": id, "env": {MARKER: &*marker}});
        let asked = match Payload::json("fork", &request) {
            Ok(payload) => template.ask(&payload, &outputs).await,
            Err(error) => Err(error.into()),
        };
        // Here and not later: the template's copies are all that may keep the pipes open.
        drop(outputs);
        if let Err(error) = asked {
            template.gone.cancel();
            return Err(format!("its template could not be asked for it: {error}"));
        }
        tokio::select! {
            biased;
            Ok((pid, relay)) = &mut dialled => match Pid::from_raw(pid) {
                Some(pid) => Ok(Ready { process: Child::adopt(pid, marker, told), relay }),
                None => Err(format!("it says that its pid is {pid}")),
            },
            Ok(exit) = &mut told => Err(format!("it {} before it could work", describe(&exit))),
            else => Err("its template ended".to_owned()),
        }
    }

    /// The template; a new one if it has died.
    async fn template(self: &Arc<Self>) -> Result<Arc<Template>, String> {
        let mut current = self.current.lock().await;
        if let Some(template) = current.as_ref().filter(|template| !template.gone.is_cancelled()) {
            return Ok(Arc::clone(template));
        }
        let (template, _) = self.start().await?;
        Ok(Arc::clone(current.insert(template)))
    }

    async fn start(self: &Arc<Self>) -> Result<(Arc<Template>, Vec<String>), String> {
        let (dials, mut dialled) = oneshot::channel();
        self.expected().template = Some(dials);
        let started = process::start(&self.command, Stdio::null()).map_err(|error| error.to_string())?;
        let mut child = started.child;
        let mut output = Output::new([started.stdout, started.stderr], &self.mask)
            .map_err(|error| format!("its output cannot be read: {error}"))?;
        let (hello, frames, control) = loop {
            tokio::select! {
                biased;
                Ok(dialled) = &mut dialled => break dialled,
                exit = child.wait() => {
                    process::end_kin(&child, &output.pipes, Duration::ZERO).await;
                    return Err(format!("it {}{}", describe(&exit), said(&output.last_words())));
                }
                () = self.stop.cancelled() => return Err("it was stopped".to_owned()),
                () = output.next() => {}
            }
        };
        let template = Arc::new(Template {
            number: self.numbers.fetch_add(1, Ordering::Relaxed),
            control: Gate::new(control),
            gone: CancellationToken::new(),
        });
        let tend = Arc::clone(self).tend(Arc::clone(&template), child, output, frames);
        self.tasks.spawn(tend);
        Ok((template, hello.warnings))
    }

    /// Hears a template until it ends, and clears up behind it when all is over.
    async fn tend(self: Arc<Self>, template: Arc<Template>, mut child: Child, mut output: Output, mut frames: Frames) {
        loop {
            tokio::select! {
                biased;
                frame = frames.next() => match frame {
                    Ok(frame) => self.hear(frame),
                    Err(_) => break,
                },
                // What it wrote before is there by now.
                _ = child.wait() => {
                    while let Some(Ok(frame)) = coop::unconstrained(frames.next()).now_or_never() {
                        self.hear(frame);
                    }
                    break;
                }
                () = template.gone.cancelled() => break,
                () = self.stop.cancelled() => break,
                () = output.next() => {}
            }
        }
        template.gone.cancel();
        if self.stop.is_cancelled() {
            // It may be gone already: the time limit sees to that.
            let _ = template
                .control
                .lock()
                .await
                .write_all(&Control::Stop.frame().encode())
                .await;
        }
        let leave = async {
            loop {
                tokio::select! {
                    biased;
                    _ = child.wait() => break,
                    frame = frames.next() => match frame {
                        Ok(frame) => self.hear(frame),
                        Err(_) => { child.wait().await; break }
                    },
                    () = output.next() => {}
                }
            }
        };
        if tokio::time::timeout(STOP_TIME, leave).await.is_err() {
            child.signal(Signal::KILL);
            child.wait().await;
        }
        // Its children have fallen to the drone.
        self.expected()
            .children
            .retain(|_, forked| forked.template != template.number);
        // Programs of its children may carry its mark: they are theirs as long as those run.
        self.stop.cancelled().await;
        process::end_kin(&child, &output.pipes, LEFT_TIME).await;
    }

    fn hear(&self, frame: Frame) {
        let Ok(payload) = frame.into_payload() else { return };
        if payload.context != "exited" {
            return;
        }
        match serde_json::from_slice::<Exited>(&payload.body) {
            Ok(exited) => {
                let cpu = Duration::try_from_secs_f64(exited.cpu).unwrap_or_default();
                let exit = Exit::of_status(exited.status, cpu, exited.memory.saturating_mul(1024));
                if let Some(forked) = self.expected().children.remove(&exited.id) {
                    // Whoever asked for it may be gone.
                    let _ = forked.ends.send(exit);
                }
            }
            Err(error) => tracing::warn!(%error, "a template's news of a child cannot be read"),
        }
    }

    async fn listen(self: Arc<Self>, listener: UnixListener) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    let shared = Arc::clone(&self);
                    self.tasks.spawn(async move {
                        let greeted = tokio::time::timeout(HELLO_TIME, shared.greet(stream));
                        if let Some(Ok(Err(error))) = shared.stop.run_until_cancelled(greeted).await {
                            tracing::warn!(%error, "somebody dialled the socket of a template and was not understood");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a forked worker could not be accepted");
                    // At the limit of open files: it is there again when somebody else closes one.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// Takes whoever dials to who waits for it. Who is not waited for any more is hung up on.
    async fn greet(&self, stream: UnixStream) -> Result<(), FrameError> {
        let (from, to) = stream.into_split();
        let mut frames = Frames::new(from);
        let frame = frames.next().await?;
        let hello: Hello = serde_json::from_slice(&frame.payload).map_err(|_| FrameError::NoGreeting)?;
        let Some(id) = hello.id else {
            if let Some(template) = self.expected().template.take() {
                let _ = template.send((hello, frames, to));
            }
            return Ok(());
        };
        let dials = self
            .expected()
            .children
            .get_mut(&id)
            .and_then(|child| child.dials.take());
        if let Some(dials) = dials {
            let to = Box::new(to);
            let _ = dials.send((hello.pid, Relay { frames, to }));
        }
        Ok(())
    }
}

impl Template {
    /// One message, the descriptors with it.
    async fn ask(&self, payload: &Payload, fds: &[OwnedFd; 2]) -> io::Result<()> {
        let bytes = Frame::of(payload);
        let mut control = self.control.lock().await;
        let stream: &UnixStream = (*control).as_ref();
        let send = || {
            let fds = [fds[0].as_fd(), fds[1].as_fd()];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
            let mut with = SendAncillaryBuffer::new(&mut space);
            with.push(SendAncillaryMessage::ScmRights(&fds));
            Ok(sendmsg(
                stream,
                &[IoSlice::new(&bytes)],
                &mut with,
                SendFlags::NOSIGNAL,
            )?)
        };
        let sent = stream.async_io(Interest::WRITABLE, send).await?;
        control.write_all(&bytes[sent..]).await
    }
}

/// What a template prints: its last words count if it does not start, nothing else does.
struct Output {
    readers: [Reader; 2],
    pipes: Vec<Pipe>,
}

impl Output {
    fn new(fds: [OwnedFd; 2], mask: &Arc<Mask>) -> io::Result<Self> {
        let [stdout, stderr] = fds.map(Pipe::new);
        // The end of both is wanted: only that of errors is kept.
        let reader = |pipe| Reader::new(Stream::Stderr, pipe, mask.stream());
        Ok(Self {
            readers: [reader(&stdout)?, reader(&stderr)?],
            pipes: vec![stdout, stderr],
        })
    }

    /// Reads something; waits for ever at the end of both. Cancel-safe.
    async fn next(&mut self) {
        let [stdout, stderr] = &mut self.readers;
        tokio::select! {
            Some(_) = stdout.next() => {}
            Some(_) = stderr.next() => {}
            else => std::future::pending().await,
        }
    }

    fn last_words(&mut self) -> String {
        let text = self.readers.each_mut().map(|reader| {
            reader.rest();
            reader.tail().trim().to_owned()
        });
        text.join("\n")
    }
}
