"""After many bad inputs of every kind, a node serves as before, and holds no more than before.

Each is counted when it has been answered, and answered as such. What is drawn depends on the seed (`FUZZ_SEED`) and on
the number of the round alone, and what fails says both.
"""

import asyncio
import ctypes
import gc
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any, Final, cast

import pytest
import redis as redis_package

from app.core.commands import COMMANDS
from app.core.protocol import Close, Codec
from tests.contract.wire import wired
from tests.fuzz import bad
from tests.fuzz.test_decoders import WORST
from tests.servers import Script, Served, serving, until

FEW, MANY = 20_000, 1_000_000
SEED: Final = int(os.environ.get("FUZZ_SEED", "20261126"))
AT_ONCE: Final = 4  # rounds
LOTS: Final = 5  # of messages on one connection
IN_A_LOT: Final = 19  # the twentieth that cannot be decoded, one after the other, closes the connection
BESIDES: Final = 4  # frames, requests, and what breaks off, of each, in a round
SELDOM: Final = 10  # rounds: what costs much
WARM: Final = 60  # rounds
SECONDS: Final = 10.0
GROWTH_MIB: Final = 8.0
GROWTH_OBJECTS: Final = 2000  # that the collector of cycles knows


async def lots(served: Served, rng: random.Random) -> int:
    """Messages, on one connection that goes on: each brings an error, and a ping behind them its reply."""
    codec = rng.choice(list(Codec))
    async with wired(served, codec, f"bad-{rng.randrange(5)}") as wire:
        for _ in range(LOTS):
            for _ in range(IN_A_LOT):
                await wire.raw(bad.message(rng, codec))
            errors = Counter(frame["type"] for frame in await wire.rest())
            assert errors["error"] >= IN_A_LOT, errors
            assert errors.keys() <= {"error", "ping"}, errors
    return LOTS * IN_A_LOT


async def undecodable(served: Served, rng: random.Random) -> int:
    """As many that cannot be decoded as close a connection."""
    codec = rng.choice(list(Codec))
    async with wired(served, codec, "bad-0") as wire:
        for _ in range(IN_A_LOT + 1):
            await wire.raw(bad.noise(rng, codec))
        code, came = await wire.closed()
        assert (code, {frame["type"] for frame in came}) == (Close.NOT_OURS, {"error"})
    return IN_A_LOT + 1


async def frame(served: Served, rng: random.Random) -> int:
    """A frame that ends its connection."""
    name = rng.choice(sorted(bad.FRAMES))
    async with wired(served, rng.choice(list(Codec)), "bad-0") as wire:
        wire.socket.transport.write(bad.FRAMES[name](rng))
        code, _ = await wire.closed()
        assert code in bad.CODES, (name, code)
    return 1


async def request(served: Served, rng: random.Random) -> int:
    """A request that is refused, and its connection closed."""
    name = rng.choice(sorted(bad.REQUESTS))
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    try:
        async with asyncio.timeout(SECONDS):
            writer.write(bad.REQUESTS[name](rng))
            status = (await reader.readline()).split(b" ")[1:2]
            assert status in ([b"400"], [b"403"], [b"404"], [b"405"], [b"413"], [b"414"], [b"431"]), (name, status)
            if name.startswith("an upgrade"):
                await reader.read()
    except TimeoutError as error:
        error.add_note(name)
        raise
    finally:
        writer.transport.abort()
    return 1


async def broken_off(served: Served, rng: random.Random) -> int:
    """What begins, and is given up."""
    _, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(bad.broken_off(rng))
    await writer.drain()
    await asyncio.sleep(0)
    writer.transport.abort()
    return 1


async def worst(served: Served, rng: random.Random) -> int:
    """A message that costs as much as one can; a few are right."""
    name = rng.choice(sorted(WORST))
    text = isinstance(WORST[name](), str) or name == "bytes in json"
    async with wired(served, Codec.JSON if text else Codec.MSGPACK, "bad-0") as wire:
        await wire.raw(WORST[name]())
        await wire.rest()
    return 1


async def one_round(served: Served, number: int) -> int:
    """Some of each kind; return how many."""
    rng = random.Random(f"{SEED}-{number}")
    try:
        done = await lots(served, rng)
        if number % SELDOM == 0:
            done += await undecodable(served, rng) + await worst(served, rng)
        for _ in range(BESIDES):
            done += await frame(served, rng) + await request(served, rng) + await broken_off(served, rng)
    except BaseException as error:
        error.add_note(f"FUZZ_SEED={SEED}, round {number}")
        raise
    return done


def held(served: Served, redis: redis_package.Redis) -> dict[str, Any]:
    """What a node holds, and how many tasks and descriptors this process has: nothing of it may grow."""
    keys = [key for key in cast("list[bytes]", redis.keys("*")) if not key.startswith((b"{nodes}", b"audit:"))]
    return {
        "connections": len(served.site.connections), "rooms": served.node.hub.rooms,
        "runs": served.node.runner.running, "channels": set(served.node.state.bus.channels), "keys": set(keys),
        "tasks": len(asyncio.all_tasks()), "files": len(os.listdir("/proc/self/fd")),
    }  # fmt: skip


def weight() -> tuple[float, int]:
    """What this process has of memory (MiB), and of objects."""
    gc.collect()
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20, len(gc.get_objects())


async def chats(served: Served, id: str) -> None:
    """Say something in each codec, and read the answer to its end."""
    for codec in Codec:
        async with wired(served, codec) as wire:
            await wire.said(f"{id}-{codec.name}")


async def settled(served: Served, redis: redis_package.Redis, before: dict[str, Any]) -> None:
    """Wait until nothing is more than it was; fail with what is. Some tasks of before may be over by now."""
    try:
        await until(lambda: beyond(before, held(served, redis)) == {})
    except TimeoutError:
        assert beyond(before, held(served, redis)) == {}


def beyond(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """What is there now, and was not: numbers that are higher, and members that are new."""
    more = {name: value - before[name] for name, value in now.items()}
    return {name: value for name, value in more.items() if (value > 0 if isinstance(value, int) else value)}


async def serves_as_before(redis_url: str, redis: redis_package.Redis, model: Script, count: int) -> None:
    """Send so many, and compare."""
    async with serving(redis_url, model) as served:
        await chats(served, "before")
        await until(lambda: not served.site.connections and redis.keys("*:quota"))
        before = held(served, redis)
        done = sum([await one_round(served, number) for number in range(WARM)])
        await settled(served, redis, before)
        memory, objects = weight()
        number = WARM
        while done < count:
            done += sum(await asyncio.gather(*(one_round(served, number + beside) for beside in range(AT_ONCE))))
            number += AT_ONCE
        await settled(served, redis, before)
        more_memory, more_objects = weight()
        grown = f"{more_memory - memory:.1f} MiB, {more_objects - objects} objects more"
        print(f"{done} bad inputs in {number} rounds, FUZZ_SEED={SEED}: {grown}")
        assert more_memory - memory < GROWTH_MIB, grown
        assert more_objects - objects < GROWTH_OBJECTS, grown
        await chats(served, "after")


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the log says of failures."""
    return [record.getMessage() for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


def test_each_command_is_tried() -> None:
    """None is forgotten."""
    assert set(bad.RIGHT) == set(COMMANDS)


async def test_a_few(
    redis_url: str, redis: redis_package.Redis, model: Script, caplog: pytest.LogCaptureFixture
) -> None:
    """Twenty thousand."""
    await serves_as_before(redis_url, redis, model, FEW)
    assert errors(caplog) == []


@pytest.mark.soak
@pytest.mark.timeout(7200)
async def test_a_million(
    redis_url: str, redis: redis_package.Redis, model: Script, caplog: pytest.LogCaptureFixture
) -> None:
    """A million."""
    await serves_as_before(redis_url, redis, model, MANY)
    assert errors(caplog) == []
