"""A bell: what is waited for at every token, without the cost of an event and of a time limit."""

import asyncio
import math
from typing import Final

EARLY_SECONDS: Final = 0.002  # a timer may come so much too early


class Bell:
    """Rung by anybody; heard once, by the one who waits for it, then or later.

    A limit has one timer, which is not set anew for each wait, but only when it comes too early.
    """

    __slots__ = ("_loop", "_rung", "_timer", "_until", "_waiter")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._rung = False
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._until = math.inf

    def ring(self) -> None:
        """Ring."""
        self._rung = True
        self._wake()

    async def heard(self, seconds: float = math.inf) -> bool:
        """Return when it has rung since it was last heard, or after so many seconds; say whether it rang."""
        if not self._rung:
            self._waiter = self._loop.create_future()
            self._until = self._loop.time() + seconds
            self._look()
            try:
                await self._waiter
            finally:
                self._waiter = None
        rung, self._rung = self._rung, False
        return rung

    def _look(self) -> None:
        """See to it that there is a timer that comes in time."""
        if self._until == math.inf or (self._timer is not None and self._timer.when() <= self._until):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._until, self._came)

    def _came(self) -> None:
        self._timer = None
        if self._waiter is None:
            return
        if self._loop.time() >= self._until - EARLY_SECONDS:
            self._wake()
        else:
            self._look()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
