"""One session with 500 readers at B, its answer produced at A: what each delivered token costs."""

from typing import Final

from bench.machine import Cores
from bench.numbers import Figures
from bench.scenarios import Case
from bench.scenarios.tokens import stream
from bench.systems import System, running

READERS: Final = 500
SECONDS: Final = 6.0
JOIN_SECONDS: Final = 8.0  # for so many readers


def cases() -> list[Case]:
    """Measure once."""
    return [Case("fanout", f"{READERS} readers", measure, variants=True)]


async def measure(system: System, cores: Cores) -> Figures:
    """Measure once; raises as `stream` does. Who cannot keep up still has a cost, so answers need not be whole."""
    async with running(system, cores) as run:
        found = await stream(run, sessions=1, readers=READERS, seconds=SECONDS, join_s=JOIN_SECONDS, whole=False)
    return {"µs per delivered token": found.pop("µs per token")} | found
