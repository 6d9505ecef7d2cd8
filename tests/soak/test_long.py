"""The long run, by hand: `SOAK_SECONDS=1200 pytest -m soak tests/soak`; what it counts is in docs/reliability.md.

With `SOAK_SEED` the same episodes are drawn again. A run of less than ten minutes is for looking, and is not written.
"""

import os
import random
from pathlib import Path
from typing import Final

import pytest

from tests.soak.long import soak
from tests.soak.report import told, write

SECONDS: Final = 1200.0
WRITTEN_SECONDS: Final = 600.0
EPISODES: Final = 500
EVENTS: Final = 1_000_000
GROWTH: Final = 0.1


@pytest.mark.soak
@pytest.mark.timeout(0)
async def test_long(tmp_path: Path) -> None:
    """Nothing is lost, repeated or reordered, nobody waits in vain, and no memory is lost."""
    seconds = float(os.environ.get("SOAK_SECONDS", SECONDS))
    seed = int(os.environ.get("SOAK_SEED", random.SystemRandom().randrange(10**6)))
    print(f"seed {seed}", flush=True)
    ran = await soak(tmp_path, seconds, seed)
    words, tally = told(ran), ran.tally
    print(words)
    assert not tally.broken, "\n".join(tally.faults)
    assert ran.world.total("chat_divergences_total").total() == 0
    assert {*tally.resets} <= {"expired"}
    if seconds >= WRITTEN_SECONDS:
        write("soak", words)
        quarter, end = ran.memory_mib
        assert abs(end / quarter - 1) <= GROWTH
        assert tally.episodes.total() >= EPISODES * seconds / SECONDS
        assert tally.events >= EVENTS * seconds / SECONDS
