"""A bell: what is waited for at every token, without the cost of an event and of a time limit."""

import asyncio


class Bell:
    """Rung by anybody; heard once, by the one who waits for it, then or later."""

    __slots__ = ("_loop", "_rung", "_waiter")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._rung = False
        self._waiter: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """Ring."""
        self._rung = True
        self._wake()

    def ring_in(self, seconds: float) -> None:
        """Ring after so many seconds."""
        if seconds > 0:
            self._loop.call_later(seconds, self.ring)
        else:
            self.ring()

    async def heard(self, seconds: float | None = None) -> bool:
        """Return when it has rung since it was last heard, or after so many seconds; say whether it rang."""
        if not self._rung:
            self._waiter = self._loop.create_future()
            timer = self._loop.call_later(seconds, self._wake) if seconds is not None else None
            try:
                await self._waiter
            finally:
                self._waiter = None
                if timer is not None:
                    timer.cancel()
        rung, self._rung = self._rung, False
        return rung

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
