"""The ways between the programs, all held by this script: a TCP proxy for each client, and below it, where this machine
allows it, a wire of IP packets into the client's own network namespace.

A proxy resets connections and leaves them half open. A wire loses, delays and holds back packets, so that real TCP has
to cope; without wires the proxy stalls instead. It knows nothing of what is said. Read next: fleet.py.
"""

import asyncio
import errno
import fcntl
import os
import random
import socket
import struct
import subprocess

import machine

PIECE = 64 * 1024
# What may be on its way in a proxy that delays.
UNDERWAY = 64


class Proxy:
    """Listens for one client and passes on to the queen."""

    def __init__(self, target, seed):
        self.target = target
        self.random = random.Random(seed)
        self.pairs = {}
        self.held = []
        self.tasks = set()
        self.flows = asyncio.Event()
        self.flows.set()
        self.takes = asyncio.Event()
        self.takes.set()
        self.delay = 0.0
        self.loss = 0.0
        self.server = None
        self.address = None

    async def open(self, host="127.0.0.1"):
        self.server = await asyncio.start_server(self._accept, host, 0, limit=PIECE)
        self.address = self.server.sockets[0].getsockname()[:2]

    async def close(self):
        self.server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for writer in self.held:
            _reset(writer)

    def reset(self):
        """Cuts every connection with RST on both sides."""
        for (near, far), ways in list(self.pairs.items()):
            _reset(near)
            _reset(far)
            ways.cancel()

    def leave_half_open(self, client):
        """One side of every connection is cut; the other (the client's, or the queen's) hears and is heard no more."""
        for (near, far), ways in list(self.pairs.items()):
            self.held.append(near if client else far)
            _reset(far if client else near)
            ways.cancel()

    async def _accept(self, reader, near):
        task = asyncio.current_task()
        self.tasks.add(task)
        far = pair = None
        try:
            # What is accepted and not answered looks like a queen that hangs.
            await self.takes.wait()
            await self.flows.wait()
            back, far = await asyncio.open_connection(*self.target, limit=PIECE)
            for writer in (near, far):
                writer.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = (near, far)
            self.pairs[pair] = asyncio.gather(self._pump(reader, far), self._pump(back, near))
            await self.pairs[pair]
        except OSError:
            for writer in filter(None, (near, far)):
                _reset(writer)
        except asyncio.CancelledError:
            # By whoever cut the connection; it ends here.
            pass
        finally:
            self.pairs.pop(pair, None)
            for writer in (near, far):
                if writer and writer not in self.held and not writer.is_closing():
                    writer.close()
            self.tasks.discard(task)

    async def _pump(self, reader, writer):
        """Passes on until the end, and says the end on."""
        queue = asyncio.Queue(UNDERWAY)
        loop = asyncio.get_running_loop()

        async def take():
            data = b"-"
            while data:
                data = await reader.read(PIECE)
                await queue.put((loop.time() + self.delay, data))

        async def give():
            while True:
                due, data = await queue.get()
                if due > loop.time():
                    await asyncio.sleep(due - loop.time())
                await self.flows.wait()
                if self.loss and self.random.random() < self.loss:
                    # A lost segment is sent again after the sender's patience.
                    await asyncio.sleep(self.random.uniform(0.2, 1.5))
                if not data:
                    return writer.write_eof()
                writer.write(data)
                await writer.drain()

        both = asyncio.gather(take(), give())
        try:
            await both
        finally:
            both.cancel()


def _reset(writer):
    stream = writer.transport.get_extra_info("socket")
    if stream is not None and stream.fileno() >= 0:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Wire:
    """Two network devices, one here and one in a namespace of its own; what goes between them goes through this script."""

    def __init__(self, number, seed):
        self.number = number
        self.random = random.Random(seed)
        self.here = f"198.18.{number}.1"
        self.there = f"198.18.{number}.2"
        self.loss = 0.0
        self.delay = 0.0
        self.is_cut = False
        self.lost = 0
        self.passed = 0
        self.holder = None
        self.ends = []

    async def lay(self, log):
        self.holder = await machine.start(f"namespace {self.number}", ["unshare", "--net", "sleep", "infinity"], log, dict(os.environ))
        own = os.readlink("/proc/self/ns/net")
        apart = await machine.until(lambda: os.readlink(f"/proc/{self.holder.pid}/ns/net") != own, 10, 0.02)
        if not apart:
            raise RuntimeError("no network namespace could be made")
        names = [f"chaos{self.number}h", f"chaos{self.number}d"]
        for name in names:
            end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            self.ends.append(end)
            fcntl.ioctl(end, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x1001))  # TUNSETIFF, packets without a header
        _ip("link", "set", names[1], "netns", str(self.holder.pid))
        _ip("addr", "add", self.here, "peer", self.there, "dev", names[0])
        _ip("link", "set", names[0], "up")
        _ip("addr", "add", self.there, "peer", self.here, "dev", names[1], inside=self.prefix)
        for name in (names[1], "lo"):
            _ip("link", "set", name, "up", inside=self.prefix)
        loop = asyncio.get_running_loop()
        for source, target in (self.ends, self.ends[::-1]):
            loop.add_reader(source, self._pass, source, target)

    @property
    def prefix(self):
        """Put before a command, it runs at the other end."""
        return ("nsenter", f"--net=/proc/{self.holder.pid}/ns/net")

    def _pass(self, source, target):
        for _ in range(256):
            try:
                packet = os.read(source, 65536)
            except OSError:
                return
            if self.is_cut or (self.loss and self.random.random() < self.loss):
                self.lost += 1
            elif self.delay:
                asyncio.get_running_loop().call_later(self.delay, self._put, target, packet)
            else:
                self._put(target, packet)

    def _put(self, target, packet):
        try:
            os.write(target, packet)
            self.passed += 1
        except OSError as error:
            # A full queue loses packets, as any does; a device that is gone has nobody to lose them.
            if error.errno not in (errno.EAGAIN, errno.EIO, errno.EBADF, errno.ENOBUFS):
                raise

    async def remove(self):
        for end in self.ends:
            asyncio.get_running_loop().remove_reader(end)
            os.close(end)
        self.ends = []
        if self.holder:
            await self.holder.kill()


def _ip(*words, inside=()):
    subprocess.run([*inside, "ip", *words], check=True, capture_output=True)


class Link:
    """One client's whole way to the queen, and what can be done to it."""

    def __init__(self, name, target, seed, wire=None):
        self.name = name
        self.proxy = Proxy(target, seed)
        self.wire = wire

    async def open(self, log):
        if self.wire:
            await self.wire.lay(log)
        await self.proxy.open(self.wire.here if self.wire else "127.0.0.1")

    @property
    def url(self):
        host, port = self.proxy.address
        return f"http://{host}:{port}"

    def cut(self, on):
        """Nothing gets through, and nobody is told."""
        if self.wire:
            self.wire.is_cut = on
        elif on:
            self.proxy.flows.clear()
        else:
            self.proxy.flows.set()

    def slow(self, seconds):
        (self.wire or self.proxy).delay = seconds

    def lose(self, share):
        (self.wire or self.proxy).loss = share

    def heal(self):
        self.cut(False)
        self.slow(0.0)
        self.lose(0.0)
        self.proxy.takes.set()

    async def close(self):
        if self.proxy.server:
            await self.proxy.close()
        if self.wire:
            await self.wire.remove()
