"""Connections whose other end is gone without a word: whoever is left finds out in time, and nothing is lost.

The proxy's kernel acknowledges all that is sent, as that of a frozen machine does: TCP sees no fault, pings must.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from unittest.mock import patch
from urllib.parse import urlsplit

import pytest

from app.client import Chat, Said, connect
from app.core.errors import StateUnavailable
from tests.faults.proxy import Faults, proxied
from tests.reader import reading
from tests.servers import Script, Served, serving, until

BEAT_SECONDS: Final = 3.0  # and not 25
FOUND_SECONDS: Final = 45.0
HEALED_SECONDS: Final = 12.0
PIECES: Final = [f"{index} " for index in range(100)]
MUCH: Final = ["much " * 100] * 500  # more than the buffers on the way hold

Answer = list[str | float | Exception]


@patch("app.client.link.SILENCE_SECONDS", 10.0)  # and not 35
@patch("app.edge.socket.ASK_SECONDS", 5.0)
@patch("app.edge.socket.DROP_SECONDS", 10.0)
@pytest.mark.timeout(120)
async def test_who_has_vanished_is_missed(redis_url: str) -> None:
    """Clients by their node, a node by its client, Redis by its node. Side by side, for each takes long."""
    state = redis_url.removesuffix("0")  # each has nodes and a state of its own
    async with asyncio.TaskGroup() as tasks:
        for index, part in enumerate((_clients, _node, _redis, _redis_in_mid_handshake)):
            tasks.create_task(part(f"{state}{index}"))


async def _clients(redis_url: str) -> None:
    """One that is idle, one that reads an answer, and one that is owed so much that nothing more can be sent to it:
    their connections leave the site. One that is there stays.
    """
    async with (
        _beating(redis_url, _answer(18.0), _answer(18.0, MUCH)) as node,
        proxied("127.0.0.1", node.port) as proxy,
        proxied("127.0.0.1", node.port) as holding,
        connect(node.ws, user="ada") as there,
        reading(proxy.through(node.ws), ping_interval=None),
        reading(proxy.through(node.ws), ping_interval=None) as reader,
        reading(holding.through(node.ws), ping_interval=None) as frozen,
    ):
        said = await _in_mid_answer(there)
        await reader.ask(type="open", session="s")
        await frozen.ask(type="say", session="much", id="m", text="Much.")
        assert (len(node.site.connections), proxy.vanish()) == (4, 2)
        holding.faults = Faults(hole=True)
        await _found("a node dropped its clients", lambda: len(node.site.connections) == 1)
        assert (await said.answer())["text"] == "".join(PIECES)
        assert there.connections == 1


async def _node(redis_url: str) -> None:
    """Its client hears nothing more and cannot connect to it: it goes on at the other one."""
    async with (
        _beating(redis_url, _answer(3.0), name="a") as a,
        _beating(redis_url, _answer(3.0), name="b") as b,
        proxied("127.0.0.1", a.port) as to_a,
        proxied("127.0.0.1", b.port) as to_b,
        connect([to_a.through(a.ws), to_b.through(b.ws)], user="ada") as chat,
    ):
        said = await _in_mid_answer(chat)
        node = chat.welcome["node"]
        proxy = {"a": to_a, "b": to_b}[node]
        assert proxy.vanish() == 1
        proxy.faults = Faults(hole=True)
        await _found("a client left its node", lambda: chat.connections == 2)
        assert (await said.answer())["text"] == "".join(PIECES)
        assert (chat.welcome["node"] != node, chat.differs) == (True, 0)


async def _redis(redis_url: str) -> None:
    """The connection for commands and that for subscriptions, in mid-answer."""
    async with (
        proxied("127.0.0.1", urlsplit(redis_url).port or 6379) as proxy,
        _beating(proxy.through(redis_url), _answer(4.0)) as node,
        connect(node.ws, user="ada") as chat,
    ):
        said = await _in_mid_answer(chat)
        assert proxy.vanish() == 2
        await _heals(node, chat, said)


async def _redis_in_mid_handshake(redis_url: str) -> None:
    """The network was down, and those that were being made meanwhile vanish."""
    async with (
        proxied("127.0.0.1", urlsplit(redis_url).port or 6379) as proxy,
        _beating(proxy.through(redis_url), _answer(4.0)) as node,
        connect(node.ws, user="ada") as chat,
    ):
        said = await _in_mid_answer(chat)
        proxy.faults = Faults(hole=True)
        await until(lambda: not node.node.state.bus.confirmed, HEALED_SECONDS)
        tried = proxy.connections
        await until(lambda: proxy.connections > tried)
        proxy.vanish()
        proxy.faults = Faults()
        await _heals(node, chat, said)


async def _heals(node: Served, chat: Chat, said: Said) -> None:
    """Commands are carried out again, and what is published is heard: all of the answer comes, over the same socket."""
    began = time.monotonic()
    async with asyncio.timeout(HEALED_SECONDS):
        while not await _reaches_redis(node):
            pass
    reached = time.monotonic()
    await until(lambda: said.run in said.session.ends, began + HEALED_SECONDS - reached)
    print(f"a node reached Redis after {reached - began:.1f} s, and heard it after {time.monotonic() - began:.1f} s")
    assert (await said.answer())["text"] == "".join(PIECES)
    assert (chat.connections, chat.differs) == (1, 0)


async def _reaches_redis(node: Served) -> bool:
    try:
        await node.node.state.sessions.ping()
    except StateUnavailable as error:
        await asyncio.sleep((error.after_ms or 0) / 1000)
        return False
    return True


@asynccontextmanager
async def _beating(redis_url: str, *answers: Answer, name: str = "a") -> AsyncIterator[Served]:
    """Run a node that sends heartbeats, and whose model has these answers."""
    async with serving(redis_url, Script(answers=[*answers]), name) as served:
        beat = asyncio.create_task(served.site.heartbeat.run(BEAT_SECONDS))
        yield served
        beat.cancel()


def _answer(seconds: float, pieces: Sequence[str] = PIECES) -> Answer:
    """An answer that takes so long."""
    return [step for piece in pieces for step in (piece, seconds / len(pieces))]


async def _in_mid_answer(chat: Chat) -> Said:
    """Ask, and return when an answer has begun."""
    said = await chat.say("Count.", session="s")
    await said.session.until(lambda: said.session.transcript.run and said.session.transcript.run.text)
    return said


async def _found(what: str, condition: Callable[[], Any]) -> None:
    """Wait until `condition()`, and tell how long it took."""
    began = time.monotonic()
    await until(condition, FOUND_SECONDS)
    print(f"{what} after {time.monotonic() - began:.1f} s")
