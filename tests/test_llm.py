"""agent.llm: an OpenAI-compatible upstream over real HTTP, well-behaved and not."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.agent.llm import Limits, OpenAIModel, Piece
from app.core.errors import ChatError, ContentRefused, ModelTimeout, ModelUnavailable
from tests.servers import Upstream, sse, upstream

QUICK = Limits(connect_s=1.0, first_s=0.3, next_s=0.3)
ASK = [{"role": "user", "content": "one two three"}]


async def stream(up: Upstream, limits: Limits = QUICK) -> list[Piece]:
    """All pieces of one answer."""
    model = await OpenAIModel.connect(base_url=up.url, api_key=None, name="up-1", limits=limits)
    try:
        return [piece async for piece in model.stream("up-1", ASK)]
    finally:
        await model.close()


async def test_text_comes_in_pieces_and_the_usage_in_the_end() -> None:
    """In order; the request names the model, streams, and asks for usage."""
    async with upstream() as up:
        pieces = await stream(up)
        assert "".join(piece.text for piece in pieces) == "one two three "
        assert pieces[-1].usage == {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
        sent = up.requests[0]
        assert (
            sent["model"], sent["stream"], sent["stream_options"], sent["messages"],
        ) == ("up-1", True, {"include_usage": True}, ASK)  # fmt: skip


async def test_without_a_name_the_first_model_of_the_upstream_is_taken() -> None:
    """As `/models` lists them."""
    async with upstream() as up:
        model = await OpenAIModel.connect(base_url=up.url, api_key=None, name=None, limits=QUICK)
        assert model.names == ("up-1",)
        await model.close()


async def cut(body: dict[str, Any]) -> AsyncIterator[bytes]:
    """End without a finish_reason."""
    yield sse("one ")


async def hang(body: dict[str, Any]) -> AsyncIterator[bytes]:
    """Say one word, then nothing."""
    yield sse("one ")
    await asyncio.sleep(5)


async def silent(body: dict[str, Any]) -> AsyncIterator[bytes]:
    """Say nothing."""
    await asyncio.sleep(5)
    yield b""


async def malformed(body: dict[str, Any]) -> AsyncIterator[bytes]:
    """Say what is no JSON."""
    yield sse("one ")
    yield b"data: {nonsense\n\n"


async def filtered(body: dict[str, Any]) -> AsyncIterator[bytes]:
    """Refuse in the middle."""
    yield sse("one ")
    yield sse(None, "content_filter")


async def broken(body: dict[str, Any]) -> AsyncIterator[bytes]:
    """Break the HTTP response."""
    yield sse("one ")
    raise ConnectionResetError


@pytest.mark.parametrize(
    ("answer", "error"),
    [(cut, ModelUnavailable), (hang, ModelTimeout), (silent, ModelTimeout), (malformed, ModelUnavailable),
     (filtered, ContentRefused), (broken, ModelUnavailable)],
    ids=lambda value: value.__name__,
)  # fmt: skip
async def test_a_stream_that_is_not_whole_is_a_failure(answer: Any, error: type[ChatError]) -> None:
    """Cut, hung, silent, malformed, refused or broken off: typed, and in time."""
    async with upstream() as up:
        up.answer = answer
        with pytest.raises(error):
            await stream(up)


@pytest.mark.parametrize(("status", "error"), [(400, ContentRefused), (401, ModelUnavailable), (404, ModelUnavailable)])
async def test_a_refused_request_is_a_failure(status: int, error: type[ChatError]) -> None:
    """A 4xx is asked once, and typed."""
    async with upstream() as up:
        up.status = status
        with pytest.raises(error):
            await stream(up)
        assert len(up.requests) == 1


async def test_an_upstream_that_is_not_there() -> None:
    """Typed, in a sentence for a person."""
    with pytest.raises(ModelUnavailable, match="no model found at"):
        await OpenAIModel.connect(base_url="http://127.0.0.1:9/v1", api_key=None, name=None, limits=QUICK)
