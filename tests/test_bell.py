"""agent.bell: heard once, then or later."""

import asyncio
import time

import pytest

from app.agent.bell import Bell


async def test_a_ring_is_heard_once_then_or_later() -> None:
    """Several rings are one, and one that came before is not waited for."""
    bell = Bell()
    bell.ring()
    bell.ring()
    assert await bell.heard()
    assert not await bell.heard(0.01)
    asyncio.get_running_loop().call_later(0.01, bell.ring)
    assert await bell.heard(10.0)
    bell.ring()
    assert await bell.heard(0.0)


async def test_nobody_waits_longer_than_told() -> None:
    """And who gives up leaves nothing behind: the next one hears as ever."""
    bell, began = Bell(), time.monotonic()
    assert not await bell.heard(0.05)
    assert 0.04 < time.monotonic() - began < 5
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await bell.heard()
    bell.ring()
    assert await bell.heard(0.0)


async def test_a_limit_is_that_of_the_last_wait() -> None:
    """Whatever limits there were before: a longer one is not cut short, a shorter one not made longer."""
    bell, loop = Bell(), asyncio.get_running_loop()
    for before, seconds in ((0.05, 0.2), (10.0, 0.1)):
        loop.call_soon(bell.ring)
        assert await bell.heard(before)
        began = time.monotonic()
        assert not await bell.heard(seconds)
        assert seconds - 0.02 < time.monotonic() - began < 5
