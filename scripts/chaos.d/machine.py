"""Processes and places: starting programs, signalling them by their own number, finding what a job left, small disks.

It knows nothing of queens and drones. Read next: wire.py.
"""

import asyncio
import ctypes
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

LIBC = ctypes.CDLL(None, use_errno=True)
INSIDE = "CHAOS_INSIDE"
# The variable that every command of every job inherits; its value is the run's.
MARK = "CHAOS_MARK"


def step_inside():
    """As root: starts this script again in network and mount namespaces of its own, which go when it goes."""
    if is_inside():
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return
    unshare = ["unshare", "--net", "--mount", "--propagation", "private"]
    if subprocess.run([*unshare, "ip", "link", "set", "lo", "up"], capture_output=True).returncode != 0:
        return
    os.environ[INSIDE] = "1"
    os.execvp(unshare[0], [*unshare, sys.executable, *sys.argv])


def is_inside():
    """True in namespaces of our own: small disks can be mounted, and wires be laid."""
    return bool(os.environ.get(INSIDE))


def _dies_with_us():
    LIBC.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Program:
    """A running program. Its number is only used while it has not been waited for."""

    def __init__(self, name, process):
        self.name = name
        self.process = process

    @property
    def pid(self):
        return self.process.pid

    @property
    def code(self):
        return self.process.returncode

    @property
    def is_running(self):
        return self.process.returncode is None

    def signal(self, number):
        if self.is_running:
            try:
                self.process.send_signal(number)
            except ProcessLookupError:
                pass

    async def ended(self, seconds=None):
        """Waits for its end; False if it has not come after so many seconds."""
        try:
            await asyncio.wait_for(asyncio.shield(self.process.wait()), seconds)
            return True
        except asyncio.TimeoutError:
            return False

    async def kill(self):
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGKILL)
        await self.process.wait()


async def start(name, command, log, env, prefix=()):
    """Starts a program with its output appended to the file `log`."""
    with open(log, "ab") as out:
        process = await asyncio.create_subprocess_exec(
            *map(str, (*prefix, *command)), stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, preexec_fn=_dies_with_us
        )
    return Program(name, process)


def environment(home):
    """What a program of ours is started with: nothing of the caller's but PATH, and places of its own."""
    (home / "tmp").mkdir(parents=True, exist_ok=True)
    return {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home / "tmp"), "LANG": "C.UTF-8", "NO_COLOR": "1"}


class Marked:
    """A process that carries the run's mark: of a job's command, or left by one."""

    def __init__(self, pid, start, variables):
        self.pid = pid
        self.start = start
        self.job = variables.get("SKEP_JOB_ID", "")
        self.file = variables.get("SKEP_FILE", "")
        try:
            self.name = pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
            self.is_leader = os.getpgid(pid) == pid
        except OSError:
            self.name, self.is_leader = "", False

    def signal(self, number):
        """Signals it, unless it has gone meanwhile."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except OSError:
            return False
        try:
            if _started(self.pid) != self.start:
                return False
            signal.pidfd_send_signal(descriptor, number)
            return True
        except OSError:
            return False
        finally:
            os.close(descriptor)

    def __str__(self):
        return f"{self.pid} {self.name} ({self.job} {self.file})"


def _started(pid):
    """When a living process was started; None for one that is gone or only waits to be reaped."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def marked(mark):
    """All living processes with this mark in their environment."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            environ = pathlib.Path(f"/proc/{entry}/environ").read_bytes()
        except OSError:
            continue
        if wanted in environ and (start := _started(int(entry))):
            pairs = (variable.decode(errors="replace").partition("=") for variable in environ.split(b"\0"))
            found.append(Marked(int(entry), start, {name: value for name, _, value in pairs}))
    return found


def peak_memory(pid):
    """The most memory that a process has had, in MiB; 0 if it is gone."""
    try:
        match = re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(match[1]) // 1024 if match else 0


class Disk:
    """A folder on a file system of its own, of so many MiB, that can be filled up."""

    def __init__(self, folder, size):
        self.folder = folder
        folder.mkdir(parents=True)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}m", "tmpfs", folder]
        self.can_fill = is_inside() and subprocess.run(mount, capture_output=True).returncode == 0

    def fill(self):
        """Leaves no byte free."""
        with open(self.folder / "ballast", "wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(b"\0" * 4096)
            except OSError:
                pass

    def free(self):
        (self.folder / "ballast").unlink(missing_ok=True)

    def remove(self):
        if self.can_fill:
            subprocess.run(["umount", "--lazy", self.folder], capture_output=True)


async def until(condition, seconds, pause=0.1):
    """Looks again and again until `condition()` is true; False if it is not after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(pause)
    return True
