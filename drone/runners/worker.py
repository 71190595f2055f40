"""What a warm worker written in Python and the drone say to each other, and how a template forks.

Owns frames (Goridge v3 with JSON in them), the loop of a template and the life of a forked child. It knows no test
framework: `pytest.py` and `unittest.py` bring those. Nothing but the standard library, from Python 3.7 on, because it
runs in the tests' own interpreter. The drone writes it beside its users as `skep_worker.py`.
"""

import array
import atexit
import gc
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import threading
import traceback
import warnings
import zlib

CONTROL, JSON, ERROR = 1, 8, 64  # flags
STREAM, STOP, PING, PONG = 1, 2, 4, 8  # bits of the stream byte
HEADER = 12
# The most characters of a message; the drone keeps less of it still.
MESSAGE_LIMIT = 64 * 1024
# The exit code of a child that could not begin to work.
CANNOT_WORK = 70


class Relay:
    """Frames over a unix socket. `EOFError`: the drone is gone. `ValueError`: what came is no frame."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(path)
        self.buffer = b""
        self.unsent = []
        self.fds = []
        # What to do before a read that may block.
        self.wait = lambda: None

    def send(self, flags, context, value, bits=0, later=False):
        """`later`: with the next one, or when it is flushed."""
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        head = struct.pack("<BBI", 0x14, flags, len(context) + len(body))
        head += struct.pack("<IBBI", zlib.crc32(head), bits, 0, len(context))
        self.unsent.append(head + context + body)
        if not later:
            self.flush()

    def flush(self):
        unsent, self.unsent = b"".join(self.unsent), []
        if unsent:
            self.socket.sendall(unsent)

    def receive(self):
        """The next payload: context and body, or nothing if the drone says stop."""
        while True:
            head = self._read(HEADER)
            (crc,) = struct.unpack("<I", head[6:10])
            if crc != zlib.crc32(head[:6]):
                raise ValueError("a frame with a wrong checksum: %r" % (head + self.buffer)[:200])
            words, flags, size = struct.unpack("<BBI", head[:6])
            count = (words & 15) - 3
            options = struct.unpack("<%dI" % count, self._read(4 * count))
            payload = self._read(size)
            split = options[0] if options else 0
            if head[10] & PING:
                self.send(CONTROL, b"", b"", PONG)
            elif head[10] & STOP or (flags & CONTROL and b'"stop"' in payload):
                return None
            elif flags & CONTROL and payload.startswith(b'{"pid"'):
                pass  # the drone's greeting; ours is on its way without being asked for
            elif not flags & CONTROL:
                return payload[:split], payload[split:]

    def _read(self, count):
        while len(self.buffer) < count:
            self.wait()
            space = socket.CMSG_SPACE(4 * struct.calcsize("i"))
            data, ancillary, _, _ = self.socket.recvmsg(1 << 16, space)
            for level, kind, content in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds = array.array("i")
                    fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
                    self.fds.extend(fds)
            if not data:
                raise EOFError
            self.buffer += data
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken


class Worker:
    """A process that runs test files for the drone, and says what comes of them."""

    def __init__(self, path, ident=None):
        self.pid = os.getpid()
        self.ident = ident
        # A file was taken and its end has not been told.
        self.owes = False
        # Files so far, and the processor time before the last of them.
        self._files = 0
        self._cpu = 0.0
        self._relay = Relay(path)
        hello = {"pid": self.pid} if ident is None else {"pid": self.pid, "id": ident}
        self._relay.send(CONTROL | JSON, b"", hello)

    def payloads(self):
        """What to run: `file`, `env`, `cases` or a `part` if not all are wanted; until the drone has no more. `env` is set."""
        while True:
            if os.getpid() != self.pid:
                # A copy of it, made by a test, has nothing more to do.
                finish(0)
            try:
                frame = self._relay.receive()
            except (EOFError, ConnectionError):
                return
            if frame is None:
                return
            work = json.loads(frame[1].decode())
            os.environ.update(work.get("env") or {})
            self.owes = True
            self._files += 1
            self._cpu = cpu()
            yield work

    def begin(self, name):
        """A case begins: the one that is to be named if this process does not live to see its end."""
        self._say(STREAM, b"begin", name.encode("utf-8", "replace"))

    def case(self, name, outcome, duration=None, message=None, file=None, line=None):
        """A case has ended; told with the next word, or by `flush`. `outcome` is a word of the drone's; `duration` in seconds; `line` from 1."""
        case = {"name": name, "outcome": outcome}
        if duration is not None:
            case["duration"] = duration * 1000
        if message:
            case["message"] = cut(message)
        if file is not None:
            case["file"] = str(file)
        if line is not None:
            case["line"] = line
        self._say(STREAM, b"case", case, later=True)

    def flush(self):
        """Tells what is not told yet: nothing may come for a while."""
        if os.getpid() == self.pid:
            self._relay.flush()

    def groups(self, took):
        """What the file can be split into, by name: how many seconds each group of its cases took."""
        self._say(STREAM, b"groups", [{"name": name, "duration": time * 1000} for name, time in took.items()])

    def warn(self, text):
        """Something that a person should know and that changes nothing."""
        self._say(STREAM, b"warning", text.encode("utf-8", "replace"))

    def done(self, code, more=False):
        """The file has ended, with the exit code that the framework's own command would have. `more`: this process can have
        another one, although it is one of those that are for one file."""
        self.owes = False
        word = {"exit": int(code)}
        if more:
            word["more"] = True
        if more or self._files > 1:
            word["cpu"] = cpu() - self._cpu
            word["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self._say(0, b"done", word)

    def refuse(self):
        """This file is for another process, and this one has nothing more to do."""
        self.owes = False
        if os.getpid() == self.pid:
            self._relay.send(CONTROL | JSON, b"", {"stop": True})

    def fail(self, text):
        """This worker cannot run this file; it can run others."""
        if os.getpid() == self.pid:
            self._relay.send(ERROR, b"", cut(text).encode("utf-8", "replace"))

    def leave(self, code):
        """Ends this process as the interpreter would: threads, then what was to be done at exit, then the streams."""
        finish(code)

    def _say(self, bits, context, value, later=False):
        # A test may fork, and the copy may run on to here: it has nothing to say.
        if os.getpid() == self.pid:
            self._relay.send(JSON, context, value, bits, later)


def template(path, before=lambda: None):
    """Forks a child whenever the drone asks. Returns in each child, with its `Worker`; never in the template itself.

    `before` is called in the child first, while the template's output is still its own.
    """
    control = Relay(path)
    control.send(CONTROL | JSON, b"", {"pid": os.getpid(), "template": True, "warnings": WARNINGS})
    outputs = [_identity(1), _identity(2)]
    children = {}

    def reap():
        for pid in list(children):
            try:
                found, status, usage = os.wait4(pid, os.WNOHANG)
            except ChildProcessError:
                found, status, usage = pid, 0, None
            if found:
                exited = {"pid": pid, "id": children.pop(pid), "status": status}
                if usage is not None:
                    exited["cpu"] = usage.ru_utime + usage.ru_stime
                    exited["memory"] = usage.ru_maxrss
                control.send(JSON, b"exited", exited)

    # A signal only wakes: what a handler does might be begun again within itself, or come too late for this wait.
    wake, waker = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(waker, False)
    handler = signal.signal(signal.SIGCHLD, lambda *_: None)
    wakeup = signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    poll = select.poll()
    poll.register(wake, select.POLLIN)
    poll.register(control.socket, select.POLLIN)

    def wait():
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if wake in ready:
                os.read(wake, 4096)
                reap()
            if control.socket.fileno() in ready:
                return

    def restore():
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL if handler is None else handler)
        for fd in wake, waker:
            os.close(fd)

    control.wait = wait
    # What is here stays: a collection in a child would only copy its pages.
    gc.collect()
    gc.freeze()
    while True:
        try:
            frame = control.receive()
        except (EOFError, ConnectionError):
            frame = None
        if frame is None:
            finish(0)
        request = json.loads(frame[1].decode())
        fds, control.fds = control.fds[:2], control.fds[2:]
        flush()
        pid = _fork()
        if pid == 0:
            try:
                restore()
                return _begin(path, control, request, fds, outputs, before)
            except BaseException:
                traceback.print_exc()
                flush()
                os._exit(CANNOT_WORK)
        children[pid] = request["id"]
        try:
            # The child does so too: whoever comes first.
            os.setpgid(pid, pid)
        except OSError:
            pass
        for fd in fds:
            os.close(fd)


# What a template has to tell people, once.
WARNINGS = []


def _fork():
    with warnings.catch_warnings():
        # A plugin may have threads; the tests run all the same.
        warnings.simplefilter("ignore")
        return os.fork()


def _begin(path, control, request, fds, outputs, before):
    """Makes a process of its own of what was just forked."""
    os.setpgid(0, 0)
    control.socket.close()
    # What the template registered is for the template to do.
    atexit._clear()
    os.environ.update(request.get("env") or {})
    before()
    _redirect(outputs, fds)
    return Worker(path, request["id"])


def _redirect(old, new):
    """Puts `new` in the place of every descriptor of the template's output, also where somebody keeps a copy."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    for fd in {int(name) for name in os.listdir("/proc/self/fd")} | {1, 2}:
        for stream, (was, target) in enumerate(zip(old, new), 1):
            if fd not in new and (fd == stream or (fd > 2 and was is not None and _identity(fd) == was)):
                os.dup2(target, fd, inheritable=os.get_inheritable(fd) if fd > 2 else True)
    for fd in new:
        os.close(fd)


def _identity(fd):
    try:
        stat = os.fstat(fd)
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass


def finish(code):
    """Ends this process without the slow part of an interpreter's end: what is freed anyway is not taken apart."""
    try:
        threading._shutdown()
    except Exception:
        traceback.print_exc()
    atexit._run_exitfuncs()
    flush()
    os._exit(code)


def cpu():
    """Seconds of processor time of this process and of those that it has waited for."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in spent)


def cut(text):
    if len(text) <= MESSAGE_LIMIT:
        return text
    half = MESSAGE_LIMIT // 2
    return "%s\n[… %d characters left out …]\n%s" % (text[:half], len(text) - 2 * half, text[-half:])
