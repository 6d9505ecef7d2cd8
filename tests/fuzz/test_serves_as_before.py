"""After many bad inputs of every kind, a node serves as before, and holds no more than before."""

import asyncio
import gc
import os
import random
import resource
from collections.abc import Callable
from typing import Any, cast

import httpx
import msgpack
import pytest
import redis as redis_package

from app.core.protocol import Codec
from tests.contract.wire import Wire, wired
from tests.fuzz.test_decoders import WORST
from tests.servers import Script, Served, serving, until

FEW, MANY = 20_000, 1_000_000
AT_ONCE = 20  # on one connection: the twentieth that cannot be decoded closes it
GROWTH_BYTES = 24 * 1024 * 1024
TEXTS = ["", "{", "[]", "null", '{"type":5}', '{"type":"soap"}', '{"type":"open"}', '{"type":"open","session":"/"}',
         '{"type":"say","id":"m","text":""}', '{"type":"open","session":"s","cursor":"x"}', '[[[[[[[]]]]]]]',
         '{"type":"stop","session":"s","run":""}', '{"type":"hello","resume":5}',
         '{"type":"context","set":{"a b":1}}',
         '{"type":"set","session":"s"}', '{"type":"history","session":"s","limit":-1}',
         '{"type":"ping","ref":5}']  # fmt: skip


def bad(rng: random.Random, codec: Codec) -> bytes | str:
    """A message that no client should send."""
    kind = rng.randrange(5)
    if kind == 0:
        data = rng.randbytes(rng.randrange(1, 200))
        return data if codec is Codec.MSGPACK else data.decode("latin-1")
    if kind == 1:
        return b"\xc1" if codec is Codec.JSON else "not of this codec"
    text = rng.choice(TEXTS)
    if codec is Codec.JSON:
        return text[: rng.randrange(len(text) + 1)] if kind == 2 else text
    packed: bytes = msgpack.packb(
        {"type": rng.choice(["open", "say", "stop", "x", 5]), "session": rng.choice(["/", 5, None])}
    )
    return packed[: rng.randrange(1, len(packed) + 1)] if kind == 2 else packed


def raw(rng: random.Random) -> bytes:
    """Bytes that are no frame of a client: reserved bits, wrong opcodes, not masked, of a length that lies."""
    return bytes([rng.choice([0x81, 0x82, 0x8B, 0xF1, 0x00, 0x80, 0x88, 0x89]), rng.randrange(256)]) + rng.randbytes(20)


async def sent(served: Served, rng: random.Random) -> int:
    """Send some of a kind on a connection of its own; return how many."""
    codec = rng.choice(list(Codec))
    kind = rng.randrange(12)
    if kind == 0:
        return await _http(served, rng)
    async with wired(served, codec, f"bad-{rng.randrange(5)}") as wire:
        if kind == 1:
            await _raw(wire, rng)
            return 1
        worst = rng.choice(sorted(WORST)) if rng.randrange(400) == 0 else None
        messages = [bad(rng, codec) for _ in range(AT_ONCE * 5)] if worst is None else [WORST[worst]()]
        for message in messages:
            await wire.raw(message)
        return len(messages)


async def _raw(wire: Wire, rng: random.Random) -> None:
    wire.socket.transport.write(raw(rng))
    await asyncio.sleep(0)


async def _http(served: Served, rng: random.Random) -> int:
    """Requests that are none, or whose bodies are wrong."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    try:
        for _ in range(5):
            body = rng.randbytes(rng.randrange(60))
            path = rng.choice([b"/chat", b"/api/sessions/s/turns", b"/api/sign-in", b"/%00", b"/ws"])
            head = (
                b"POST "
                + path
                + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nX-User-Id: ada\r\nContent-Type: application/json\r\n"
            )
            writer.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
            assert await reader.readline()
        writer.write(rng.randbytes(40) + b"\r\n\r\n")
        await writer.drain()
        return 6
    except (ConnectionError, AssertionError):
        return 6
    finally:
        writer.close()


def _held(served: Served, redis: redis_package.Redis) -> dict[str, Any]:
    """What a node holds: nothing of it may grow."""
    return {
        "connections": len(served.site.connections), "rooms": served.node.hub.rooms,
        "runs": served.node.runner.running, "channels": len(served.node.bus.channels),
        "keys": {key for key in cast("list[bytes]", redis.keys("*")) if not key.startswith((b"{nodes}", b"audit:"))},
    }  # fmt: skip


async def _tried(
    redis_url: str, redis: redis_package.Redis, model: Script, count: int, errors: Callable[[], list[str]]
) -> None:
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    async with serving(redis_url, model) as served:
        async with wired(served, Codec.JSON) as wire:
            await wire.said("before")
        await until(lambda: not served.site.connections and redis.keys("*:quota"))
        before, tasks, files = _held(served, redis), len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))
        done = 0
        for _ in range(40):
            done += await sent(served, rng)
        gc.collect()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        while done < count:
            done += sum(await asyncio.gather(*(sent(served, rng) for _ in range(4))))
        await until(lambda: not served.site.connections)
        await until(lambda: len(asyncio.all_tasks()) <= tasks)
        gc.collect()
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) * 1024
        print(f"{done} bad inputs, seed {seed}: {grown / 2**20:.1f} MiB more at the most")
        held = _held(served, redis)
        assert held.pop("keys") - before.pop("keys") == set(), seed
        assert held == before, seed
        assert len(os.listdir("/proc/self/fd")) <= files + 2, seed
        assert grown < GROWTH_BYTES, seed
        assert errors() == [], seed
        for codec in Codec:
            async with wired(served, codec) as wire:
                await wire.said(f"after-{codec.name}")
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"{served.http}/ready")).status_code == 200


async def test_a_few(
    redis_url: str, redis: redis_package.Redis, model: Script, caplog: pytest.LogCaptureFixture
) -> None:
    """Twenty thousand."""
    await _tried(redis_url, redis, model, FEW, lambda: _errors(caplog))


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_a_million(
    redis_url: str, redis: redis_package.Redis, model: Script, caplog: pytest.LogCaptureFixture
) -> None:
    """A million."""
    await _tried(redis_url, redis, model, MANY, lambda: _errors(caplog))


def _errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]
