"""HTTP for the scripts: one request a connection, JSON answers, and server-sent events as they come.

It raises OSError, EOFError or ValueError when a connection does not bring what HTTP promises. Nothing follows it.
"""

import asyncio
import json
import urllib.parse

LIMIT = 4 << 20
# The queen sends a sign of life every 15 seconds.
SILENCE = 40


async def _open(base, method, path, body):
    url = urllib.parse.urlsplit(base)
    reader, writer = await asyncio.open_connection(url.hostname, url.port, limit=LIMIT)
    text = b"" if body is None else json.dumps(body).encode()
    fields = {"host": url.netloc, "connection": "close", "content-type": "application/json", "content-length": len(text)}
    head = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    writer.write("\r\n".join(head).encode() + text)
    await writer.drain()
    return reader, writer


async def _head(reader):
    """The status, and how the body is framed."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
    return int(lines[0].split()[1]), fields


async def _body(reader, fields):
    """Pieces of the body; EOFError if it ends before its end."""
    if fields.get("transfer-encoding") != "chunked":
        yield await reader.readexactly(int(fields["content-length"])) if "content-length" in fields else await reader.read()
        return
    while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
        piece = await reader.readexactly(size + 2)
        yield piece[:-2]
    await reader.readexactly(2)


async def request(base, method, path, body=None):
    reader, writer = await _open(base, method, path, body)
    try:
        status, fields = await _head(reader)
        return status, b"".join([piece async for piece in _body(reader, fields)]).decode()
    finally:
        writer.close()


async def lines(base, path):
    """The lines of an answer, one after the other."""
    reader, writer = await _open(base, "GET", path, None)
    try:
        status, fields = await _head(reader)
        rest = b""
        if status != 200:
            raise ValueError(f"GET {path}: {status}")
        async for piece in _timed(_body(reader, fields)):
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                yield line
    finally:
        writer.close()


async def events(base, path):
    """Recorded events of a stream with their text, as they come, until it ends."""
    async for line in lines(base, path):
        if line.startswith(b"data: "):
            event = json.loads(line[6:])
            if "seq" in event:
                yield event, line[6:]


async def _timed(pieces):
    while True:
        try:
            yield await asyncio.wait_for(anext(pieces), SILENCE)
        except StopAsyncIteration:
            return
