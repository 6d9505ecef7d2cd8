"""What a session, a token and a channel take of Redis: memory, operations, bytes on the wire. Ours only.

Answers stream at 50 tokens a second from A to B, as in `tokens`; Redis's own counters are read before and after a
window. Then each session's keys are weighed, at rest, with one answer in each.
"""

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Any, Final

import redis.asyncio

from app.core.model import Session, User
from app.state.keys import SessionKeys
from bench.drive import Overwhelmed, steady, talk, window
from bench.machine import Cores
from bench.numbers import Figures
from bench.scenarios import Case
from bench.scenarios.tokens import AFTER_SECONDS, RATE, SETTLE_SECONDS, SPREAD_SECONDS
from bench.systems import Running, System, running
from bench.systems.ours import Ours

SESSIONS: Final = 100
SECONDS: Final = 4.0
CHANNELS: Final = 5_000
PORTION: Final = 500


def cases() -> list[Case]:
    """One."""
    return [Case("footprint", f"{SESSIONS} sessions", partial(measure, sessions=SESSIONS, seconds=SECONDS), ("ours",))]


async def measure(system: System, cores: Cores, *, sessions: int, seconds: float) -> Figures:
    """Measure once; raises as `weigh` does."""
    async with running(Ours(), cores) as run, redis.asyncio.Redis(port=run.redis.port) as client:
        return await weigh(run, client, sessions=sessions, seconds=seconds)


async def weigh(run: Running, client: redis.asyncio.Redis, *, sessions: int, seconds: float) -> Figures:
    """Let answers stream, count, and weigh what they leave.

    Raises:
        Overwhelmed: not all answers were whole.
    """
    long = SPREAD_SECONDS + SETTLE_SECONDS + seconds + 2 * AFTER_SECONDS
    with steady():
        said = await talk(run, run.b, sessions=sessions, rate=RATE, seconds=long)
        await said.begin(run.a, SPREAD_SECONDS)
        await asyncio.sleep(SETTLE_SECONDS)
        before = await _counted(client)
        seen = await window(run, seconds)
        after = await _counted(client)
        whole = await said.over()
    if whole < sessions:
        raise Overwhelmed(f"{sessions - whole} of {sessions} answers were not whole")
    tokens = said.tally.came_in(seen.since, seen.until)
    count = {name: after[name] - before[name] for name in before}
    names = [SessionKeys(Session(User.of("guest:name", name), name)) for name in said.asks]
    all_of_them = [key for keys in names for key in (keys.head, keys.log, keys.turns, keys.said, keys.ids)]
    weight, log = await _bytes(client, all_of_them), await _bytes(client, (keys.log for keys in names))
    said.leave()
    return {
        "operations per token": count["commands"] / tokens,
        "appends per token": count["appends"] / tokens,
        "bytes in per token": count["in"] / tokens,
        "bytes out per token": count["out"] / tokens,
        "log bytes per token": log / sum(ask.count for ask in said.asks.values()),
        "tokens an answer": sum(ask.count for ask in said.asks.values()) / sessions,
        "KiB per session": weight / sessions / 1024,
        "bytes per channel": await _channel(client),
    }


async def _counted(client: redis.asyncio.Redis) -> dict[str, float]:
    """Read Redis's own counters: commands, but for those that scripts call; scripts; bytes in and out."""
    stats: dict[str, Any] = await client.info("stats")
    commands: dict[str, Any] = await client.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): value["calls"] for name, value in commands.items()}
    return {
        "commands": stats["total_commands_processed"], "appends": calls.get("evalsha", 0),
        "in": stats["total_net_input_bytes"], "out": stats["total_net_output_bytes"],
    }  # fmt: skip


async def _bytes(client: redis.asyncio.Redis, keys: Iterable[str]) -> int:
    """Weigh keys, with all that they hold."""
    async with client.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.memory_usage(key, samples=0)
        return sum(weight or 0 for weight in await pipe.execute())


async def _channel(client: redis.asyncio.Redis) -> float:
    """What one more channel that one node hears takes of Redis's memory."""
    before = (await client.info("memory"))["used_memory"]
    async with client.pubsub() as heard:
        for start in range(0, CHANNELS, PORTION):
            await heard.subscribe(*(f"{{b000}}:live:{'u' * 22}/{'s' * 16}{start + n}" for n in range(PORTION)))
            for _ in range(PORTION):
                await heard.get_message(timeout=5.0)
        return float((await client.info("memory"))["used_memory"] - before) / CHANNELS
