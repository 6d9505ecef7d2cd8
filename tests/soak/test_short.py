"""The long run for some seconds: the same code, in the gate."""

import random
from pathlib import Path
from typing import Final

import pytest

from tests.soak.long import soak

SECONDS: Final = 8.0


@pytest.mark.alone
async def test_short(tmp_path: Path) -> None:
    """Nothing is lost, repeated or reordered, and nobody waits in vain, whatever breaks."""
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    tally = (await soak(tmp_path, SECONDS, seed)).tally
    assert not tally.broken, "\n".join([f"seed {seed}", *tally.faults])
    assert tally.episodes.total() > SECONDS / 2
    assert tally.sessions > 0
    assert tally.events > 0
