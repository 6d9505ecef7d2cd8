"""agent.responses_events: what a response says, and how it ends, over real HTTP."""

from dataclasses import replace
from typing import Any

import pytest

from app.agent.flow import Piece
from app.agent.lines import LINE_BYTES
from app.agent.llm import Abilities, Limits
from app.agent.responses import ResponsesModel
from app.core.errors import ChatError, ContentRefused, ModelUnavailable
from tests.responses_upstream import (
    ASK,
    CALL,
    FAILED,
    Step,
    answer,
    begun,
    ended,
    node,
    provider,
    said,
    thinks,
    whole,
)  # fmt: skip

USED = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
TOOL = {"name": "weather", "description": "Look it up.", "parameters": {"type": "object", "properties": {}}}


async def test_text_comes_in_pieces_and_the_usage_in_the_end() -> None:
    """In order; the request names the model, streams, and has the provider keep the answer."""
    async with provider() as up:
        got = await whole(up, replace(ASK, temperature=0.5), abilities=Abilities(answer_tokens=9))
        assert (got.text, got.place) == ("one two three ", "resp_0 6")
        assert got.usage == USED
        assert up.created == [
            {"model": "up-1", "stream": True, "store": True, "background": True, "temperature": 0.5,
             "max_output_tokens": 9, "input": [{"type": "message", "role": "user", "content": "one two three"}]}
        ]  # fmt: skip
        model = await ResponsesModel.connect(base_url=up.url, api_key=None, name=None, limits=Limits())
        assert model.names == ("up-1",)
        await model.close()


async def test_thoughts_and_calls_come_beside_the_text() -> None:
    """Thoughts where effort is asked for, without a temperature; calls whole, with the last piece."""
    async with provider() as up:
        up.script = lambda body: thinks()
        got = await whole(up, replace(ASK, temperature=0.5, tools=(TOOL,)), effort="low")
        assert (got.reasoning, got.text, got.calls) == ("Let me see.\n\nAh.", "It rains, I think.", (CALL,))
        sent = up.created[0]
        assert (sent["reasoning"], "temperature" in sent) == ({"effort": "low", "summary": "auto"}, False)
        assert (sent["tools"], "tool_choice" in sent) == ([{"type": "function", "strict": False} | TOOL], False)
        await whole(up, replace(ASK, tools=(TOOL,), may_call=False))
        assert up.created[1]["tool_choice"] == "none"


async def test_the_end_tells_of_the_calls_again() -> None:
    """So they are not lost to who comes after them; none is there twice, and one that is cut is no call."""
    item = {"type": "function_call", "call_id": CALL.id, "name": CALL.name, "arguments": CALL.arguments}
    cut = item | {"call_id": "call_2", "arguments": "{", "status": "incomplete"}
    async with provider() as up:
        up.script = lambda body: [*thinks()[:-1], ended(output=[{"type": "message", "content": []}, item, cut])]
        assert (await whole(up)).calls == (CALL,)
        assert (await whole(up, replace(ASK, place="resp_0 18"))).calls == (CALL,)
        up.script = lambda body: [*begun(), ended(output=[item])]
        assert await whole(up) == Piece(usage=USED, calls=(CALL,), place="resp_1 0")


@pytest.mark.parametrize(
    ("end", "error"),
    [
        (FAILED, ModelUnavailable), (ended("failed", error={"code": "invalid_prompt"}), ContentRefused),
        ({"type": "error", "code": "rate_limit_exceeded", "message": "no"}, ModelUnavailable),
        ({"type": "error", "error": {"code": "server_error"}}, ModelUnavailable),
        (ended("incomplete", incomplete_details={"reason": "content_filter"}), ContentRefused),
    ],
)  # fmt: skip
async def test_a_response_that_is_not_whole_is_a_failure(end: Any, error: type[ChatError]) -> None:
    """Typed; what came before it came."""
    async with provider() as up, node(up) as model:
        up.script = lambda body: answer(["one "], end=end)
        texts: list[str] = []

        async def read() -> None:
            async for piece in model.stream("up-1", ASK):
                texts.append(piece.text)  # noqa: PERF401 - what came before the failure is kept

        with pytest.raises(error):
            await read()
        assert ("".join(texts), len(up.generations)) == ("one ", 1)


async def test_an_answer_may_be_short() -> None:
    """One that came to its bound is whole; a refusal is text."""
    async with provider() as up:
        end = ended("incomplete", incomplete_details={"reason": "max_output_tokens"})
        up.script = lambda body: [*begun(), said("I cannot.", "refusal"), end]
        got = await whole(up)
        assert (got.text, (got.usage or {})["total_tokens"]) == ("I cannot.", 12)


@pytest.mark.parametrize("wrong", [b"data: {nonsense\n\n", b'data: ["what"]\n\n', b"data: " + b"x" * (LINE_BYTES + 1)])
async def test_what_is_no_event_breaks_the_connection(wrong: bytes) -> None:
    """It is read on over another one; what is unknown is passed over."""
    async with provider() as up:
        unknown: list[Step] = [b": a comment\n\n", {"type": "response.new", "delta": {"a": 1}, "item": 5}]
        up.script = lambda body: [*begun(), *unknown, said("one "), wrong, *answer(["two"])[2:]]
        assert (await whole(up)).text == "one two"
        assert (len(up.generations), len(up.retrieved)) == (1, 1)
        with pytest.raises(ModelUnavailable):
            await whole(up, background=False)
