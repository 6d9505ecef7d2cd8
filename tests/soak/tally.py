"""What a long run counts, and how it holds a session that is over to the laws. Nothing here knows what broke."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import msgpack

from app.core.entries import merged
from app.core.protocol import Frame
from tests.faults.screens import Log, Screen, answer_to

LAWS: Final = {
    "lost": "entries that a reader did not get, got past, or had to begin again for",
    "repeated": "entries that a reader was given twice",
    "reordered": "entries that came out of their order",
    "diverged": "texts, digests and batches that are not the log's, and logs that break the laws",
    "stuck": "answers and readers that were waited for in vain",
}
FAULTS: Final = 20  # that are kept in words
ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class Death:
    """A node was killed, frozen or told to stop."""

    node: str
    at_ms: float
    cause: str


@dataclass
class Tally:
    """All that a long run counts."""

    events: int = 0  # entries that readers applied
    connections: int = 0
    tries: int = 0  # connections that could not be made, and commands that were to be repeated
    sessions: int = 0  # that were held to the laws, from their first entry to their last
    deleted: int = 0
    ends: Counter[str] = field(default_factory=Counter)  # of runs, by state and code
    resets: Counter[str] = field(default_factory=Counter)  # of readers, by why
    episodes: Counter[str] = field(default_factory=Counter)
    takeovers_s: dict[str, list[float]] = field(default_factory=dict)  # by what befell the node
    broken: Counter[str] = field(default_factory=Counter)  # laws
    faults: list[str] = field(default_factory=list)
    deaths: list[Death] = field(default_factory=list)

    def fault(self, law: str, words: object) -> None:
        """Count what broke a law."""
        self.broken[law] += 1
        if len(self.faults) < FAULTS:
            self.faults.append(f"{law}: {str(words)[:20000]}")

    def hold(self, log: Log, seats: Iterable["Seat"]) -> None:
        """Hold a session that is over to the laws: its log, and what each reader was shown of it."""
        try:
            self._hold(log)
            for seat in seats:
                if not seat.broken:
                    seat.hold(log)
        except AssertionError as error:
            self.fault("diverged", error)
        else:
            self.sessions += 1
            for run in log.screen.begun:
                self._time(log, run)

    def _hold(self, log: Log) -> None:
        """Every message made one run, which ended once, as it may."""
        screen = log.screen
        said = [entry["id"] for entry in map(msgpack.unpackb, log.entries) if entry["kind"] == "turn"]
        assert len(said) == len({*said}) == len(screen.asked), f"{screen}: {said}, {screen.asked}"
        assert screen.asked.keys() == screen.ends.keys(), f"{screen}: {screen.asked}, {screen.ends}"
        for run, end in screen.ends.items():
            done, code = end["state"] == "done", end.get("code", "")
            self.ends[f"{end['state']} {code}".strip()] += 1
            assert not done or screen.texts[run] == answer_to(screen.asked[run]), (
                f"{screen}: {run}, {screen.texts[run]}"
            )
            used_up = code != "unavailable" or screen.begun[run][-1]["attempt"] == ATTEMPTS
            assert used_up, f"{screen}: given up early: {screen.begun[run]}, {end}"

    def _time(self, log: Log, run: str) -> None:
        """Note how long it took to take a run over, where its node was lost."""
        for (before_ms, before), (ms, _) in pairwise(log.begun(run)):
            died = [one for one in self.deaths if one.node == before["node"] and before_ms < one.at_ms < ms]
            if died:
                self.takeovers_s.setdefault(died[-1].cause, []).append((ms - died[-1].at_ms) / 1000)


class Seat(Screen):
    """A reader's screen in the long run: what breaks a law is counted, and ends it."""

    def __init__(
        self, session: str, reader: str, tally: Tally, *, late: bool = False, past: Sequence[str] = ()
    ) -> None:
        super().__init__(session, reader)
        self.late = late  # it comes without a cursor, and begins with a snapshot
        self.gone = False  # the session was deleted
        self.broken = False
        self._past = past  # what befell the reader, for whoever looks into a fault
        self._why = ""
        self._tally = tally

    def take(self, frame: Frame) -> None:
        """Apply a frame; see `Screen.take`."""
        if self.gone or self.broken:
            return
        try:
            super().take(frame)
        except AssertionError as error:
            self._broke(self._law(frame), error)
            return
        self._tally.events += len(frame.get("entries", ()))
        match frame["type"]:
            case "batch":
                self.gone = any(entry["kind"] == "gone" for entry in frame["entries"])
            case "reset":
                self._why = frame["why"]
                self._tally.resets[self._why] += 1
            case "snapshot":
                self.late, self.gone = False, self._why == "expired" and frame["at"] == "0-0"
                if self._why and not self.gone:
                    self._broke("lost", f"{self}: had to begin again: {self._why}")

    def beat(self, head: str) -> None:
        """Compare with a heartbeat, which tells what is with this reader already."""
        if not (self.gone or self.broken or self.late) and head != self.cursor:
            self._broke("lost", f"{self}: a heartbeat says {head}")

    def hold(self, log: Log) -> None:
        """Hold what was shown here to the log, which is whole."""
        places = {id: place for place, id in enumerate(["0-0", *log.ids])}
        for batch in self.shown:
            stored = log.entries[places[batch["after"]] : places[batch["at"]]]
            shown = [msgpack.packb(entry) for entry in batch["entries"]]
            assert merged(shown) == merged(stored), f"{self}: was given {batch}"
        assert self.cursor == log.ids[-1], f"{self}: the log is at {log.ids[-1]}"
        for run, text in self.texts.items():
            assert text == log.screen.texts.get(run, ""), f"{self}: {run}: {text!r}"
        for run, end in self.ends.items():
            assert end.get("state", "done") == log.screen.ends[run]["state"], f"{self}: {end}"

    def _law(self, frame: Frame) -> str:
        """Which law a frame breaks that cannot be applied."""
        if frame["type"] != "batch" or frame["after"] == self.cursor:
            return "diverged"
        cursor, after, at = (int(id.split("-")[1]) for id in (self.cursor, frame["after"], frame["at"]))
        return "lost" if after > cursor else "repeated" if at <= cursor else "reordered"

    def _broke(self, law: str, words: object) -> None:
        self.broken = True
        self._tally.fault(law, "\n  ".join([str(words), *self._past]))
