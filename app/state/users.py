"""A user's list of sessions: a projection of the sessions' heads, which stay the truth."""

import asyncio
from typing import Final

from app.core.errors import NotFound
from app.core.model import Cursor, Session, User
from app.state.keys import session_keys, user_live, user_sessions
from app.state.outcomes import Listed
from app.state.script import Scripts

SESSIONS: Final = 1000
SEARCHED: Final = 500  # of a list, from where a page begins
READ: Final = 101


class Users:
    """The lists of all users."""

    def __init__(self, scripts: Scripts, *, session_s: float) -> None:
        self._scripts = scripts
        self._ttl_ms = int(session_s * 1000)

    async def changed(self, session: Session, how: str) -> None:
        """Put a session on top of its user's list (`here`), tell that it `changed`, or take it out (`gone`)."""
        await self._scripts.run(
            "listed",
            (user_sessions(session.user),),
            self._scripts.channel(user_live(session.user)),
            session.id,
            how,
            SESSIONS,
            self._ttl_ms,
        )

    async def listed(self, session: Session) -> Listed:
        """Read one session's line of the list; `gone` if it isn't there."""
        fields = ("title", "state", "ms", "seq")
        title, state, ms, seq = await self._scripts.command("listed", ("HMGET", session_keys(session).head, *fields))
        if seq is None:
            return Listed(session.id, "", "gone", Cursor(0, 0))
        return Listed(session.id, title.decode(), state.decode(), Cursor(int(ms), int(seq)))

    async def sessions(
        self, user: User, *, query: str | None, before: str | None, limit: int
    ) -> tuple[list[Listed], bool]:
        """List sessions, latest activity first, and whether there are more.

        Raises:
            NotFound: `before` is not in the list.
        """
        key, first = user_sessions(user), 0
        if before is not None:
            rank = await self._scripts.command("rank", ("ZREVRANK", key, before))
            if rank is None:
                raise NotFound(f"no session {before!r} in this list")
            first = rank + 1
        wanted, here = (query or "").casefold(), list[Listed]()
        for start in range(first, first + SEARCHED, READ):
            ids = await self._scripts.command("range", ("ZREVRANGE", key, start, start + READ - 1))
            found = await asyncio.gather(*(self.listed(Session(user, id.decode())) for id in ids))
            here += [one for one in found if one.state != "gone" and wanted in one.title.casefold()]
            if len(ids) < READ or len(here) > limit:
                break
        return here[:limit], len(here) > limit
