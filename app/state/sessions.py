"""A session's log, runs and turns: one method is one script is one round trip."""

from dataclasses import dataclass
from typing import Any, Final

import msgpack
import msgspec

from app.core import entries
from app.core.commands import Say, fingerprint
from app.core.entries import Batch
from app.core.errors import Busy, IdReused, NotFound, QueueFull
from app.core.model import START, Cursor, Request, Session, Turn, Writer, title_of
from app.core.protocol import BATCH_BYTES, FRAME_BYTES, QUEUED, SNAPSHOT_BYTES, json_bytes
from app.core.transcript import Running
from app.state.keys import SessionKeys
from app.state.outcomes import (
    Appended,
    Carry,
    Ended,
    Fenced,
    Lost,
    Page,
    Read,
    Renewed,
    Reset,
    Said,
    Snapshot,
)  # fmt: skip
from app.state.script import Scripts

ENTRIES: Final = 256  # of one read
LOG_ENTRIES: Final = 2000
MESSAGE_IDS: Final = 1000
QUEUE_BYTES: Final = 384 * 1024  # of JSON: a snapshot with them and a whole answer is within a frame's bound
HEADER_BYTES: Final = 1024
EMPTY_SHA256: Final = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@dataclass(frozen=True, slots=True)
class Bounds:
    """The knobs that scripts need. Seconds, and counts."""

    lease_s: float = 6.0
    run_s: float = 600.0
    session_s: float = 7 * 86_400.0
    turns: int = 100
    window: int = 10


class Sessions:
    """All sessions, on behalf of one node (`incarnation`, shown to people as `name`)."""

    def __init__(self, scripts: Scripts, *, incarnation: str, name: str, bounds: Bounds) -> None:
        self._scripts = scripts
        self._node = incarnation
        self._name = name
        self._bounds = bounds
        self._window = bounds.window + 1  # the question, and the turns before it
        self._lease_ms, self._run_ms, self._ttl_ms = (
            int(seconds * 1000) for seconds in (bounds.lease_s, bounds.run_s, bounds.session_s)
        )

    async def say(self, session: Session, say: Say, *, run: str, model: str) -> Said:
        """Accept a turn and begin its run here, or queue it. `run` is the id it gets if it is new.

        Raises:
            IdReused, Busy, QueueFull, StateUnavailable
        """
        keys = SessionKeys(session)
        turn = entries.Turn(id=say.id, text=say.text, run=run)
        waiting = entries.Turn(id=say.id, text=say.text, run=run, queued=True)
        request = Request(turn=say.id, run=run, text=say.text, model=model, context=say.context)
        status, *rest = await self._scripts.run(
            "say", keys.all, keys.live, _member(session, run), say.id, fingerprint(say), run,
            entries.encode(turn), entries.encode(waiting),
            _record(Turn(id="", role="user", text=say.text, run=run)), _pack(request), model, say.when_busy,
            self._node, self._name, self._lease_ms, self._run_ms, self._ttl_ms, QUEUED, self._bounds.turns,
            MESSAGE_IDS, title_of(say.text), self._window, QUEUE_BYTES, len(msgspec.json.encode(say.text)),
        )  # fmt: skip
        match status:
            case b"id_reused":
                raise IdReused(f"message id {say.id!r} was used in this session for another request")
            case b"busy":
                raise Busy("an answer is under way; expected none, because of when_busy: reject")
            case b"queue_full":
                raise QueueFull(f"as much waits already as may: {QUEUED} turns, or {QUEUE_BYTES} bytes of text")
        was_run, at, before, duplicate, given = rest
        return Said(was_run.decode(), _cursor(before), _cursor(at), bool(duplicate), self._carry(session, given))

    async def append(self, writer: Writer, count: int, added: list[bytes]) -> Appended | Fenced | Lost:
        """Append encoded entries as `writer`, who has appended `count` times, and renew its lease.

        Raises:
            StateUnavailable: the outcome is unknown; call again with the same arguments.
        """
        keys = SessionKeys(writer.session)
        status, *rest = await self._scripts.run(
            "append", keys.all, keys.live, _member(writer.session, writer.run), writer.run, writer.fence,
            writer.node, count, self._lease_ms, *added,
        )  # fmt: skip
        match status:
            case b"appended" | b"already":
                return Appended(_cursor(rest[0]), _cursor(rest[1]), rest[2] == b"1")
            case b"lost":
                return Lost(int(rest[0]))
        return Fenced()

    async def renew(self, writer: Writer) -> Renewed | Fenced:
        """Say that the writer lives."""
        keys = SessionKeys(writer.session)
        status, *rest = await self._scripts.run(
            "renew", keys.all, _member(writer.session, writer.run), writer.run, writer.fence, writer.node,
            self._lease_ms,
        )  # fmt: skip
        return Renewed(rest[0] == b"1") if status == b"renewed" else Fenced()

    async def end(self, writer: Writer, count: int, added: list[bytes], turn: Turn) -> Ended | Fenced | Lost:
        """End a run: its last entries (`end` is the last of them), its turn in the history, the next run's start.

        Raises:
            StateUnavailable: the outcome is unknown; call again with the same arguments.
        """
        keys, session = SessionKeys(writer.session), writer.session
        status, *rest = await self._scripts.run(
            "end", keys.all, keys.live, _member(session, writer.run), writer.run, writer.fence, writer.node,
            self._name, count, _record(turn), self._lease_ms, self._run_ms, self._ttl_ms, self._bounds.turns,
            LOG_ENTRIES, self._window, session.name + " ", *added,
        )  # fmt: skip
        match status:
            case b"ended" | b"already":
                return Ended(_cursor(rest[0]), self._carry(session, rest[1]))
            case b"lost":
                return Lost(int(rest[0]))
        return Fenced()

    async def stop(self, session: Session, run: str) -> Cursor:
        """Ask a run to end, and return the log's head. A run that is over already is no error.

        Raises:
            NotFound: the session never had such a run, or has forgotten it.
        """
        keys = SessionKeys(session)
        end = entries.End(run=run, state="stopped", length=0, sha256=EMPTY_SHA256)
        status, *rest = await self._scripts.run("stop", keys.all, keys.live, run, entries.encode(end))
        if status == b"not_found":
            raise NotFound(f"no run {run!r} in this session")
        return _cursor(rest[0])

    async def rename(self, session: Session, title: str) -> None:
        """Give a session a title.

        Raises:
            NotFound: nothing was ever said in it.
        """
        keys, meta = SessionKeys(session), entries.encode(entries.Meta(title=title))
        status, *_ = await self._scripts.run("meta", keys.all, keys.live, title, meta, self._ttl_ms)
        if status == b"not_found":
            raise NotFound(f"no session {session.id!r}")

    async def delete(self, session: Session) -> None:
        """Remove a session, with its run and its queue. Removing what isn't there is no error."""
        keys, gone = SessionKeys(session), entries.encode(entries.Gone())
        await self._scripts.run("delete", keys.all, keys.live, session.name + " ", gone)

    async def read(self, session: Session, after: Cursor) -> Read | Reset:
        """Read the log after a cursor: at most 256 entries and 256 KiB, but one if there is one."""
        keys = SessionKeys(session)
        status, *rest = await self._scripts.run("read", keys.all, str(after), ENTRIES, BATCH_BYTES)
        if status == b"reset":
            return Reset(rest[0].decode())
        read = _sendable([(_cursor(id), fields[1]) for id, fields in rest[1]])
        ids = tuple(id for id, _ in read)
        batch = Batch(after, ids[-1] if ids else after, ids, tuple(entry for _, entry in read))
        return Read(batch, _cursor(rest[0]))

    async def snapshot(self, session: Session, turns: int = 50) -> Snapshot:
        """Read a session as it stands; one that isn't there is empty, at `0-0`."""
        keys = SessionKeys(session)
        at, title, lines, more, queue, running = await self._scripts.run("snapshot", keys.all, turns, SNAPSHOT_BYTES)
        queued = tuple(
            {"id": item[0].decode(), "text": msgpack.unpackb(item[4])["text"], "run": item[1].decode()}
            for item in (msgpack.unpackb(waiting, raw=True) for waiting in queue)
        )
        run = _running(running) if running else None
        room = SNAPSHOT_BYTES - len(msgspec.json.encode((queued, run)))
        kept = _newest([_turn(line) for line in lines], room)
        return Snapshot(_cursor(at), title.decode(), kept, bool(more) or len(kept) < len(lines), queued, run)

    async def history(self, session: Session, before: str | None, limit: int) -> Page:
        """Read turns before a turn (None: the newest).

        Raises:
            NotFound: no such turn.
        """
        keys = SessionKeys(session)
        status, *rest = await self._scripts.run("history", keys.all, before or "", limit, SNAPSHOT_BYTES)
        if status == b"not_found":
            raise NotFound(f"no turn {before!r} in this session's history")
        turns = [_turn(line) for line in rest[0]]
        kept = _newest(turns, SNAPSHOT_BYTES)
        return Page(kept, bool(rest[1]) or len(kept) < len(turns))

    async def ping(self) -> None:
        """Ask whether Redis answers.

        Raises:
            StateUnavailable: it does not.
        """
        await self._scripts.command("ping", ("PING",))

    async def knows(self, session: Session, run: str) -> bool:
        """Say whether a session has, or remembers, a run."""
        return bool(await self._scripts.command("knows", ("HEXISTS", SessionKeys(session).said, f"r:{run}")))

    async def stopped_in_queue(self, session: Session, run: str) -> bool:
        """Say whether a run was stopped before it began, and so has left no turn."""
        noted = await self._scripts.command("stopped", ("HGET", SessionKeys(session).said, f"r:{run}"))
        return bool(noted == b"stopped")

    async def head(self, session: Session) -> Cursor:
        """Read a session's head; `0-0` for one that isn't there."""
        ms, seq = await self._scripts.command("head", ("HMGET", SessionKeys(session).head, "ms", "seq"))
        return Cursor(int(ms), int(seq)) if seq is not None else START

    def _carry(self, session: Session, given: list[Any] | None) -> Carry | None:
        if not given:
            return None
        run, fence, request, left_ms, lines = given
        return Carry(
            Writer(session, run.decode(), int(fence), self._node),
            msgspec.convert(msgpack.unpackb(request), Request),
            int(left_ms) / 1000,
            tuple(_turn(line) for line in lines),
        )


def _cursor(text: bytes) -> Cursor:
    ms, _, seq = text.partition(b"-")
    return Cursor(int(ms), int(seq))


def _member(session: Session, run: str) -> str:
    """A run's name in the index of leases."""
    return f"{session.name} {run}"


def _sendable(read: list[tuple[Cursor, bytes]]) -> list[tuple[Cursor, bytes]]:
    """The first entries whose frame is within its bound in either codec; at least one."""
    if sum(len(entry) for _, entry in read) * 6 <= FRAME_BYTES - HEADER_BYTES:
        return read
    room = FRAME_BYTES - HEADER_BYTES
    for index, (_, entry) in enumerate(read):
        room -= json_bytes(entry)
        if room < 0:
            return read[: max(1, index)]
    return read


def _pack(value: Any) -> bytes:
    packed: bytes = msgpack.packb(msgspec.to_builtins(value))
    return packed


def _record(turn: Turn) -> bytes:
    """A turn as the history keeps it: a script puts `<at> <id> ` before it."""
    return _pack(turn)


def _turn(line: bytes) -> Turn:
    at, id, record = line.split(b" ", 2)
    return msgspec.convert(msgpack.unpackb(record) | {"at": at.decode(), "id": id.decode()}, Turn)


def _newest(turns: list[Turn], room: int) -> tuple[Turn, ...]:
    """The newest turns whose JSON fits in `room` bytes."""
    for index in range(len(turns) - 1, -1, -1):
        room -= len(msgspec.json.encode(turns[index])) + 1
        if room < 0:
            return tuple(turns[index + 1 :])
    return tuple(turns)


def _running(running: list[Any]) -> dict[str, Any] | None:
    """Fold the entries of the current run, from its beginning, to a run as a snapshot shows it."""
    run, log = running[0].decode(), running[1]
    folded: Running | None = None
    for fields in entries.merged(fields[1] for _, fields in log):
        entry = entries.entry_of(fields) if fields.get("run") == run else None
        if folded is None and isinstance(entry, entries.Run):
            folded = Running(run, entry.turn)
        if folded is not None and entry is not None:
            folded.apply(entry)
    return folded.wire() if folded else None
