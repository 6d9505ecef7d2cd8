"""An answer as the log has it: its steps, what of them is encoded, the text's length and digest, and all its bounds."""

import hashlib
from collections.abc import Iterable
from typing import Final

from app.agent.steps import Call, Steps
from app.core import entries
from app.core.coalesce import head_of, pieces
from app.core.entries import Entry
from app.core.errors import TooLong
from app.core.protocol import ANSWER_BYTES

ANSWER_ENTRIES: Final = 20_000
APART: Final = "\n\n"  # between what was said before a call and after it


class Answer:
    """What stands of a run. Mutable, owned by it. Thinking, arguments and results count towards its bound, too."""

    def __init__(self, run: str) -> None:
        self._run = run
        self.steps = Steps()
        self._hash = hashlib.sha256()
        self.length = self._bytes = self._entries = 0

    @property
    def text(self) -> str:
        """All that was said."""
        return "".join(text for step in self.steps for text in step.texts)

    @property
    def reasoning(self) -> str:
        """All that was thought."""
        return "".join(text for step in self.steps for text in step.thoughts)

    @property
    def sha256(self) -> str:
        """The digest of the text's UTF-8, in hex."""
        return self._hash.hexdigest()

    @property
    def begun(self) -> str:
        """The text of the step in which the model speaks."""
        return "" if not self.steps or self.steps[-1].calls else self.steps[-1].text.removeprefix(APART)

    @property
    def partial(self) -> bool:
        """Whether something was said or thought since the last call."""
        return bool(self.steps) and not self.steps[-1].calls

    @property
    def open(self) -> list[Call]:
        """The calls that have not settled."""
        return [call for call in self.steps[-1].calls if not call.settled] if self.steps else []

    def stands(self, log: tuple[bytes, ...]) -> None:
        """Take in what is in the log already."""
        for fields in entries.merged(log):
            entry = entries.entry_of(fields) if fields.get("run") == self._run else None
            if entry is not None:
                self.steps.apply(entry)
        for call in self.steps.calls():
            call.stored = 0 if call.settled else None
        self._measure()

    def decided(self, answers: Iterable[bytes]) -> None:
        """Take in what people have answered, which is in the log already."""
        for data in answers:
            if (entry := entries.decode(data)) is not None:
                self.steps.apply(entry)

    def cut(self) -> None:
        """Begin anew after the last settled call: a restart."""
        self.steps.cut()
        self._measure()

    def add(self, texts: list[str]) -> list[bytes]:
        """Count text towards the answer, and encode it.

        Raises:
            TooMuch: it is past the answer's bound.
        """
        begins = bool(self.steps) and (bool(self.steps[-1].calls) or not self.steps[-1].texts)
        if texts and self.length and begins and not self.text.endswith(APART):
            texts = [APART + texts[0], *texts[1:]]
        return self._spoken(entries.Delta, texts)

    def think(self, texts: list[str]) -> list[bytes]:
        """Count thinking towards the answer, and encode it; raises as `add` does."""
        return self._spoken(entries.Reasoning, texts)

    def tell(self, told: list[Entry]) -> list[bytes]:
        """Count what is told of calls towards the answer, and encode it; raises as `add` does."""
        added: list[bytes] = []
        for entry in told:
            data = entries.encode(entry)
            if self._fitting(data) is not data:
                raise TooMuch(added)
            self.steps.apply(entry)
            added.append(data)
        return added

    def anew(self, count: int) -> list[bytes]:
        """Encode all that readers must be told again where the log has only `count` appends of this writer's, and a
        `restart` after them.
        """
        stand, lost = self.steps.since(count)
        told: list[Entry] = [entry for call in lost for entry in call.told(self._run)]
        for step in self.steps[stand:]:
            for kind, texts in ((entries.Reasoning, step.thoughts), (entries.Delta, step.texts)):
                text = "".join(texts)
                told += [kind(run=self._run, text=part) for part in pieces(text, entries.TEXT_BYTES) if part]
            told += [entry for call in step.calls for entry in call.told(self._run)]
        for call in self.steps.calls():
            if call.settled and not call.in_log(count):
                call.stored = count + 1
        return [entries.encode(entry) for entry in told]

    def _spoken(self, kind: type[entries.Delta | entries.Reasoning], texts: list[str]) -> list[bytes]:
        """Count what the model gives, and encode it; past the bound, cut it and raise."""
        added: list[bytes] = []
        for text in texts:
            data = text.encode()
            kept = self._fitting(data)
            if kept:
                entry = kind(run=self._run, text=text if kept is data else kept.decode())
                self.steps.apply(entry)
                if kind is entries.Delta:
                    self._hash.update(kept)
                    self.length += len(kept)
                added.append(entries.encode(entry))
            if kept is not data:
                raise TooMuch(added)
        return added

    def _fitting(self, data: bytes) -> bytes:
        """What of the bytes of one entry is within the bound: themselves, or their beginning; it is counted."""
        room = ANSWER_BYTES - self._bytes if self._entries < ANSWER_ENTRIES else 0
        kept = data if len(data) <= room else head_of(data, room)
        self._bytes += len(kept)
        self._entries += 1
        return kept

    def _measure(self) -> None:
        """Count anew."""
        said = self.text.encode()
        self._hash = hashlib.sha256(said)
        self.length = len(said)
        told = [entry for call in self.steps.calls() for entry in call.told(self._run)]
        self._bytes = self.length + len(self.reasoning.encode()) + sum(len(entries.encode(entry)) for entry in told)
        self._entries = sum(len(step.texts) + len(step.thoughts) for step in self.steps) + len(told)


class TooMuch(TooLong):
    """The answer is at its bound; `added` is what of it was still encoded."""

    def __init__(self, added: list[bytes]) -> None:
        super().__init__(f"an answer has at most {ANSWER_BYTES} bytes, in {ANSWER_ENTRIES} pieces")
        self.added = added
