"""Screens: what readers have of a session, each step of it held to the laws; and the log, of which they are prefixes.

Every turn here is a question of `talk`, so the whole answer is known beforehand.
"""

import hashlib
from typing import Any, Final

import msgpack
from redis import Redis

from app.core.entries import merged
from app.core.model import Cursor, Session, User
from app.core.protocol import Frame
from app.state.keys import SessionKeys

ADA: Final = User.of("guest:name", "ada")


def answer_to(question: str) -> str:
    """The whole answer to "count 40 at 20": 40 words."""
    return "".join(f"{index} " for index in range(int(question.split()[1])))


class Screen:
    """What one reader has of one session, over any number of connections. Each step of it is held to the laws."""

    def __init__(self, session: str, reader: str) -> None:
        self.session = session
        self.reader = reader
        self.cursor = "0-0"
        self.asked: dict[str, str] = {}  # by run, the question that it answers
        self.texts: dict[str, str] = {}
        self.begun: dict[str, list[Frame]] = {}  # by run, its `run` entries
        self.ends: dict[str, Frame] = {}  # by run, its `end`, or its turn in a snapshot
        self.shown: list[Frame] = []  # the batches that were applied
        self.resets = 0

    def __repr__(self) -> str:
        return f"{self.reader}, of {self.session}, at {self.cursor}"

    def take(self, frame: Frame) -> None:
        """Apply a `batch`, `snapshot` or `reset`; a batch that does not follow is a fault of the server."""
        match frame["type"]:
            case "batch":
                assert frame["after"] == self.cursor, f"{self}: was given {frame}"
                for entry in frame["entries"]:
                    self._fold(entry, entry.get("run", ""))
                self.shown.append(frame)
                self.cursor = frame["at"]
            case "snapshot":
                self._restore(frame)
                self.cursor = frame["at"]
            case "reset":
                self.resets += 1

    def _fold(self, entry: Frame, run: str) -> None:
        assert run not in self.ends, f"{self}: after the end, {entry}"
        match entry["kind"]:
            case "turn":
                self.asked[run] = entry["text"]
            case "run":
                begun = self.begun.setdefault(run, [])
                assert not begun or begun[-1]["attempt"] <= entry["attempt"], f"{self}: {begun}, then {entry}"
                begun.append(entry)
                if entry["how"] in ("new", "restart"):
                    self.texts[run] = ""
            case "delta":
                self._show(run, self.texts[run] + entry["text"])
            case "end":
                text = self.texts.get(run, "").encode()
                told = {"length": len(text), "sha256": hashlib.sha256(text).hexdigest()}
                assert entry | told == entry, f"{self}: {text!r}, and {entry}"
                self.ends[run] = entry

    def _show(self, run: str, text: str) -> None:
        assert answer_to(self.asked[run]).startswith(text), f"{self}: shows {text!r}"
        self.texts[run] = text

    def _restore(self, frame: Frame) -> None:
        for turn in (*frame["turns"], *frame["queued"]):
            if turn.get("role") == "assistant":
                self._show(turn["run"], turn["text"])
                self.ends[turn["run"]] = turn
            else:
                self.asked[turn["run"]] = turn["text"]
        if run := frame.get("run"):
            self._show(run["id"], run["text"])


class Log:
    """One session's log, read from Redis itself."""

    def __init__(self, redis: Redis, session: str, user: User = ADA) -> None:
        read: Any = redis.xrange(SessionKeys(Session(user, session)).log)
        self.ids = [id.decode() for id, _ in read]
        self.entries = [fields[b"e"] for _, fields in read]
        self.screen = Screen(session, "the log")  # of a reader who has seen every entry
        for after, at, entry in zip(["0-0", *self.ids], self.ids, self.entries, strict=False):
            self.screen.take({"type": "batch", "after": after, "at": at, "entries": [msgpack.unpackb(entry)]})

    @property
    def times_ms(self) -> list[int]:
        """When each entry was appended, by Redis's clock."""
        return [cursor.ms for cursor in map(Cursor.parse, self.ids)]

    def begun(self, run: str) -> list[tuple[int, Frame]]:
        """The `run` entries of a run, each with when it was appended, in ms of Redis's clock."""
        found = zip(self.times_ms, map(msgpack.unpackb, self.entries), strict=True)
        return [(ms, entry) for ms, entry in found if (entry["kind"], entry.get("run")) == ("run", run)]

    def hold(self, *screens: Screen) -> None:
        """Hold the log to the laws, and what was shown of it to the log."""
        cursors = [Cursor.parse(id) for id in self.ids]
        assert [cursor.seq for cursor in cursors] == list(range(1, len(cursors) + 1))
        assert cursors == sorted(cursors)
        for run, asked in self.screen.asked.items():
            assert self.screen.ends[run]["state"] == "done", self.screen.ends[run]
            assert self.screen.texts[run] == answer_to(asked)
        places = {id: place for place, id in enumerate(["0-0", *self.ids])}
        for screen in screens:
            for batch in screen.shown:
                stored = self.entries[places[batch["after"]] : places[batch["at"]]]
                shown = [msgpack.packb(entry) for entry in batch["entries"]]
                assert merged(shown) == merged(stored), f"{screen}: was given {batch}"
            assert screen.cursor == self.ids[-1], screen
            assert (screen.texts, screen.resets) == (self.screen.texts, 0), screen
