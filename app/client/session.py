"""One open session of the client: its transcript, and a bell for each change.

Whoever follows slowly slows the connection's reading, and with that the server lets this reader lag: nothing is
queued without bound anywhere.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from app.core.errors import ChatError, NotFound
from app.core.protocol import Frame
from app.core.transcript import Outcome, Transcript

UNTAKEN: Final = 256


class Session:
    """One open session: its transcript, and a bell for each change."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.transcript = Transcript(id)
        self.ends: dict[str, Frame] = {}  # by run, the ends that were seen here
        self.behind = False  # asked to open again; batches until its `ok` do not count
        self.batches: list[Frame] = []  # what `follow` has not taken yet; only while somebody follows
        self._followed = 0
        self._changed = asyncio.Condition()

    async def until(self, ready: Callable[[], object]) -> None:
        """Wait until `ready()` is true, looking at each change."""
        async with self._changed:
            await self._changed.wait_for(ready)

    def turn(self, id: str) -> Frame | None:
        """The turn of that id, if it is in the history here, or is an answer that was cut off just now."""
        turns = self.transcript.turns
        return next((turn for turn in turns if turn["id"] == id), self.transcript.answered.get(id))

    async def ring(self) -> None:
        """Have whoever waits look again."""
        async with self._changed:
            self._changed.notify_all()

    async def follow(self) -> AsyncIterator[Frame]:
        """Yield each frame (`batch`, `reset`, `snapshot`) as it is applied, without end."""
        self._followed += 1
        try:
            while True:
                await self.until(lambda: self.batches)
                async with self._changed:
                    taken, self.batches = self.batches, []
                    self._changed.notify_all()
                for frame in taken:
                    yield frame
        finally:
            self._followed -= 1

    async def take(self, frame: Frame) -> Outcome:
        """Apply a frame by the client's one rule; see `Transcript.apply`."""
        async with self._changed:
            outcome = self.transcript.apply(frame)
            if outcome == "applied":
                for entry in frame.get("entries", ()):
                    if entry["kind"] == "end":
                        self.ends[entry["run"]] = entry
                if self._followed:
                    self.batches.append(frame)
                self._changed.notify_all()
                await self._changed.wait_for(lambda: len(self.batches) < UNTAKEN or not self._followed)
            return outcome


class Said:
    """A turn that was accepted: its session, its run, and whether it had been said before.

    `run` is another one after Redis has lost the turn and the client has said it again.
    """

    def __init__(self, session: Session, reply: Frame) -> None:
        self.session = session
        self.run: str = reply["run"]
        self.at: str = reply["at"]
        self.duplicate: bool = reply["duplicate"]
        self.refused: ChatError | None = None

    async def answer(self) -> Frame:
        """Wait for the run's end and return the assistant's turn.

        Raises:
            LookupError: the run left no turn: it was stopped while queued, or its session was deleted.
            ChatError: the turn was lost, said again, and refused; or what it is about is there no more.
        """
        session = self.session
        await session.until(
            lambda: session.turn(self.run) or self.run in session.ends or session.transcript.gone or self.refused
        )
        if self.refused is not None:
            raise self.refused
        found = session.turn(self.run)
        if found is None and (session.ends.get(self.run) or {}).get("code") == NotFound.code:
            raise NotFound("the turn that was to be answered has left the history")
        if found is None:
            raise LookupError(f"run {self.run} left no answer")
        return found
