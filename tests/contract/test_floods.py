"""What a connection can carry besides our frames has bounds: it delays nobody else, and is held for nobody's sake."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import pytest
from websockets.frames import Frame, Opcode

from tests.servers import Script, Served, serving, until

UPGRADE: Final = (
    "GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    "Sec-WebSocket-Protocol: chat.v1.json\r\nX-User-Id: ada\r\n\r\n"
)


def framed(opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> bytes:
    """A client's frame."""
    return Frame(opcode, data, fin).serialize(mask=True)


@asynccontextmanager
async def upgraded(node: Served) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Be a WebSocket client that may send whatever it likes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    writer.write(UPGRADE.format(port=node.port).encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def lost(reader: asyncio.StreamReader) -> int:
    """Wait until the connection is gone; how many bytes came before."""
    count = 0
    try:
        while data := await asyncio.wait_for(reader.read(65_536), 10):
            count += len(data)
    except ConnectionError:
        pass
    return count


@pytest.mark.parametrize(
    "flood",
    [
        framed(Opcode.PONG) * 40_000,
        framed(Opcode.PING, b"x" * 125) * 2_000,
        framed(Opcode.TEXT, b"{", fin=False) + framed(Opcode.CONT, fin=False) * 40_000,
        framed(Opcode.TEXT, b"{}") * 40_000,
    ],
    ids=["pongs", "pings", "fragments", "messages"],
)
async def test_a_flood_is_cut_off(redis_url: str, model: Script, flood: bytes) -> None:
    """After a little of it, and nothing of it is answered at length; who only sends some is served."""
    async with serving(redis_url, model) as node, upgraded(node) as (reader, writer):
        few = framed(Opcode.PING, b"1") * 20 + framed(Opcode.PONG) * 20
        few += framed(Opcode.TEXT, b'{"type":', fin=False) + framed(Opcode.CONT, b"", fin=False) * 20
        writer.write(few + framed(Opcode.CONT, b'"hello","ref":"h"}'))
        heard = b""
        while b'"ref":"h"' not in heard:
            heard += await asyncio.wait_for(reader.read(65_536), 10)
        assert heard.count(b"\x8a\x011") == 20
        (connection,) = node.site.connections
        writer.write(flood)
        assert await lost(reader) < 100_000
        await until(lambda: connection not in node.site.connections)


@pytest.mark.parametrize("head", ["POST /nowhere", "PUT /live", "POST /api/ticket", "GET /live"])
async def test_a_connection_whose_request_never_ends_is_closed(
    redis_url: str, model: Script, monkeypatch: pytest.MonkeyPatch, head: str
) -> None:
    """It was answered before its body was whole: soon it is over, whatever comes; one that ends in time goes on."""
    monkeypatch.setattr("app.edge.socket.REST_SECONDS", 0.5)
    async with serving(redis_url, model) as node:
        reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
        asked = f"{head} HTTP/1.1\r\nHost: 127.0.0.1:{node.port}\r\nContent-Length: 99\r\n\r\nx".encode()
        for _ in range(2):
            writer.write(asked)
            await answered(reader)
            writer.write(b"x" * 98)
        writer.write(asked)
        began = time.monotonic()
        trickling = asyncio.create_task(trickle(writer))
        await lost(reader)
        assert 0.4 < time.monotonic() - began < 5
        trickling.cancel()
        writer.transport.abort()
        await asyncio.gather(trickling, return_exceptions=True)


async def answered(reader: asyncio.StreamReader) -> None:
    """Read one answer."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    assert head.startswith(b"HTTP/1.1 ")
    await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))


async def trickle(writer: asyncio.StreamWriter) -> None:
    """Send a byte now and then, for ever."""
    while True:
        writer.write(b"x")
        await asyncio.sleep(0.1)


async def test_requests_that_end_share_a_connection(redis_url: str, model: Script) -> None:
    """One after the other, and some at once, with bodies: each is answered."""
    ask = "{} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Length: {}\r\n\r\n"
    async with serving(redis_url, model) as node:
        reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
        get, post = ask.format("GET /live", node.port, 0), ask.format("POST /nowhere", node.port, 3) + "abc"
        for sent in (get, post, get + post + get, post + get):
            writer.write(sent.encode())
            for _ in range(sent.count("HTTP/1.1")):
                await answered(reader)
        writer.close()


async def test_a_request_behind_another_has_its_time(
    redis_url: str, model: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where its body comes when the one before it has been answered: it is not that one's rest."""
    monkeypatch.setattr("app.edge.socket.REST_SECONDS", 0.1)
    async with serving(redis_url, model) as node:
        reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
        host = f"Host: 127.0.0.1:{node.port}"
        body = b'{"session_id": "s", "message": "Hello."}'
        more = f"X-User-Id: ada\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        writer.write(f"GET /live HTTP/1.1\r\n{host}\r\n\r\nPOST /chat HTTP/1.1\r\n{host}\r\n{more}\r\n\r\n".encode())
        await answered(reader)
        await asyncio.sleep(0.3)  # longer than the rest of a request may take
        writer.write(body)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        assert head.startswith(b"HTTP/1.1 200 ")
        writer.close()
