"""A reader of one session: a cursor, and what it was given."""

import contextlib
from collections.abc import Coroutine
from typing import Any, Final

import msgpack

from app.core.entries import merged
from app.core.errors import NotFound
from app.core.model import START, Cursor, Session
from app.core.protocol import Frame
from app.core.transcript import Transcript
from app.state.outcomes import Reset
from app.state.sessions import Sessions
from tests.proof.laws import law
from tests.proof.world import World

PREFIX: Final = "what a reader has is a part of the log without a gap, or it is told to begin again"
SHOWS: Final = "what a reader shows of a run is what stands in the log"


class Reader:
    """Somebody who follows a session: hears what is published, and reads what was missed."""

    def __init__(self, world: World, session: Session, sessions: Sessions) -> None:
        self.session = session
        self.cursor = START
        self.hears = True
        self._seen: list[tuple[Cursor, bytes]] = []  # since it last began
        self._shows = Transcript(session.id)
        self._world = world
        self._sessions = sessions
        world.listeners.append(self.heard)

    def heard(self, session: Session, after: Cursor, at: Cursor, added: list[bytes]) -> None:
        """Apply what is published, if it follows; else this reader is behind, or has it already."""
        if self.hears and session == self.session and after == self.cursor:
            ids = [Cursor(at.ms, seq) for seq in range(after.seq + 1, at.seq + 1)]
            self._apply(ids, added, [msgpack.unpackb(raw) for raw in added])

    def do(self, asked: Coroutine[Any, Any, None]) -> None:
        """Do something at once: no answer to a reader gets lost here."""
        try:
            asked.send(None)
        except StopIteration:
            return
        raise AssertionError("it waits")

    async def read(self) -> None:
        """Catch up by one read; begin again where that is what it says."""
        outcome = Reset("lost") if self._shows.awaiting else await self._sessions.read(self.session, self.cursor)
        if isinstance(outcome, Reset):
            snapshot = await self._sessions.snapshot(self.session)
            self.cursor, self._seen = snapshot.at, []
            frame: Frame = {"type": "snapshot", "at": str(snapshot.at), "title": snapshot.title, "run": snapshot.run}
            self._shows.apply(frame)
            self._is_true()
            return
        law(PREFIX, outcome.batch.after == self.cursor, outcome, self.cursor)
        self._apply(list(outcome.batch.ids), list(outcome.batch.entries), merged(outcome.batch.entries))
        law(PREFIX, self.cursor == outcome.batch.at, outcome, self.cursor)

    async def ask(self, session: Session, cursor: Cursor) -> None:
        """Read from any cursor; what is given is held to its contract."""
        await self._sessions.read(session, cursor)

    async def look_back(self, session: Session, before: str | None, limit: int, of: str | None) -> None:
        """Read older turns, and the newest; they are held to their contract."""
        await self._sessions.snapshot(session, limit)
        with contextlib.suppress(NotFound):
            await self._sessions.history(session, before, limit, of=of)

    def _apply(self, ids: list[Cursor], added: list[bytes], shown: list[Frame]) -> None:
        if ids:
            frame: Frame = {"type": "batch", "after": str(self.cursor), "at": str(ids[-1]), "entries": shown}
            self._shows.apply(frame)
        self._seen += zip(ids, added, strict=True)
        self.cursor = ids[-1] if ids else self.cursor
        log = self._world.told[self.session].log[: self.cursor.seq]
        law(PREFIX, not self._seen or log[-len(self._seen) :] == self._seen, self._seen, log)
        self._is_true()

    def _is_true(self) -> None:
        """Hold what it shows to what stands, where it has all of it."""
        told = self._world.told[self.session]
        if self.cursor == told.at and not self._shows.awaiting:
            shows, stands = self._shows.run, told.run
            law(SHOWS, (shows and shows.wire()) == (stands and stands.shown()), shows, "and not", stands)
