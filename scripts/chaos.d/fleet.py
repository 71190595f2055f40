"""One queen, her database, and her drones: how each is started, ended and started again, and what is known of it.

It decides nothing: faults.py says what happens to whom. Read next: work.py.
"""

import asyncio
import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request

import machine
from wire import Link, Wire

CAPACITIES = (1, 2, 2, 3)
# Seconds that a drone may be away.
GRACE = 6
# What a drone may keep for the queen in memory and on disk: little, so that both bounds are met.
OUTBOX = ("--outbox-memory", "256K", "--outbox-disk", "8M")
READY = 60
QUEEN_DISK = 256
DRONE_DISK = 64


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Keeper:
    """A program that is started again whenever it ends, as a service manager does it."""

    def __init__(self, name, home, findings):
        self.name = name
        self.home = home
        self.findings = findings
        self.program = None
        self.peak = 0
        self.lives = 0
        # Set while somebody ends it on purpose.
        self.is_expected = False
        # While its disk is full or its database away, it may end by itself: how many such things are the case.
        self.excuses = 0
        self.lock = asyncio.Lock()
        self.watchers = set()

    def command(self):
        raise NotImplementedError

    def prefix(self):
        return ()

    async def launch(self):
        self.is_expected = False
        self.lives += 1
        self.program = await machine.start(self.name, self.command(), self.home / "log", self.env(), self.prefix())
        watcher = asyncio.ensure_future(self._watch(self.program))
        self.watchers.add(watcher)
        watcher.add_done_callback(self.watchers.discard)

    def env(self):
        return machine.environment(self.home)

    async def _watch(self, program):
        """Starts it again when it ends by itself; that it does is a fault of the product, unless there is an excuse."""
        await program.process.wait()
        if self.is_expected:
            return
        if not self.excuses:
            self.findings.broken(f"{self.name} ended by itself with code {program.code}: see {self.home / 'log'}")
        await asyncio.sleep(0.5)
        if not self.is_expected:
            await self.launch()

    def look(self):
        """Notes the most memory that it has had."""
        if self.program and self.program.is_running:
            self.peak = max(self.peak, machine.peak_memory(self.program.pid))

    async def die(self):
        """kill -9."""
        self.is_expected = True
        self.look()
        await self.program.kill()

    async def stop(self, patience):
        """TERM, and after so many seconds once more, as a person would. False if that was not enough."""
        self.is_expected = True
        self.look()
        self.program.signal(signal.SIGCONT)
        for seconds in (patience, 20):
            self.program.signal(signal.SIGTERM)
            if await self.program.ended(seconds):
                return True
        await self.program.kill()
        return False


class Queen(Keeper):
    """The queen, at one address over all her lives."""

    def __init__(self, home, binary, findings, database):
        super().__init__("queen", home, findings)
        self.disk = machine.Disk(home / "disk", QUEEN_DISK)
        self.data = self.disk.folder / "data"
        self.binary = binary
        self.database = database
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def command(self):
        command = [self.binary, "serve", "--listen", f"127.0.0.1:{self.port}", "--data", self.data, "--grace", GRACE]
        return [*command, "--database", self.database.url] if self.database else command

    def is_ready(self):
        try:
            urllib.request.urlopen(f"{self.url}/readyz", timeout=5).close()
            return True
        except (OSError, urllib.error.URLError):
            return False

    async def ready(self):
        """Waits until she can write."""
        end = time.monotonic() + READY
        while not await asyncio.to_thread(self.is_ready):
            if time.monotonic() > end:
                raise RuntimeError(f"the queen is not ready after {READY} s: see {self.home / 'log'}")
            await asyncio.sleep(0.1)

    def count(self, what):
        """How many rows the database has of `what`; she must not run."""
        query = f"SELECT count(*) FROM {what}"
        if self.database:
            return self.database.ask(query)
        with sqlite3.connect(f"file:{self.data / 'skep.db'}?mode=ro", uri=True) as store:
            return store.execute(query).fetchone()[0]


class Drone(Keeper):
    """A drone, perhaps at the other end of a wire."""

    def __init__(self, number, home, binary, findings, queen, seed):
        super().__init__(f"drone-{number}", home, findings)
        self.disk = machine.Disk(home / "disk", DRONE_DISK)
        self.data = self.disk.folder / "data"
        self.binary = binary
        self.token = None
        self.most_spilled = 0
        self.capacity = CAPACITIES[number % len(CAPACITIES)]
        wire = Wire(number + 1, seed) if machine.is_inside() and os.path.exists("/dev/net/tun") else None
        self.link = Link(self.name, ("127.0.0.1", queen.port), seed, wire)

    def command(self):
        name = ("--name", self.name, "--capacity", self.capacity, "--speed", 100, "--label", self.name)
        times = ("--grace", 2, "--cleanup-timeout", 30)
        return [self.binary, "start", "--queen", self.link.url, "--data", self.data, *name, *times, *OUTBOX]

    def prefix(self):
        return self.link.wire.prefix if self.link.wire else ()

    def env(self):
        return super().env() | {"DRONE_TOKEN": self.token}

    def workspaces(self):
        """What is left of workspaces: every drone's life has a folder with one folder a job."""
        return [path for path in self.data.glob("workspaces/*/*")] if self.data.is_dir() else []

    def spilled(self):
        return list(self.data.glob("outbox/*"))

    def look(self):
        super().look()
        try:
            self.most_spilled = max(self.most_spilled, sum(path.stat().st_size for path in self.spilled()))
        except FileNotFoundError:
            # Read back and removed while we looked.
            pass


class Postgres:
    """A PostgreSQL of our own on a small disk, heard on a socket in its folder and on loopback."""

    name = "postgres"

    def __init__(self, home):
        self.home = home
        self.disk = machine.Disk(home / "disk", 512)
        self.data = self.disk.folder / "data"
        self.port = free_port()
        self.program = None
        self.is_down = False
        self.lock = asyncio.Lock()
        self.user = None
        if os.geteuid() == 0:
            # It refuses to run as root.
            self.user = next(user for user in pwd.getpwall() if user.pw_name in ("postgres", "nobody"))
            for folder in (home, self.disk.folder):
                shutil.chown(folder, self.user.pw_uid, self.user.pw_gid)
            for parent in (home.parent, home.parent.parent):
                parent.chmod(0o711)

    @staticmethod
    def bin():
        """The newest PostgreSQL of this machine; nothing if there is none."""
        found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
        path = found[-1] if found else shutil.which("initdb")
        return pathlib.Path(path).resolve().parent if path else None

    @property
    def url(self):
        return f"postgres://skep@127.0.0.1:{self.port}/postgres"

    def _as_user(self):
        if self.user is None:
            return ()
        return ("setpriv", f"--reuid={self.user.pw_uid}", f"--regid={self.user.pw_gid}", "--clear-groups", "--pdeathsig=KILL")

    async def make(self):
        how = ("--username", "skep", "--auth", "trust", "--encoding", "UTF8", "--no-sync")
        command = [*self._as_user(), self.bin() / "initdb", "--pgdata", self.data, *how]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, cwd=self.home)
        if done.returncode != 0:
            raise RuntimeError(f"initdb failed:\n{done.stderr.decode()}")
        with open(self.data / "postgresql.conf", "a") as settings:
            settings.write(
                f"listen_addresses = '127.0.0.1'\nport = {self.port}\nunix_socket_directories = '{self.home}'\n"
                "max_wal_size = '128MB'\nshared_buffers = '32MB'\nmax_connections = 50\n"
            )

    async def launch(self):
        env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        self.program = await machine.start(self.name, [self.bin() / "postgres", "-D", self.data], self.home / "log", env, self._as_user())

    async def start(self):
        """Starts it until it takes connections; recovery may take its time."""
        end = time.monotonic() + READY
        await self.launch()
        while not await asyncio.to_thread(self._answers):
            if not self.program.is_running:
                await asyncio.sleep(0.5)
                await self.launch()
            if time.monotonic() > end:
                raise RuntimeError(f"PostgreSQL does not start: see {self.home / 'log'}")
            await asyncio.sleep(0.1)

    async def start_if_down(self):
        """After a crash it may have come back by itself, or have ended."""
        if not await machine.until(lambda: not self.program.is_running or self._answers(), READY) or not self.program.is_running:
            await self.start()

    def _answers(self):
        command = [self.bin() / "pg_isready", "--quiet", "--host", "127.0.0.1", "--port", str(self.port)]
        return subprocess.run(command, capture_output=True).returncode == 0

    async def stop(self, how):
        """`SIGINT`: fast. `SIGQUIT`: immediate, without a word to anybody; recovery follows."""
        self.program.signal(how)
        if not await self.program.ended(30):
            await self.program.kill()

    def ask(self, query):
        command = [self.bin() / "psql", "--no-psqlrc", "--tuples-only", "--no-align", self.url, "--command", query]
        return int(subprocess.run(command, check=True, capture_output=True).stdout)


async def token(queen):
    """A token for drones, made over her API, which is open on loopback."""

    def ask():
        body = json.dumps({"name": "chaos", "role": "drone"}).encode()
        request = urllib.request.Request(f"{queen.url}/api/v1/tokens", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    return (await asyncio.to_thread(ask))["token"]
