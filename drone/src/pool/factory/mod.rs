//! How workers come to be: the one thing that a pool knows of them beyond their frames.
//!
//! Owns the [`Factory`] trait and what it hands over. Must not know seats, queues or limits. Read next: `pipe.rs` for the
//! simplest factory, `socket.rs` for workers that dial.

mod pipe;
mod socket;
pub mod zygote;

pub use pipe::{Pipe, RELAY};
pub use socket::Socket;

use super::goridge::{Control, Frame, FrameError, Frames};
use crate::process::{Child, Exit};
use futures_util::future::BoxFuture;
use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// How long a process that has closed its relay may take to end by itself.
pub(super) const LAST_STEPS: Duration = Duration::from_secs(1);

/// The most bytes that the path of a socket may have.
const PATH_LIMIT: usize = 100;

/// Starts workers.
pub trait Factory: Send + Sync + 'static {
    /// Begins to start the worker of `seat`, a number from 1. The pool reads its output from the first byte, and waits
    /// for [`Starting::ready`] as long as its `allocate_timeout`; dropped earlier, `ready` ends what was started.
    ///
    /// An error, and one of `ready`: why there is no worker, for people; the pool adds what was written on stderr.
    fn spawn(&self, seat: u32) -> Result<Starting, String>;
}

/// A worker that is being started.
pub struct Starting {
    /// The reading end of its standard output; absent if that carries the frames.
    pub stdout: Option<OwnedFd>,
    /// The reading end of its standard error.
    pub stderr: OwnedFd,
    /// The worker, once it can take payloads.
    pub ready: BoxFuture<'static, Result<Ready, String>>,
}

/// A worker that can take payloads.
pub struct Ready {
    /// Its process; dropped, it is killed with all that belongs to it.
    pub process: Child,
    /// The way to it.
    pub relay: Relay,
}

/// Frames to a worker and back.
pub struct Relay {
    /// From the worker.
    pub frames: Frames,
    /// To the worker; each frame is one write.
    pub to: Box<dyn AsyncWrite + Send + Unpin>,
}

impl Relay {
    /// A relay over two halves.
    pub fn new(
        from: impl tokio::io::AsyncRead + Send + Unpin + 'static,
        to: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Self {
        Self {
            frames: Frames::new(from),
            to: Box::new(to),
        }
    }

    /// The drone says its pid and the worker says its own, the first frame of each. Answers with the worker's frame
    /// and the pid in it.
    pub async fn greet(&mut self) -> Result<(Frame, i32), FrameError> {
        let own = Control::Pid(rustix::process::getpid().as_raw_nonzero().get());
        // A worker that is gone already has perhaps said why: what it wrote is read all the same.
        let written = self.to.write_all(&own.frame().encode()).await;
        let frame = self.frames.next().await?;
        written?;
        match Control::read(&frame.payload) {
            Some(Control::Pid(pid)) if frame.is_control() => Ok((frame, pid)),
            _ => Err(FrameError::NoGreeting),
        }
    }
}

/// How a process ended that has closed its relay; nothing if it does not end.
pub(super) async fn ended(process: &mut Child) -> Option<Exit> {
    tokio::time::timeout(LAST_STEPS, process.wait()).await.ok()
}

/// How a process ended, for people: "ended with code 3".
#[must_use]
pub fn describe(exit: &Exit) -> String {
    match exit.signal {
        Some(signal) => format!("was ended by signal {signal}"),
        None => format!("ended with code {}", exit.code),
    }
}

/// A folder for a socket, in `folder` where its path is not too long for one.
pub fn home(folder: &Path) -> io::Result<tempfile::TempDir> {
    let builder = || {
        let mut builder = tempfile::Builder::new();
        builder.prefix("skep-");
        builder
    };
    let near = builder().tempdir_in(folder)?;
    if socket_path(near.path()).as_os_str().len() <= PATH_LIMIT {
        return Ok(near);
    }
    builder().tempdir()
}

/// Where the socket is in such a folder.
pub fn socket_path(folder: &Path) -> PathBuf {
    folder.join("socket")
}
