"""agent.flow: what a model says is kept, and taken at once."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from app.agent.bell import Bell
from app.agent.flow import AHEAD_BYTES, Piece, Pumped, pieces
from app.core.errors import ModelUnavailable
from tests.servers import until

Said = list[Piece | Exception]


def pumped(said: Said, ended: list[str]) -> Pumped:
    """A flow of what is said; `ended` is told when the model is let go of."""

    async def stream() -> AsyncGenerator[Piece, None]:
        try:
            for piece in said:
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            ended.append("ended")

    return Pumped(stream())


async def test_all_that_came_is_taken_as_one() -> None:
    """Texts are joined, and the last usage counts; then it is over."""
    ended: list[str] = []
    flow, bell = pumped([Piece("a"), Piece(""), Piece("b", {"n": 1}), Piece(usage={"n": 2})], ended), Bell()
    await until(lambda: ended)
    flow.tell(bell)
    assert await bell.heard(0.0)
    assert not flow.over
    assert flow.take() == Piece("ab", {"n": 2})
    assert (flow.take(), flow.over) == (None, True)
    await flow.close()


async def test_what_goes_wrong_comes_after_what_came_before() -> None:
    """And is raised once."""
    flow, bell = pumped([Piece("a"), ModelUnavailable("it broke")], []), Bell()
    flow.tell(bell)
    await bell.heard()
    await asyncio.sleep(0)
    assert flow.take() == Piece("a")
    with pytest.raises(ModelUnavailable):
        flow.take()
    assert (flow.take(), flow.over) == (None, True)
    with pytest.raises(ModelUnavailable):
        [piece async for piece in pieces(pumped([Piece("a"), ModelUnavailable("it broke")], []))]


async def test_not_everything_is_read_ahead() -> None:
    """Until some is taken; and one that is closed reads no more."""
    ended: list[str] = []
    flow = pumped([Piece("x" * AHEAD_BYTES)] * 3, ended)
    bell, sizes = Bell(), []
    for _ in range(2):
        flow.tell(bell)
        await bell.heard()
        await asyncio.sleep(0)
        taken = flow.take()
        assert taken is not None
        sizes.append(len(taken.text))
    assert (sizes, ended) == ([AHEAD_BYTES] * 2, [])
    await flow.close()
    assert ended == ["ended"]
