//! Reads one stream of a command and passes it on in batches.
//!
//! A batch goes out when it is full, or 20 ms after its first byte: one timer for each batch, none while nothing is
//! written. Who asks for no more stops the reading, so that the pipe fills and the command waits. Must not know processes.

use super::{Output, Stream, mask::MaskStream};
use rustix::{
    event::{PollFd, PollFlags, Timespec},
    fs::OFlags,
    io::Errno,
};
use shared::protocol::frame::TEXT_LIMIT;
use std::{
    future::poll_fn,
    io,
    os::fd::OwnedFd,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{io::unix::AsyncFd, sync::mpsc, time::Sleep};
use tokio_util::sync::CancellationToken;

/// How long the first byte of a batch may wait for more.
const BATCH_TIME: Duration = Duration::from_millis(20);
/// Bytes read at once.
const READ: usize = 32 * 1024;
/// The most bytes that are read without waiting: what a pipe can hold.
const LEFT_OVER: usize = 1024 * 1024;
/// The most bytes that [`Reader::tail`] has.
const TAIL: usize = 8 * 1024;

/// The reading end of a pipe, shared with whoever asks if it is still held open.
#[derive(Clone)]
pub(crate) struct Pipe(Arc<OwnedFd>);

impl Pipe {
    pub fn new(fd: OwnedFd) -> Self {
        Self(Arc::new(fd))
    }

    /// True while some process may still write to it.
    pub fn is_held(&self) -> bool {
        let mut fds = [PollFd::new(&self.0, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let polled = rustix::event::poll(&mut fds, Some(&now));
        polled.is_err() || !fds[0].revents().contains(PollFlags::HUP)
    }

    /// What identifies it under `/proc/<pid>/fd`.
    pub fn inode(&self) -> u64 {
        rustix::fs::fstat(&self.0).map_or(0, |stat| stat.st_ino)
    }
}

/// Reads a pipe to its end, in pieces.
pub(crate) struct Reader {
    stream: Stream,
    pipe: AsyncFd<Arc<OwnedFd>>,
    mask: MaskStream,
    /// Room for a read; none before the first one.
    buffer: Vec<u8>,
    batch: String,
    /// When the batch goes out; absent while it is empty.
    due: Option<Pin<Box<Sleep>>>,
    over: bool,
    tail: String,
}

impl Reader {
    pub fn new(stream: Stream, pipe: &Pipe, mask: MaskStream) -> io::Result<Self> {
        rustix::fs::fcntl_setfl(&pipe.0, OFlags::NONBLOCK)?;
        Ok(Self {
            stream,
            pipe: super::watch(pipe.0.clone())?,
            mask,
            buffer: Vec::new(),
            batch: String::new(),
            due: None,
            over: false,
            tail: String::new(),
        })
    }

    /// The last bytes of standard error that were handed out.
    pub fn tail(&self) -> &str {
        &self.tail
    }

    /// Begins [`Self::tail`] anew.
    pub fn forget(&mut self) {
        self.tail.clear();
    }

    /// Reads to the end and answers with the last bytes of the text. After `last_call` the end is where the pipe is
    /// empty: somebody that nobody could kill may hold it open for ever.
    pub async fn read(mut self, output: &mpsc::Sender<Output>, last_call: &CancellationToken) -> String {
        loop {
            let piece = tokio::select! {
                biased;
                piece = self.next() => piece,
                () = last_call.cancelled() => break,
            };
            let Some(piece) = piece else { return self.tail };
            // Nobody listens any more: the command still gets rid of its output.
            let _ = output.send(piece).await;
        }
        for piece in self.rest() {
            let _ = output.send(piece).await;
        }
        self.tail
    }

    /// The next piece; nothing at the end. Cancel-safe.
    pub async fn next(&mut self) -> Option<Output> {
        loop {
            if self.over || self.batch.len() >= TEXT_LIMIT {
                return self.cut();
            }
            let pipe = &self.pipe;
            let mut ready = tokio::select! {
                biased;
                () = async { self.due.as_mut().expect("guarded").await }, if self.due.is_some() => return self.cut(),
                // One task at a time reads: cheaper than `readable`, which keeps a list of those who wait.
                ready = poll_fn(|cx| pipe.poll_read_ready(cx)) => match ready {
                    Ok(guard) => guard,
                    Err(_) => {
                        self.finish();
                        continue;
                    }
                },
            };
            self.buffer.resize(READ, 0);
            match rustix::io::read(ready.get_inner(), &mut self.buffer[..]) {
                Err(Errno::AGAIN) => ready.clear_ready(),
                read => {
                    drop(ready);
                    self.take(read);
                }
            }
            if self.due.is_none() && !self.batch.is_empty() {
                self.due = Some(Box::pin(tokio::time::sleep(BATCH_TIME)));
            }
        }
    }

    /// What was written before anything that the runtime has heard of since, without waiting; the system is asked only if
    /// there is something. What may be the beginning of a secret is held back.
    pub fn heard(&mut self) -> Vec<Output> {
        // Whoever waits for more asks anew.
        let mut nobody = Context::from_waker(Waker::noop());
        match self.pipe.poll_read_ready(&mut nobody) {
            Poll::Pending => std::iter::from_fn(|| self.cut()).collect(),
            Poll::Ready(_) => self.now(),
        }
    }

    /// What has been written by now, without waiting. What may be the beginning of a secret is held back.
    fn now(&mut self) -> Vec<Output> {
        let mut pieces = Vec::new();
        let mut left = LEFT_OVER;
        self.buffer.resize(READ, 0);
        while !self.over && left > 0 {
            match rustix::io::read(self.pipe.get_ref(), &mut self.buffer[..]) {
                Err(Errno::AGAIN) => break,
                read => {
                    left = left.saturating_sub(read.unwrap_or(0));
                    self.take(read);
                }
            }
            while self.batch.len() >= TEXT_LIMIT {
                pieces.extend(self.cut());
            }
        }
        while let Some(piece) = self.cut() {
            pieces.push(piece);
        }
        pieces
    }

    /// Like [`Self::now`], and nothing more is read: what was held back comes too.
    pub fn rest(&mut self) -> Vec<Output> {
        let mut pieces = self.now();
        self.finish();
        while let Some(piece) = self.cut() {
            pieces.push(piece);
        }
        pieces
    }

    /// Takes so many bytes out of the buffer.
    fn take(&mut self, read: Result<usize, Errno>) {
        match read {
            Ok(0) => self.finish(),
            Ok(length) => self.batch.push_str(&self.mask.push(&self.buffer[..length])),
            Err(Errno::INTR) => {}
            Err(error) => {
                tracing::warn!(%error, stream = ?self.stream, "a command's output could not be read any more");
                self.finish();
            }
        }
    }

    fn finish(&mut self) {
        if !self.over {
            self.over = true;
            let rest = self.mask.finish();
            self.batch.push_str(&rest);
        }
    }

    /// A piece of the batch, as much as fits; nothing if it is empty.
    fn cut(&mut self) -> Option<Output> {
        let end = self.batch.floor_char_boundary(TEXT_LIMIT);
        let rest = self.batch.split_off(end);
        let text = std::mem::replace(&mut self.batch, rest);
        if self.batch.is_empty() {
            self.due = None;
        }
        if text.is_empty() {
            return None;
        }
        self.remember(&text);
        Some(Output {
            stream: self.stream,
            text,
        })
    }

    fn remember(&mut self, text: &str) {
        if self.stream == Stream::Stderr {
            self.tail.push_str(text);
            if self.tail.len() > TAIL {
                let start = self.tail.ceil_char_boundary(self.tail.len() - TAIL);
                self.tail.drain(..start);
            }
        }
    }
}
