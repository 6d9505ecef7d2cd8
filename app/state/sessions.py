"""A session's log, runs and turns: one method is one script is one round trip."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

import msgpack
import msgspec

from app.core import entries
from app.core.commands import Say, fingerprint
from app.core.entries import Batch
from app.core.errors import Busy, IdReused, NotFound, QueueFull
from app.core.model import START, Cursor, Request, Session, Turn, Writer, title_of
from app.core.protocol import BATCH_BYTES, QUEUED, SNAPSHOT_BYTES
from app.state.bounds import ATTEMPTS, ENTRIES, LAPSED, LOG_ENTRIES, MESSAGE_IDS, QUEUE_BYTES, Bounds
from app.state.keys import BELL, SessionKeys, leases
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
from app.state.stored import (
    cursor_of,
    member_of,
    newest_fitting,
    packed,
    record_of,
    run_named,
    running_of,
    sendable,
    turn_of,
)

EMPTY_SHA256: Final = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


class Sessions:
    """All sessions, on behalf of one node (`incarnation`, shown to people as `name`).

    Every method raises StateUnavailable where Redis does not answer in time or refuses; what was asked may then have
    been done, and may be asked again.
    """

    def __init__(self, scripts: Scripts, *, incarnation: str, name: str, bounds: Bounds) -> None:
        self._scripts = scripts
        self._incarnation = incarnation
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
            "say", keys.all, keys.live, member_of(session, run), say.id, fingerprint(say), run,
            entries.encode(turn), entries.encode(waiting),
            record_of(Turn(id="", role="user", text=say.text, run=run)), packed(request), model, say.when_busy,
            self._incarnation, self._name, self._lease_ms, self._run_ms, self._ttl_ms, QUEUED, self._bounds.turns,
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
        return Said(was_run.decode(), cursor_of(before), cursor_of(at), bool(duplicate), self._carry(session, given))

    async def append(self, writer: Writer, count: int, added: list[bytes]) -> Appended | Fenced | Lost:
        """Append encoded entries as `writer`, who has appended `count` times, and renew its lease.

        Raises:
            StateUnavailable: the outcome is unknown; call again with the same arguments.
        """
        keys = SessionKeys(writer.session)
        status, *rest = await self._scripts.run(
            "append", keys.all, keys.live, member_of(writer.session, writer.run), writer.run, writer.fence,
            writer.incarnation, count, self._lease_ms, *added,
        )  # fmt: skip
        match status:
            case b"appended" | b"already":
                return Appended(cursor_of(rest[0]), cursor_of(rest[1]), rest[2] == b"1")
            case b"lost":
                return Lost(int(rest[0]))
        return Fenced()

    async def renew(self, writer: Writer) -> Renewed | Fenced:
        """Say that the writer lives."""
        keys = SessionKeys(writer.session)
        status, *rest = await self._scripts.run(
            "renew", keys.all, member_of(writer.session, writer.run), writer.run, writer.fence, writer.incarnation,
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
            "end", keys.all, keys.live, member_of(session, writer.run), writer.run, writer.fence, writer.incarnation,
            self._name, count, record_of(turn), self._lease_ms, self._run_ms, self._ttl_ms, self._bounds.turns,
            LOG_ENTRIES, self._window, session.name + " ", *added,
        )  # fmt: skip
        match status:
            case b"ended" | b"already":
                return Ended(cursor_of(rest[0]), self._carry(session, rest[1]))
            case b"lost":
                return Lost(int(rest[0]))
        return Fenced()

    async def lapsed(self, buckets: Iterable[int], *, given_up_only: bool) -> list[str]:
        """Look in some buckets for runs whose lease has run out by Redis's clock, or was given up.

        Raises:
            StateUnavailable
        """
        looks = [("ZRANGE", leases(bucket), 0, LAPSED - 1, "WITHSCORES") for bucket in buckets]
        (seconds, micros), *found = await self._scripts.look([("TIME",), *looks])
        now_ms = 0 if given_up_only else int(seconds) * 1000 + int(micros) // 1000
        return [
            member.decode()
            for pairs in found
            for member, score in zip(pairs[::2], pairs[1::2], strict=True)
            if float(score) <= now_ms
        ]

    async def claim(self, member: str) -> Carry | None:
        """Take over the run that a lapsed lease names; None if it is over, or lives.

        Raises:
            StateUnavailable
        """
        session, run = run_named(member)
        keys = SessionKeys(session)
        status, *rest = await self._scripts.run(
            "claim",
            keys.all,
            keys.live,
            member,
            run,
            self._incarnation,
            self._name,
            self._lease_ms,
            self._window,
            ATTEMPTS,
        )
        if status != b"claimed":
            return None
        carry = self._carry(session, rest[0])
        if carry is None or not rest[1]:
            return carry
        running = running_of(run, rest[2])
        return replace(carry, ending=rest[1].decode(), partial=running["text"] if running else "")

    async def release(self, writer: Writer) -> None:
        """Give a run up on purpose: another node may claim it at once."""
        keys, member = SessionKeys(writer.session), member_of(writer.session, writer.run)
        await self._scripts.run("release", keys.all, member, writer.run, writer.fence, writer.incarnation, BELL)

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
        return cursor_of(rest[0])

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
        read = sendable([(cursor_of(id), fields[1]) for id, fields in rest[1]])
        ids = tuple(id for id, _ in read)
        batch = Batch(after, ids[-1] if ids else after, ids, tuple(entry for _, entry in read))
        return Read(batch, cursor_of(rest[0]))

    async def snapshot(self, session: Session, turns: int = 50) -> Snapshot:
        """Read a session as it stands; one that isn't there is empty, at `0-0`."""
        keys = SessionKeys(session)
        at, title, lines, more, queue, running = await self._scripts.run("snapshot", keys.all, turns, SNAPSHOT_BYTES)
        queued = tuple(
            {"id": item[0].decode(), "text": msgpack.unpackb(item[4])["text"], "run": item[1].decode()}
            for item in (msgpack.unpackb(waiting, raw=True) for waiting in queue)
        )
        run = running_of(running[0].decode(), running[1]) if running else None
        room = SNAPSHOT_BYTES - len(msgspec.json.encode((queued, run)))
        kept = newest_fitting([turn_of(line) for line in lines], room)
        return Snapshot(cursor_of(at), title.decode(), kept, bool(more) or len(kept) < len(lines), queued, run)

    async def history(self, session: Session, before: str | None, limit: int) -> Page:
        """Read turns before a turn (None: the newest).

        Raises:
            NotFound: no such turn.
        """
        keys = SessionKeys(session)
        status, *rest = await self._scripts.run("history", keys.all, before or "", limit, SNAPSHOT_BYTES)
        if status == b"not_found":
            raise NotFound(f"no turn {before!r} in this session's history")
        turns = [turn_of(line) for line in rest[0]]
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
        run, fence, request, left_ms, lines, attempt = given
        return Carry(
            Writer(session, run.decode(), int(fence), self._incarnation),
            msgspec.convert(msgpack.unpackb(request), Request),
            int(left_ms) / 1000,
            tuple(turn_of(line) for line in lines),
            int(attempt),
        )
