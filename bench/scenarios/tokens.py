"""Tokens across two nodes: every answer is produced at A, and read by one client at B.

What a token costs is the CPU time of both nodes and of Redis, divided by the tokens that came to readers meanwhile.
A delay is from when a token was due, by the upstream's schedule, to when its reader had it; one that had not come
half a second after the window was over counts as infinite.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from bench.drive import Overwhelmed, Talk, Window, steady, talk, window
from bench.machine import Cores
from bench.numbers import Figures, percentile
from bench.scenarios import Case
from bench.systems import Running, System, running
from bench.tokens import TICKS

SESSIONS: Final = (25, 100)
SECONDS: Final = 8.0
RATE: Final = 50
SPREAD_SECONDS: Final = 1.0
SETTLE_SECONDS: Final = 1.0
AFTER_SECONDS: Final = 0.5
JOIN_SECONDS: Final = 0.5

Watch = Callable[[Running, float], Awaitable[None]]


def cases(
    sessions: tuple[int, ...] = SESSIONS, seconds: float = SECONDS, *, delays: bool = True, watch: Watch | None = None
) -> list[Case]:
    """Measure for each number of sessions; see `stream`."""
    told = partial(measure, seconds=seconds, delays=delays, watch=watch)
    return [Case("tokens", f"{count} sessions", partial(told, sessions=count), variants=True) for count in sessions]


async def measure(
    system: System, cores: Cores, *, sessions: int, seconds: float, delays: bool = True, watch: Watch | None = None
) -> Figures:
    """Measure once; raises as `stream` does."""
    async with running(system, cores) as run:
        return await stream(run, sessions=sessions, seconds=seconds, delays=delays, watch=watch)


async def stream(
    run: Running,
    *,
    sessions: int,
    seconds: float,
    readers: int = 1,
    join_s: float = JOIN_SECONDS,
    spread_s: float = SPREAD_SECONDS,
    whole: bool = True,
    delays: bool = True,
    watch: Watch | None = None,
) -> Figures:
    """Have so many answers, begun within `spread_s`, stream to as many readers each; for `join_s` see `drive.talk`.
    They must come `whole`, unless not asked to; without `delays`, these may be wrong; `watch` is done meanwhile.

    Raises:
        Unmeasurable: the load could not keep up.
        Overwhelmed: an answer was not whole.
    """
    long = spread_s + SETTLE_SECONDS + seconds + 2 * AFTER_SECONDS
    with steady():
        said = await talk(run, run.b, sessions=sessions, rate=RATE, seconds=long, readers=readers, join_s=join_s)
        await said.begin(run.a, spread_s)
        await asyncio.sleep(SETTLE_SECONDS)
        watching = asyncio.ensure_future(watch(run, seconds)) if watch else None
        seen = await window(run, seconds)
        await asyncio.sleep(AFTER_SECONDS)
        found = figures(said, seen)
        if watching is not None:
            await watching
        lacking = len(said.answers) - (await said.over()) if whole else 0
        said.leave()
    seen.must_count(delays=delays)
    if lacking:
        raise Overwhelmed(f"{run.system.name}: {lacking} of {len(said.answers)} answers were not whole")
    return found


def figures(said: Talk, seen: Window) -> Figures:
    """Sum up a window.

    Raises:
        Overwhelmed: nothing came.
    """
    came = said.tally.came_in(seen.since, seen.until)
    delays = said.tally.delays_ms(seen.since, seen.until)
    due = sum(answer.due_in(seen.since, seen.until) for answer in said.answers)
    delays += [math.inf] * (due - len(delays))
    firsts = sorted(delay * 1000 / TICKS for delay in said.tally.firsts)
    if not came or not delays:
        raise Overwhelmed(f"{said.run.system.name}: no token came")
    return {
        "µs per token": seen.cost.total * 1e6 / came,
        **{f"µs {name}": seconds * 1e6 / came for name, seconds in seen.cost.seconds.items()},
        "tokens/s": came / seen.seconds,
        "cores": seen.cost.total / seen.seconds,
        "p50 ms": percentile(delays, 50),
        "p99 ms": percentile(delays, 99),
        "max ms": delays[-1],
        "first p50 ms": percentile(firsts, 50),
        "first p99 ms": percentile(firsts, 99),
        **seen.figures,
    }
