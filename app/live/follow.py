"""A reader of one session: a cursor, and a sink that takes frames when it can.

The room hands a follower what is new while it keeps up. One that lags is pulled by its sink, in its sink's own
time: `pull` gives the next batch, from the room's ring or from the log, or a reset with the snapshot to begin again
from. Between two pulls a follower is nothing but a cursor.
"""

from dataclasses import dataclass

from app.core.model import Cursor
from app.live.room import Room, Shared, Sink
from app.state.outcomes import Reset, Snapshot


@dataclass(frozen=True, slots=True)
class Restart:
    """The cursor is not in the log: begin again from the snapshot."""

    reset: Reset
    snapshot: Snapshot


class Follower:
    """One reader's place in one session. Its cursor is moved by its room and by `pull`, never by both at once."""

    __slots__ = ("cursor", "room", "sink", "turns")

    def __init__(self, room: Room, cursor: Cursor, sink: Sink, *, turns: int = 50) -> None:
        self.room = room
        self.cursor = cursor
        self.sink = sink
        self.turns = turns

    def begin(self) -> None:
        """Hear what is new from now on; what was missed meanwhile is lag."""
        self.room.followers.add(self)
        if self.cursor != self.room.head:
            self.sink.lag(self)

    def end(self) -> None:
        """Hear no more."""
        self.room.followers.discard(self)

    async def pull(self) -> Shared | Restart | None:
        """Give what follows the cursor, and move it; None if it stands at the head.

        Raises:
            StateUnavailable
        """
        if self.cursor == self.room.head:
            return None
        shared = self.room.after(self.cursor)
        if shared is None:
            outcome = await self.room.read(self.cursor)
            if isinstance(outcome, Reset):
                return await self.restart(outcome)
            if not outcome.batch.entries:
                if self.cursor != self.room.head:
                    self.room.look()
                return None
            shared = Shared(self.room.session.id, outcome.batch)
        self.cursor = shared.batch.at
        return shared

    async def restart(self, reset: Reset) -> Restart:
        """Begin again from a snapshot, because of `reset`."""
        snapshot = await self.room.snapshot(self.turns)
        if reset.why:
            self.room.tally.resets[reset.why] += 1
        self.cursor = snapshot.at
        return Restart(reset, snapshot)
