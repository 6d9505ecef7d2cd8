"""What is over is freed at once: connections and answers leave no cycles to the collector, which seldom looks for them.

A full collection stops a node with thousands of clients for a tenth of a second.
"""

import asyncio
import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from app.core.protocol import Codec, Frame
from tests.reader import reading
from tests.servers import Script, Served, serving, until


@contextmanager
def collected() -> Iterator[Counter[str]]:
    """Have the collector look only at the end, and count what of ours it has to free."""
    found: Counter[str] = Counter()
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield found
        gc.collect()
        kinds = (type(one) for one in gc.garbage)
        found.update(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds if kind.__module__.startswith("app."))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


async def _talk(node: Served, codec: Codec, message: str) -> None:
    """Say something and hear the answer."""
    async with reading(node.ws, codec) as reader:
        run = (await reader.ask(type="say", session="s", id=message, text="Hello."))["run"]
        entries: list[Frame] = []
        while ("end", run) not in [(entry["kind"], entry.get("run")) for entry in entries]:
            entries += (await reader.next("batch"))["entries"]


async def _cut(node: Served, codec: Codec, message: str) -> None:
    """Lose the connection while the answer is under way."""
    async with reading(node.ws, codec) as reader:
        await reader.ask(type="say", session="s", id=message, text="Hello.")
        reader.abort()


async def _refused(node: Served, codec: Codec, message: str) -> None:
    """Say what cannot be read, until the node has had enough."""
    async with reading(node.ws, codec) as reader:
        for _ in range(20):
            await reader.socket.send(b"\xc1" if codec is Codec.MSGPACK else "{")
        with suppress(ConnectionClosed):
            while True:
                await reader.next()


async def _posted(node: Served, codec: Codec, message: str) -> None:
    """Say something by HTTP."""
    async with httpx.AsyncClient(base_url=node.http, headers={"X-User-Id": "ada"}) as client:
        body = {"text": "Hello.", "id": message}
        assert (await client.post("/api/sessions/s/turns", json=body)).status_code == 202


@pytest.mark.parametrize("codec", list(Codec))
@pytest.mark.parametrize("visit", [_talk, _cut, _refused, _posted], ids=lambda visit: visit.__name__)
async def test_what_is_over_is_freed(redis_url: str, model: Script, visit: object, codec: Codec) -> None:
    """Whatever became of it."""
    assert callable(visit)
    async with serving(redis_url, model) as node:
        await visit(node, codec, "m-first")  # what is made once is made now
        await node.node.runner.idle()
        with collected() as found:
            for index in range(3):
                await visit(node, codec, f"m{index}")
            await node.node.runner.idle()
            await until(lambda: not node.site.connections)
            await asyncio.sleep(0)
        assert found == {}
