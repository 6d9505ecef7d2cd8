"""When each socket gets its heartbeat: once in every interval, at a time of its own, so that no moment has them all."""

import asyncio
import random
from typing import Final, Protocol

SLOTS: Final = 250  # of an interval


class Beating(Protocol):
    """Somebody who gets heartbeats."""

    def beat(self) -> None:
        """Take one."""


class Heartbeat:
    """Who gets a heartbeat in which slot of the interval."""

    def __init__(self) -> None:
        self._slots: list[set[Beating]] = [set() for _ in range(SLOTS)]
        self._slot_of: dict[Beating, set[Beating]] = {}

    def add(self, one: Beating) -> None:
        """Give one a slot; its first heartbeat is within an interval."""
        slot = self._slot_of[one] = random.choice(self._slots)
        slot.add(one)

    def remove(self, one: Beating) -> None:
        """Give it no more."""
        self._slot_of.pop(one).remove(one)

    async def run(self, seconds: float) -> None:
        """Give everybody a heartbeat once in so many seconds, until cancelled."""
        time = asyncio.get_running_loop().time
        due = time()
        while True:
            for slot in self._slots:
                due = max(due + seconds / SLOTS, time())
                await asyncio.sleep(due - time())
                for one in list(slot):
                    one.beat()

    def once(self) -> None:
        """Give everybody one now."""
        for one in list(self._slot_of):
            one.beat()
