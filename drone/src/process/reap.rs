//! One child: its exit, what it used, and the promise that it is reaped exactly once, by us.
//!
//! tokio and the standard library reap children themselves and lose their CPU time and peak memory; here a pidfd tells
//! of the exit and `wait4` collects it. Must not know output or time limits. Read next: `kin.rs`.

use super::kin::{self, Id};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open};
use std::{io, mem::MaybeUninit, os::fd::OwnedFd, sync::Arc, time::Duration};
use tokio::{io::unix::AsyncFd, sync::oneshot};

/// How a process ended and what it used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exit {
    pub code: i32,
    pub signal: Option<i32>,
    pub cpu: Duration,
    pub peak_memory: u64,
}

/// The first process of a command, leader of its group. Dropped before [`Child::wait`] has ended, the group is killed
/// and reaped in the background.
pub(super) struct Child {
    pub id: Id,
    watch: Watch,
    reaped: bool,
}

enum Watch {
    Pidfd(AsyncFd<Arc<OwnedFd>>),
    /// Where there are no pidfds (old kernels, some sandboxes): a thread that waits without reaping.
    Thread(oneshot::Receiver<()>),
}

impl Child {
    pub fn new(id: Id) -> io::Result<Self> {
        let watch = match pidfd_open(id.pid(), PidfdFlags::NONBLOCK) {
            Ok(fd) => super::watch(fd.into()).map(Watch::Pidfd),
            Err(_) => Ok(Watch::Thread(watch_in_thread(id.pid()))),
        };
        match watch {
            Ok(watch) => Ok(Self {
                id,
                watch,
                reaped: false,
            }),
            Err(error) => {
                abandon(id);
                Err(error)
            }
        }
    }

    /// Waits for the exit and reaps. Cancel-safe.
    pub async fn wait(&mut self) -> Exit {
        loop {
            match &mut self.watch {
                Watch::Pidfd(fd) => {
                    if let Ok(mut ready) = fd.readable().await {
                        ready.clear_ready();
                    }
                }
                Watch::Thread(done) => drop(done.await),
            }
            match collect(self.id.pid(), libc::WNOHANG) {
                Ok(None) => {}
                Ok(Some(exit)) => {
                    self.reaped = true;
                    return exit;
                }
                Err(error) => {
                    tracing::error!(pid = %self.id.pid(), %error, "the exit of a command was lost: counted as code 1");
                    self.reaped = true;
                    return Exit {
                        code: 1,
                        signal: None,
                        cpu: Duration::ZERO,
                        peak_memory: 0,
                    };
                }
            }
        }
    }

    /// Signals the whole group. A group that is gone is no error.
    pub fn signal(&self, signal: Signal) {
        kin::signal_group(self.id.pid(), signal);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            abandon(self.id.clone());
        }
    }
}

/// Kills the group and everything that belongs to it, and reaps it from a thread of its own: there may be no runtime
/// any more.
fn abandon(id: Id) {
    kin::signal_group(id.pid(), Signal::KILL);
    let reap = move || {
        // ECHILD: it has been reaped; there is nobody to tell.
        let _ = collect(id.pid(), 0);
        kin::kill_now(&id);
    };
    if let Err(error) = std::thread::Builder::new().name("reap".into()).spawn(reap) {
        tracing::warn!(%error, "an abandoned command was killed but not reaped");
    }
}

fn watch_in_thread(pid: Pid) -> oneshot::Receiver<()> {
    let (done, watch) = oneshot::channel();
    tokio::task::spawn_blocking(move || {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        // An error ends the watch too; `wait` then finds out why.
        let _ = rustix::process::waitid(WaitId::Pid(pid), options);
        let _ = done.send(());
    });
    watch
}

/// Reaps `pid`; nothing if it still runs (with `WNOHANG`).
fn collect(pid: Pid, options: i32) -> io::Result<Option<Exit>> {
    let pid = pid.as_raw_nonzero().get();
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    loop {
        // SAFETY: both pointers are to memory of the right type that lives for the call.
        match unsafe { libc::wait4(pid, &raw mut status, options, usage.as_mut_ptr()) } {
            0 => return Ok(None),
            found if found == pid => break,
            _ => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    // SAFETY: all zeroes is a valid rusage, and the kernel has filled it.
    let usage = unsafe { usage.assume_init() };
    let signal = libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status));
    let time = |t: libc::timeval| {
        Duration::new(
            u64::try_from(t.tv_sec).unwrap_or(0),
            u32::try_from(t.tv_usec).unwrap_or(0) * 1000,
        )
    };
    Ok(Some(Exit {
        code: signal.map_or_else(|| libc::WEXITSTATUS(status), |signal| 128 + signal),
        signal,
        cpu: time(usage.ru_utime) + time(usage.ru_stime),
        // Linux counts in KiB.
        peak_memory: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
    }))
}
