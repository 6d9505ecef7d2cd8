"""The files of `deploy/`: what they pass on, and what they keep away from the nodes."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

import httpx
import pytest
from websockets.asyncio.client import connect as connect_raw
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from app.client import connect
from app.core.protocol import MESSAGE_BYTES
from app.edge.auth import GUEST
from tests.faults.nodes import lasting_ports
from tests.faults.proxies import CHECKED, proxied_by
from tests.servers import Script, serving
from tests.test_start import answering

HANDSHAKE_SECONDS: Final = 5.0
both_proxies: Final = pytest.mark.parametrize("program", list(CHECKED))


def _into(heard: list[bytes]) -> Callable[[bytes], bytes]:
    """What a node of three lines answers; what it was asked, but for its health, goes into `heard`."""

    def answer(request: bytes) -> bytes:
        if not request.startswith(b"GET /ready"):
            heard.append(request)
        return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

    return answer


@both_proxies
async def test_one_node_of_three_is_enough(redis_url: str, model: Script, program: str) -> None:
    """Nobody notices two that are dead: each request finds the one that lives, and so does a page's WebSocket."""
    async with (
        serving(redis_url, model, allow_guests=1) as node,
        proxied_by(program, [*lasting_ports(2), node.port]) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
    ):
        cookie = (await http.get("/")).cookies[GUEST]
        for path in ("/", "/ready", "/static/js/connection.js") * 2:
            assert (await http.get(path)).status_code == 200
        said = await http.post("/chat", json={"session_id": "s", "message": "Hello!"})
        assert (said.status_code, said.json()["response"]) == (200, "You said: Hello!")
        url = f"ws://127.0.0.1:{port}/ws"
        async with connect(url, cookie=f"{GUEST}={cookie}") as chat:
            again = await chat.say("And now?", session="s")
            assert (await again.answer())["text"] == "You said: And now?"
        known = [Subprotocol("chat.v1.json")]
        async with connect_raw(url, subprotocols=known, origin=Origin(f"http://127.0.0.1:{port}"), proxy=None):
            pass
        with pytest.raises(InvalidStatus, match="403"):
            await connect_raw(url, subprotocols=known, origin=Origin("http://127.0.0.1"), proxy=None)


@both_proxies
async def test_a_node_hears_who_asks_and_whom(program: str) -> None:
    """`Host` as the client said it, and of the way only what the proxy knows itself."""
    heard: list[bytes] = []
    forged = {"Host": "chat.example:8443", "X-Forwarded-For": "9.9.9.9", "X-Forwarded-Host": "x", "Forwarded": "for=x"}
    async with (
        answering(_into(heard)) as node,
        proxied_by(program, [node, *lasting_ports(2)]) as port,
        httpx.AsyncClient() as http,
    ):
        assert (await http.get(f"http://127.0.0.1:{port}/", headers=forged)).status_code == 200
    lines = heard[0].decode().lower().split("\r\n")
    assert sorted(line for line in lines if line.startswith(("host:", "x-forwarded-", "forwarded:"))) == [
        "host: chat.example:8443",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-host: chat.example:8443",
        "x-forwarded-proto: http",
    ]


async def test_what_is_too_slow_or_too_large_reaches_no_node() -> None:
    """A handshake that does not arrive within five seconds is cut off; so is a body that no node would take."""
    heard: list[bytes] = []

    async def slow(port: int) -> float:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        began_at = time.monotonic()
        writer.write(b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n")
        assert (await reader.read()).partition(b"\r\n")[0] in (b"", b"HTTP/1.1 408 Request Time-out")
        writer.close()
        return time.monotonic() - began_at

    async with (
        answering(_into(heard)) as node,
        proxied_by("nginx", [node, *lasting_ports(2)]) as nginx,
        proxied_by("haproxy", [node, *lasting_ports(2)]) as haproxy,
        httpx.AsyncClient() as http,
    ):
        for took_s in await asyncio.gather(slow(nginx), slow(haproxy)):
            assert HANDSHAKE_SECONDS - 1 < took_s < HANDSHAKE_SECONDS + 2
        for port in (nginx, haproxy):
            large = await http.post(f"http://127.0.0.1:{port}/chat", content=b"x" * (MESSAGE_BYTES + 1))
            assert large.status_code == 413
        assert heard == []
        for port in (nginx, haproxy):
            assert (await http.post(f"http://127.0.0.1:{port}/chat", content=b"x" * MESSAGE_BYTES)).status_code == 200
