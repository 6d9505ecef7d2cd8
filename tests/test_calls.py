"""agent.calls: calls of tools, as servers stream them, well and not so well."""

from typing import Any

import pytest

from app.agent.calls import ARGUMENT_BYTES, LISTED, Calls, Function, Part, TooManyCalls
from app.agent.flow import Piece, ToolCall
from app.agent.llm import Limits, OpenAIModel
from app.agent.prompt import Prompt
from tests.servers import sse, upstream


def part(index: int | None = 0, id: str | None = None, name: str | None = None, arguments: Any = None) -> Part:
    """A piece of a call."""
    return Part(index, id, Function(name, arguments))


def made(*parts: Part) -> tuple[ToolCall, ...]:
    """The calls that come in pieces."""
    calls = Calls()
    for one in parts:
        calls.add(one)
    return calls.made


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (
            [part(0, "c1", "add", ""), part(0, None, None, '{"a"'), part(0, None, None, ":1}")],
            [ToolCall("c1", "add", '{"a":1}')],
        ),
        (
            [part(0, "c1", "a"), part(1, "c2", "b"), part(1, None, None, "{}"), part(0, None, None, "[]")],
            [ToolCall("c1", "a", "[]"), ToolCall("c2", "b", "{}")],
        ),
        (
            [part(0, "c1", "a", "{}"), part(0, "c2", "b", "{}")],
            [ToolCall("c1", "a", "{}"), ToolCall("c2", "b", "{}")],
        ),
        (
            [part(None, None, "a", "{}"), part(None, None, "b", "{}")],
            [ToolCall("", "a", "{}"), ToolCall("", "b", "{}")],
        ),
        (
            [part(0, None, "a", "{}"), part(0, None, "a", "{}"), part(0, "c3", "a", "{}")],
            [ToolCall("", "a", "{}"), ToolCall("", "a", "{}"), ToolCall("c3", "a", "{}")],
        ),
        ([part(0, None, "a"), part(0, None, "dd"), part(0, None, None, "{}")], [ToolCall("", "add", "{}")]),
        ([part(0, "c1", "a", {"b": [1]})], [ToolCall("c1", "a", '{"b":[1]}')]),
        ([Part(0, "c1"), part(0, "c1", "a"), part(0, "c1", None, "{}")], [ToolCall("c1", "a", "{}")]),
    ],
    ids=[
        "in pieces", "interleaved", "one index for all", "neither index nor id", "one index and no id",
        "a name in pieces", "a map", "the id in each piece",
    ],
)  # fmt: skip
def test_calls_come_in_pieces(parts: list[Part], expected: list[ToolCall]) -> None:
    """By index; where that is not so, by id, or by name."""
    assert list(made(*parts)) == expected


def test_calls_are_bounded() -> None:
    """In number and in size."""
    with pytest.raises(TooManyCalls):
        made(*(part(index, f"c{index}", "a") for index in range(LISTED + 1)))
    with pytest.raises(TooManyCalls):
        made(part(0, "c", "a", "x" * (ARGUMENT_BYTES + 1)))


async def test_an_upstreams_calls_thinking_and_text() -> None:
    """Over real HTTP: thinking in both dialects, text, and in the end the calls; tools are in the request."""

    async def answer(body: dict[str, Any]) -> Any:
        for delta in (
            {"reasoning_content": "Hm, "}, {"reasoning": "so. "}, {"reasoning": {"unknown": 1}}, {"content": "Well."},
            {"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "add", "arguments": ""}}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": '{"one": 1'}}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]},
        ):  # fmt: skip
            yield sse(None, choices=[{"index": 0, "delta": delta, "finish_reason": None}])
        yield sse(None, "tool_calls")

    schema = {"name": "add", "description": "Add.", "parameters": {"type": "object"}}
    async with upstream() as up:
        up.answer = answer
        model = await OpenAIModel.connect(base_url=up.url, api_key=None, name="up-1", limits=Limits())
        for may_call in (True, False):
            prompt = Prompt([{"role": "user", "content": "?"}], tools=(schema,), may_call=may_call)
            said = Piece.joined([piece async for piece in model.stream("up-1", prompt)])
            assert said == Piece("Well.", None, "Hm, so. ", (ToolCall("c1", "add", '{"one": 1}'),))
        await model.close()
        assert [request["tools"] for request in up.requests] == [[{"type": "function", "function": schema}]] * 2
        assert [request.get("tool_choice") for request in up.requests] == [None, "none"]


async def test_too_many_calls_are_no_answer() -> None:
    """As nonsense is none."""

    async def answer(body: dict[str, Any]) -> Any:
        for index in range(LISTED + 1):
            call = {"index": index, "id": f"c{index}", "function": {"name": "add", "arguments": "{}"}}
            yield sse(None, choices=[{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}])

    async with upstream() as up:
        up.answer = answer
        model = await OpenAIModel.connect(base_url=up.url, api_key=None, name="up-1", limits=Limits())
        with pytest.raises(Exception, match="cannot be reached, or broke off"):
            [piece async for piece in model.stream("up-1", Prompt([{"role": "user", "content": "?"}]))]
        await model.close()


@pytest.mark.parametrize("number", [10**30, -1, 1e300, "9", None, [1]])
async def test_what_is_no_count_is_left_out(number: Any) -> None:
    """What an upstream says of its use is for a browser to have, and for the state."""

    async def answer(body: dict[str, Any]) -> Any:
        yield sse("Well.", "stop", usage={"prompt_tokens": number, "completion_tokens": 2**53, "total_tokens": 0})

    async with upstream() as up:
        up.answer = answer
        model = await OpenAIModel.connect(base_url=up.url, api_key=None, name="up-1", limits=Limits())
        said = [piece async for piece in model.stream("up-1", Prompt([{"role": "user", "content": "?"}]))]
        assert Piece.joined(said) == Piece("Well.", {"completion_tokens": 2**53, "total_tokens": 0})
        await model.close()
