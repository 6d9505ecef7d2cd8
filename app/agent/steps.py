"""What a run has done so far, as its log has it: steps, each of them one asking of the model.

A step is what the model thought and said, and then the calls that it wanted made. With the next text after a call a new
step begins, and so it does with the next call when all before it have settled. A call has settled when there is a
result, or an error; that is where a `restart` cuts back to.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from app.core import entries
from app.core.entries import Entry


@dataclass(slots=True)
class Call:
    """One call of a tool.

    `begun`: its making is in the log, so it may have been made. `until`: a person is asked, and that long. `stored`:
    the append of its writer's with which it has settled; 0 where that was another's.
    """

    id: str
    name: str
    arguments: Any = None
    begun: bool = False
    until: int | None = None
    decision: entries.Answer | None = None
    result: Any = None
    error: str | None = None
    stored: int | None = None

    @property
    def settled(self) -> bool:
        """Whether there is a result or an error."""
        return self.result is not None or self.error is not None

    def in_log(self, count: int) -> bool:
        """Whether it has settled in a log that has so many appends of the writer's."""
        return self.stored is not None and self.stored <= count

    @property
    def asks(self) -> bool:
        """Whether a person is, or was, to decide on it, and it has not begun since."""
        return self.until is not None and not (self.begun or self.settled)

    def shown(self) -> dict[str, Any]:
        """Give it as a turn has it: without a result or an error, it was not made, or nobody knows."""
        shown = {"call": self.id, "name": self.name, "arguments": self.arguments}
        for name, value in (("result", self.result), ("error", self.error)):
            shown |= {} if value is None else {name: value}
        return shown

    def told(self, run: str) -> list[Entry]:
        """Give the entries that tell of it, all that there is of it."""
        told: list[Entry] = []
        if self.until is not None:
            told.append(entries.Ask(run=run, call=self.id, name=self.name, arguments=self.arguments, until=self.until))
        told += [self.decision] if self.decision is not None else []
        if self.begun or self.settled:
            told.append(entries.Tool(run=run, call=self.id, name=self.name, arguments=self.arguments))
        if self.settled:
            told.append(entries.Tool(run=run, call=self.id, result=self.result, error=self.error))
        return told


@dataclass(slots=True)
class Step:
    """One asking of the model."""

    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What it said."""
        return "".join(self.texts)

    @property
    def thought(self) -> str:
        """What it thought."""
        return "".join(self.thoughts)


class Steps(list[Step]):
    """All steps of a run, in order. Mutable, owned by its answer."""

    def apply(self, entry: Entry) -> None:
        """Fold one entry of the run."""
        match entry:
            case entries.Delta(text=text):
                self.speaking().texts.append(text)
            case entries.Reasoning(text=text):
                self.speaking().thoughts.append(text)
            case entries.Tool() | entries.Ask():
                self._call(entry)
            case entries.Answer(call=id):
                for call in self.calls():
                    if call.id == id:
                        call.decision = entry
            case entries.Run(how="restart"):
                self.cut()

    def speaking(self) -> Step:
        """The step in which the model speaks now; a new one after calls."""
        if not self or self[-1].calls:
            self.append(Step())
        return self[-1]

    def calls(self) -> list[Call]:
        """All calls."""
        return [call for step in self for call in step.calls]

    def cut(self) -> None:
        """Drop all since the last settled call, and calls that have not settled: a restart."""
        while self and not any(call.settled for call in self[-1].calls):
            self.pop()
        for step in self:
            step.calls = [call for call in step.calls if call.settled]

    def since(self, count: int) -> tuple[int, Sequence[Call]]:
        """Where a restart cuts back to in a log that has so many appends of the writer's: how many steps stand, and
        which calls in them have not settled there.
        """
        stand = 0
        for place, step in enumerate(self, 1):
            if any(call.in_log(count) for call in step.calls):
                stand = place
        return stand, [call for step in self[:stand] for call in step.calls if not call.in_log(count)]

    def _call(self, entry: entries.Tool | entries.Ask) -> None:
        call = next((call for call in self.calls() if call.id == entry.call), None)
        if call is None:
            call = Call(entry.call, entry.name)
            if not self or (self[-1].calls and all(call.settled for call in self[-1].calls)):
                self.append(Step())
            self[-1].calls.append(call)
        if entry.arguments is not None:
            call.arguments = entry.arguments
        if isinstance(entry, entries.Ask):
            call.until = entry.until
            return
        if call.asks:  # what was allowed comes after what needed no leave, as readers see it
            step = next(step for step in self if call in step.calls)
            step.calls = [*(one for one in step.calls if one is not call), call]
        call.begun = call.begun or not (entry.result is not None or entry.error is not None)
        call.result = entry.result if entry.result is not None else call.result
        call.error = entry.error if entry.error is not None else call.error
