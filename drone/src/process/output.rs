//! Reads one stream of a command and passes it on in batches.
//!
//! A batch goes out when it is full, or 20 ms after its first byte: one timer for each batch, none while nothing is
//! written. A full channel stops the reading, so that the pipe fills and the command waits. Must not know processes.

use super::{Output, Stream, mask::MaskStream};
use rustix::{
    event::{PollFd, PollFlags, Timespec},
    fs::OFlags,
    io::Errno,
};
use shared::protocol::frame::TEXT_LIMIT;
use std::{io, os::fd::OwnedFd, pin::Pin, sync::Arc, time::Duration};
use tokio::{io::unix::AsyncFd, sync::mpsc, time::Sleep};
use tokio_util::sync::CancellationToken;

/// How long the first byte of a batch may wait for more.
const BATCH_TIME: Duration = Duration::from_millis(20);
/// Bytes read at once.
const READ: usize = 32 * 1024;
/// The most bytes that are read after the last call: what a pipe can hold.
const LEFT_OVER: usize = 1024 * 1024;
/// The most bytes that [`Reader::read`] answers with.
const TAIL: usize = 8 * 1024;

/// The reading end of a pipe, shared with whoever asks if it is still held open.
#[derive(Clone)]
pub(super) struct Pipe(Arc<OwnedFd>);

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

pub(super) struct Reader {
    stream: Stream,
    pipe: AsyncFd<Arc<OwnedFd>>,
    mask: MaskStream,
    output: mpsc::Sender<Output>,
    batch: String,
    tail: String,
}

impl Reader {
    pub fn new(stream: Stream, pipe: &Pipe, mask: MaskStream, output: &mpsc::Sender<Output>) -> io::Result<Self> {
        rustix::fs::fcntl_setfl(&pipe.0, OFlags::NONBLOCK)?;
        Ok(Self {
            stream,
            pipe: super::watch(pipe.0.clone())?,
            mask,
            output: output.clone(),
            batch: String::new(),
            tail: String::new(),
        })
    }

    /// Reads to the end and answers with the last bytes of the text. After `last_call` the end is where the pipe is
    /// empty: somebody that nobody could kill may hold it open for ever.
    pub async fn read(mut self, last_call: &CancellationToken) -> String {
        let mut buffer = Vec::new();
        let mut due: Option<Pin<Box<Sleep>>> = None;
        let mut left_over = LEFT_OVER;
        loop {
            let mut ready = tokio::select! {
                biased;
                () = async { due.as_mut().expect("guarded").await }, if due.is_some() => {
                    due = None;
                    self.send(true).await;
                    continue;
                }
                ready = self.pipe.readable() => match ready {
                    Ok(guard) => Some(guard),
                    Err(_) => break,
                },
                () = last_call.cancelled() => None,
            };
            buffer.resize(READ, 0);
            let read = rustix::io::read(self.pipe.get_ref(), &mut buffer[..]);
            if let (Err(Errno::AGAIN), Some(guard)) = (read, &mut ready) {
                guard.clear_ready();
            }
            match read {
                Ok(0) => break,
                Ok(length) => {
                    self.batch.push_str(&self.mask.push(&buffer[..length]));
                    self.send(false).await;
                    if last_call.is_cancelled() {
                        left_over = left_over.saturating_sub(length);
                    }
                    if left_over == 0 {
                        break;
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    if last_call.is_cancelled() {
                        break;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, stream = ?self.stream, "a command's output could not be read any more");
                    break;
                }
            }
            if self.batch.is_empty() {
                due = None;
            } else if due.is_none() {
                due = Some(Box::pin(tokio::time::sleep(BATCH_TIME)));
            }
        }
        let rest = self.mask.finish();
        self.batch.push_str(&rest);
        self.send(true).await;
        self.tail
    }

    /// Sends what is full of the batch, or all of it.
    async fn send(&mut self, all: bool) {
        while self.batch.len() >= TEXT_LIMIT || (all && !self.batch.is_empty()) {
            let end = self.batch.floor_char_boundary(TEXT_LIMIT);
            let rest = self.batch.split_off(end);
            let text = std::mem::replace(&mut self.batch, rest);
            self.remember(&text);
            let output = Output {
                stream: self.stream,
                text,
            };
            // Nobody listens any more: the command still gets rid of its output.
            let _ = self.output.send(output).await;
        }
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
