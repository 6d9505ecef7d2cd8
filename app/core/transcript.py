"""A session as a reader sees it: the fold of its log.

The same rules, on the same golden logs, are in the browser's `static/js/transcript.js`. A reader begins with a
snapshot (or with nothing, at the first batch) and applies batches; the client's one rule decides which:

- a batch whose `after` is my cursor is applied, and its `at` is my cursor then;
- one whose `at` is my cursor, or one that I passed on this connection, is ignored;
- anything else means that I am behind: open the session again with my cursor.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from app.core import entries
from app.core.context import SETTINGS
from app.core.entries import Entry, entry_of
from app.core.model import Cursor, title_of
from app.core.protocol import Frame

PASSED: Final = 512
ANSWERED: Final = 64

Outcome = Literal["applied", "ignored", "behind"]


@dataclass(slots=True)
class Running:
    """The answer being produced, as far as the log tells."""

    id: str
    turn: str
    state: str = "running"
    attempt: int = 1
    how: str = "new"
    node: str = ""
    model: str = ""
    text: str = ""
    reasoning: str = ""
    tools: list[dict[str, Any]] = field(default_factory=list)
    asks: list[dict[str, Any]] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)  # ids of the turns whose place its answer takes
    # Where a restart cuts back to: the last settled tool call, or the beginning. A snapshot does not tell.
    settled: tuple[int, int] | None = (0, 0)

    def apply(self, entry: Entry) -> None:
        """Fold one entry of this run."""
        match entry:
            case entries.Run():
                self._go_on(entry)
            case entries.Delta():
                self.text += entry.text
            case entries.Reasoning():
                self.reasoning += entry.text
            case entries.Tool():
                self._tool(entry)
            case entries.Ask():
                ask = {"call": entry.call, "name": entry.name, "arguments": entry.arguments, "until": entry.until}
                self.asks.append(ask)
            case entries.Answer():
                self.asks = [ask for ask in self.asks if ask["call"] != entry.call]
            case entries.Hold():
                self.state = "held"
            case _:
                return

    def _go_on(self, entry: entries.Run) -> None:
        self.state, self.attempt, self.how = "running", entry.attempt, entry.how
        self.node, self.model = entry.node, entry.model
        if entry.how == "restart" and self.settled is not None:
            text, reasoning = self.settled
            self.text, self.reasoning = self.text[:text], self.reasoning[:reasoning]
            self.tools = [tool for tool in self.tools if "result" in tool or "error" in tool]
            self.asks = []

    def _tool(self, entry: entries.Tool) -> None:
        tool = next((tool for tool in self.tools if tool["call"] == entry.call), None)
        if tool is None:
            tool = {"call": entry.call}
            self.tools.append(tool)
            self.asks = [ask for ask in self.asks if ask["call"] != entry.call]  # its answer may be lost
        if entry.name:
            tool["name"] = entry.name
        for key in ("arguments", "result", "error"):
            if (value := getattr(entry, key)) is not None:
                tool[key] = value
        if "result" in tool or "error" in tool:
            self.settled = len(self.text), len(self.reasoning)

    def wire(self) -> Frame:
        """Give the run as a snapshot shows it."""
        return {
            "id": self.id, "turn": self.turn, "state": self.state, "attempt": self.attempt, "how": self.how,
            "node": self.node, "model": self.model, "text": self.text, "reasoning": self.reasoning,
            "tools": self.tools, "asks": self.asks,
        } | ({"replaced": self.replaced} if self.replaced else {})  # fmt: skip


class Transcript:
    """One session as one reader sees it. Mutable, owned by that reader."""

    def __init__(self, session: str) -> None:
        self.session = session
        self.at: Cursor | None = None
        self.title = ""
        self.turns: list[Frame] = []
        self.queued: list[Frame] = []
        self.settings: dict[str, Any] = {}  # that are not the default
        self.run: Running | None = None
        self.more = False
        self.gone = False
        self.awaiting = False  # a reset came, its snapshot has not
        self.answered: dict[str, Frame] = {}  # the newest answers, by run; a cut may have taken them since
        self._cut: entries.Cut | None = None  # whose place the next turn, or the next run's answer, takes
        self._passed: deque[Cursor] = deque(maxlen=PASSED)

    def apply(self, frame: Frame) -> Outcome:
        """Fold a `snapshot`, `reset` or `batch` of this session."""
        match frame["type"]:
            case "snapshot":
                self._restore(frame)
                return "applied"
            case "reset":
                self.at, self.awaiting = None, True
                self._passed.clear()
                return "applied"
            case _:
                return self._follow(frame)

    def reconnected(self) -> None:
        """Forget which cursors were passed: that is a matter of one connection."""
        self._passed.clear()

    def _follow(self, frame: Frame) -> Outcome:
        if self.awaiting:
            return "ignored"
        after, at = Cursor.parse(frame["after"]), Cursor.parse(frame["at"])
        if self.at is not None and after != self.at:
            return "ignored" if at == self.at or at in self._passed else "behind"
        folded = [entry for fields in frame["entries"] if (entry := entry_of(fields)) is not None]
        if any(self._unfoldable(entry) for entry in folded):
            self.at, self.awaiting = None, True
            return "behind"
        for entry in folded:
            self._fold(entry, str(at))
        self._passed.append(after)
        self.at = at
        return "applied"

    def _unfoldable(self, entry: Entry) -> bool:
        """Say whether an entry cuts a run back to where this reader cannot know: only a new snapshot helps."""
        match entry:
            case entries.Run(run=run, how="restart"):
                return self.run is not None and self.run.id == run and self.run.settled is None
            case _:
                return False

    def _restore(self, frame: Frame) -> None:
        self.at, self.awaiting, self.gone = Cursor.parse(frame["at"]), False, False
        self.title, self.more = frame.get("title", ""), frame.get("more", False)
        self.turns, self.queued = list(frame.get("turns", ())), list(frame.get("queued", ()))
        self.settings = dict(frame.get("settings", {}))
        run = frame.get("run")
        self.run = None
        if run:
            self.run = Running(**{key: run[key] for key in Running.__dataclass_fields__ if key in run})
            if any("result" in tool or "error" in tool for tool in self.run.tools):
                self.run.settled = None
        self._passed.clear()
        self._cut = None

    def _fold(self, entry: Entry, at: str) -> None:
        match entry:
            case entries.Turn():
                self._turn(entry, at)
            case entries.Run():
                self._begin(entry, at)
            case entries.End():
                self._end(entry, at)
            case entries.Cut():
                # A turn that is not here is older than all that are.
                index = next((i for i, turn in enumerate(self.turns) if turn["id"] == entry.turn), None)
                del self.turns[0 if index is None else index + entry.keep :]
                self._cut = entry
            case entries.Rating():
                self._rated(entry)
            case entries.Meta():
                self._meta(entry)
            case entries.Gone():
                self.gone, self.title, self.run, self.settings = True, "", None, {}
                self.turns, self.queued = [], []
            case _:
                if self.run is not None and self.run.id == entry.run:
                    self.run.apply(entry)

    def _turn(self, entry: entries.Turn, at: str) -> None:
        self.title = self.title or title_of(entry.text)
        if entry.queued:
            self.queued.append({"id": entry.id, "text": entry.text, "run": entry.run})
        else:
            self._said(entry.id, entry.text, entry.run, at)

    def _said(self, id: str, text: str, run: str, at: str) -> None:
        said: Frame = {"id": id, "role": "user", "text": text, "run": run, "at": at}
        if self._cut is not None and not self._cut.keep:
            said |= {"replaced": [*self._cut.replaced]} if self._cut.replaced else {}
            self._cut = None
        self.turns.append(said)

    def _meta(self, entry: entries.Meta) -> None:
        self.title = entry.title if entry.title is not None else self.title
        told = {name: value for name in SETTINGS if (value := getattr(entry, name)) is not None}
        self.settings = {name: value for name, value in (self.settings | told).items() if value != ""}

    def _rated(self, entry: entries.Rating) -> None:
        rating = {"value": entry.value} | ({"note": entry.note} if entry.note else {}) if entry.value else None
        for index, turn in enumerate(self.turns):
            if turn["id"] == entry.turn:  # another one then: who was given it keeps it as it was
                rest = {name: value for name, value in turn.items() if name != "rating"}
                self.turns[index] = rest | ({"rating": rating} if rating else {})

    def _begin(self, entry: entries.Run, at: str) -> None:
        for waiting in [turn for turn in self.queued if turn["id"] == entry.turn]:
            self.queued.remove(waiting)
            self._said(waiting["id"], waiting["text"], waiting["run"], at)
        if self.run is None or self.run.id != entry.run:
            replaced = [*self._cut.replaced] if self._cut is not None and self._cut.turn == entry.turn else []
            self.run, self._cut = Running(entry.run, entry.turn, replaced=replaced), None
        self.run.apply(entry)

    def _end(self, entry: entries.End, at: str) -> None:
        self.queued = [turn for turn in self.queued if turn["run"] != entry.run]
        if self.run is None or self.run.id != entry.run:
            return
        turn: Frame = {
            "id": entry.run, "role": "assistant", "text": self.run.text, "run": entry.run, "at": at,
            "model": self.run.model,
        }  # fmt: skip
        if entry.state != "done":
            turn |= {"state": entry.state} | ({"code": entry.code} if entry.code else {})
        turn |= {} if entry.usage is None else {"usage": entry.usage}
        turn |= {} if entry.timing is None else {"timing": entry.timing}
        if self.run.reasoning:
            turn["reasoning"] = self.run.reasoning
        if self.run.tools:
            turn["calls"] = self.run.tools
        if self.run.replaced:
            turn["replaced"] = self.run.replaced
        self.turns.append(turn)
        self.answered[entry.run] = turn
        if len(self.answered) > ANSWERED:
            del self.answered[next(iter(self.answered))]
        self.run = None

    def wire(self) -> Frame:
        """Give the whole as a value: what the golden logs compare."""
        return {
            "session": self.session, "at": str(self.at) if self.at else None, "title": self.title,
            "turns": self.turns, "queued": self.queued, "run": self.run.wire() if self.run else None,
            "more": self.more, "gone": self.gone,
        } | ({"settings": self.settings} if self.settings else {})  # fmt: skip
