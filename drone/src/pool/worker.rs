//! One worker: its start, the talk about one payload, its end.
//!
//! Owns the words of the relay and the output of the process. Must not know queues or when a worker is replaced
//! (`seat.rs`).

use super::{
    Kind, Relay,
    error::said,
    execution::{Holder, Reply},
    factory::LAST_STEPS,
    goridge::{Control, Frame, FrameError, Frames, Payload, stream},
    queue::{Shared, Work},
};
use crate::process::{self, Child, Exit, Output, Pipe, Reader, Stream};
use bytes::{Buf, Bytes};
use futures_util::FutureExt;
use rustix::process::Signal;
use std::{collections::VecDeque, fs, io, pin::Pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::mpsc,
    task::coop,
    time::Sleep,
};

/// The most bytes of output that are kept for the next payload; the oldest go first.
const HELD: usize = 256 * 1024;

/// A process that takes payloads.
pub(super) struct Worker {
    pub pid: i32,
    /// Payloads that it has had.
    pub executions: u32,
    /// Payloads that it may have.
    pub limit: Option<u32>,
    pub ttl: Option<Pin<Box<Sleep>>>,
    process: Child,
    relay: Relay,
    voice: Voice,
}

/// The output of a worker.
struct Voice {
    stdout: Option<Reader>,
    stderr: Reader,
    pipes: Vec<Pipe>,
    /// What was written while no payload ran.
    held: VecDeque<Output>,
}

/// What came of a payload.
pub(super) enum Said {
    /// An answer, or an error of the job.
    Answer(Result<Payload, String>),
    /// The worker wants to be replaced.
    Stop,
    /// The worker cannot have had all of the payload.
    Undelivered(FrameError),
    /// The worker cannot go on.
    Broken(FrameError),
}

/// How a worker is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// It is told to, and has this time.
    Stop(Duration),
    /// It is about to end by itself.
    Leave,
    Kill,
}

/// The end of a worker.
pub(super) struct End {
    pub pid: i32,
    pub executions: u32,
    pub exit: Exit,
    /// It did not end in time and was killed.
    pub late: bool,
    pub stderr: String,
}

impl Worker {
    /// Starts the worker of `seat`. An error: why there is none, with its last words.
    pub async fn start(shared: Arc<Shared>, seat: u32) -> Result<Box<Self>, String> {
        let options = &shared.options;
        let failed = |why: String, stderr: &str| {
            format!(
                "worker {seat} could not be started: {}{}",
                options.mask.sanitize(&why),
                said(stderr)
            )
        };
        let starting = shared.factory.spawn(seat).map_err(|why| failed(why, ""))?;
        let mut pipes = Vec::new();
        let mut reader = |stream, pipe| {
            let pipe = Pipe::new(pipe);
            let reader = Reader::new(stream, &pipe, options.mask.stream());
            pipes.push(pipe);
            reader.map_err(|error| failed(format!("its output cannot be read: {error}"), ""))
        };
        let stdout = starting.stdout.map(|pipe| reader(Stream::Stdout, pipe)).transpose()?;
        let stderr = reader(Stream::Stderr, starting.stderr)?;
        let mut voice = Voice {
            stdout,
            stderr,
            pipes,
            held: VecDeque::new(),
        };
        let mut ready = std::pin::pin!(tokio::time::timeout(options.allocate_timeout, starting.ready));
        let started = loop {
            tokio::select! {
                biased;
                ready = &mut ready => break ready,
                piece = voice.next() => {
                    voice.hold(piece);
                    shared.says(seat, voice.stderr.tail());
                }
            }
        };
        let started =
            started.unwrap_or_else(|_| Err(format!("it was not ready within {:?}", options.allocate_timeout)));
        let ready = match started {
            Ok(ready) => ready,
            Err(why) => {
                voice.rest();
                return Err(failed(why, voice.stderr.tail()));
            }
        };
        let pid = ready.process.pid().as_raw_nonzero().get();
        shared.tell(seat, Some(pid), Kind::Created, "");
        Ok(Box::new(Self {
            pid,
            executions: 0,
            limit: options.executions(),
            ttl: options.ttl.map(|ttl| Box::pin(tokio::time::sleep(ttl))),
            process: ready.process,
            relay: ready.relay,
            voice,
        }))
    }

    /// The payload that it has now is its last one.
    pub fn is_spent(&self) -> bool {
        self.limit.is_some_and(|limit| self.executions >= limit)
    }

    /// Waits for the end of the process, and keeps what it writes for the next payload. Cancel-safe.
    pub async fn idle(&mut self) -> Exit {
        loop {
            tokio::select! {
                biased;
                exit = self.process.wait() => return exit,
                piece = self.voice.next() => self.voice.hold(piece),
            }
        }
    }

    /// Hands the payload over and hears what the worker says until it has an answer, or cannot have one.
    pub async fn converse(&mut self, seat: u32, work: &Work) -> Said {
        if let Some(said) = self.since_last() {
            return said;
        }
        let reply = &work.reply;
        if !work.is_placed {
            // Who has gone is seen by whoever called this.
            let holder = Holder {
                seat,
                pid: self.pid,
                executions: self.executions - 1,
            };
            let _ = reply.send(Reply::Taken(holder)).await;
        }
        while let Some(piece) = self.voice.held.pop_front() {
            let _ = reply.send(Reply::Output(Box::new(piece))).await;
        }
        let Relay { frames, to } = &mut self.relay;
        let mut sending = Frame::of(&work.payload);
        let mut is_delivered = false;
        let mut has_begun = false;
        loop {
            let event = tokio::select! {
                biased;
                sent = flush(to, &mut sending), if !sending.is_empty() => match sent {
                    Ok(()) => {
                        is_delivered = true;
                        continue;
                    }
                    Err(error) if !is_delivered => return Said::Undelivered(error.into()),
                    Err(error) => return Said::Broken(error.into()),
                },
                frame = frames.next() => frame,
                piece = self.voice.next() => {
                    let _ = reply.send(Reply::Output(Box::new(piece))).await;
                    continue;
                }
                // What it wrote before is there by now.
                _ = self.process.wait() => now(frames).unwrap_or(Err(FrameError::Closed)),
            };
            let frame = match event {
                Ok(frame) => frame,
                Err(error) => return Said::Broken(error),
            };
            if frame.has(stream::PING) {
                let pong = Frame {
                    stream: stream::PONG,
                    ..Frame::default()
                };
                sending = [&sending[..], &pong.encode()[..]].concat().into();
            }
            if frame.is_control() {
                match Control::read(&frame.payload) {
                    Some(Control::Stop) if !has_begun => return Said::Stop,
                    Some(Control::Stop) => return Said::Broken(FrameError::LateStop),
                    // The greeting of a worker that says its pid by itself and when it is asked.
                    _ => continue,
                }
            }
            if frame.is_error() {
                return Said::Answer(Err(String::from_utf8_lossy(&frame.payload).into_owned()));
            }
            if !is_delivered {
                return Said::Broken(FrameError::Early);
            }
            let has_more = frame.has(stream::STREAM);
            if !has_more && frame.has(stream::PING) && frame.context.is_none() {
                continue;
            }
            let payload = match frame.into_payload() {
                Ok(payload) => payload,
                Err(error) => return Said::Broken(error),
            };
            match payload {
                payload if has_more => {
                    has_begun = true;
                    let _ = reply.send(Reply::Frame(Box::new(payload))).await;
                }
                payload if payload.is_stop_request() && !has_begun => return Said::Stop,
                payload => return Said::Answer(Ok(payload)),
            }
        }
    }

    /// What came of the worker since its last payload, if it can have no other one: a frame would be taken for an answer
    /// to the next.
    fn since_last(&mut self) -> Option<Said> {
        if self.process.wait().now_or_never().is_some() {
            return Some(Said::Undelivered(FrameError::Closed));
        }
        loop {
            match now(&mut self.relay.frames)? {
                Ok(frame) if !frame.is_control() => return Some(Said::Undelivered(FrameError::Unasked)),
                Ok(frame) if Control::read(&frame.payload) == Some(Control::Stop) => return Some(Said::Stop),
                Ok(_) => {}
                Err(error) => return Some(Said::Undelivered(error)),
            }
        }
    }

    /// A payload has ended and the worker is kept: what it has written by now belongs to that payload.
    pub async fn settle(&mut self, reply: &mpsc::Sender<Reply>) {
        for piece in self.voice.heard() {
            let _ = reply.send(Reply::Output(Box::new(piece))).await;
        }
        self.voice.stderr.forget();
    }

    /// Bytes of resident memory; nothing if the process is gone.
    pub fn memory(&self) -> Option<u64> {
        let pages = fs::read_to_string(format!("/proc/{}/statm", self.pid)).ok()?;
        let resident: u64 = pages.split_ascii_whitespace().nth(1)?.parse().ok()?;
        Some(resident * rustix::param::page_size() as u64)
    }

    /// Ends the process and all that belongs to it. What is still written goes to `reply`; if nobody listens there, the
    /// end is hurried.
    pub async fn end(self, how: How, reply: Option<&mpsc::Sender<Reply>>) -> End {
        let Self {
            pid,
            executions,
            mut process,
            relay,
            mut voice,
            ..
        } = self;
        let Relay { frames, to } = relay;
        let pipes = voice.pipes.clone();
        let ending = async {
            let (exit, by) = leave(&mut process, to, how, reply).await;
            let grace = if by == By::Itself {
                process::SHORT_GRACE
            } else {
                Duration::ZERO
            };
            process::end_kin(&process, &pipes, grace).await;
            (exit, by == By::Time)
        };
        let mut ending = std::pin::pin!(ending);
        let (exit, late) = loop {
            tokio::select! {
                biased;
                ended = &mut ending => break ended,
                piece = voice.next() => pass_on(reply, piece).await,
            }
        };
        // Until here the worker could write to it.
        drop(frames);
        for piece in voice.rest() {
            pass_on(reply, piece).await;
        }
        End {
            pid,
            executions,
            exit,
            late,
            stderr: voice.stderr.tail().to_owned(),
        }
    }
}

/// Who ended a worker.
#[derive(PartialEq, Eq)]
enum By {
    Itself,
    /// The pool, because its time was over.
    Time,
    /// The pool.
    Order,
}

/// Brings the first process to its end.
async fn leave(
    process: &mut Child,
    mut to: Box<dyn AsyncWrite + Send + Unpin>,
    how: How,
    reply: Option<&mpsc::Sender<Reply>>,
) -> (Exit, By) {
    let time = match how {
        How::Stop(time) => time,
        How::Leave => LAST_STEPS,
        How::Kill => Duration::ZERO,
    };
    let mut by = By::Order;
    if how != How::Kill {
        let asked = async move {
            if let How::Stop(_) = how {
                // It may be gone already, or not read: the time limit sees to that.
                let _ = to.write_all(&Control::Stop.frame().encode()).await;
                let _ = to.shutdown().await;
            }
            drop(to);
            std::future::pending::<()>().await;
        };
        let unheard = async {
            match reply {
                Some(reply) => reply.closed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            exit = process.wait() => return (exit, By::Itself),
            () = asked => {}
            () = unheard => {}
            () = tokio::time::sleep(time) => by = By::Time,
        }
    }
    process.signal(Signal::KILL);
    (process.wait().await, by)
}

async fn pass_on(reply: Option<&mpsc::Sender<Reply>>, piece: Output) {
    if let Some(reply) = reply {
        let _ = reply.send(Reply::Output(Box::new(piece))).await;
    }
}

/// Writes what is left of a frame. Cancel-safe.
async fn flush(to: &mut (dyn AsyncWrite + Send + Unpin), bytes: &mut Bytes) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = to.write(bytes).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes.advance(written);
    }
    Ok(())
}

/// The frame that is there, or the error, without waiting.
fn now(frames: &mut Frames) -> Option<Result<Frame, FrameError>> {
    coop::unconstrained(frames.next()).now_or_never()
}

impl Voice {
    /// The next piece of any stream; at the end of all it waits for ever. Cancel-safe.
    async fn next(&mut self) -> Output {
        let stdout = async {
            match &mut self.stdout {
                Some(reader) => reader.next().await,
                None => None,
            }
        };
        tokio::select! {
            Some(piece) = stdout => piece,
            Some(piece) = self.stderr.next() => piece,
            else => std::future::pending().await,
        }
    }

    fn heard(&mut self) -> Vec<Output> {
        let mut pieces = self.stdout.as_mut().map_or_else(Vec::new, Reader::heard);
        pieces.append(&mut self.stderr.heard());
        pieces
    }

    fn rest(&mut self) -> Vec<Output> {
        let mut pieces = self.stdout.as_mut().map_or_else(Vec::new, Reader::rest);
        pieces.append(&mut self.stderr.rest());
        pieces
    }

    fn hold(&mut self, piece: Output) {
        self.held.push_back(piece);
        let mut bytes: usize = self.held.iter().map(|piece| piece.text.len()).sum();
        while bytes > HELD {
            bytes -= self.held.pop_front().map_or(bytes, |piece| piece.text.len());
        }
    }
}
