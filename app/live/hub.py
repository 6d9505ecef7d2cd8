"""All rooms of this node, and who watches a list of sessions here.

The node is subscribed to a session's channel exactly while somebody here follows it. Subscribing is confirmed
before a log is read, so nothing falls between the two. What is heard is handed to its room; after a reconnect of
the bus every room doubts what it knows.
"""

import asyncio
import logging
from typing import Final, Protocol

from msgpack.exceptions import UnpackException

from app.core.entries import Batch, split
from app.core.errors import ChatError, StateUnavailable
from app.core.model import Cursor, Session, User
from app.live.room import Room, Tally
from app.state.bus import Bus
from app.state.keys import session_keys, user_live
from app.state.sessions import Sessions
from app.state.stored import cursor_of

READS: Final = 32
COMPARED: Final = 64
SUBSCRIBE_SECONDS: Final = 5.0

log = logging.getLogger(__name__)


class Watcher(Protocol):
    """Somebody who watches a user's list of sessions."""

    def changed(self, session: str) -> None:
        """A session of the list changed."""


class Hub:
    """The rooms and the watched lists of a node."""

    def __init__(self, sessions: Sessions) -> None:
        self.tally = Tally()
        self._sessions = sessions
        self._bus: Bus
        self._rooms: dict[str, Room] = {}
        self._members: dict[str, int] = {}
        self._watchers: dict[str, set[Watcher]] = {}
        self._reads = asyncio.Semaphore(READS)

    def hear(self, bus: Bus) -> None:
        """Take the bus whose messages come to `heard` and `missed`."""
        self._bus = bus

    @property
    def rooms(self) -> int:
        """How many sessions are followed here."""
        return len(self._rooms)

    async def join(self, session: Session) -> Room:
        """Enter a session's room; the caller leaves it in the end. Returns when its channel is confirmed.

        Raises:
            StateUnavailable: Redis did not confirm in time.
        """
        channel = session_keys(session).live
        room = self._rooms.get(channel)
        if room is None:
            room = self._rooms[channel] = Room(session, self._sessions, self._reads, self.tally)
        self._members[channel] = self._members.get(channel, 0) + 1
        try:
            await self._subscribe(channel)
        except BaseException:
            self.leave(room)
            raise
        return room

    def leave(self, room: Room) -> None:
        """Leave a room; the last one out closes it."""
        channel = session_keys(room.session).live
        self._members[channel] -= 1
        if self._members[channel] == 0:
            del self._members[channel], self._rooms[channel]
            room.close()
            self._bus.unsubscribe(channel)

    async def watch(self, user: User, watcher: Watcher) -> None:
        """Tell `watcher` of changes in a user's list.

        Raises:
            StateUnavailable: Redis did not confirm in time.
        """
        channel = user_live(user)
        self._watchers.setdefault(channel, set()).add(watcher)
        try:
            await self._subscribe(channel)
        except BaseException:
            self.unwatch(user, watcher)
            raise

    def unwatch(self, user: User, watcher: Watcher) -> None:
        """Tell `watcher` no more."""
        channel = user_live(user)
        watchers = self._watchers.get(channel, set())
        watchers.discard(watcher)
        if not watchers and self._watchers.pop(channel, None) is not None:
            self._bus.unsubscribe(channel)

    def heard(self, channel: str, data: bytes) -> None:
        """Hand what was published to its room, or to who watches the list."""
        if (room := self._rooms.get(channel)) is not None:
            try:
                room.push(_batch(data))
            except (ValueError, ChatError, UnpackException):
                log.warning("%s: heard what is no batch", channel)
                room.look()
        for watcher in self._watchers.get(channel, ()):
            watcher.changed(data.decode())

    def missed(self) -> None:
        """Have every room compare with the log: the bus was away."""
        for room in self._rooms.values():
            room.doubt()

    async def compare(self, seconds: float = 0.0) -> None:
        """Have every room whose head is not the log's look into it: the heartbeat's check for a lost publish.

        Takes its time: not all at once, but a few after the other, within so many seconds.
        """
        channels = list(self._rooms)
        steps = range(0, len(channels), COMPARED) or (0,)
        for start in steps:
            await asyncio.sleep(seconds / len(steps))
            some = [room for name in channels[start : start + COMPARED] if (room := self._rooms.get(name))]
            try:
                heads = await self._sessions.heads([room.session for room in some])
            except StateUnavailable:
                continue  # the reconnect compares
            for room, head in zip(some, heads, strict=True):
                if room.head is not None and room.head != head:
                    room.look()

    async def _subscribe(self, channel: str) -> None:
        try:
            async with asyncio.timeout(SUBSCRIBE_SECONDS):
                await self._bus.subscribe(channel)
        except TimeoutError as error:
            raise StateUnavailable("the state store does not answer; try again", after_ms=1000) from error


def _batch(data: bytes) -> Batch:
    """Read a publish: `<after> <at> <entries>`. Its entries have one ms, and dense numbers."""
    first, second, rest = data.split(b" ", 2)
    after, at = cursor_of(first), cursor_of(second)
    entries = (rest,) if at.seq == after.seq + 1 else tuple(split(rest))
    ids = tuple(Cursor(at.ms, after.seq + index) for index in range(1, len(entries) + 1))
    return Batch(after, at, ids, entries)
