"""A session as we believe it is: a strict fold of what was heard of its log, and the laws that every log keeps.

A reader of `app/core/transcript.py` takes what comes. This one takes only what the laws allow, and refuses the rest:
it is the proof's own memory, and it is never read from Redis. What the log does not say (who may write, how many
appends were made, who asked a run to stop) is believed by the contracts (`call.py`), from what the scripts answered.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import msgpack

from app.core import entries
from app.core.entries import Entry, split
from app.core.model import START, Cursor
from tests.proof.laws import DECIDED, ONE_END, ONE_RUN, ORDER, TURNS, WHOLE, law
from tests.proof.running import Running, Waiting


@dataclass(slots=True)
class Said:
    """What is remembered of a message id."""

    print: str
    run: str
    before: Cursor
    at: Cursor
    stopped: bool = False  # while it waited


@dataclass
class Believed:
    """One session, from its first turn until it is deleted or expires."""

    log: list[tuple[Cursor, bytes]] = field(default_factory=list)  # all of it, also what was trimmed
    stored: list[list[Any]] = field(default_factory=list)  # the same, as Redis gives it
    trim: Cursor = START
    born: int = 0  # ms
    fence: int = 0
    run: Running | None = None
    waiting: list[Waiting] = field(default_factory=list)
    said: dict[str, Said] = field(default_factory=dict)
    over: set[str] = field(default_factory=set)  # all runs that have ended
    turns: list[bytes] = field(default_factory=list)  # lines of the history, all of them
    replaced: list[tuple[str, bytes]] = field(default_factory=list)  # by which turn, and the line
    cut: list[str] | None = None  # what a cut took, until it is known for whom
    title: str = ""
    titled: str = ""  # '<ms> <run>': that run's end was told to make one, and until when it may take; '-': there is one
    settings: dict[str, str] = field(default_factory=dict)  # as JSON
    ended: tuple[str, int, str] | None = None  # the writer who made the last end
    ended_at: Cursor = START
    lives: int = 0  # ms: the lifetime that was given last
    gone: dict[str, int] = field(default_factory=dict)  # digests of what was said and deleted, and until when
    orphans: set[str] = field(default_factory=set)  # runs whose session has expired, but for their leases
    _max_turns: int = 0

    @property
    def at(self) -> Cursor:
        """The log's head."""
        return self.log[-1][0] if self.log else START

    def after(self, cursor: Cursor) -> list[list[Any]] | None:
        """What follows a cursor, as Redis gives it; None if the cursor is neither in the log, nor its boundary."""
        inside = self.trim.seq < cursor.seq <= len(self.log) and self.log[cursor.seq - 1][0] == cursor
        return self.stored[cursor.seq :] if inside or cursor == self.trim else None

    def since(self, cursor: Cursor) -> list[list[Any]]:
        """The log from an entry on, as Redis gives it."""
        return self.stored[cursor.seq - 1 :]

    def written_by(self, run: str, fence: int, incarnation: str) -> Running | None:
        """The run under way, if just this writer has the right to write it."""
        now = self.run
        right = now is not None and (now.run, now.fence, now.incarnation) == (run, fence, incarnation)
        return now if right else None

    def touched(self, ttl_ms: int, clock: int) -> None:
        """Believe that its lifetime is renewed; what is held waits, and then lives as long."""
        held = self.run.held if self.run is not None else None
        self.lives = max(ttl_ms, held.until - clock + ttl_ms) if held is not None else ttl_ms

    def begun(self, incarnation: str, lease: int, deadline: int) -> Running | None:
        """Believe who writes the run that has begun, if one has, and until when."""
        if self.run is not None:
            self.orphans.discard(self.run.run)
            self.run.incarnation, self.run.lease, self.run.deadline = incarnation, lease, deadline
        return self.run

    def given(self, incarnation: str) -> Running | None:
        """The run that is put into a node's hands again: it has written nothing of it, and stands at its beginning."""
        now = self.run
        if now is None or now.incarnation != incarnation or now.count > 0:
            return None
        return now if now.how == "" or (now.how == "restart" and not now.stands.settled) else None

    def take(
        self,
        published: bytes,
        *,
        coming: Waiting | None = None,
        queues: bool = False,
        in_front: bool = False,
        record: bytes = b"",
        max_turns: int = 0,
    ) -> list[bytes]:
        """Fold one publish, and return its entries.

        `coming` is what is being asked, `queues` whether it is to wait, and `in_front` whether before those that do;
        `record` is the answer's turn, of a run that ends; `max_turns` is how many the history has.
        """
        self._max_turns = max_turns
        first = len(self.log)
        added = self.add(published)
        for id, raw in self.log[first:]:
            entry = entries.decode(raw)
            assert entry is not None
            self._fold(entry, id, coming, queues, in_front, record)
        if self.run is not None:
            self.run.stands.looks_whole()
        return added

    def add(self, published: bytes) -> list[bytes]:
        """Believe that one publish is in the log, and return its entries."""
        after, at, added = unpacked(published)
        law(ORDER, after == self.at, "the log is at", self.at, "but heard", after, at)
        law(ORDER, at.seq == after.seq + len(added) and at.ms >= after.ms, after, at, len(added), "entries")
        for seq, raw in enumerate(added, after.seq + 1):
            id = Cursor(at.ms, seq)
            self.log.append((id, raw))
            self.stored.append([str(id).encode(), [b"e", raw]])
        return added

    def answer_to(self, call: str) -> bytes:
        """The newest answer on a call, as it is in the log."""
        found = (raw for _, raw in reversed(self.log) if isinstance(entry := entries.decode(raw), entries.Answer)
                 and entry.call == call)  # fmt: skip
        return next(found)

    def forget(self, max_ids: int) -> None:
        """Know the newest ids only."""
        while len(self.said) > max_ids:
            del self.said[next(iter(self.said))]

    def trimmed(self, max_entries: int) -> None:
        """Believe that the log has its newest entries only."""
        if len(self.log) - self.trim.seq > max_entries:
            self.trim = self.log[-max_entries - 1][0]

    def _fold(
        self, entry: Entry, id: Cursor, coming: Waiting | None, queues: bool, in_front: bool, record: bytes
    ) -> None:
        match entry:
            case entries.Turn():
                self._turn(entry, id, coming, queues, in_front)
            case entries.Cut():
                self._cut(entry, coming)
            case entries.Run(how="new"):
                self._begin(entry, id, coming)
            case entries.End():
                self._end(entry, id, record)
            case entries.Meta():
                self.title = self.title if entry.title is None else entry.title
            case entries.Rating() | entries.Gone():
                law(ORDER, False, "nobody writes", entry)
            case _:
                now = self._current(entry.run, entry)
                law(TURNS, not isinstance(entry, entries.Run) or entry.turn == now.question.about, entry, now)
                now.stands.apply(entry)

    def waits(self, coming: Waiting, *, in_front: bool) -> None:
        """Believe that something that was asked waits."""
        self.waiting.insert(0 if in_front else len(self.waiting), coming)

    def has(self, turn: str) -> int | None:
        """Where a person's turn stands in the history; None if it does not."""
        ids = [line.split(b" ", 2)[1].decode() for line in self.turns]
        index = len(ids) - 1 - ids[::-1].index(turn) if turn in ids else None
        return index if index is not None and read(self.turns[index])["role"] == "user" else None

    def _cut(self, entry: entries.Cut, coming: Waiting | None) -> None:
        """What is asked takes the place of a turn, and of all that followed it."""
        law(TURNS, self.run is None and self.cut is None, entry)
        question = coming or self.waiting[0]
        law(TURNS, (question.kind, question.turn) == ("again" if entry.keep else "edit", entry.turn), entry, question)
        index = self.has(entry.turn)
        law(TURNS, index is not None, entry, "and no such turn")
        assert index is not None
        gone = self.turns[index + entry.keep :]
        del self.turns[index + entry.keep :]
        self.cut = [line.split(b" ", 2)[1].decode() for line in gone]
        law(TURNS, list(entry.replaced) == self.cut, entry, self.cut)
        self.replaced += [(question.run if entry.keep else question.id, line) for line in gone]
        del self.replaced[: -self._max_turns]

    def _turn(self, entry: entries.Turn, id: Cursor, coming: Waiting | None, queues: bool, in_front: bool) -> None:
        said = coming or self.waiting[0]  # which enters only now, as `edit`
        law(ONE_RUN, coming is None or entry.id not in self.said, entry)
        law(ONE_RUN, (said.id, said.run, said.text) == (entry.id, entry.run, entry.text), entry, said)
        if coming is not None:
            self.over.discard(entry.run)  # its id is one that was forgotten since: what is forgotten may be said again
            law(ONE_END, entry.run not in {turn.run for turn in self.waiting}, entry)
        law(TURNS, entry.queued == (coming is not None and queues), entry)
        law(TURNS, (said.kind == "edit") == (self.cut is not None) and said.kind != "again", entry, said)
        said.at = id
        if entry.queued:
            self.waits(said, in_front=in_front)

    def _begin(self, entry: entries.Run, id: Cursor, coming: Waiting | None) -> None:
        law(TURNS, self.run is None, entry, "while", self.run)
        law(TURNS, coming is not None or self.waiting != [], entry, "and nobody waits")
        question = coming or self.waiting.pop(0)
        asked = question.run, question.about, question.model
        law(TURNS, asked == (entry.run, entry.turn, entry.model), entry, question)
        law(TURNS, (question.kind != "say") == (self.cut is not None), entry, question, self.cut)
        law(ONE_END, entry.run not in self.over, entry)
        self.fence += 1
        cut, self.cut = self.cut or [], None
        replaced = cut if question.kind == "again" else []
        self.run = Running(question, self.fence, "", id, question.model, replaced=replaced)
        self.run.stands.apply(entry)
        if question.kind != "again":
            self._remember(question.at, question.id, question.record, question.text, cut)

    def _end(self, entry: entries.End, id: Cursor, record: bytes) -> None:
        law(ONE_END, entry.run not in self.over, entry)
        self.over.add(entry.run)
        queued = [turn for turn in self.waiting if turn.run == entry.run]
        if queued:
            lost = self.run is None and queued[0].kind != "say" and self.has(queued[0].turn) is None
            law(WHOLE, entry.state == ("failed" if lost else "stopped"), entry)
            law(WHOLE, (entry.length, entry.sha256) == digest("") and (entry.code == "not_found") == lost, entry)
            self.waiting.remove(queued[0])
            return
        now = self._current(entry.run, entry)
        stands = now.stands
        law(DECIDED, stands.state == "running" or not stands.undecided, entry, "and nobody has decided", stands)
        law(WHOLE, (entry.length, entry.sha256) == digest(stands.text), entry, "but the log has", repr(stands.text))
        calls = [call for call in msgpack.unpackb(record).get("calls", ()) if "result" in call or "error" in call]
        law(WHOLE, calls == stands.settled, calls, "but the log has", stands.settled)
        self._remember(id, entry.run, record, stands.text, now.replaced)
        self.run = None

    def _remember(self, at: Cursor, id: str, record: bytes, text: str, replaced: list[str]) -> None:
        law(WHOLE, msgpack.unpackb(record)["text"] == text, id, "has", record)
        over: bytes = msgpack.packb({"replaced": replaced}) if replaced else b""
        self.turns.append(f"{at} {id} ".encode() + record + over)
        del self.turns[: -self._max_turns]

    def _current(self, run: str, entry: Entry) -> Running:
        law(ONE_END, self.run is not None and self.run.run == run, entry, "while", self.run)
        assert self.run is not None
        return self.run


def read(line: bytes) -> dict[str, Any]:
    """A line of the history as a map: the first, and what is laid over it."""
    maps = msgpack.Unpacker()
    maps.feed(line.split(b" ", 2)[2])
    return {name: value for one in maps for name, value in one.items()}


def unpacked(published: bytes) -> tuple[Cursor, Cursor, list[bytes]]:
    """Read a publish: `<after> <at> <entries>`."""
    after, at, rest = published.split(b" ", 2)
    return Cursor.parse(after.decode()), Cursor.parse(at.decode()), list(split(rest))


def digest(text: str) -> tuple[int, str]:
    """What an `end` says of a text: its length in bytes and its SHA-256."""
    data = text.encode()
    return len(data), hashlib.sha256(data).hexdigest()
