"""agent.llm: an OpenAI-compatible upstream over real HTTP, well-behaved and not."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from app.agent.bell import Bell
from app.agent.flow import Piece, pieces
from app.agent.llm import Abilities, Limits, OpenAIModel
from app.agent.prompt import Prompt
from app.core.breaker import Breaker
from app.core.errors import ChatError, ContentRefused, ModelTimeout, ModelUnavailable
from app.core.model import Dialect
from tests.servers import Upstream, sse, upstream, words

QUICK = Limits(connect_s=1.0, first_s=0.3, next_s=0.3)
ASK = Prompt([{"role": "user", "content": "one two three"}])


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
        said = await stream(up)
        assert "".join(piece.text for piece in said) == "one two three "
        assert said[-1].usage == {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
        sent = up.requests[0]
        assert (
            sent["model"], sent["stream"], sent["stream_options"], sent["messages"],
        ) == ("up-1", True, {"include_usage": True}, ASK.messages)  # fmt: skip


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


async def empty(body: dict[str, Any]) -> AsyncIterator[bytes]:
    """Say nothing, and end."""
    yield b""


async def not_chunks(body: dict[str, Any]) -> AsyncIterator[bytes]:
    """Say JSON that is no chunk."""
    yield b'data: {"choices": [{"delta": null}]}\n\n'
    yield b'data: ["what"]\n\n'


class Times:
    """An upstream's answers in turn: how often it was asked, and when."""

    def __init__(self, up: Upstream, *answers: Any) -> None:
        self.asked_at: list[float] = []
        self._answers = list(answers)
        up.answer = self

    async def __call__(self, body: dict[str, Any]) -> AsyncIterator[bytes]:
        """Answer as the next one does."""
        self.asked_at.append(time.monotonic())
        async for chunk in (self._answers.pop(0) if self._answers else words)(body):
            yield chunk


@pytest.mark.parametrize("broken_off", [empty, not_chunks], ids=lambda value: value.__name__)
async def test_what_fails_before_its_first_token_is_asked_again(broken_off: Any) -> None:
    """Up to three times, here and nowhere else: then it is a failure."""
    async with upstream() as up:
        times = Times(up, broken_off, broken_off)
        assert "".join([piece.text for piece in await stream(up)]) == "one two three "
        assert len(times.asked_at) == 3
        times = Times(up, broken_off, broken_off, broken_off, words)
        with pytest.raises(ModelUnavailable):
            await stream(up)
        assert len(times.asked_at) == 3


async def test_what_breaks_off_later_is_not_asked_again_here() -> None:
    """That is the run's to decide: there is one layer of retries."""
    async with upstream() as up:
        times = Times(up, cut)
        with pytest.raises(ModelUnavailable):
            await stream(up)
        assert len(times.asked_at) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_retry_after_is_honoured(status: int) -> None:
    """It is asked again no sooner; with more than a minute it has failed, and says for how long."""
    async with upstream() as up:
        up.status, up.headers = status, {"Retry-After": "0.2"}
        began = time.monotonic()
        with pytest.raises(ModelUnavailable):
            await stream(up)
        assert (len(up.requests), time.monotonic() - began >= 0.4) == (3, True)
        up.headers = {"Retry-After": "3600"}
        with pytest.raises(ModelUnavailable) as error:
            await stream(up)
        assert (len(up.requests), error.value.after_ms) == (4, 3_600_000)


async def test_a_breaker_holds_back_who_would_ask_in_vain() -> None:
    """After five failures in a row nobody asks; then one does, and when that succeeds all do. A 4xx is none of them."""
    async with upstream() as up:
        breaker = Breaker(first_s=0.3)
        model = await OpenAIModel.connect(base_url=up.url, api_key=None, name="up-1", limits=QUICK, breaker=breaker)

        async def ask() -> str:
            return "".join([piece.text async for piece in model.stream("up-1", ASK)])

        up.status = 404
        for _ in range(6):
            with pytest.raises(ModelUnavailable):
                await ask()
        assert (model.breakers, breaker.state) == ({f"{up.url}/": breaker}, "closed")
        up.status, up.headers = 500, {"Retry-After": "0"}
        up.requests.clear()
        answers = await asyncio.gather(ask(), ask(), return_exceptions=True)
        assert all(isinstance(answer, ModelUnavailable) for answer in answers)
        assert breaker.opened >= 1
        up.status, asked = 200, len(up.requests)
        waiting = [asyncio.create_task(ask()) for _ in range(5)]
        await asyncio.sleep(0)
        assert len(up.requests) == asked
        assert await asyncio.gather(*waiting) == ["one two three "] * 5
        assert breaker.state == "closed"
        await model.close()


async def test_a_stop_is_no_failure() -> None:
    """Whoever closes the iterator, or is cancelled before the first token, leaves the breaker as it was."""
    async with upstream() as up:
        breaker = Breaker(failures=1)
        model = await OpenAIModel.connect(base_url=up.url, api_key=None, name="up-1", limits=QUICK, breaker=breaker)
        stream = model.stream("up-1", ASK)
        await anext(stream)
        await stream.aclose()
        up.answer = silent
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await anext(model.stream("up-1", ASK))
        assert (breaker.state, breaker.opened) == ("closed", 0)
        with pytest.raises(ModelTimeout):
            await anext(model.stream("up-1", ASK))
        assert breaker.state == "open"
        await model.close()


async def test_a_model_that_thinks_aloud_is_at_work() -> None:
    """Its first token is the first of its reasoning: the limits on time count from there."""

    async def thoughtful(body: dict[str, Any]) -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b'data: {"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}\n\n'
            await asyncio.sleep(0.15)
        yield sse("Yes.", "stop")

    async with upstream() as up:
        up.answer = thoughtful
        assert "".join([piece.text for piece in await stream(up)]) == "Yes."


@pytest.mark.parametrize("dialect", ["trailing", "continue_final_message", "prefix"])
async def test_an_answer_is_continued_in_the_servers_dialect(dialect: Dialect) -> None:
    """The request ends with the text that stands; only what is new comes out."""

    async def goes_on(body: dict[str, Any]) -> AsyncIterator[bytes]:
        assert body["messages"][-1]["content"] == "one two"
        for word in ["one", " two", " three"] if dialect == "prefix" else [" three"]:
            yield sse(word)
        yield sse(None, "stop")

    async with upstream() as up:
        up.answer = goes_on
        model = await OpenAIModel.connect(
            base_url=up.url, api_key=None, name="up-1", limits=QUICK, abilities=Abilities("continue", dialect)
        )
        pieces = [piece.text async for piece in model.stream("up-1", replace(ASK, prefix="one two "))]
        await model.close()
        assert "".join(pieces) == "three"
        assert ("continue_final_message" in up.requests[0]) is (dialect == "continue_final_message")
        assert up.requests[0]["messages"][:-1] == ASK.messages


async def test_a_connection_that_goes_on_to_another_answer_forgets_the_first() -> None:
    """Whoever is late to be told of the first one's text does not keep the second one's waiting."""
    goes_on = asyncio.Event()

    async def answer(body: dict[str, Any]) -> AsyncIterator[bytes]:
        yield sse("one ")
        if len(up.requests) == 2:
            await goes_on.wait()
        yield sse("two", "stop")

    async with upstream() as up:
        up.answer = answer
        model = await OpenAIModel.connect(base_url=up.url, api_key=None, name="up-1", limits=Limits())
        first = await model.ask("up-1", ASK)
        async for _ in pieces(first):
            pass
        second = await model.ask("up-1", ASK)
        bell, stale = Bell(), Bell()
        assert second.take() == Piece("one ")
        second.tell(bell)
        first.tell(stale)
        goes_on.set()
        assert await bell.heard(5.0)
        assert second.take() == Piece("two")
        assert not await stale.heard(0.0)
        await second.close()
        await model.close()
