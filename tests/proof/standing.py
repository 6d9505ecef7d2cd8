"""What of a run stands in the log, as we believe it: a strict fold of its entries, and the laws that they keep.

`core/transcript.py` and `agent/steps.py` take what comes, and each folds it in its own way. This one is the third, and
refuses what may not be. What it shows must be what they show.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from app.core import entries
from app.core.entries import Entry
from tests.proof.laws import CALLS, DECIDED, HELD, law

IDEMPOTENT: Final = "look"  # the one tool that may be called again


@dataclass(slots=True)
class Standing:
    """A run's state, text, thinking, calls, and what people were asked and have decided."""

    state: Literal["running", "held"] = "running"
    attempt: int = 1
    how: str = ""
    node: str = ""
    model: str = ""
    text: str = ""
    reasoning: str = ""
    tools: dict[str, dict[str, Any]] = field(default_factory=dict)  # as they are shown
    asked: dict[str, entries.Ask] = field(default_factory=dict)
    decided: dict[str, entries.Answer] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)  # calls whose answer was forgotten; the writer may know it still
    partial: bool = False  # something was said or thought since the last call
    _settled: tuple[int, int] = (0, 0)  # what was said and thought until the last call that settled

    @property
    def open(self) -> Literal["", "idempotent", "once"]:
        """What is under way, by the worst of it."""
        open = {tool["name"] for tool in self.tools.values() if not _settled(tool)}
        return "" if not open else "idempotent" if open == {IDEMPOTENT} else "once"

    @property
    def settled(self) -> list[dict[str, Any]]:
        """The calls that have settled."""
        return [tool for tool in self.tools.values() if _settled(tool)]

    @property
    def pending(self) -> list[str]:
        """The calls about which people were asked, and which have not begun since."""
        return [call for call in self.asked if call not in self.tools]

    @property
    def undecided(self) -> list[str]:
        """Those on which nobody has decided."""
        return [call for call in self.pending if call not in self.decided]

    @property
    def mark(self) -> str:
        """A place in the upstream that just what stands here comes before."""
        return mark(self.text, self.reasoning)

    def forgets(self, before: "Standing") -> None:
        """Believe that Redis has forgotten what people have decided since."""
        self.lost |= before.lost | (before.decided.keys() - self.decided.keys())

    def apply(self, entry: Entry) -> None:
        """Fold one entry of the run."""
        held = self.state == "held"
        law(HELD, not held or isinstance(entry, entries.Run | entries.Answer), entry, "while it is held")
        match entry:
            case entries.Run():
                self._go_on(entry)
            case entries.Delta() | entries.Reasoning():
                law(CALLS, not (self.open or self.pending), entry, "while", self.open, self.pending)
                self.partial = True
                if isinstance(entry, entries.Delta):
                    self.text += entry.text
                else:
                    self.reasoning += entry.text
            case entries.Tool():
                self._call(entry)
            case entries.Ask():
                law(CALLS, entry.call not in (self.asked | self.tools), entry, "twice")
                self.asked[entry.call] = entry
                self.partial = False
            case entries.Answer():
                law(DECIDED, entry.call in self.asked and entry.call not in self.decided, entry, self.decided)
                self.decided[entry.call] = entry
            case entries.Hold():
                law(HELD, (entry.why == "approval") == bool(self.undecided) and not self.open, entry, self)
                self.state = "held"

    def looks_whole(self) -> None:
        """Hold what stands after a publish: what was asked is under way only where it was allowed."""
        for call, answer in self.decided.items():
            made = call in self.tools and not _settled(self.tools[call])
            law(CALLS, not made or answer.decision != "deny" or call in self.lost, answer, self.tools)
        unasked = [call for call in self.asked if call in self.tools and call not in {*self.decided, *self.lost}]
        law(CALLS, unasked == [], unasked, "were made before somebody decided")

    def shown(self) -> dict[str, Any]:
        """Give it as a snapshot shows it, but for its names."""
        asks = [
            {"call": ask.call, "name": ask.name, "arguments": ask.arguments, "until": ask.until}
            for ask in self.asked.values()
            if ask.call not in {*self.decided, *self.tools}
        ]
        return {
            "state": self.state, "attempt": self.attempt, "how": self.how, "node": self.node, "model": self.model,
            "text": self.text, "reasoning": self.reasoning, "tools": list(self.tools.values()), "asks": asks,
        }  # fmt: skip

    def _go_on(self, entry: entries.Run) -> None:
        law(DECIDED, self.state == "running" or not self.undecided, entry, "and nobody has decided", self.undecided)
        self.state, self.attempt, self.how, self.node, self.model = (
            "running", entry.attempt, entry.how, entry.node, entry.model,
        )  # fmt: skip
        if entry.how == "restart":
            text, reasoning = self._settled
            self.text, self.reasoning, self.partial = self.text[:text], self.reasoning[:reasoning], False
            self.tools = {call: tool for call, tool in self.tools.items() if _settled(tool)}
            self.asked = {call: ask for call, ask in self.asked.items() if call in self.tools}
            self.decided = {call: answer for call, answer in self.decided.items() if call in self.tools}

    def _call(self, entry: entries.Tool) -> None:
        """Fold a call that begins, or settles; a denied one settles without that."""
        settles = {
            name: value for name, value in (("result", entry.result), ("error", entry.error)) if value is not None
        }
        tool = self.tools.get(entry.call)
        law(CALLS, tool is None or (bool(settles) and not _settled(tool)), entry, "after", tool)
        denied = entry.call in self.lost or (
            entry.call in self.decided and self.decided[entry.call].decision == "deny"
        )  # fmt: skip
        law(CALLS, tool is not None or not settles or denied, entry, "and it had not begun")
        if tool is None:
            tool = self.tools[entry.call] = {"call": entry.call, "name": entry.name, "arguments": entry.arguments}
        tool |= settles
        self.partial = False
        if settles:
            self._settled = len(self.text), len(self.reasoning)


def _settled(tool: dict[str, Any]) -> bool:
    return "result" in tool or "error" in tool


def mark(text: str, reasoning: str) -> str:
    """Name the place after a text and a thinking."""
    return hashlib.sha256(f"{text}\0{reasoning}".encode()).hexdigest()[:12]
