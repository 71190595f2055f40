//! Who belongs to a command: its group, and whoever left the group.
//!
//! A process can leave its group (`setsid`), its parent (a double fork) and even its environment (`env -i`). So the drone
//! is a subreaper, to which such processes fall, and every command carries a marker in its environment that its
//! children inherit. Owns the register of running commands and the search in `/proc`; `linger.rs` does the killing.
//!
//! For whoever else starts processes here: leave them in the drone's own process group, and nothing of this touches them.

use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal};
use std::{
    collections::{HashMap, HashSet},
    fs, io,
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::PathBuf,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, Once, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// The variable that marks a command's processes: `<pid namespace>.<pid of the drone>.<its start time>.<number>`.
pub const MARKER: &str = "SKEP_COMMAND_ID";

/// The commands that run now: the pid of the first process and the marker of each.
static RUNNING: Mutex<Option<HashMap<i32, Arc<str>>>> = Mutex::new(None);
/// Held for reading while a command is being started and not yet registered, for writing while strangers are judged:
/// a command that has just been started must not be taken for a stranger.
static STARTING: RwLock<()> = RwLock::new(());

/// This process, as its markers name it; nothing where `/proc` does not say.
static DRONE: LazyLock<String> = LazyLock::new(|| {
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    let start = Stat::read(pid).map_or(0, |stat| stat.start);
    format!("{}.{pid}.{start}.", namespace())
});

fn namespace() -> u64 {
    fs::metadata("/proc/self/ns/pid").map_or(0, |meta| meta.ino())
}

fn running() -> MutexGuard<'static, Option<HashMap<i32, Arc<str>>>> {
    // A panic while it was held cannot have left it half changed.
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A command's identity; registered as running until the last clone is dropped.
#[derive(Debug, Clone)]
pub(super) struct Id(Arc<Entry>);

#[derive(Debug)]
struct Entry {
    pid: Pid,
    marker: Arc<str>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut running = running();
        if let Some(commands) = running.as_mut() {
            let raw = self.pid.as_raw_nonzero().get();
            // The pid may already belong to a newer command.
            if commands.get(&raw) == Some(&self.marker) {
                commands.remove(&raw);
            }
        }
    }
}

impl Id {
    /// The command's first process, and the number of its group.
    pub fn pid(&self) -> Pid {
        self.0.pid
    }
}

/// A value of [`MARKER`] that no other command has.
#[must_use]
pub fn new_marker() -> Arc<str> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    format!("{}{}", *DRONE, NUMBER.fetch_add(1, Ordering::Relaxed)).into()
}

/// Registers a process that was started elsewhere, leader of its group, whose programs carry `marker`.
pub(super) fn adopt(pid: Pid, marker: Arc<str>) -> Id {
    running()
        .get_or_insert_default()
        .insert(pid.as_raw_nonzero().get(), marker.clone());
    Id(Arc::new(Entry { pid, marker }))
}

/// Starts `process` with a marker of its own and registers it; with the end of its standard input, if that is a pipe.
pub(super) fn start(process: &mut std::process::Command) -> io::Result<(Id, Option<OwnedFd>)> {
    static PREPARE: Once = Once::new();
    PREPARE.call_once(prepare);
    let marker = new_marker();
    process.env(MARKER, &*marker);
    let _starting = STARTING.read().unwrap_or_else(PoisonError::into_inner);
    let mut child = process.spawn()?;
    let raw = i32::try_from(child.id()).unwrap_or(0);
    let pid = Pid::from_raw(raw).ok_or_else(|| io::Error::other("the system gave a process without a pid"))?;
    Ok((adopt(pid, marker), child.stdin.take().map(OwnedFd::from)))
}

/// Makes this process the one that orphans of its commands fall to.
fn prepare() {
    if let Err(error) = rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
        tracing::warn!(%error, "processes that leave their command cannot all be found on this system");
    }
    // Started by something that ignores SIGCHLD, we would inherit that, and the kernel would reap before us.
    // SAFETY: reads and sets a disposition with valid pointers; no handler of ours is involved.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(libc::SIGCHLD, std::ptr::null(), &raw mut action) == 0
            && action.sa_sigaction == libc::SIG_IGN
        {
            action.sa_sigaction = libc::SIG_DFL;
            libc::sigaction(libc::SIGCHLD, &raw const action, std::ptr::null_mut());
        }
    }
}

/// Signals a process group; one that is gone, or not ours to signal, is left.
pub(super) fn signal_group(group: Pid, signal: Signal) {
    // ESRCH and EPERM: there is nothing that can be done.
    let _ = rustix::process::kill_process_group(group, signal);
}

/// Waits until whatever is being started now has executed its program: until then it holds all of the drone's descriptors.
pub(super) fn wait_for_starts() {
    drop(STARTING.write().unwrap_or_else(PoisonError::into_inner));
}

/// A cheap look at whether anything of the command may be left after its first process: a member of its group, or a
/// child that fell to us. Reaps the dead ones among them.
pub(super) fn may_linger(id: &Id) -> bool {
    if rustix::process::test_kill_process_group(id.pid()) != Err(rustix::io::Errno::SRCH) {
        return true;
    }
    let me = rustix::process::getpid().as_raw_nonzero().get();
    // Orphans fall to the first thread of the subreaper.
    let Ok(children) = fs::read_to_string(format!("/proc/self/task/{me}/children")) else {
        return false;
    };
    let own_group = rustix::process::getpgrp().as_raw_nonzero().get();
    let pids = children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok());
    let mut strangers = pids.filter(|pid| !is_running_leader(*pid)).filter_map(Stat::read);
    strangers.any(|stat| {
        stat.group != own_group
            && !reap_if_dead(&stat)
            // One that was just being started is registered by now.
            && !is_running_leader(stat.pid)
            && !matches!(owner(stat.pid), Owner::Running(marker) if marker != id.0.marker)
    })
}

fn is_running_leader(pid: i32) -> bool {
    running().as_ref().is_some_and(|commands| commands.contains_key(&pid))
}

/// It is not the first process of a command, not even of one that is being started: such a process has no mark yet, and
/// all of the drone's descriptors.
fn is_no_leader(pid: i32) -> bool {
    if is_running_leader(pid) {
        return false;
    }
    // Whatever was being started before this lock was had is registered now.
    let _judging = STARTING.write().unwrap_or_else(PoisonError::into_inner);
    !is_running_leader(pid)
}

/// Reaps a child of ours that is dead and nobody else's to reap.
fn reap_if_dead(stat: &Stat) -> bool {
    let _judging = STARTING.write().unwrap_or_else(PoisonError::into_inner);
    if stat.state != b'Z' || is_running_leader(stat.pid) {
        return false;
    }
    rustix::process::waitpid(Pid::from_raw(stat.pid), WaitOptions::NOHANG).is_ok()
}

/// Whose marker a process carries.
enum Owner {
    /// A command that runs now.
    Running(Arc<str>),
    /// A command of this drone that has ended.
    Ended,
    /// No marker, one of another drone, or not to be read.
    Unknown,
}

fn owner(pid: i32) -> Owner {
    let Some(marker) = marker_of(pid) else {
        return Owner::Unknown;
    };
    let running = running();
    let mut markers = running.iter().flat_map(HashMap::values);
    match markers.find(|running| ***running == *marker) {
        Some(found) => Owner::Running(found.clone()),
        None if marker.starts_with(&*DRONE) => Owner::Ended,
        None => Owner::Unknown,
    }
}

fn marker_of(pid: i32) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut variables = environment.split(|byte| *byte == 0);
    let value = variables.find_map(|variable| variable.strip_prefix(MARKER.as_bytes())?.strip_prefix(b"="))?;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// A line of `/proc/<pid>/stat`.
#[derive(Clone, Copy)]
struct Stat {
    pid: i32,
    state: u8,
    parent: i32,
    group: i32,
    /// Its terminal; 0 if it has none.
    terminal: i32,
    start: u64,
}

impl Stat {
    fn read(pid: i32) -> Option<Self> {
        let bytes = fs::read(format!("/proc/{pid}/stat")).ok()?;
        // The name stands in parentheses and may hold anything, parentheses and spaces too.
        let after = bytes.iter().rposition(|byte| *byte == b')')? + 1;
        let fields: Vec<_> = std::str::from_utf8(&bytes[after..])
            .ok()?
            .split_ascii_whitespace()
            .collect();
        Some(Self {
            pid,
            state: *fields.first()?.as_bytes().first()?,
            parent: fields.get(1)?.parse().ok()?,
            group: fields.get(2)?.parse().ok()?,
            terminal: fields.get(4)?.parse().ok()?,
            start: fields.get(19)?.parse().ok()?,
        })
    }
}

/// The parent of a process that is there.
pub(crate) fn parent(pid: i32) -> Option<i32> {
    Some(Stat::read(pid)?.parent)
}

fn all() -> Vec<Stat> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| Stat::read(entry.file_name().to_str()?.parse().ok()?))
        .collect()
}

/// A living process, held so that no other one can be hit in its place.
pub(super) struct Kin {
    pub pid: i32,
    pub fd: OwnedFd,
}

impl Kin {
    fn hold(stat: Stat) -> Option<Self> {
        let fd = pidfd_open(Pid::from_raw(stat.pid)?, PidfdFlags::empty()).ok()?;
        // The same start before and after: the descriptor is of that process.
        (Stat::read(stat.pid)?.start == stat.start).then_some(Self { pid: stat.pid, fd })
    }

    pub fn signal(&self, signal: Signal) {
        // It may have ended by itself, or run as another user.
        let _ = pidfd_send_signal(&self.fd, signal);
    }
}

/// Everything alive that belongs to the command, whose first process has ended. `pipes`: the inodes of its output.
///
/// A child that fell to us and carries no marker is taken for the command's if it holds its output, or if no other
/// command runs that it could belong to. Reaps what is dead. Reads all of `/proc`.
pub(super) fn find(id: &Id, pipes: &[u64]) -> Vec<Kin> {
    let me = rustix::process::getpid().as_raw_nonzero().get();
    let own_group = rustix::process::getpgrp().as_raw_nonzero().get();
    let group = id.pid().as_raw_nonzero().get();
    let alone = running().as_ref().is_none_or(|commands| commands.len() <= 1);
    let is_kin = |stat: &Stat| {
        let fell_to_us = stat.parent == me && stat.group != own_group && is_no_leader(stat.pid);
        if stat.group == group {
            return true;
        }
        match owner(stat.pid) {
            // What was forked from a template and has executed nothing shows the template's mark.
            Owner::Running(marker) => marker == id.0.marker || (fell_to_us && holds(stat.pid, pipes)),
            Owner::Ended => fell_to_us,
            Owner::Unknown => fell_to_us && (alone || holds(stat.pid, pipes)),
        }
    };
    let processes = all();
    let (dead, alive): (Vec<_>, Vec<_>) = processes.iter().filter(|s| s.pid != me).partition(|s| s.state == b'Z');
    let ours_to_reap = |stat: &&&Stat| stat.parent == me && stat.group != own_group;
    for stat in dead.iter().filter(ours_to_reap) {
        reap_if_dead(stat);
    }
    let kin = alive.iter().filter(|stat| is_kin(stat)).map(|stat| stat.pid).collect();
    with_children(alive, kin)
}

/// Holds `kin` and their children, whatever those have done to their environment.
fn with_children<'a>(alive: impl IntoIterator<Item = &'a Stat>, mut kin: HashSet<i32>) -> Vec<Kin> {
    let alive: Vec<&Stat> = alive.into_iter().collect();
    loop {
        let before = kin.len();
        let children = alive
            .iter()
            .filter(|stat| kin.contains(&stat.parent))
            .map(|stat| stat.pid);
        let children: Vec<_> = children.collect();
        kin.extend(children);
        if kin.len() == before {
            break;
        }
    }
    let held = alive.into_iter().filter(|stat| kin.contains(&stat.pid));
    held.filter_map(|stat| Kin::hold(*stat)).collect()
}

fn holds(pid: i32, pipes: &[u64]) -> bool {
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    fds.filter_map(|fd| fs::metadata(fd.path()).ok())
        .any(|meta| pipes.contains(&meta.ino()))
}

/// Kills what is left of an abandoned command. Blocking; gives up after a few seconds.
pub(super) fn kill_now(id: &Id) {
    kill_all(|| find(id, &[]));
}

/// Kills the processes of commands whose drone is dead: those that carry its marker, those that work in one of `homes`,
/// its folders, and their children. Blocking; for the start of a drone. What has shed its marker, its folder and its
/// parents cannot be told from somebody else's process, and is left.
pub fn kill_orphans(homes: &[PathBuf]) -> usize {
    let own = format!("{}.", namespace());
    let me = rustix::process::getpid().as_raw_nonzero().get();
    kill_all(|| {
        let mut processes = all();
        processes.retain(|stat| stat.state != b'Z' && stat.pid != me);
        let is_orphan = |stat: &&Stat| carries_dead_marker(stat.pid, &own) || works_in(stat, homes);
        let orphans = processes.iter().filter(is_orphan).map(|stat| stat.pid).collect();
        with_children(&processes, orphans)
    })
}

/// It belongs to a command of a drone in this namespace that is gone: no process has that number, or a later one.
fn carries_dead_marker(pid: i32, own: &str) -> bool {
    let Some(marker) = marker_of(pid) else { return false };
    let mut parts = marker.strip_prefix(own).into_iter().flat_map(|rest| rest.split('.'));
    let mut number = || parts.next()?.parse::<u64>().ok();
    let (Some(drone), Some(start)) = (number().and_then(|pid| i32::try_from(pid).ok()), number()) else {
        return false;
    };
    Stat::read(drone).is_none_or(|stat| stat.start != start || stat.state == b'Z')
}

/// It was started from one of `homes` or stands in it, and no terminal is its own: somebody who looks around there has one.
fn works_in(stat: &Stat, homes: &[PathBuf]) -> bool {
    let inside = |link: &str| {
        let target = fs::read_link(format!("/proc/{}/{link}", stat.pid));
        target.is_ok_and(|target| homes.iter().any(|home| target.starts_with(home)))
    };
    stat.terminal == 0 && (inside("cwd") || inside("exe"))
}

fn kill_all(find: impl Fn() -> Vec<Kin>) -> usize {
    let mut killed = HashSet::new();
    for _ in 0..20 {
        let found = find();
        if found.is_empty() {
            break;
        }
        for kin in &found {
            kin.signal(Signal::KILL);
            killed.insert(kin.pid);
        }
        for kin in &found {
            let mut fds = [rustix::event::PollFd::new(&kin.fd, rustix::event::PollFlags::IN)];
            let limit = Duration::from_millis(200).try_into().ok();
            // Interrupted or late: the next round looks again.
            let _ = rustix::event::poll(&mut fds, limit.as_ref());
        }
    }
    killed.len()
}
