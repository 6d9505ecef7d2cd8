"""A reader of one session: a cursor, and what it was given."""

import contextlib
from collections.abc import Coroutine
from typing import Any, Final

from app.core.errors import NotFound
from app.core.model import START, Cursor, Session
from app.state.outcomes import Reset
from app.state.sessions import Sessions
from tests.proof.laws import law
from tests.proof.world import World

PREFIX: Final = "what a reader has is a part of the log without a gap, or it is told to begin again"


class Reader:
    """Somebody who follows a session: hears what is published, and reads what was missed."""

    def __init__(self, world: World, session: Session, sessions: Sessions) -> None:
        self.session = session
        self.cursor = START
        self.hears = True
        self._seen: list[tuple[Cursor, bytes]] = []  # since it last began
        self._world = world
        self._sessions = sessions
        world.listeners.append(self.heard)

    def heard(self, session: Session, after: Cursor, at: Cursor, added: list[bytes]) -> None:
        """Apply what is published, if it follows; else this reader is behind, or has it already."""
        if self.hears and session == self.session and after == self.cursor:
            self._apply([Cursor(at.ms, seq) for seq in range(after.seq + 1, at.seq + 1)], added)

    def do(self, asked: Coroutine[Any, Any, None]) -> None:
        """Do something at once: no answer to a reader gets lost here."""
        try:
            asked.send(None)
        except StopIteration:
            return
        raise AssertionError("it waits")

    async def read(self) -> None:
        """Catch up by one read; begin again where that is what it says."""
        outcome = await self._sessions.read(self.session, self.cursor)
        if isinstance(outcome, Reset):
            snapshot = await self._sessions.snapshot(self.session)
            now = self._world.told[self.session].run
            law(PREFIX, (snapshot.run or {}).get("text") == (now.text if now is not None else None), snapshot, now)
            self.cursor, self._seen = snapshot.at, []
            return
        law(PREFIX, outcome.batch.after == self.cursor, outcome, self.cursor)
        self._apply(list(outcome.batch.ids), list(outcome.batch.entries))
        law(PREFIX, self.cursor == outcome.batch.at, outcome, self.cursor)

    async def ask(self, session: Session, cursor: Cursor) -> None:
        """Read from any cursor; what is given is held to its contract."""
        await self._sessions.read(session, cursor)

    async def look_back(self, session: Session, before: str | None, limit: int, of: str | None) -> None:
        """Read older turns, and the newest; they are held to their contract."""
        await self._sessions.snapshot(session, limit)
        with contextlib.suppress(NotFound):
            await self._sessions.history(session, before, limit, of=of)

    def _apply(self, ids: list[Cursor], added: list[bytes]) -> None:
        self._seen += zip(ids, added, strict=True)
        self.cursor = ids[-1] if ids else self.cursor
        log = self._world.told[self.session].log[: self.cursor.seq]
        law(PREFIX, not self._seen or log[-len(self._seen) :] == self._seen, self._seen, log)
