"""The moments at which text goes out: what many runs have to write leaves in a few writes, and not in one for each."""

import asyncio
import math
from collections.abc import Callable
from typing import Final

GROUPS: Final = 2  # of runs, one after the other, so that no moment has them all


class Beat:
    """A clock for all runs of a node. Owned by the runner."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: list[list[Callable[[], None]]] = [[] for _ in range(GROUPS)]
        self._joined = 0
        self._loop = asyncio.get_running_loop()

    def join(self) -> int:
        """Give a run its group."""
        self._joined += 1
        return self._joined % GROUPS

    def at(self, group: int, call: Callable[[], None]) -> None:
        """Call something at a group's next beat."""
        if not self._seconds:
            call()
            return
        waiting = self._waiting[group]
        if not waiting:
            offset = self._seconds * group / GROUPS
            beats = math.floor((self._loop.time() - offset) / self._seconds + 1)
            self._loop.call_at(beats * self._seconds + offset, self._beat, group)
        waiting.append(call)

    def _beat(self, group: int) -> None:
        waiting, self._waiting[group] = self._waiting[group], []
        for call in waiting:
            call()
