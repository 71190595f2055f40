//! A disk for one program that the test can fill and free.
//!
//! A tmpfs that only the program sees, where the test may mount one: as root, or in a user namespace of its own. Where it
//! may not, the program gets a limit on the size of its files, which fails writes in the same places with other words.

use crate::{cli_support::Suite, world::Program};
use std::{
    fs::{self, File},
    io::Write,
    mem::MaybeUninit,
    path::{Path, PathBuf},
    process::{Command as Plain, Stdio},
    sync::LazyLock,
};
use tokio::process::Command;

/// How `unshare` has to be called so that a tmpfs can be mounted; `None`: it cannot.
pub static MOUNTS: LazyLock<Option<&str>> = LazyLock::new(|| {
    let may = |flags: &&str| {
        let mut probe = Plain::new("unshare");
        probe.args([*flags, "sh", "-c", "mount -t tmpfs skep /tmp"]);
        probe
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    let flags = ["-m", "-rm"].into_iter().find(may);
    eprintln!(
        "a full disk is {}",
        flags.map_or("a limit on the size of files", |_| "a tmpfs")
    );
    flags
});

/// The program with `dir` on a disk of its own. `options` are mount's, such as `size=8m`.
pub fn on_disk(suite: &Suite, command: &Command, dir: &Path, options: &str) -> Command {
    fs::create_dir_all(dir).unwrap();
    let mut wrapped = match *MOUNTS {
        Some(flags) => {
            let mut wrapped = suite.program(Path::new("unshare"));
            let script = "mount -t tmpfs -o \"$1\" skep \"$0\" && shift && exec \"$@\"";
            wrapped.args([flags, "sh", "-c", script]).arg(dir).arg(options);
            wrapped
        }
        None => {
            let mut wrapped = suite.program(Path::new("sh"));
            wrapped.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]);
            wrapped
        }
    };
    let command = command.as_std();
    wrapped.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        wrapped.env(name, value.unwrap_or_default());
    }
    wrapped
}

/// The disk of a program that was started with [`on_disk`].
pub struct Disk {
    pid: i32,
    dir: PathBuf,
}

impl Disk {
    pub fn of(program: &Program, dir: &Path) -> Self {
        let pid = program.pid();
        let root = PathBuf::from(format!("/proc/{pid}/root"));
        Self {
            pid,
            dir: root.join(dir.strip_prefix("/").unwrap()),
        }
    }

    /// What is in a folder of the disk, as the program sees it.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn fill(&self) {
        if MOUNTS.is_none() {
            return self.limit(1);
        }
        let mut ballast = File::create(self.dir.join("ballast")).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while ballast.write_all(&vec![1; size]).is_ok() {}
        }
    }

    pub fn free(&self) {
        match *MOUNTS {
            Some(_) => fs::remove_file(self.dir.join("ballast")).unwrap(),
            None => self.limit(libc::RLIM_INFINITY),
        }
    }

    fn limit(&self, bytes: u64) {
        let mut limit = MaybeUninit::uninit();
        // SAFETY: the pointers are to one value of the right type each, or to none.
        unsafe {
            assert_eq!(
                libc::prlimit(self.pid, libc::RLIMIT_FSIZE, std::ptr::null(), limit.as_mut_ptr()),
                0
            );
            let mut limit: libc::rlimit = limit.assume_init();
            limit.rlim_cur = bytes.min(limit.rlim_max);
            assert_eq!(
                libc::prlimit(self.pid, libc::RLIMIT_FSIZE, &raw const limit, std::ptr::null_mut()),
                0
            );
        }
    }
}
