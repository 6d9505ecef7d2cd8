"""A session's log, history and queue, as readers and speakers have it: one method is one script is one round trip."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgpack
import msgspec

from app.core import entries
from app.core.coalesce import pieces
from app.core.commands import Say, fingerprint
from app.core.entries import Batch
from app.core.errors import Busy, IdReused, NotFound, QueueFull, TooLong
from app.core.model import START, Cursor, Request, Session, Turn, title_of
from app.core.protocol import ANSWER_BYTES, BATCH_BYTES, QUEUED, SNAPSHOT_BYTES, TEXT_BYTES
from app.state.bounds import ENTRIES, GONE_SECONDS, LOG_ENTRIES, MESSAGE_IDS, QUEUE_BYTES, Bounds
from app.state.keys import session_keys
from app.state.outcomes import Page, Read, Reset, Said, Snapshot
from app.state.script import Scripts
from app.state.stored import (
    carry_of,
    cursor_of,
    member_of,
    newest_fitting,
    packed,
    record_of,
    running_of,
    sendable,
    turns_of,
)

EMPTY_SHA256: Final = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


class Sessions:
    """All sessions, on behalf of one node (`incarnation`, shown to people as `name`).

    Every method raises StateUnavailable where Redis does not answer in time or refuses; what was asked may then have
    been done, and may be asked again.
    """

    def __init__(self, scripts: Scripts, *, incarnation: str, name: str, bounds: Bounds, damaged: Counter[str]) -> None:
        self._scripts = scripts
        self._incarnation = incarnation
        self._name = name
        self._bounds = bounds
        self._damaged = damaged
        self._window = bounds.window + 1  # the question, and the turns before it
        self._lease_ms, self._run_ms, self._ttl_ms = (
            int(seconds * 1000) for seconds in (bounds.lease_s, bounds.run_s, bounds.session_s)
        )

    async def say(self, session: Session, say: Say, *, run: str, model: str, models: Sequence[str] = ()) -> Said:
        """Accept a turn and begin its run here, or queue it. `run` is the id it gets if it is new. Where the turn names
        no model, the session's own answers, if it is one of `models`; else `model`.

        Raises:
            IdReused, Busy, QueueFull, StateUnavailable
            NotFound: the session was deleted since this was said in it.
        """
        keys = session_keys(session)
        live = self._scripts.channel(keys.live)
        turn = entries.Turn(id=say.id, text=say.text, run=run)
        waiting = entries.Turn(id=say.id, text=say.text, run=run, queued=True)
        request = Request(turn=say.id, run=run, text=say.text, model=model, context=say.context)
        status, *rest = await self._scripts.run(
            "say", keys.all, live, member_of(session, run), say.id, fingerprint(say), run,
            entries.encode(turn), entries.encode(waiting),
            record_of(Turn(id="", role="user", text=say.text, run=run)), packed(request), model, say.when_busy,
            self._incarnation, self._name, self._lease_ms, self._run_ms, self._ttl_ms, QUEUED, self._bounds.turns,
            MESSAGE_IDS, title_of(say.text), self._window, QUEUE_BYTES, len(msgspec.json.encode(say.text)),
            "" if say.model else "\n".join(("", *models, "")),
        )  # fmt: skip
        match status:
            case b"id_reused":
                raise IdReused(f"message id {say.id!r} was used in this session for another request")
            case b"gone":
                raise NotFound(f"session {session.id!r} was deleted after {say.id!r} was said in it")
            case b"busy":
                raise Busy("an answer is under way; expected none, because of when_busy: reject")
            case b"queue_full":
                raise QueueFull(f"as much waits already as may: {QUEUED} turns, or {QUEUE_BYTES} bytes of text")
        was_run, at, before, duplicate, given = rest
        carry = carry_of(session, given, self._incarnation, self._damaged)
        return Said(was_run.decode(), cursor_of(before), cursor_of(at), bool(duplicate), carry)

    async def stop(self, session: Session, run: str) -> Cursor:
        """Ask a run to end, and return the log's head. A run that is over already is no error.

        Raises:
            NotFound: the session never had such a run, or has forgotten it.
        """
        keys = session_keys(session)
        live = self._scripts.channel(keys.live)
        end = entries.End(run=run, state="stopped", length=0, sha256=EMPTY_SHA256)
        status, *rest = await self._scripts.run("stop", keys.all, live, run, entries.encode(end))
        if status == b"not_found":
            raise NotFound(f"no run {run!r} in this session")
        return cursor_of(rest[0])

    async def rename(self, session: Session, title: str) -> None:
        """Give a session a title.

        Raises:
            NotFound: nothing was ever said in it.
        """
        keys, meta = session_keys(session), entries.encode(entries.Meta(title=title))
        live = self._scripts.channel(keys.live)
        status, *_ = await self._scripts.run("meta", keys.all, live, title, meta, self._ttl_ms)
        if status == b"not_found":
            raise NotFound(f"no session {session.id!r}")

    async def set(self, session: Session, settings: Mapping[str, Any]) -> Cursor:
        """Change some of a session's settings (an empty text removes one), and return the log's head."""
        keys, meta = session_keys(session), entries.encode(entries.Meta(**settings))
        live = self._scripts.channel(keys.live)
        texts = {name: msgspec.json.encode(value).decode() if value != "" else "" for name, value in settings.items()}
        pairs = [part for pair in texts.items() for part in pair]
        _, at = await self._scripts.run("set", keys.all, live, meta, self._ttl_ms, *pairs)
        return cursor_of(at)

    async def put(self, session: Session, turn: Turn) -> None:
        """Put a turn into the history that nobody said here, once for each id: with a `run` and its `end`, an answer.

        Raises:
            Busy: an answer is under way.
            TooLong
        """
        keys, user = session_keys(session), turn.role == "user"
        live = self._scripts.channel(keys.live)
        if (size := len(turn.text.encode())) > (most := TEXT_BYTES if user else ANSWER_BYTES):
            raise TooLong(f"a turn of {size} bytes; at most {most} are taken")
        said = [entries.Turn(id=turn.id, text=turn.text, run=turn.run)] if user else _answered(turn, self._name)
        told, title = map(entries.encode, said), title_of(turn.text) if user else ""
        status, *_ = await self._scripts.run(
            "put", keys.all, live, turn.id, record_of(turn), self._bounds.turns, LOG_ENTRIES, self._ttl_ms,
            MESSAGE_IDS, title, *told,
        )  # fmt: skip
        if status == b"busy":
            raise Busy("an answer is under way in this session; put turns there when it has ended")

    async def delete(self, session: Session) -> None:
        """Remove a session, with its run and its queue. Removing what isn't there is no error."""
        keys, gone = session_keys(session), entries.encode(entries.Gone())
        live = self._scripts.channel(keys.live)
        await self._scripts.run("delete", keys.all, live, session.name + " ", gone, GONE_SECONDS * 1000)

    async def read(self, session: Session, after: Cursor) -> Read | Reset:
        """Read the log after a cursor: at most 256 entries and 256 KiB, but one if there is one."""
        keys = session_keys(session)
        status, *rest = await self._scripts.run("read", keys.few, str(after), ENTRIES, BATCH_BYTES)
        if status == b"reset":
            return Reset(rest[0].decode())
        read = sendable([(cursor_of(id), fields[1]) for id, fields in rest[1]])
        ids = tuple(id for id, _ in read)
        batch = Batch(after, ids[-1] if ids else after, ids, tuple(entry for _, entry in read))
        return Read(batch, cursor_of(rest[0]))

    async def snapshot(self, session: Session, turns: int = 50) -> Snapshot:
        """Read a session as it stands; one that isn't there is empty, at `0-0`."""
        keys = session_keys(session)
        at, title, lines, more, queue, running = await self._scripts.run("snapshot", keys.all, turns, SNAPSHOT_BYTES)
        queued = tuple(
            {"id": item[0].decode(), "text": msgpack.unpackb(item[4])["text"], "run": item[1].decode()}
            for item in (msgpack.unpackb(waiting, raw=True) for waiting in queue)
        )
        run = running_of(running[0].decode(), running[1]) if running else None
        room = SNAPSHOT_BYTES - len(msgspec.json.encode((queued, run)))
        kept = newest_fitting(turns_of(lines, self._damaged), room)
        return Snapshot(cursor_of(at), title.decode(), kept, bool(more) or len(kept) < len(lines), queued, run)

    async def history(self, session: Session, before: str | None, limit: int) -> Page:
        """Read turns before a turn (None: the newest).

        Raises:
            NotFound: no such turn.
        """
        keys = session_keys(session)
        status, *rest = await self._scripts.run("history", keys.all, before or "", limit, SNAPSHOT_BYTES)
        if status == b"not_found":
            raise NotFound(f"no turn {before!r} in this session's history")
        turns = turns_of(rest[0], self._damaged)
        kept = newest_fitting(turns, SNAPSHOT_BYTES)
        return Page(kept, bool(rest[1]) or len(kept) < len(turns))

    async def ping(self) -> None:
        """Ask whether Redis answers.

        Raises:
            StateUnavailable: it does not.
        """
        await self._scripts.command("ping", ("PING",))

    async def knows(self, session: Session, run: str) -> bool:
        """Say whether a session has, or remembers, a run."""
        return bool(await self._scripts.command("knows", ("HEXISTS", session_keys(session).said, f"r:{run}")))

    async def stopped_in_queue(self, session: Session, run: str) -> bool:
        """Say whether a run was stopped before it began, and so has left no turn."""
        noted = await self._scripts.command("stopped", ("HGET", session_keys(session).said, f"r:{run}"))
        return bool(noted == b"stopped")

    async def heads(self, sessions: Sequence[Session]) -> list[Cursor]:
        """Read the heads of sessions; `0-0` for one that isn't there."""
        asked = [("HMGET", session_keys(session).head, "ms", "seq") for session in sessions]
        return [Cursor(int(ms), int(seq)) if seq is not None else START for ms, seq in await self._scripts.look(asked)]


def _answered(turn: Turn, node: str) -> list[entries.Entry]:
    """An answer as readers of the log are told of it."""
    data = turn.text.encode()
    begun = entries.Run(run=turn.run, turn=turn.run, attempt=1, how="new", node=node, model=turn.model or "")
    deltas = [entries.Delta(run=turn.run, text=part) for part in pieces(turn.text, entries.TEXT_BYTES)]
    end = entries.End(run=turn.run, state="done", length=len(data), sha256=hashlib.sha256(data).hexdigest())
    return [begun, *deltas, end]
