"""A node without what others take for granted: a right clock, a free file descriptor."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
from redis import Redis

from tests.faults.nodes import NodeProcess, nodes
from tests.faults.screens import Screen
from tests.faults.talk import LOST, OPEN_SECONDS, counting, question, talking
from tests.reader import Reader, reading
from tests.servers import until

LEASE_SECONDS: Final = 1.0
HOUR_SECONDS: Final = 3600.0
SESSIONS: Final = 3
TEXT: Final = question(45, 20)
FILES: Final = 64
REST_SECONDS: Final = 1.0


def clock(shift: str) -> dict[str, str]:
    """What a node is told to have its clock shifted; its monotonic clock, which only measures, stays as it is."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    assert found, "this test needs libfaketime (Debian: apt-get install faketime)"
    return {"LD_PRELOAD": str(found[0]), "FAKETIME": shift, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


async def _ahead(node: NodeProcess) -> float:
    """By how many seconds a node's clock is ahead of ours."""
    _, health = await node.get("/health")
    return datetime.fromisoformat(msgspec.json.decode(health)["timestamp"]).timestamp() - time.time()


async def test_a_clock_that_is_an_hour_off_decides_nothing(redis_url: str, redis: Redis) -> None:
    """One node is an hour ahead, the other behind: neither takes a living run, and each takes the other's when it dies.

    The answers last for more than two leases.
    """
    own = {"a": clock("+1h"), "b": clock("-1h")}
    async with (
        counting() as up,
        nodes(redis_url, up.url, count=2, own=own) as cluster,
        talking(cluster, redis) as talk,
    ):
        assert [round(await _ahead(node) / HOUR_SECONDS, 1) for node in cluster] == [1.0, -1.0]
        for victim in cluster:
            began_at = time.time()
            [survivor] = cluster.others(victim.name)
            lost, kept = await talk.ask(victim, SESSIONS, TEXT), await talk.ask(survivor, SESSIONS, TEXT)
            await talk.begun([*lost, *kept])
            victim.kill()
            killed_at = time.time()
            await victim.start()
            for one, log in zip([*lost, *kept], await talk.over([*lost, *kept]), strict=True):
                carriers = [victim.name, survivor.name] if one in lost else [survivor.name]
                assert [entry["node"] for _, entry in log.begun(one.run)] == carriers
                assert began_at - 1 < log.times_ms[0] / 1000 < log.times_ms[-1] / 1000 < time.time() + 1
                assert log.begun(one.run)[-1][0] / 1000 - killed_at < LEASE_SECONDS + 1
            talk.hush()


async def test_clients_leave_a_node_the_descriptors_that_it_needs(redis_url: str, redis: Redis) -> None:
    """A crowd takes all that it gets: the node refuses others, at rest, and its sockets get everything.

    Its runs go on to their ends, and those of a node that dies meanwhile do there. When some leave, others are served.
    """
    limited = {"a": ["prlimit", f"--nofile={FILES}"]}
    async with (
        counting() as up,
        nodes(redis_url, up.url, count=2, prefix=limited) as cluster,
        talking(cluster, redis) as talk,
    ):
        crowded, other = cluster
        async with _crowd(crowded) as crowd:  # before the first command of its life, and before its first answer
            assert (await crowd[-1].ask(type="open", session="never-used"))["type"] == "ok"
            assert await _used(crowded, REST_SECONDS) < 0.2 * REST_SECONDS
        own, lost = await talk.ask(crowded, SESSIONS, TEXT), await talk.ask(other, 3 * SESSIONS, TEXT)
        await talk.begun([*own, *lost])
        async with _crowd(crowded):
            other.kill()
            await other.start()  # for its clients, who have nowhere else to go; it trusts no lease yet
            await until(lambda: all(one.run in one.screens[0].ends for one in own))
            await until(lambda: all(_goes_on(one.screens[0], one.run) for one in lost))
        await talk.over([*own, *lost])
        await talk.over(await talk.ask(crowded, SESSIONS, question(2, 20)))
        talk.hush()


@asynccontextmanager
async def _crowd(node: NodeProcess) -> AsyncIterator[list[Reader]]:
    """Connect to a node until it refuses."""
    async with AsyncExitStack() as stack:
        crowd: list[Reader] = []
        with suppress(*LOST):
            while len(crowd) < FILES:
                crowd.append(await stack.enter_async_context(reading(node.ws, open_timeout=OPEN_SECONDS)))
        assert FILES / 4 < len(crowd) < FILES
        yield crowd


def _goes_on(screen: Screen, run: str) -> bool:
    """Whether a run has begun anew, and has spoken."""
    return len(screen.begun[run]) == 2 and screen.texts[run] != ""


async def _used(node: NodeProcess, seconds: float) -> float:
    """How many seconds of CPU a node uses in so many seconds."""
    before = _cpu_seconds(node.pid)
    await asyncio.sleep(seconds)
    return _cpu_seconds(node.pid) - before


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
