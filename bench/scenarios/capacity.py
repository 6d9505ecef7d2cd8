"""Capacity: the most sessions that one core sustains at 50 tokens/s each, with p99 of all delays within a limit.

From a guess, the number is doubled until a limit is passed, then halved between what held and what did not, to a step
of 10 %. Each step has nodes and a Redis of its own, so that no backlog is inherited, and a second try where it fails.
"""

import math
from typing import Final

from bench.drive import Overwhelmed
from bench.machine import Cores, Unmeasurable
from bench.numbers import Figures
from bench.scenarios import Case
from bench.scenarios.tokens import RATE, SPREAD_SECONDS, stream
from bench.systems import System, running

LIMITS_MS: Final = (100, 250)
MOST: Final = 1600
STEP: Final = 1.1
TRIES: Final = 3
SECONDS: Final = 5.0
WHOLE: Final = 0.97  # of what was due must have come: answers that began late are fewer at a time
BEGUN_A_SECOND: Final = 400


def cases() -> list[Case]:
    """Search once."""
    return [Case("capacity", "one core", measure)]


class Search:
    """What is known so far of one system: p99 by the number of sessions."""

    def __init__(self, system: System, cores: Cores) -> None:
        self.p99: dict[int, float] = {}
        self._system = system
        self._cores = cores

    async def holds(self, sessions: int, limit_ms: float) -> bool:
        """Say whether so many sessions are within a limit."""
        if sessions not in self.p99:
            self.p99[sessions] = await self._try(sessions)
            if self.p99[sessions] > limit_ms:
                self.p99[sessions] = min(self.p99[sessions], await self._try(sessions))
        return self.p99[sessions] <= limit_ms

    async def _try(self, sessions: int) -> float:
        for _ in range(TRIES):
            try:
                async with running(self._system, self._cores) as run:
                    spread_s = max(SPREAD_SECONDS, sessions / BEGUN_A_SECOND)
                    found = await stream(run, sessions=sessions, seconds=SECONDS, spread_s=spread_s, whole=False)
                    return found["p99 ms"] if found["tokens/s"] >= WHOLE * RATE * sessions else math.inf
            except Overwhelmed:
                break
            except Unmeasurable as error:
                print(f"capacity: {sessions} sessions of {self._system.name} count as too many: {error}")
        return math.inf

    async def most(self, limit_ms: float) -> int:
        """Search for the most sessions within a limit."""
        good, bad = 0, self._system.about
        while bad <= MOST and await self.holds(bad, limit_ms):
            good, bad = bad, bad * 2
        while bad > max(good * STEP, good + 1):
            middle = (good + bad) // 2
            good, bad = (middle, bad) if await self.holds(middle, limit_ms) else (good, middle)
        return good


async def measure(system: System, cores: Cores) -> Figures:
    """Search for each limit; what the load itself cannot do counts as too much."""
    search = Search(system, cores)
    most: Figures = {f"sessions at {limit} ms": await search.most(limit) for limit in reversed(LIMITS_MS)}
    return most | {f"p99 at {sessions}": search.p99[sessions] for sessions in sorted(search.p99)}
