"""One writer's appends to the log, each stored once, whatever becomes of an answer.

Rules: one append, attempt or end is in flight at a time, and an unknown outcome is asked again with the same count.
Where Redis has forgotten appends (a failover), they are put back under their old ids, if nothing came after; no reader
notices then. Else all of the text is appended anew. A fence ends it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeVar

from app.core.errors import StateUnavailable
from app.core.model import Cursor, Turn
from app.state.outcomes import Again, Appended, Carry, Ended, Fenced, Lost, Renewed, Restored
from app.state.runs import Runs

AGAIN_SECONDS: Final = 0.25

T = TypeVar("T")


class FencedOut(Exception):
    """This run is somebody else's now, or nobody's."""


class Writing:
    """What a producer writes of one run. Owned by the run; `anew` makes entries of its text, for an attempt."""

    def __init__(
        self, carry: Carry, runs: Runs, *, lease_s: float, deadline: float, anew: Callable[[int], list[bytes]]
    ) -> None:
        self.writer = carry.writer
        self.attempt = carry.attempt
        self.stop = False  # somebody wants the run to end
        self.count = 0  # appends that are known to be stored
        self.renewed_at = time.monotonic()  # the lease has been renewed, or that was tried
        self._runs = runs
        self._lease_s = lease_s
        self._deadline = deadline
        self._anew = anew
        self._kept: list[tuple[Cursor, Cursor, list[bytes]]] = []  # the newest appends, as they are in the log

    async def append(self, added: list[bytes]) -> None:
        """Append encoded entries.

        Raises:
            FencedOut, StateUnavailable
        """
        while True:
            try:
                outcome = await self._runs.append(self.writer, self.count, added)
                self.renewed_at = time.monotonic()
            except StateUnavailable:
                outcome = await self._certainly(partial(self._runs.append, self.writer, self.count, added))
            match outcome:
                case Appended(after=after, at=at, stop=stop):
                    self.count += 1
                    self.stop = self.stop or stop
                    self._kept.append((after, at, added))
                    return
                case Lost(count=count):
                    added = added if await self._restored(count) else self._anew(self.attempt)
                case _:
                    raise FencedOut

    async def again(self, how: str) -> None:
        """Begin another attempt.

        Raises:
            FencedOut: also where there are no more; whoever claims the run then ends it.
            StateUnavailable
        """
        while True:
            match await self._certainly(partial(self._runs.again, self.writer, self.count, how)):
                case Again(attempt=attempt, stop=stop):
                    self.count += 1
                    self.attempt, self.stop = attempt, self.stop or stop
                    self._kept.clear()  # the run's record changed with it: it cannot be put back as an entry only
                    return
                case Lost(count=count):
                    if not await self._restored(count):
                        await self.append(self._anew(self.attempt))
                case _:
                    raise FencedOut

    async def end(self, added: list[bytes], turn: Turn, *, titles: bool = False) -> Ended:
        """End the run with encoded entries, the last of which is `end`.

        Raises:
            FencedOut, StateUnavailable
        """
        while True:
            match await self._certainly(partial(self._runs.end, self.writer, self.count, added, turn, titles=titles)):
                case Ended() as ended:
                    return ended
                case Lost(count=count):
                    added = added if await self._restored(count) else [*self._anew(self.attempt), added[-1]]
                case _:
                    raise FencedOut

    async def renew(self) -> None:
        """Say that the writer lives, and hear whether it is to stop; if Redis does not answer, that is for next time.

        Raises:
            FencedOut
        """
        self.renewed_at = time.monotonic()
        try:
            renewed = await self._runs.renew(self.writer)
        except StateUnavailable:
            return
        match renewed:
            case Renewed(stop=stop):
                self.stop = self.stop or stop
            case Fenced():
                raise FencedOut

    async def release(self) -> None:
        """Give the run up."""
        await self._runs.release(self.writer)

    async def _restored(self, count: int) -> bool:
        """Put back what Redis has forgotten after `count` appends; False where the text must be appended anew."""
        lost = self._kept[len(self._kept) - (self.count - count) :] if self.count - count <= len(self._kept) else []
        if lost and self.count > count:
            match await self._certainly(partial(self._runs.restore, self.writer, count, lost)):
                case Restored():
                    return True
                case Fenced():
                    raise FencedOut
        self.count = count
        self._kept.clear()
        return False

    async def _certainly(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask until Redis answers; after the run's deadline and one lease more, give up."""
        while True:
            try:
                answer = await ask()
                self.renewed_at = time.monotonic()
                return answer
            except StateUnavailable:
                if time.monotonic() > self._deadline + self._lease_s:
                    raise
                await asyncio.sleep(AGAIN_SECONDS)
