"""agent.beat: runs write together, and not all at the same moment."""

import asyncio
import time

from app.agent.beat import GROUPS, Beat


async def test_who_waits_for_a_beat_is_called_together() -> None:
    """All of a group within one step of a millisecond or more; the groups apart from each other."""
    beat, turns = Beat(0.4), list[tuple[int, int]]()
    groups = [beat.join() for _ in range(GROUPS * 3)]
    turn = 0

    async def count() -> None:
        nonlocal turn
        while len(turns) < len(groups):
            turn += 1
            await asyncio.sleep(0.001)

    for group in groups:
        beat.at(group, lambda group=group: turns.append((group, turn)))  # type: ignore[misc]
    async with asyncio.timeout(10):
        await count()
    by_group = [{at for one, at in turns if one == group} for group in range(GROUPS)]
    assert [len(ats) for ats in by_group] == [1] * GROUPS
    assert len(set.union(*by_group)) == GROUPS


async def test_without_an_interval_nobody_waits() -> None:
    """`FLUSH_MS=0`."""
    beat, called = Beat(0.0), list[float]()
    beat.at(beat.join(), lambda: called.append(time.monotonic()))
    assert called
