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
from app.state.outcomes import (
    Again,
    Appended,
    Carry,
    Decided,
    Ended,
    Fenced,
    Held,
    Lost,
    Renewed,
    Restored,
    ToStop,
    Wanted,
)
from app.state.runs import Closing, Doing, Runs

AGAIN_SECONDS: Final = 0.25

T = TypeVar("T")


class FencedOut(Exception):
    """This run is somebody else's now, or nobody's."""


class Writing:
    """What a producer writes of one run. Owned by the run.

    `anew` makes entries of all that readers must be told again, for an attempt, where Redis remembers so many appends.
    """

    def __init__(
        self, carry: Carry, runs: Runs, *, lease_s: float, deadline: float, anew: Callable[[int, int], list[bytes]]
    ) -> None:
        self.writer = carry.writer
        self.attempt = carry.attempt
        self.wanted: Wanted = ""  # somebody wants the run to end, or to be held
        self.count = 0  # appends that are known to be stored
        self.renewed_at = time.monotonic()  # the lease has been renewed, or that was tried
        self._runs = runs
        self._lease_s = lease_s
        self._deadline = deadline
        self._anew = anew
        self._doing: Doing | None = None  # what the run's record knows
        self._place = ""
        self._kept: list[tuple[Cursor, Cursor, list[bytes]]] = []  # the newest appends, as they are in the log

    @property
    def stop(self) -> bool:
        """Whether the run is to end."""
        return self.wanted == "stop"

    async def append(self, added: list[bytes], place: str = "") -> None:
        """Append encoded entries; `place` is where the upstream can be taken up after these.

        Raises:
            FencedOut, StateUnavailable
        """
        await self._write(added, None, place or self._place)

    async def work(self, added: list[bytes], doing: Doing) -> None:
        """Append encoded entries of what is done besides writing; raises as `append` does."""
        self._doing = doing
        await self._write(added, doing, "")

    async def hold(self, why: str, until_ms: int, entry: bytes, closing: Closing) -> Held | Decided | ToStop:
        """Let the run wait for a person; raises as `append` does."""
        while True:
            ask = partial(self._runs.hold, self.writer, self.count, why, until_ms, entry, closing)
            match await self._certainly(ask):
                case Lost(count=count):
                    if not await self._restored(count):
                        await self._write(self._anew(self.attempt, count), self._doing, self._place)
                case Fenced():
                    raise FencedOut
                case ToStop() as held:
                    self.wanted = "stop"
                    return held
                case Decided() as held:
                    self.wanted = ""
                    return held
                case held:
                    return held

    async def again(self, how: str, model: str = "") -> None:
        """Begin another attempt; or go on with another model, which is none.

        Raises:
            FencedOut: also where there are no more; whoever claims the run then ends it.
            StateUnavailable
        """
        while True:
            match await self._certainly(partial(self._runs.again, self.writer, self.count, how, model)):
                case Again(attempt=attempt, wanted=wanted):
                    self.count += 1
                    self.attempt, self._place = attempt, ""
                    self._hear(wanted)
                    self._kept.clear()  # the run's record changed with it: it cannot be put back as an entry only
                    return
                case Lost(count=count):
                    if not await self._restored(count):
                        await self._write(self._anew(self.attempt, count), self._doing, self._place)
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
                    if not await self._restored(count):
                        added = [*self._anew(self.attempt, count), added[-1]]
                case _:
                    raise FencedOut

    async def placed(self, place: str) -> None:
        """Note where the upstream can be taken up, before there is anything to append; raises as `renew` does."""
        self._place = place
        await self.renew(place)

    async def renew(self, place: str = "") -> None:
        """Say that the writer lives, and hear what is wanted; if Redis does not answer, that is for next time.

        Raises:
            FencedOut
        """
        self.renewed_at = time.monotonic()
        try:
            renewed = await self._runs.renew(self.writer, self.count, place)
        except StateUnavailable:
            return
        match renewed:
            case Renewed(wanted=wanted):
                self._hear(wanted)
            case Fenced():
                raise FencedOut

    async def release(self) -> None:
        """Give the run up."""
        await self._runs.release(self.writer)

    async def _write(self, added: list[bytes], doing: Doing | None, place: str) -> None:
        """Append entries; the upstream is at `place` then. With `doing`, the run's record knows it from then on."""
        while True:
            ask: Callable[[], Awaitable[Appended | Fenced | Lost]]
            if doing is None:
                ask = partial(self._runs.append, self.writer, self.count, added, place)
            else:
                ask = partial(self._runs.work, self.writer, self.count, added, doing)
            try:
                outcome = await ask()
                self.renewed_at = time.monotonic()
            except StateUnavailable:
                outcome = await self._certainly(ask)
            match outcome:
                case Appended(after=after, at=at, wanted=wanted):
                    self.count += 1
                    self._hear(wanted)
                    if doing is None:
                        self._place = place
                        self._kept.append((after, at, added))
                    else:
                        self._place = ""
                        self._kept.clear()  # it cannot be put back as entries only
                    return
                case Lost(count=count):
                    if not await self._restored(count):
                        added, doing = self._anew(self.attempt, count), self._doing
                case _:
                    raise FencedOut

    def _hear(self, wanted: Wanted) -> None:
        """Note what is wanted; an end is for good."""
        if self.wanted != "stop":
            self.wanted = wanted

    async def _restored(self, count: int) -> bool:
        """Put back what Redis has forgotten after `count` appends; False where the text must be appended anew."""
        lost = self._kept[len(self._kept) - (self.count - count) :] if self.count - count <= len(self._kept) else []
        if lost and self.count > count:
            match await self._certainly(partial(self._runs.restore, self.writer, count, lost, self._place)):
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
