"""A TCP proxy that does to connections what networks do to them.

    async with proxied("127.0.0.1", 6379) as proxy:
        ...  # connect to 127.0.0.1, proxy.port
        proxy.faults = Faults(latency_s=0.1, jitter_s=0.05)  # of connections old and new, until others are set
        proxy.faults = Faults(hole=True, only="down")  # what the server says
        proxy.reset()  # the connections of this moment; returns how many

`up` is the way from client to server, `down` the way back. A way is as TCP: it changes and reorders nothing, and where
it loses something it has ended. Little waits in one: 64 KiB, and the kernel's buffers; then its source feels it.
"""

import asyncio
import contextlib
import math
import random
import socket
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

CHUNK_BYTES: Final = 4096
CHUNKS: Final = 16
KERNEL_BYTES: Final = 32 * 1024  # taken from a server ahead of us
SLICE_SECONDS: Final = 0.05
NO_LINGER: Final = struct.pack("ii", 1, 0)  # closing sends RST

Direction = Literal["up", "down"]


@dataclass(frozen=True, slots=True)
class Faults:
    """What befalls bytes: late by `latency_s` and up to `jitter_s` more; slow; held while there is a `hole`."""

    latency_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float = math.inf
    hole: bool = False
    only: Direction | None = None


class Proxy:
    """What stands before one server: the faults there now, and the connections. Made by `proxied`."""

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        self.refusing = False  # new connections are closed at once
        self._server = host, port
        self._links: set[Link] = set()
        self._faults = Faults()
        self._changed = asyncio.Event()

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._links)

    @property
    def faults(self) -> Faults:
        """What befalls all that passes."""
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._faults = faults
        self._changed.set()
        self._changed = asyncio.Event()

    def through(self, url: str) -> str:
        """Give the same URL, by way of this proxy."""
        return urlsplit(url)._replace(netloc=f"127.0.0.1:{self.port}").geturl()

    def of(self, direction: Direction) -> Faults:
        """Give what befalls all that passes one way."""
        return self._faults if self._faults.only in (None, direction) else Faults()

    async def passable(self, direction: Direction) -> Faults:
        """Give the same, once there is no hole in it."""
        while self.of(direction).hole:
            await self._changed.wait()
        return self.of(direction)

    def cut(self) -> int:
        """Close every connection (FIN)."""
        for link in self._links:
            link.stop()
        return len(self._links)

    def reset(self) -> int:
        """Close every connection with RST."""
        for link in self._links:
            link.reset()
        return len(self._links)

    def half_close(self, direction: Direction = "up") -> int:
        """End one way of every connection (FIN), drop what still comes there, and go on with the other."""
        for link in self._links:
            link.drop(direction)
            with contextlib.suppress(OSError):  # it is lost already
                link.sinks[direction].write_eof()
        return len(self._links)

    def vanish(self) -> int:
        """Have every connection take what comes and never answer again; its ends are not told of each other's end."""
        for link in self._links:
            link.drop("up")
            link.drop("down")
        return len(self._links)

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Carry one connection."""
        try:
            if self.refusing:
                raise ConnectionRefusedError
            server_reader, server_writer = await asyncio.open_connection(*self._server, limit=CHUNK_BYTES)
        except OSError:
            writer.transport.abort()
            return
        server_writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BYTES)
        link = Link(self, {"up": reader, "down": server_reader}, {"up": server_writer, "down": writer})
        self._links.add(link)
        await link.run()
        self._links.discard(link)


class Link:
    """One connection: for each way a source, a sink, and tasks that carry."""

    def __init__(
        self, proxy: Proxy, sources: dict[Direction, StreamReader], sinks: dict[Direction, StreamWriter]
    ) -> None:
        self.sinks = sinks
        self._sources = sources
        self._proxy = proxy
        self._tasks = asyncio.TaskGroup()
        self._chunks = {direction: asyncio.Queue[tuple[float, bytes]](CHUNKS) for direction in sinks}
        self._carries: dict[Direction, list[asyncio.Task[None]]] = {}

    async def run(self) -> None:
        """Carry both ways to their ends, then close both sides. A reset of one side resets the other."""
        try:
            async with self._tasks:
                for direction in self.sinks:
                    steps = self._take(direction), self._give(direction)
                    self._carries[direction] = [self._tasks.create_task(step) for step in steps]
        except* OSError:
            self.reset()
        for sink in self.sinks.values():
            sink.close()
            with suppress(OSError):
                await sink.wait_closed()

    def stop(self) -> None:
        """Carry no more, so that both sides are closed."""
        for carry in (*self._carries["up"], *self._carries["down"]):
            carry.cancel()

    def reset(self) -> None:
        """Close both sides with RST."""
        for sink in self.sinks.values():
            with suppress(OSError):  # it is closed
                sink.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            sink.transport.abort()
        self.stop()

    def drop(self, direction: Direction) -> None:
        """Take what comes one way, to its end, and give it to nobody."""
        if all(carry.done() for carry in self._carries[direction]):
            return  # it has ended
        for carry in self._carries[direction]:
            carry.cancel()
        self._carries[direction] = [self._tasks.create_task(_swallow(self._sources[direction]))]

    async def _take(self, direction: Direction) -> None:
        """Read, and say of each chunk when it is due: not before the one ahead of it. The last is empty."""
        due, chunk = 0.0, b"-"
        while chunk:
            chunk = await self._sources[direction].read(CHUNK_BYTES)
            faults = self._proxy.of(direction)
            late = faults.latency_s + random.uniform(0, faults.jitter_s)
            due = max(due, asyncio.get_running_loop().time() + late)
            await self._chunks[direction].put((due, chunk))

    async def _give(self, direction: Direction) -> None:
        """Write each chunk when it is due, as fast as it may pass."""
        sink, chunk = self.sinks[direction], b"-"
        while chunk:
            due, chunk = await self._chunks[direction].get()
            await asyncio.sleep(due - asyncio.get_running_loop().time())
            faults, given = await self._proxy.passable(direction), 0
            while given < len(chunk):
                size = max(1, int(min(CHUNK_BYTES, faults.bytes_per_s * SLICE_SECONDS)))
                sink.write(chunk[given : given + size])
                await sink.drain()
                await asyncio.sleep(size / faults.bytes_per_s)
                faults, given = await self._proxy.passable(direction), given + size
        sink.write_eof()


async def _swallow(source: StreamReader) -> None:
    with suppress(OSError):
        while await source.read(CHUNK_BYTES):
            pass


@asynccontextmanager
async def proxied(host: str, port: int) -> AsyncIterator[Proxy]:
    """Run a proxy of `host` and `port` on a free port of this machine; leaving resets what is left."""
    proxy = Proxy(host, port)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: StreamReader, writer: StreamWriter) -> None:
        tasks.add(task := asyncio.create_task(proxy.serve(reader, writer)))
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=CHUNK_BYTES)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        while tasks:  # one may be connecting still
            proxy.reset()
            await asyncio.wait(tasks, timeout=SLICE_SECONDS)
