"""A text that cannot hide a delay: each token is the moment at which it was due.

Whoever produces an answer (the fake upstream, or a peer that makes its own tokens) fixes the due times when it begins:
`first`, `first + interval`, `first + 2 * interval`, … on the machine's monotonic clock, which all processes share. It
writes each as eight digits and a blank, whether it is late or not. A reader subtracts: every wait on the way counts.

Times are whole ticks of 10 µs, modulo 1,000 s; so an answer is a row of exact steps, and a token that is missing, twice
there or out of order is seen at once.
"""

import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

TICKS: Final = 100_000  # in a second
WRAP: Final = 100_000_000
WIDTH: Final = 9
MARK: Final = "bench"


def ticks() -> int:
    """What the monotonic clock says, in ticks."""
    return time.monotonic_ns() // 10_000


@dataclass(frozen=True, slots=True)
class Ask:
    """What is to be said: `count` tokens, one every `interval` ticks; the first where time modulo that is `phase`, but
    not before `wait` ticks have passed.
    """

    interval: int
    count: int
    phase: int = 0
    wait: int = 0

    @classmethod
    def at(cls, rate: int, seconds: float, phase: float = 0.0, wait_s: float = 0.0) -> "Ask":
        """So many tokens a second, for so long; `phase` is a fraction of the time between two."""
        interval = TICKS // rate
        return cls(interval, max(1, round(rate * seconds)), int(phase * interval) % interval, int(wait_s * TICKS))

    @property
    def prompt(self) -> str:
        """The question that is answered so."""
        return f"{MARK} {self.interval} {self.count} {self.phase} {self.wait}"

    @classmethod
    def read(cls, prompt: str) -> "Ask":
        """Read a question.

        Raises:
            ValueError: it is none of ours.
        """
        mark, *numbers = prompt.split()
        if mark != MARK or len(numbers) != 4:
            raise ValueError(prompt[:80])
        return cls(*map(int, numbers))

    def first(self, now: int) -> int:
        """When the first token is due, of an answer that is asked for `now`."""
        least = now + self.wait
        return least + (self.phase - least) % self.interval if self.interval else least


def token(due: int) -> str:
    """The token that is due then."""
    return f"{due % WRAP:08d} "


@dataclass(slots=True)
class Tally:
    """Every token that any reader was shown: when it was due, and when it came. In ticks."""

    due: "array[int]" = field(default_factory=lambda: array("q"))
    came: "array[int]" = field(default_factory=lambda: array("q"))
    firsts: "array[int]" = field(default_factory=lambda: array("q"))  # the delays of first tokens

    def __len__(self) -> int:
        return len(self.due)

    def delays_ms(self, since: int, until: int) -> list[float]:
        """The delays of all tokens that were due in that time, sorted."""
        chosen = (came - due for due, came in zip(self.due, self.came, strict=True) if since <= due < until)
        return sorted(ticks_ * 1000 / TICKS for ticks_ in chosen)

    def came_in(self, since: int, until: int) -> int:
        """How many tokens came in that time."""
        return sum(since <= came < until for came in self.came)


class Answer:
    """What one reader has of one answer."""

    __slots__ = ("_next", "_rest", "ask", "bell", "count", "ended", "first", "tally", "wrong")

    def __init__(self, ask: Ask, tally: Tally) -> None:
        self.ask = ask
        self.tally = tally
        self.count = 0
        self.first = 0  # when its first token was due
        self.wrong = 0  # tokens that do not follow the one before, or came before they were due
        self.ended = False
        self.bell: Callable[[], object] | None = None  # called, once, at the next text and at the end
        self._next = 0
        self._rest = ""

    @property
    def whole(self) -> bool:
        """Whether it ended with its exact text: each token once, in order, none missing."""
        return self.ended and self.count == self.ask.count and self.wrong == 0 and not self._rest

    def take(self, text: str) -> None:
        """Read text that just came."""
        now = ticks()
        if self._rest:
            text, self._rest = self._rest + text, ""
        if cut := len(text) % WIDTH:
            text, self._rest = text[:-cut], text[-cut:]
        for start in range(0, len(text), WIDTH):
            due = int(text[start : start + WIDTH])
            delay = (now - due) % WRAP
            early = delay >= WRAP // 2
            self.wrong += early or (due != self._next and self.count > 0)
            if self.count == 0:
                self.first = now - delay
                self.tally.firsts.append(delay)
            self._next = (due + self.ask.interval) % WRAP
            self.count += 1
            self.tally.due.append(now - delay)
            self.tally.came.append(now)
        self._ring()

    def due_in(self, since: int, until: int) -> int:
        """How many of its tokens were due in that time, whether they came or not. Its first one came."""
        step, last = self.ask.interval, self.first + self.ask.interval * (self.ask.count - 1)
        begin, end = max(since, self.first), min(until - 1, last)
        if step == 0:
            return self.ask.count if begin <= end else 0
        return max(0, (end - self.first) // step - (begin - self.first - 1) // step)

    def end(self) -> None:
        """Take note that no more comes."""
        self.ended = True
        self._ring()

    def _ring(self) -> None:
        if self.bell is not None:
            bell, self.bell = self.bell, None
            bell()
