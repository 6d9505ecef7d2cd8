"""A circuit breaker: whoever fails again and again is left alone for a while, and then tried by one.

    closed ──5 failures in a row──▶ open ──its time is over──▶ half-open ──the probe succeeds──▶ closed
                                     ▲                             │
                                     └──── the probe fails, twice the time, up to 30 s

Rules: the owner asks `admit` before each try and tells its outcome: `succeeded`, `failed`, or `let_go` where there was
none (a stop is no failure). Time is an argument, in seconds of one clock.
"""

from typing import Final, Literal

FAILURES: Final = 5
FIRST_SECONDS: Final = 1.0
MOST_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 0.25  # a probe is under way: ask again then

State = Literal["closed", "open", "half_open"]


class Breaker:
    """The breaker of one dependency. Mutable, owned by whoever calls that."""

    def __init__(self, failures: int = FAILURES, first_s: float = FIRST_SECONDS, most_s: float = MOST_SECONDS) -> None:
        self.state: State = "closed"
        self.opened = 0  # how often
        self._most = failures
        self._first_s = first_s
        self._most_s = most_s
        self._failures = 0
        self._open_s = first_s
        self._until = 0.0

    def admit(self, now: float) -> float:
        """Return 0 if a try may be made now, else the seconds after which to ask again. Open, one may: the probe."""
        wait = self.wait_s(now)
        if not wait and self.state == "open":
            self.state = "half_open"
        return wait

    def wait_s(self, now: float) -> float:
        """Seconds after which a try may be made, as far as that is known; 0 for now."""
        match self.state:
            case "closed":
                return 0.0
            case "half_open":
                return LOOK_SECONDS
        return max(0.0, self._until - now)

    def succeeded(self) -> None:
        """Close."""
        self.state, self._failures, self._open_s = "closed", 0, self._first_s

    def failed(self, now: float) -> None:
        """Count a failure; the last one of a row, and that of a probe, opens."""
        self._failures += 1
        if self.state == "half_open":
            self._open_s = min(2 * self._open_s, self._most_s)
        elif self._failures < self._most or self.state == "open":
            return
        self.state, self._until = "open", now + self._open_s
        self.opened += 1

    def let_go(self) -> None:
        """Count nothing: a try was abandoned. If it was the probe, the next one is."""
        if self.state == "half_open":
            self.state = "open"
