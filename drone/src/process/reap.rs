//! One child: its exit, what it used, and the promise that it is reaped exactly once, by us.
//!
//! tokio and the standard library reap children themselves and lose their CPU time and peak memory; here a pidfd tells
//! of the exit and `wait4` collects it. Must not know output or time limits. Read next: `kin.rs`.

use super::kin::{self, Id};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open};
use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    sync::{Arc, LazyLock},
    time::Duration,
};
use tokio::{
    io::unix::AsyncFd,
    sync::{oneshot, watch},
};

/// How a process ended and what it used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// The exit code; 128+n for a process ended by signal n.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// User and system time, children that it waited for included.
    pub cpu: Duration,
    /// Peak resident memory in bytes, of the largest process that it waited for.
    pub peak_memory: u64,
}

impl Exit {
    /// Of a wait status, as `wait4` gives it.
    #[must_use]
    pub fn of_status(status: i32, cpu: Duration, peak_memory: u64) -> Self {
        let signal = libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status));
        Self {
            code: signal.map_or_else(|| libc::WEXITSTATUS(status), |signal| 128 + signal),
            signal,
            cpu,
            peak_memory,
        }
    }

    /// Of a process whose end nobody could see.
    fn lost() -> Self {
        Self {
            code: 1,
            signal: None,
            cpu: Duration::ZERO,
            peak_memory: 0,
        }
    }
}

/// The first process of a command, leader of its group. Dropped before [`Child::wait`] has ended, the group is killed
/// and reaped in the background.
#[derive(Debug)]
pub struct Child {
    id: Id,
    watch: Watch,
    exit: Option<Exit>,
}

#[derive(Debug)]
enum Watch {
    Pidfd(AsyncFd<Arc<OwnedFd>>),
    /// Where there are no pidfds (old kernels, some sandboxes): a thread that waits without reaping.
    Thread(oneshot::Receiver<()>),
    /// Somebody else is the parent and tells.
    Told(oneshot::Receiver<Exit>),
}

impl Watch {
    fn open(pid: Pid) -> io::Result<Self> {
        match pidfd_open(pid, PidfdFlags::NONBLOCK) {
            Ok(fd) => super::watch(fd.into()).map(Self::Pidfd),
            Err(_) => Ok(Self::Thread(watch_in_thread(pid))),
        }
    }
}

impl Child {
    pub(super) fn new(id: Id) -> io::Result<Self> {
        match Watch::open(id.pid()) {
            Ok(watch) => Ok(Self { id, watch, exit: None }),
            Err(error) => {
                abandon(id);
                Err(error)
            }
        }
    }

    /// A process that another one of the drone's processes has started and reaps, the leader of a group of its own.
    ///
    /// `marker` is from [`new_marker`](super::new_marker) and stands in the environment of whatever the process executes.
    /// `told` brings the exit. Its sender is dropped only when the parent is gone and reaped: the process has then
    /// fallen to the drone, which waits for it like for any other.
    #[must_use]
    pub fn adopt(pid: Pid, marker: Arc<str>, told: oneshot::Receiver<Exit>) -> Self {
        Self {
            id: kin::adopt(pid, marker),
            watch: Watch::Told(told),
            exit: None,
        }
    }

    /// Its number, which is also that of its group.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.id.pid()
    }

    pub(super) fn id(&self) -> &Id {
        &self.id
    }

    /// Waits for the exit and reaps. Cancel-safe; asked again, it answers the same.
    pub async fn wait(&mut self) -> Exit {
        if let Some(exit) = self.exit {
            return exit;
        }
        loop {
            match &mut self.watch {
                Watch::Told(told) => {
                    if let Ok(exit) = told.await {
                        return self.ended(exit);
                    }
                    match Watch::open(self.id.pid()) {
                        Ok(watch) => self.watch = watch,
                        Err(error) => return self.lost(&error),
                    }
                    continue;
                }
                Watch::Pidfd(fd) => {
                    // One task at a time waits: cheaper than `readable`, which keeps a list of those who wait.
                    if let Ok(mut ready) = poll_fn(|cx| fd.poll_read_ready(cx)).await {
                        ready.clear_ready();
                    }
                }
                Watch::Thread(done) => drop(done.await),
            }
            match collect(self.id.pid(), libc::WNOHANG) {
                Ok(None) => {}
                Ok(Some(exit)) => return self.ended(exit),
                Err(error) => return self.lost(&error),
            }
        }
    }

    fn ended(&mut self, exit: Exit) -> Exit {
        *self.exit.insert(exit)
    }

    fn lost(&mut self, error: &io::Error) -> Exit {
        tracing::error!(pid = %self.id.pid(), %error, "the exit of a command was lost: counted as code 1");
        self.ended(Exit::lost())
    }

    /// Signals the whole group. A group that is gone is no error.
    pub fn signal(&self, signal: Signal) {
        kin::signal_group(self.id.pid(), signal);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.exit.is_none() {
            abandon(self.id.clone());
        }
    }
}

/// How many commands are being reaped in the background.
static ABANDONED: LazyLock<watch::Sender<usize>> = LazyLock::new(watch::Sender::default);

/// Waits until no command that was dropped is left.
pub(crate) async fn abandoned() {
    // The sender lives for ever.
    let _ = ABANDONED.subscribe().wait_for(|count| *count == 0).await;
}

/// Kills the group and everything that belongs to it, and reaps it from a thread of its own: there may be no runtime
/// any more.
fn abandon(id: Id) {
    kin::signal_group(id.pid(), Signal::KILL);
    ABANDONED.send_modify(|count| *count += 1);
    let reap = move || {
        // ECHILD: it has been reaped; there is nobody to tell.
        let _ = collect(id.pid(), 0);
        kin::kill_now(&id);
        drop(id);
        ABANDONED.send_modify(|count| *count -= 1);
    };
    if let Err(error) = std::thread::Builder::new().name("reap".into()).spawn(reap) {
        ABANDONED.send_modify(|count| *count -= 1);
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
    let time = |t: libc::timeval| {
        Duration::new(
            u64::try_from(t.tv_sec).unwrap_or(0),
            u32::try_from(t.tv_usec).unwrap_or(0) * 1000,
        )
    };
    let cpu = time(usage.ru_utime) + time(usage.ru_stime);
    // Linux counts in KiB.
    let peak_memory = u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024;
    Ok(Some(Exit::of_status(status, cpu, peak_memory)))
}
