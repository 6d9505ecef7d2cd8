"""A storage that keeps users' contexts in this process for a while: they are read at each turn, and change seldom.

What is kept is dropped when its user's channel says that it is stale, and after 300 s in any case. It is used only
while that channel is heard: nothing is while the bus is away, and all is dropped when it is back. What was read while
something changed is not kept.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from app.core.model import Session, User
from app.state.bus import Bus
from app.state.keys import user_stale
from app.state.storage import ConversationTurn, StateStorage

SECONDS: Final = 300.0
SIZE: Final = 2000  # users
SUBSCRIBE_SECONDS: Final = 0.5


class Kept(NamedTuple):
    """A context as JSON (whoever reads it may change what they were given), or that somebody reads it now."""

    text: bytes | None
    until: float


class CachedStateStorage(StateStorage):
    """Another storage, and what was read of it lately."""

    def __init__(self, storage: StateStorage, bus: Bus, *, seconds: float = SECONDS, size: int = SIZE) -> None:
        self.hits = self.misses = 0
        self._storage = storage
        self._bus = bus
        self._seconds = seconds
        self._size = size
        self._kept: OrderedDict[str, Kept] = OrderedDict()  # by channel

    async def get_user_context(self, user: User) -> dict[str, Any]:
        """See `StateStorage`."""
        channel, now = user_stale(user), asyncio.get_running_loop().time()
        kept = self._kept.get(channel)
        if kept is not None and kept.text is not None and now < kept.until and self._bus.confirmed:
            self.hits += 1
            self._kept.move_to_end(channel)
            context: dict[str, Any] = msgspec.json.decode(kept.text)
            return context
        self.misses += 1
        mine = self._kept[channel] = Kept(None, now + self._seconds)
        self._kept.move_to_end(channel)
        while len(self._kept) > self._size:
            self._bus.unsubscribe(self._kept.popitem(last=False)[0])
        heard = await self._hears(channel)
        context = await self._storage.get_user_context(user)
        if heard and self._kept.get(channel) is mine:
            self._kept[channel] = mine._replace(text=msgspec.json.encode(context))
        return context

    async def update_user_context(self, user: User, context: Mapping[str, Any], *, version: int | None = None) -> None:
        """See `StateStorage`."""
        try:
            await self._storage.update_user_context(user, context, version=version)
        finally:
            self.heard(user_stale(user))

    def heard(self, channel: str) -> bool:
        """Take what the bus says; say whether the channel is of here."""
        if channel in self._kept:
            self._kept[channel] = Kept(None, 0.0)
            return True
        return False

    def missed(self) -> None:
        """Drop all: the bus was away, and what it would have said is not known."""
        for channel in self._kept:
            self._kept[channel] = Kept(None, 0.0)

    async def get_conversation_history(self, session: Session) -> list[ConversationTurn]:
        """See `StateStorage`."""
        return await self._storage.get_conversation_history(session)

    async def append_conversation_turn(self, session: Session, turn: ConversationTurn) -> None:
        """See `StateStorage`."""
        await self._storage.append_conversation_turn(session, turn)

    async def get_session_metadata(self, session: Session) -> dict[str, Any]:
        """See `StateStorage`."""
        return await self._storage.get_session_metadata(session)

    async def update_session_metadata(
        self, session: Session, metadata: Mapping[str, Any], *, version: int | None = None
    ) -> None:
        """See `StateStorage`."""
        await self._storage.update_session_metadata(session, metadata, version=version)

    async def _hears(self, channel: str) -> bool:
        """Hear the channel; say whether that is confirmed."""
        try:
            async with asyncio.timeout(SUBSCRIBE_SECONDS):
                await self._bus.subscribe(channel)
        except TimeoutError:
            return False
        return True
