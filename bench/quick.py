"""The regression gate: ours against the hand-written baseline, in the same run, by ratio.

Nothing here is an absolute time: a slow machine, or a busy one, slows both. Each is measured for a few seconds, in
turn, and the least of each counts, since whatever disturbs a process only adds to what it costs.
"""

from dataclasses import dataclass
from typing import Final

from bench.machine import Cores
from bench.numbers import Figures
from bench.scenarios.tokens import measure
from bench.systems.handwritten import Handwritten
from bench.systems.ours import Ours

SESSIONS: Final = 25
SECONDS: Final = 3.0
ROUNDS: Final = 2
RATIO: Final = 0.2  # what ours costs, of what the baseline costs, when this was set
MARGIN: Final = 1.4  # by how much it may be more, before it is worse and not noise


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found, of each in its cheapest round."""

    ours: Figures
    baseline: Figures

    @property
    def ratio(self) -> float:
        """What ours costs, of the baseline."""
        return self.ours["µs per token"] / self.baseline["µs per token"]

    @property
    def good(self) -> bool:
        """Whether ours is no worse than it was."""
        return self.ratio <= RATIO * MARGIN

    def __str__(self) -> str:
        ours, baseline = self.ours["µs per token"], self.baseline["µs per token"]
        words = "no worse than" if self.good else "WORSE than"
        return (
            f"ours {ours:.0f} µs per token, hand-written {baseline:.0f}: {self.ratio:.3f} of it, "
            f"{words} the {RATIO} × {MARGIN} that is allowed"
        )


async def compare(cores: Cores, *, seconds: float = SECONDS, rounds: int = ROUNDS) -> Verdict:
    """Measure both in turn; raises as `measure` does."""
    ours: list[Figures] = []
    baseline: list[Figures] = []
    for _ in range(rounds):
        for system, found in ((Ours(), ours), (Handwritten(), baseline)):
            found.append(await measure(system, cores, sessions=SESSIONS, seconds=seconds, delays=False))
    return Verdict(*(min(found, key=lambda figures: figures["µs per token"]) for found in (ours, baseline)))
