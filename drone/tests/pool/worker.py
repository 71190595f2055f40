"""A worker for the pool's tests: does what the context or the body of a payload says.

Frames as Goridge v3 has them, written anew here and not shared with the drone, so that the two check each other. The
relay is the one that RR_RELAY names.
"""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib

CONTROL, JSON, ERROR = 1, 8, 64
STREAM, PING, PONG = 1, 4, 8


class Closed(Exception):
    pass


class Relay:
    def __init__(self):
        name = os.environ["RR_RELAY"]
        if name == "pipes":
            self.read, self.write = os.fdopen(0, "rb"), os.fdopen(1, "wb", buffering=0)
            return
        if name.startswith("unix://"):
            end = socket.socket(socket.AF_UNIX)
            end.connect(name[len("unix://"):])
        else:
            host, port = name[len("tcp://"):].rsplit(":", 1)
            end = socket.create_connection((host, int(port)))
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = end
        self.read, self.write = end.makefile("rb"), end.makefile("wb", buffering=0)

    def take(self, count):
        data = self.read.read(count) if count else b""
        if len(data) < count:
            raise Closed
        return data

    def receive(self):
        head = self.take(12)
        words, flags, size, crc, bits, _ = struct.unpack("<BBIIBB", head)
        assert crc == zlib.crc32(head[:6]), head
        options = struct.unpack("<%dI" % ((words & 15) - 3), self.take(4 * ((words & 15) - 3)))
        payload = self.take(size)
        split = options[0] if options else 0
        return flags, bits, payload[:split], payload[split:]

    def send(self, body, context=b"", flags=4, bits=0, options=True):
        self.raw(frame(body, context, flags, bits, options))

    def raw(self, data):
        view = memoryview(data)
        while view:
            view = view[self.write.write(view):]


def frame(body, context=b"", flags=4, bits=0, options=True):
    head = struct.pack("<BBI", 0x14 if options else 0x13, flags, len(context) + len(body))
    head += struct.pack("<IBB", zlib.crc32(head), bits, 0)
    if options:
        head += struct.pack("<I", len(context))
    return head + context + body


def greet(relay):
    flags, _, _, body = relay.receive()
    assert flags & CONTROL and json.loads(body)["pid"] > 0, body
    relay.send(json.dumps({"pid": os.getpid()}).encode(), flags=CONTROL | JSON, options=False)


def say(text, stream=2):
    os.write(stream, text.encode())


def run(relay, context, body):
    """One payload. `context` is a word and its arguments; none, and the payload goes back as it came."""
    word, *args = context.decode().split(" ") if context.startswith(b"do:") else [""]
    word = word[3:]
    if word == "pid":
        return relay.send(str(os.getpid()).encode())
    if word == "error":
        return relay.send(body, flags=ERROR, options=False)
    if word == "crash":
        say("about to crash\n")
        os._exit(int(args[0]))
    if word == "signal":
        os.kill(os.getpid(), int(args[0]))
    if word == "stop":
        # Once, as long as the file is not there.
        if not os.path.exists(args[0]):
            open(args[0], "w").close()
            return relay.send(b"", b'{"stop":true}')
        return relay.send(str(os.getpid()).encode())
    if word == "always-stop":
        return relay.send(b"", b'{"stop":true}')
    if word == "wait":
        # Says that it is here, and waits until somebody opens the gate, a FIFO.
        relay.send(b"here", bits=STREAM)
        with open(args[0]) as gate:
            gate.read()
        return relay.send(str(os.getpid()).encode())
    if word == "hang":
        say("about to hang\n")
        while True:
            signal.pause()
    if word == "grow":
        run.memory = bytearray(os.urandom(1) * int(args[0]))
        return relay.send(str(os.getpid()).encode())
    if word == "print":
        say(args[0] + "\n")
        if not hasattr(relay, "socket"):
            return relay.send(b"printed")
        say(args[0] + "\n", 1)
        return relay.send(b"printed")
    if word == "flood":
        for _ in range(int(args[0])):
            say("x" * 1023 + "\n")
        return relay.send(b"flooded")
    if word == "stream":
        for number in range(int(args[0])):
            relay.send(str(number).encode(), b"part", bits=STREAM)
        return relay.send(b"end")
    if word == "twice":
        return relay.raw(frame(b"one") + frame(b"two"))
    if word == "ping":
        relay.send(b"", bits=STREAM | PING)
        _, bits, _, _ = relay.receive()
        return relay.send(b"pong" if bits & PONG else b"no pong")
    if word == "noise":
        return relay.raw(b"Warning: this is no frame\n" + frame(b"late"))
    if word == "crc":
        data = bytearray(frame(b"spoiled"))
        data[6] ^= 0xFF
        return relay.raw(bytes(data))
    if word == "short":
        relay.raw(frame(b"x" * 100)[:60])
        os._exit(3)
    if word == "close":
        relay.raw(frame(b"x" * 100)[:5])
        relay.write.close()
        relay.read.close()
        if hasattr(relay, "socket"):
            relay.socket.close()
        else:
            os.closerange(0, 2)
        while True:
            signal.pause()
    if word == "answer-and-exit":
        relay.send(b"last words")
        os._exit(0)
    if word == "child":
        # A process that outlives its parent, in a session of its own.
        child = subprocess.Popen(["sleep", "1000"], start_new_session=True, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return relay.send(str(child.pid).encode())
    assert not word, word
    relay.send(body, context)


def main():
    say(os.environ.get("WORKER_SAYS", ""))
    if os.environ.get("WORKER_FAILS"):
        # As long as the file is there; without one, always.
        path = os.environ["WORKER_FAILS"]
        if path == "always" or os.path.exists(path):
            sys.exit("this worker cannot start")
    if os.environ.get("WORKER_SILENT"):
        say("about to say nothing\n")
        while True:
            signal.pause()
    relay = Relay()
    greet(relay)
    slow = os.environ.get("WORKER_SLOW")
    while True:
        try:
            flags, _, context, body = relay.receive()
        except Closed:
            break
        if flags & CONTROL:
            if b'"stop"' in body:
                break
            continue
        run(relay, context, body)
    if slow:
        open(slow, "a").close()
        while True:
            signal.pause()
    say(os.environ.get("WORKER_LEAVES", ""))


main()
