"""A session's log, history and queue, as readers and speakers have it: one method is one script is one round trip."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgpack
import msgspec

from app.core import entries
from app.core.coalesce import pieces
from app.core.entries import EMPTY_SHA256, Batch
from app.core.errors import Busy, IdReused, NotFound, QueueFull, TooLong
from app.core.model import START, Cursor, Request, Session, Turn, title_of
from app.core.protocol import ANSWER_BYTES, BATCH_BYTES, QUEUED, SNAPSHOT_BYTES, TEXT_BYTES
from app.core.questions import Again, Question, Say, fingerprint, kind_of_question
from app.state.bounds import ENTRIES, GONE_SECONDS, LOG_ENTRIES, MESSAGE_IDS, QUEUE_BYTES, Bounds
from app.state.keys import BELL, session_keys
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
    settings_of,
    turns_of,
)


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

    async def say(
        self, session: Session, asked: Question, *, run: str, model: str, models: Sequence[str] = (),
        tools: Sequence[str] = (),
    ) -> Said:  # fmt: skip
        """Accept a question and begin its run here, or queue it. `run` is the id it gets if it is new. Where it names
        no model, the session's own answers, if it is one of `models`; else `model`. `tools`: what it may have called,
        beside the tools of the node. A run that is held ends.

        Raises:
            IdReused, Busy, QueueFull, StateUnavailable
            NotFound: the session was deleted since this was said in it; or it has no such turn of a person's.
        """
        keys = session_keys(session)
        live = self._scripts.channel(keys.live)
        if isinstance(asked, Again):
            text, turn, waiting, record = "", b"", b"", b""
            request = Request(turn=asked.turn, run=run, text=text, model=model, tools=tuple(tools))
        else:
            text = asked.text
            turn = entries.encode(entries.Turn(id=asked.id, text=text, run=run))
            waiting = entries.encode(entries.Turn(id=asked.id, text=text, run=run, queued=True))
            record = record_of(Turn(id="", role="user", text=text, run=run))
            request = Request(
                turn=asked.id, run=run, text=text, model=model, context=asked.context, tools=tuple(tools)
            )  # fmt: skip
        status, *rest = await self._scripts.run(
            "say", keys.all, live, member_of(session, run), asked.id, fingerprint(asked), run, turn, waiting, record,
            packed(request), model, asked.when_busy, self._incarnation, self._name, self._lease_ms, self._run_ms,
            self._ttl_ms, QUEUED, self._bounds.turns, MESSAGE_IDS, title_of(text), self._window, QUEUE_BYTES,
            len(msgspec.json.encode(text)), "" if asked.model else "\n".join(("", *models, "")),
            kind_of_question(asked), "" if isinstance(asked, Say) else asked.turn, LOG_ENTRIES, EMPTY_SHA256,
        )  # fmt: skip
        match status:
            case b"id_reused":
                raise IdReused(f"message id {asked.id!r} was used in this session for another request")
            case b"gone":
                raise NotFound(f"session {session.id!r} was deleted after {asked.id!r} was said in it")
            case b"not_found" if not isinstance(asked, Say):
                raise NotFound(f"no turn {asked.turn!r} of a person's in this session's history")
            case b"busy":
                raise Busy("an answer is under way; expected none, because of when_busy: reject")
            case b"queue_full":
                raise QueueFull(f"as much waits already as may: {QUEUED} turns, or {QUEUE_BYTES} bytes of text")
        was_run, at, before, duplicate, given = rest
        carry = carry_of(session, given, self._incarnation, self._damaged)
        return Said(was_run.decode(), cursor_of(before), cursor_of(at), bool(duplicate), carry)

    async def stop(self, session: Session, run: str) -> Cursor:
        """Ask a run to end, and return the log's head. A run that is over already is no error; one that waits, in the
        queue or for a person, ends here.

        Raises:
            NotFound: the session never had such a run, or has forgotten it.
        """
        keys = session_keys(session)
        live = self._scripts.channel(keys.live)
        end = entries.End(run=run, state="stopped", length=0, sha256=EMPTY_SHA256)
        status, *rest = await self._scripts.run(
            "stop", keys.all, live, run, entries.encode(end), session.name + " ", self._run_ms, self._ttl_ms,
            self._bounds.turns, LOG_ENTRIES, EMPTY_SHA256, self._scripts.channel(BELL),
        )  # fmt: skip
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
        status, *_ = await self._scripts.run("meta", keys.all, live, title, meta, self._ttl_ms, "")
        if status == b"not_found":
            raise NotFound(f"no session {session.id!r}")

    async def entitle(self, session: Session, run: str, title: str) -> bool:
        """Give a session the title that was made after `run`; False where it has one by now, or is not there."""
        keys, meta = session_keys(session), entries.encode(entries.Meta(title=title))
        live = self._scripts.channel(keys.live)
        status, *_ = await self._scripts.run("meta", keys.all, live, title, meta, self._ttl_ms, run)
        return bool(status == b"set")

    async def set(self, session: Session, settings: Mapping[str, Any]) -> Cursor:
        """Change some of a session's settings (an empty text removes one), and return the log's head."""
        keys, meta = session_keys(session), entries.encode(entries.Meta(**settings))
        live = self._scripts.channel(keys.live)
        texts = {name: msgspec.json.encode(value).decode() if value != "" else "" for name, value in settings.items()}
        pairs = [part for pair in texts.items() for part in pair]
        _, at = await self._scripts.run("set", keys.all, live, meta, self._ttl_ms, *pairs)
        return cursor_of(at)

    async def rate(self, session: Session, turn: str, value: Literal["up", "down"] | None, note: str) -> Cursor:
        """Note what a person thinks of an answer (None: nothing any more), and return the log's head.

        Raises:
            NotFound: the history has no such answer.
        """
        keys = session_keys(session)
        told = entries.encode(entries.Rating(turn=turn, value=value, note=note if value else ""))
        rating = packed({"rating": {"value": value} | ({"note": note} if note else {})}) if value else b""
        status, *rest = await self._scripts.run(
            "rating", keys.all, self._scripts.channel(keys.live), turn, told, rating, self._ttl_ms
        )
        if status == b"not_found":
            raise NotFound(f"no answer {turn!r} in this session's history")
        return cursor_of(rest[0])

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

    async def delete(self, session: Session) -> bool:
        """Remove a session, with its run and its queue; say whether there was one. It is no error if there was none."""
        keys, gone = session_keys(session), entries.encode(entries.Gone())
        live = self._scripts.channel(keys.live)
        found = await self._scripts.run("delete", keys.all, live, session.name + " ", gone, GONE_SECONDS * 1000)
        return bool(found[1])

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
        at, title, lines, more, queue, running, settings = await self._scripts.run(
            "snapshot", keys.all, turns, SNAPSHOT_BYTES
        )
        queued = tuple(
            {
                "id": item[b"id"].decode(),
                "text": msgpack.unpackb(item[b"request"])["text"],
                "run": item[b"run"].decode(),
            }
            for item in (msgpack.unpackb(waiting, raw=True) for waiting in queue)
            if item[b"kind"] == b"say"
        )
        run = running_of(running[0].decode(), running[1], running[2]) if running else None
        known = settings_of(settings, self._damaged)
        room = SNAPSHOT_BYTES - len(msgspec.json.encode((queued, run, known)))
        kept = newest_fitting(turns_of(lines, self._damaged), room)
        more = bool(more) or len(kept) < len(lines)
        return Snapshot(cursor_of(at), title.decode(), kept, more, queued, run, known)

    async def history(self, session: Session, before: str | None, limit: int, *, of: str | None = None) -> Page:
        """Read turns before a turn (None: the newest): of the history, or of what the turn `of` replaced.

        Raises:
            NotFound: no such turn.
        """
        keys = session_keys(session)
        status, *rest = await self._scripts.run("history", keys.all, before or "", limit, SNAPSHOT_BYTES, of or "")
        if status == b"not_found":
            raise NotFound(f"no turn {of or before!r} in this session's history")
        turns = turns_of(rest[0], self._damaged)
        kept = newest_fitting(turns, SNAPSHOT_BYTES)
        return Page(kept, bool(rest[1]) or len(kept) < len(turns))

    async def replaced(self, session: Session) -> list[tuple[str, Turn]]:
        """Read the turns that left the history for others, as far as they are kept: by which turn, and the turn."""
        lines = await self._scripts.command("replaced", ("LRANGE", session_keys(session).replaced, 0, -1))
        parts = [line.partition(b" ") for line in lines]
        return [(by.decode(), turn) for by, _, rest in parts for turn in turns_of([rest], self._damaged)]

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
