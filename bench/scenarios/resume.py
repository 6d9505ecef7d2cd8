"""Coming back on the other node: every reader is dropped in mid-answer, and returns a second later, elsewhere.

The time is from the beginning of the connect to the first text that was missed. `whole` is how many had, at the end,
the exact text. Two ways: each at a moment of its own within two seconds, and all at the same moment.
"""

import asyncio
import time
from typing import Final

from bench.drive import steady, talk
from bench.machine import Cores
from bench.numbers import Figures, percentile
from bench.scenarios import Case
from bench.systems import Reader, Running, System, running

SESSIONS: Final = 100
RATE: Final = 50
AWAY_SECONDS: Final = 1.0
SPREAD_SECONDS: Final = 2.0
LONG_SECONDS: Final = 8.0
RETURN_SECONDS: Final = 40.0  # who has not been shown anything by then never came back


def cases() -> list[Case]:
    """Come back in both ways."""
    return [Case("resume", f"{SESSIONS} sessions", measure)]


async def measure(system: System, cores: Cores) -> Figures:
    """Measure both ways, each on nodes of its own."""
    async with running(system, cores) as run:
        apart = await back(run, SPREAD_SECONDS)
    async with running(system, cores) as run:
        together = await back(run, 0.0)
    return apart | {f"at once {name}": value for name, value in together.items()}


async def back(run: Running, spread_s: float) -> Figures:
    """Have the readers of A dropped, and come back at B."""
    with steady():
        said = await talk(run, run.a, sessions=SESSIONS, rate=RATE, seconds=LONG_SECONDS)
        await said.begin(run.a, 1.0)
        await asyncio.sleep(AWAY_SECONDS)
        said.leave()
        began = time.monotonic() + AWAY_SECONDS
        delays_ms = sorted(
            await asyncio.gather(
                *(_returns(run.b, reader, began + spread_s * index / SESSIONS)
                  for index, reader in enumerate(said.clients))
            )
        )  # fmt: skip
        whole = await said.over()
        said.leave()
    return {"p50 ms": percentile(delays_ms, 50), "p99 ms": percentile(delays_ms, 99), "whole": whole}


async def _returns(port: int, reader: Reader, at: float) -> float:
    """Come back at that time; return in how many ms the first missed text came."""
    assert reader.answer is not None
    await asyncio.sleep(at - time.monotonic())
    shown: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    reader.answer.bell = lambda: shown.set_result(time.monotonic())
    began = time.monotonic()
    try:
        async with asyncio.timeout(RETURN_SECONDS):
            await reader.follow(port)
            return (await shown - began) * 1000
    except TimeoutError:
        reader.answer.bell = None
        return RETURN_SECONDS * 1000
