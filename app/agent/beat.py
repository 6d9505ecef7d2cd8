"""The moments at which text goes out: what many runs have to write leaves in a few writes, and not in one for each."""

import asyncio
import math
from typing import Final

from app.agent.bell import Bell

GROUPS: Final = 2  # of runs, one after the other, so that no moment has them all


class Beat:
    """A clock for all runs of a node. Owned by the runner."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: list[list[Bell]] = [[] for _ in range(GROUPS)]
        self._joined = 0
        self._loop = asyncio.get_running_loop()

    def join(self) -> int:
        """Give a run its group."""
        self._joined += 1
        return self._joined % GROUPS

    def ring(self, bell: Bell, group: int) -> None:
        """Ring a bell at the next beat of its group."""
        if not self._seconds:
            bell.ring()
            return
        waiting = self._waiting[group]
        if not waiting:
            offset = self._seconds * group / GROUPS
            beats = math.floor((self._loop.time() - offset) / self._seconds + 1)
            self._loop.call_at(beats * self._seconds + offset, self._ring, group)
        waiting.append(bell)

    def _ring(self, group: int) -> None:
        waiting, self._waiting[group] = self._waiting[group], []
        for bell in waiting:
            bell.ring()
