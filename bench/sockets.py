"""The load's side of a connection: WebSocket, server-sent events, and single requests, as cheap as Python has them.

A client here costs a few µs a message, so that one core can be the clients of many hundred answers. It trusts the
server: no fragments, no compression, whole UTF-8. What it sends is masked with zeros, which RFC 6455 allows.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from bench.machine import Unmeasurable

HOST: Final = "127.0.0.1"
LIMIT_SECONDS: Final = 60.0
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Refused(Unmeasurable):
    """A server did not answer as it should have."""


class Connection(asyncio.Protocol):
    """One connection over which a request is sent, and then what the server sends is read as it comes."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self.take = take
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.lost = False
        self._read = b""
        self._transport: asyncio.Transport

    async def open(self, port: int, path: str, headers: Mapping[str, str]) -> None:
        """Connect, send the request, and return when it is granted.

        Raises:
            Refused, OSError, TimeoutError
        """
        async with asyncio.timeout(LIMIT_SECONDS):
            await asyncio.get_running_loop().create_connection(lambda: self, HOST, port)
            lines = [f"GET {path} HTTP/1.1", f"Host: {HOST}:{port}", *(f"{key}: {headers[key]}" for key in headers)]
            self._transport.write("\r\n".join([*lines, "", ""]).encode())
            try:
                await self.opened
            except asyncio.CancelledError:
                self._transport.abort()
                raise

    def drop(self) -> None:
        """Cut the connection as a network would."""
        self.take = _nothing
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclasses

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self.lost = True
        if not self.opened.done():
            self.opened.set_exception(Refused("the connection was closed before it was answered"))

    def data_received(self, data: bytes) -> None:
        """Read the head of the response, then what follows."""
        self._read = self._read + data if self._read else data
        if not self.opened.done() and not self._granted():
            return
        self.parse()

    def _granted(self) -> bool:
        """Read the head of the response, once it is there, and say whether it lets us in."""
        head, found, rest = self._read.partition(b"\r\n\r\n")
        if not found:
            return False
        if head.split(b" ", 2)[1] not in (b"101", b"200"):
            self.opened.set_exception(Refused(head.decode("latin-1").split("\r\n")[0]))
            self._transport.abort()
            return False
        self._read = rest
        self.opened.set_result(None)
        return True

    def parse(self) -> None:
        """Take what is whole of `_read`, and leave the rest."""
        raise NotImplementedError


class WebSocket(Connection):
    """A WebSocket; `take` gets the payload of each message."""

    async def connect(self, port: int, path: str, headers: Mapping[str, str] | None = None) -> None:
        """Upgrade; raises as `open` does."""
        upgrade = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version": "13",
        }
        await self.open(port, path, upgrade | dict(headers or {}))

    def send(self, payload: bytes | str) -> None:
        """Send a message."""
        if isinstance(payload, str):
            self._write(TEXT, payload.encode())
        else:
            self._write(BINARY, payload)

    def _write(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        if size < 126:
            head = bytes((0x80 | opcode, 0x80 | size))
        elif size < 65_536:
            head = bytes((0x80 | opcode, 0x80 | 126)) + size.to_bytes(2)
        else:
            head = bytes((0x80 | opcode, 0x80 | 127)) + size.to_bytes(8)
        self._transport.write(head + b"\0\0\0\0" + payload)

    def parse(self) -> None:
        """Take each whole frame."""
        data, at, size = self._read, 0, len(self._read)
        while size - at >= 2:
            length, start = data[at + 1], at + 2
            if length == 126:
                length, start = int.from_bytes(data[at + 2 : at + 4]), at + 4
            elif length == 127:
                length, start = int.from_bytes(data[at + 2 : at + 10]), at + 10
            end = start + length
            if start > size or end > size:
                break
            opcode = data[at] & 15
            at = end
            if opcode in (TEXT, BINARY):
                self.take(data[start:end])
            elif opcode == PING:
                self._write(PONG, data[start:end])
            elif opcode == CLOSE:
                self._transport.close()
        self._read = data[at:]


class Events(Connection):
    """Server-sent events in HTTP chunks; `take` gets the value of each event's `data`, `b""` at the stream's end."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        super().__init__(take)
        self._events = b""

    def parse(self) -> None:
        """Take each whole chunk, and of those each whole event."""
        data, at = self._read, 0
        while (line := data.find(b"\r\n", at)) >= 0:
            size = int(data[at:line], 16)
            end = line + 2 + size
            if len(data) < end + 2:
                break
            *whole, self._events = (self._events + data[line + 2 : end]).split(b"\n\n")
            at = end + 2
            for event in whole:
                if event.startswith(b"data: "):
                    self.take(event[6:])
            if size == 0:
                self.take(b"")
        self._read = data[at:]


async def request(port: int, path: str, value: Any = None, headers: Mapping[str, str] | None = None) -> Any:
    """GET a path, or POST a value to it, as JSON on a connection of its own; return what is answered.

    Raises:
        Refused: with another status than 200 or 202.
    """
    async with asyncio.timeout(LIMIT_SECONDS):
        reader, writer = await asyncio.open_connection(HOST, port)
        try:
            body = b"" if value is None else json.dumps(value).encode()
            lines = [
                f"{'GET' if value is None else 'POST'} {path} HTTP/1.1", f"Host: {HOST}:{port}", "Connection: close",
                "Content-Type: application/json", f"Content-Length: {len(body)}",
                *(f"{key}: {told}" for key, told in (headers or {}).items()),
            ]  # fmt: skip
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = int(head.lower().split("content-length:", 1)[1].split("\r\n", 1)[0])
            answer = await reader.readexactly(length)
        finally:
            writer.close()
    if head.split(" ", 2)[1] not in ("200", "202"):
        raise Refused(f"{path}: {head[:60]} {answer[:300].decode()}")
    return json.loads(answer) if answer else None


def _nothing(payload: bytes) -> None:
    """Take what came after a drop."""
