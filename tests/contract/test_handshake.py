"""Bounds on what a stranger may send before anybody knows who they are: heads, bodies, and their time."""

import asyncio
import time

import pytest

from app.edge import bodies
from app.edge import socket as sockets
from tests.servers import Script, Served, serving


async def _sent(served: Served, *parts: bytes, pause_s: float = 0.0) -> bytes:
    """Send these, and return what came until the server closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause_s)
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


HEAD = b"GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"X-Long: " + b"x" * 20_000 + b"\r\n\r\n",
        HEAD + b"".join(b"X-%d: x\r\n" % index for index in range(3000)) + b"\r\n",
        HEAD + b"X-Endless: " + b"x" * 300_000,
        b"GET /" + b"x" * 300_000,
    ],
)
async def test_a_head_that_is_too_long(redis_url: str, model: Script, head: bytes) -> None:
    """431, and the connection is closed, whether its end has come or not."""
    async with serving(redis_url, model) as served:
        assert (await _sent(served, head))[:12] == b"HTTP/1.1 431"


async def test_a_head_that_fits(redis_url: str, model: Script) -> None:
    """Also where its parts come one by one, and a second request on the same connection."""
    head = HEAD + b"X-Long: " + b"x" * 12_000 + b"\r\n\r\n"
    async with serving(redis_url, model) as served:
        came = await _sent(served, head, HEAD[:20], HEAD[20:] + b"Connection: close\r\n\r\n", pause_s=0.05)
        assert came.count(b"HTTP/1.1 200") == 2


@pytest.mark.parametrize("parts", [[b""], [HEAD], [HEAD + b"X-Y: 1\r\n"], [HEAD + b"\r\n", HEAD]])
async def test_a_head_that_does_not_come(
    redis_url: str, model: Script, parts: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is dropped after a while, also one that has asked before."""
    monkeypatch.setattr(sockets, "HEAD_SECONDS", 0.5)
    async with serving(redis_url, model) as served:
        began = time.monotonic()
        came = await _sent(served, *parts)
        assert came.count(b"HTTP/1.1 200") == len(parts) - 1
        assert 0.4 < time.monotonic() - began < 4.0


async def test_a_body_that_does_not_come(redis_url: str, model: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """408 after a while; and one that says it is compressed is not read."""
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.3)
    head = b"POST /chat HTTP/1.1\r\nHost: 127.0.0.1\r\nX-User-Id: ada\r\nContent-Type: application/json\r\n"
    async with serving(redis_url, model) as served:
        slow = head + b"Content-Length: 100\r\nConnection: close\r\n\r\n{"
        assert (await _sent(served, slow))[:12] == b"HTTP/1.1 408"
        zipped = head + b"Content-Encoding: gzip\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
        came = await _sent(served, zipped)
        assert (came[:12], b"Content-Encoding" in came) == (b"HTTP/1.1 400", True)


UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nX-User-Id: ada\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    b"Sec-WebSocket-Protocol: chat.v1.json\r\n"
)


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 5\r\n\r\nhello",
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"X-Long: " + b"x" * 9000 + b"\r\n\r\n",
        b"".join(b"X-%d: x\r\n" % index for index in range(300)) + b"\r\n",
    ],
)
async def test_an_upgrade_that_cannot_be_read(redis_url: str, model: Script, rest: bytes) -> None:
    """It is refused, and the connection closed: nothing else would ever end it."""
    async with serving(redis_url, model) as served, asyncio.timeout(4):
        answer = await _sent(served, UPGRADE + rest)
        assert answer[:10] == b"HTTP/1.1 4"
        assert not served.site.connections
