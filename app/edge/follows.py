"""The sessions that one connection follows, and where their rooms put what is new: see `live.room.Sink`."""

import asyncio
from typing import Final

from app.core.errors import RateLimited, StateUnavailable
from app.core.model import START, Session
from app.core.protocol import SESSIONS, Codec
from app.edge.frames import restarted
from app.edge.outbox import Outbox
from app.live.follow import Follower, Restart
from app.live.hub import Hub
from app.live.room import Shared, Standing

AGAIN_SECONDS: Final = 1.0


class Follows:
    """One connection's followers, by session id. Those that lag are owed: `pull` brings what they lack."""

    def __init__(self, hub: Hub, outbox: Outbox, codec: Codec) -> None:
        self._hub = hub
        self._outbox = outbox
        self._codec = codec
        self._followers: dict[str, Follower] = {}
        self._lagging: dict[str, Follower] = {}

    async def enter(self, session: Session) -> Follower:
        """Follow a session; a follower that was there before is replaced. Not heard before `Follower.begin`.

        Raises:
            RateLimited: one more would be too many.
            StateUnavailable
        """
        self.admit(session)
        room = await self._hub.join(session)
        self.leave(session)
        follower = self._followers[session.id] = Follower(room, START, self)
        return follower

    def admit(self, session: Session) -> None:
        """Hold the number of open sessions to its bound.

        Raises:
            RateLimited: one more would be too many.
        """
        if session.id not in self._followers and len(self._followers) >= SESSIONS:
            raise RateLimited(f"{SESSIONS} sessions are open; close one first")

    def follower(self, session: Session) -> Follower | None:
        """The follower of a session, if it is open here."""
        return self._followers.get(session.id)

    def leave(self, session: Session) -> None:
        """Follow a session no more."""
        follower = self._followers.pop(session.id, None)
        if follower is not None:
            follower.end()
            self._lagging.pop(session.id, None)
            self._hub.leave(follower.room)

    def leave_all(self) -> None:
        """Follow nothing more."""
        for session in [follower.room.session for follower in self._followers.values()]:
            self.leave(session)

    def heads(self) -> dict[str, str]:
        """The cursor of each session up to which entries are on the socket, or in its queue."""
        live = {id: one.cursor for id, one in self._followers.items() if one in one.room.followers}
        return {id: str(cursor) for id, cursor in live.items()}

    # What rooms ask of a sink

    @property
    def ready(self) -> bool:
        """Whether a frame would go out at once."""
        return self._outbox.idle

    def deliver(self, shared: Shared) -> None:
        """Take a frame that a room hands over."""
        self._outbox.push(shared.frame(self._codec), shared.framed(self._codec))

    def lag(self, standing: Standing) -> None:
        """Pull this follower, if it is still one, when the queue is empty."""
        id = standing.room.session.id
        if (follower := self._followers.get(id)) is standing and follower is not None:
            self._lagging[id] = follower
            self._outbox.wake()

    # What the outbox asks for

    @property
    def owes(self) -> bool:
        """Whether a follower lags."""
        return bool(self._lagging)

    async def pull(self) -> None:
        """Queue what one laggard lacks."""
        id = next(iter(self._lagging))
        follower = self._lagging.pop(id)
        try:
            pulled = await follower.pull()
        except StateUnavailable:
            asyncio.get_running_loop().call_later(AGAIN_SECONDS, self.lag, follower)
            return
        if pulled is None or self._followers.get(id) is not follower:
            return
        if isinstance(pulled, Restart):
            for frame in restarted(follower.room.session, pulled):
                self._outbox.send(frame)
        else:
            self.deliver(pulled)
        if follower.cursor != follower.room.head:
            self._lagging[id] = follower
