"""Clients at work, and a window of time in which everything is counted.

The load is one process: this one. It is part of what is measured if it cannot keep up, so it counts itself, too, and a
window in which its core was too busy is no result.
"""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, TypeVar

from bench.machine import Unmeasurable, busy_s, cpu_s
from bench.sockets import request
from bench.systems import Cost, Reader, Running
from bench.tokens import TICKS, Answer, Ask, Tally, ticks

T = TypeVar("T")
AT_ONCE: Final = 50  # connections that are made at the same time
SATURATED: Final = 0.9  # of the load's core: past that, delays are the load's own
LATE_MS: Final = 20.0  # p99 of the upstream's own lateness, past which delays are its own
END_SECONDS: Final = 20.0
STEP_SECONDS: Final = 0.02


@dataclass(slots=True)
class Window:
    """What happened from `since` to `until`, in ticks."""

    since: int = 0
    until: int = 0
    cost: Cost = field(default_factory=lambda: Cost({}))
    load_cores: float = 0.0  # of the load's core, what load and upstream took
    others: float = 0.0  # of the nodes' core, what was taken by processes that are not ours
    upstream: dict[str, float] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """How long it was."""
        return (self.until - self.since) / TICKS

    @property
    def figures(self) -> dict[str, float]:
        """How far this window may be trusted: shares of cores, and how late the upstream itself was."""
        return {"load core": self.load_cores, "others": self.others, "upstream p99 ms": self.upstream["p99_ms"]}

    def must_count(self, *, delays: bool = True) -> None:
        """Refuse a window in which the load was the bottleneck; one without `delays` may have a late upstream.

        Raises:
            Unmeasurable
            Overwhelmed: it was the system, which reads too slowly.
        """
        if self.load_cores > SATURATED:
            raise Unmeasurable(
                f"the load's core was saturated ({self.load_cores:.0%} busy): the figures would be wrong"
            )
        late = delays and self.upstream["p99_ms"] > LATE_MS
        if late and self.cost.total > SATURATED * self.seconds:
            raise Overwhelmed("the nodes' core was full, and the upstream waited until it was read")
        if late:
            raise Unmeasurable(f"the upstream was late itself (p99 {self.upstream['p99_ms']:.0f} ms)")


async def window(run: Running, seconds: float) -> Window:
    """Count what a system costs for a while."""
    await request(run.upstream.port, "/stats")  # begins a new count there
    seen = Window()
    cost, load, core, since = run.cost(), _load_s(run), busy_s(run.cores.nodes), time.monotonic()
    seen.since = ticks()
    await asyncio.sleep(seconds)
    seen.until = ticks()
    seen.cost = run.cost().since(cost)
    passed = time.monotonic() - since
    seen.load_cores = (_load_s(run) - load) / passed
    seen.others = max(0.0, (busy_s(run.cores.nodes) - core - seen.cost.total) / passed)
    seen.upstream = await request(run.upstream.port, "/stats")
    return seen


def _load_s(run: Running) -> float:
    return time.process_time() + cpu_s(run.upstream.pid)


async def all_of(things: Sequence[T], do: Callable[[T], Awaitable[object]], at_once: int = AT_ONCE) -> None:
    """Do something for each, a few at the same time; raises what the first raises that cannot."""
    waiting = iter(things)

    async def work() -> None:
        for thing in waiting:
            await do(thing)

    tasks = [asyncio.ensure_future(work()) for _ in range(min(at_once, len(things)))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Overwhelmed(Unmeasurable):
    """The system did not do its work: some readers were shown nothing, or not all."""


@dataclass(slots=True)
class Talk:
    """Some sessions, each with an answer under way and its readers."""

    run: Running
    tally: Tally
    asks: dict[str, Ask]
    readers: dict[str, list[Reader]]
    port: int  # where the readers are

    @property
    def clients(self) -> list[Reader]:
        """All readers."""
        return [reader for readers in self.readers.values() for reader in readers]

    @property
    def answers(self) -> list[Answer]:
        """What each reader has."""
        return [reader.answer for reader in self.clients if reader.answer is not None]

    async def begin(self, port: int, spread_s: float) -> None:
        """Ask in all sessions, one after the other within that time; return when every reader has its first text.

        Raises:
            Overwhelmed: some have nothing, after a while.
        """
        began = time.monotonic()

        async def ask(numbered: tuple[int, str]) -> None:
            index, session = numbered
            await asyncio.sleep(began + spread_s * index / len(self.asks) - time.monotonic())
            await self.run.system.say(port, session, self.asks[session])
            if self.run.system.begins_first:
                await all_of(self.readers[session], lambda reader: reader.follow(self.port))

        await all_of(list(enumerate(self.asks)), ask, len(self.asks))
        if not await until(lambda: all(answer.count for answer in self.answers)):
            dumb = sum(not answer.count for answer in self.answers)
            raise Overwhelmed(f"{self.run.system.name}: {dumb} of {len(self.answers)} readers were shown nothing")

    async def over(self, seconds: float = END_SECONDS) -> int:
        """Wait for the end of all answers; return how many are whole."""
        await until(lambda: all(answer.ended for answer in self.answers), seconds)
        return sum(answer.whole for answer in self.answers)

    def leave(self) -> None:
        """Cut all connections."""
        for reader in self.clients:
            reader.drop()


async def until(condition: Callable[[], bool], seconds: float = END_SECONDS) -> bool:
    """Wait until something is so; say whether it is."""
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > limit:
            return False
        await asyncio.sleep(STEP_SECONDS)
    return True


async def talk(
    run: Running, port: int, *, sessions: int, rate: int, seconds: float, readers: int = 1, join_s: float = 0.5
) -> Talk:
    """Make sessions, each followed at a node; their answers, not yet asked for, are `seconds` long, and evenly out of
    step with each other. Where a session can be followed only once its answer has begun, there is `join_s` for that.
    """
    tally = Tally()
    wait_s = join_s if run.system.begins_first else 0.0
    asks = {f"s{ticks()}-{index}": Ask.at(rate, seconds, index / sessions, wait_s) for index in range(sessions)}
    clients = {
        name: [run.system.reader(name, Answer(ask, tally)) for _ in range(readers)] for name, ask in asks.items()
    }
    said = Talk(run, tally, asks, clients, port)
    if not run.system.begins_first:
        await all_of(said.clients, lambda reader: reader.follow(port))
    return said


@contextmanager
def steady() -> Iterator[None]:
    """Keep the load's own garbage collector out of what is measured."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
