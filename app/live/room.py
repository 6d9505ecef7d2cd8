"""The end of one session's log, and a bell.

A follower is a cursor, not a queue: a slow socket costs no memory and catches up in one batch. Joining late,
reading slowly, a lost publish, a Redis reconnect all look the same, *behind*, and have the same cure: reading the
log after the cursor.

Rules: a batch that follows the room's head is appended to the ring and handed, as one shared frame, to each
follower that stands at the previous head and whose sink is ready; the others lag. A batch that the ring holds
already is dropped. Whatever else does not follow the head means that the room is behind, and it looks into the log.
"""

import asyncio
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

from app.core.entries import Batch
from app.core.errors import StateUnavailable
from app.core.model import Cursor, Session
from app.core.protocol import Codec, encode_batch, framed
from app.state.outcomes import Read, Reset, Snapshot
from app.state.sessions import Sessions

RING_ENTRIES: Final = 256
RING_BYTES: Final = 64 * 1024
AGAIN_SECONDS: Final = 1.0

K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True)
class Tally:
    """What had to be mended for the readers of a node: gaps that were read from the log, and resets by their cause."""

    healed: int = 0
    resets: Counter[str] = field(default_factory=Counter)


class Shared:
    """A batch, and its frame in each codec: encoded when first asked for, for all who stand at `after`."""

    __slots__ = ("_framed", "_frames", "batch", "session")

    def __init__(self, session: str, batch: Batch) -> None:
        self.session = session
        self.batch = batch
        self._frames: dict[Codec, bytes | str] = {}
        self._framed: dict[Codec, bytes] = {}

    def frame(self, codec: Codec) -> bytes | str:
        """The batch as a message in `codec`."""
        frame = self._frames.get(codec)
        if frame is None:
            frame = self._frames[codec] = encode_batch(self.session, self.batch, codec)
        return frame

    def framed(self, codec: Codec) -> bytes:
        """The same with the header of a WebSocket frame."""
        whole = self._framed.get(codec)
        if whole is None:
            whole = self._framed[codec] = framed(self.frame(codec))
        return whole


class Sink(Protocol):
    """Where a follower's frames go: a socket, or a waiting request."""

    @property
    def ready(self) -> bool:
        """Whether a frame would go out at once."""

    def deliver(self, shared: Shared) -> None:
        """Take a frame. Called only when ready."""

    def lag(self, standing: "Standing") -> None:
        """Pull this one as soon as there is room."""


class Standing(Protocol):
    """A follower, as its room sees it: where it stands, and where its frames go."""

    room: "Room"
    cursor: Cursor
    sink: Sink


class Room:
    """This node's followers of one session. Owned by the hub."""

    def __init__(self, session: Session, sessions: Sessions, reads: asyncio.Semaphore, tally: Tally) -> None:
        self.session = session
        self.tally = tally
        self.head: Cursor | None = None
        self.followers: set[Standing] = set()
        self._sessions = sessions
        self._limit = reads
        self._ring: deque[Batch] = deque()
        self._entries = self._bytes = 0
        self._shared: dict[Cursor, Shared] = {}
        self._reads: dict[Cursor, asyncio.Task[Read | Reset]] = {}
        self._snapshots: dict[int, asyncio.Task[Snapshot]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._later: asyncio.TimerHandle | None = None
        self._behind = False

    def push(self, batch: Batch) -> None:
        """Take in entries that were published, or read from the log."""
        if self.head is not None and batch.after != self.head:
            if batch.at == self.head or any(batch.at in held.ids for held in self._ring):
                return
            rest = batch.following(self.head)
            if rest is None:
                self.look()
                return
            batch = rest
        self._keep(batch)
        shared = Shared(self.session.id, batch)
        for follower in self.followers:
            if follower.cursor == batch.after and follower.sink.ready:
                follower.cursor = batch.at
                follower.sink.deliver(shared)
            elif follower.cursor != batch.at:
                follower.sink.lag(follower)

    def after(self, cursor: Cursor) -> Shared | None:
        """Give all that the ring holds after `cursor` as one batch; None if it does not hold that."""
        if (shared := self._shared.get(cursor)) is not None:
            return shared
        ids: list[Cursor] = []
        entries: list[bytes] = []
        for held in self._ring:
            part = held if ids else held.following(cursor)
            if part is not None:
                ids += part.ids
                entries += part.entries
        if not ids:
            return None
        shared = Shared(self.session.id, Batch(cursor, ids[-1], tuple(ids), tuple(entries)))
        self._shared[cursor] = shared
        return shared

    async def read(self, cursor: Cursor) -> Read | Reset:
        """Read the log after `cursor`: one read for all who stand there. The room learns what it did not know.

        Raises:
            StateUnavailable
        """
        task = self._reads.get(cursor)
        if task is None:
            task = self._reads[cursor] = asyncio.create_task(self._read(cursor))
            task.add_done_callback(lambda done: _forget(self._reads, cursor, done))
        return await asyncio.shield(task)

    async def snapshot(self, turns: int) -> Snapshot:
        """Read the session as it stands: once for all who ask meanwhile.

        Raises:
            StateUnavailable
        """
        task = self._snapshots.get(turns)
        if task is None:
            task = self._snapshots[turns] = asyncio.create_task(self._snapshot(turns))
            task.add_done_callback(lambda done: _forget(self._snapshots, turns, done))
        return await asyncio.shield(task)

    def look(self) -> None:
        """Compare with the log, now or again: something may have been missed."""
        self._behind = True
        if self._looking is None and self.head is not None:
            self._looking = asyncio.create_task(self._catch_up())

    def doubt(self) -> None:
        """Believe nothing that was heard: Redis may have lost what it told."""
        self._ring.clear()
        self._shared.clear()
        self._entries = self._bytes = 0
        self.look()
        self.wake()

    def wake(self) -> None:
        """Have every follower that does not stand at the head pull."""
        for follower in self.followers:
            if follower.cursor != self.head:
                follower.sink.lag(follower)

    def close(self) -> None:
        """Drop the room: its last follower has left."""
        if self._looking is not None:
            self._looking.cancel()
        if self._later is not None:
            self._later.cancel()
        # Reads that somebody waits for are bounded, and run out by themselves.

    def _keep(self, batch: Batch) -> None:
        self.head = batch.at
        self._shared.clear()
        self._ring.append(batch)
        self._entries += len(batch.entries)
        self._bytes += sum(map(len, batch.entries))
        while len(self._ring) > 1 and (self._entries > RING_ENTRIES or self._bytes > RING_BYTES):
            old = self._ring.popleft()
            self._entries -= len(old.entries)
            self._bytes -= sum(map(len, old.entries))

    async def _read(self, cursor: Cursor) -> Read | Reset:
        async with self._limit:
            outcome = await self._sessions.read(self.session, cursor)
        if isinstance(outcome, Read):
            if self.head is None:
                self.head = outcome.batch.after
            rest = outcome.batch.following(self.head)
            if rest is not None and rest.entries:
                self.push(rest)
            if self.head == outcome.batch.at != outcome.head:
                self.look()  # this read was bounded, and there is more
        return outcome

    async def _snapshot(self, turns: int) -> Snapshot:
        async with self._limit:
            return await self._sessions.snapshot(self.session, turns)

    async def _catch_up(self) -> None:
        """Read what follows the head until the log has no more, or the head turns out not to be in it."""
        try:
            while self._behind and self.head is not None:
                self._behind = False
                outcome = await self._read(self.head)  # its own: one under way may have begun before the gap
                if isinstance(outcome, Reset):
                    self.head = None
                    self._ring.clear()
                    self._shared.clear()
                    self._entries = self._bytes = 0
                elif outcome.batch.entries:
                    self.tally.healed += 1
                    self._behind = self._behind or outcome.batch.at != outcome.head
            self.wake()
        except StateUnavailable:
            self._later = asyncio.get_running_loop().call_later(AGAIN_SECONDS, self.look)
        finally:
            self._looking = None


def _forget(tasks: dict[K, asyncio.Task[V]], key: K, done: asyncio.Task[V]) -> None:
    """Drop a shared task that is done; whoever waited for it has been told."""
    tasks.pop(key, None)
    if not done.cancelled():
        done.exception()
