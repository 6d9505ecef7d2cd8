"""A node's tools: whom it knows, what it lets through to them, and what of theirs it lets out."""

import asyncio
import contextlib
import json
import logging
import socket
import time
from typing import Any

import pytest

from app.agent.tools import AgentRequest, StatelessTool, ToolError, tool, toolbox
from app.agent.tools.declared import SEEN, WrongTools
from app.agent.tools.tool import THREADS
from app.agent.tools.toolbox import (
    AT_ONCE,
    DEEP,
    RESULT_BYTES,
    Toolbox,
    bounded,
    clean,
)
from app.core.protocol import ARGUMENT_BYTES
from tests.servers import until
from tests.tools import asked, called


class Told(StatelessTool):
    """Returns what it is given, or what the test says."""

    def __init__(self, name: str = "told", parameters: Any = None, gives: Any = None) -> None:
        self._schema = {"name": name, "description": "", "parameters": {"type": "object"} | (parameters or {})}
        self._gives = gives

    def get_tool_schema(self) -> dict[str, Any]:
        """See `StatelessTool`."""
        return self._schema

    async def execute(self, context: AgentRequest, parameters: dict[str, Any]) -> Any:
        """See `StatelessTool`."""
        if isinstance(self._gives, BaseException):
            raise self._gives
        return parameters if self._gives is None else self._gives


class Comes:
    """A source whose tools come and go."""

    def __init__(self, *tools: StatelessTool) -> None:
        self.tools = list(tools)

    async def come(self, name: str) -> None:
        """Have nothing that is still to come."""

    async def run(self) -> None:
        """Have nothing to do."""


def test_tools_by_name() -> None:
    """One's own are there for all; further ones for those who name them; a source's as long as they are there."""
    own, further, mine, other = Told("own"), Told("further"), Told("mine"), Told("own")
    source = Comes(mine, other)
    box = Toolbox([own], [source])
    assert box.further([further]) == ("further",)
    assert [schema["name"] for schema in box.schemas()] == ["own", "mine"]
    assert {schema["name"] for schema in box.schemas(["further", "unknown"])} == {"own", "mine", "further"}
    assert box.get("own") is own
    assert box.get("mine") is mine
    assert box.get("further") is None
    assert box.get("further", ["further"]) is further
    assert box.get("unknown", ["unknown"]) is None
    source.tools.clear()
    assert box.get("mine") is None


def test_names_are_taken_once() -> None:
    """Two tools of one name are none; the same tool may come again."""
    with pytest.raises(WrongTools, match="two tools are named 'told'"):
        Toolbox([Told(), Told()])
    box, one = Toolbox([Told("own")]), Told("further")
    assert box.further([one]) == box.further([one]) == ("further",)
    for taken in (Told("own"), Told("further")):
        with pytest.raises(WrongTools, match="two tools are named"):
            box.further([taken])
    assert box.get("further", ["further"]) is one


@pytest.mark.parametrize("name", ["", "a b", "a" * 65, "né", "a\n", "a.b", None, 5])
def test_names_that_a_model_cannot_say(name: Any) -> None:
    """They are told when the node starts."""
    with pytest.raises(WrongTools, match="expected 1 to 64 of"):
        Toolbox([Told(name)])
    with pytest.raises(WrongTools, match="expected 1 to 64 of"):
        Toolbox().further([Told(name)])


@pytest.mark.parametrize("parameters", [{"type": "thing"}, {"properties": 5}, {"required": "x"}, {"pattern": "("}])
def test_parameters_that_are_no_schema(parameters: Any) -> None:
    """They are told when the node starts."""
    with pytest.raises(WrongTools, match="no JSON Schema"):
        Toolbox([Told(parameters=parameters)])


@tool
async def weather(city: str, days: int = 1) -> str:
    """Tell the weather."""
    return f"{city} {days}"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "not JSON"), ('{"city": NaN}', "not JSON"), ("{'city': 'Oslo'}", "not JSON"), ("[" * 10_000, "not JSON"),
        ('{"city": "a"} x', "not JSON"), ("[]", "expected an object"), ("null", "expected an object"),
        ('"city"', "expected an object, got city"), ("", r"\$: 'city' is a required property"),
        ('{"city": 5}', r"\$\.city: 5 is not of type 'string'"),
        ('{"city": "a", "days": "b"}', r"\$\.days: 'b' is not of type 'integer'"),
        ('{"city": "a", "where": "b"}', r"\$: Additional properties are not allowed \('where' was unexpected\)"),
        (json.dumps({"city": "x" * ARGUMENT_BYTES}), f"at most {ARGUMENT_BYTES} bytes"),
    ],
)  # fmt: skip
def test_wrong_arguments(text: str, why: str) -> None:
    """They say where, what was seen, and what was expected; and the tool is not called."""
    with pytest.raises(ToolError, match=why) as caught:
        Toolbox([weather]).arguments(weather, text)
    assert len(str(caught.value)) < 2 * SEEN + 100


def test_right_arguments() -> None:
    """They are as they were written, but for what nobody can read."""
    box = Toolbox([weather])
    assert box.arguments(weather, ' {"city": "Tromsø", "days": 2}\n') == {"city": "Tromsø", "days": 2}
    assert box.arguments(weather, '{"city": "a\\u0000b"}') == {"city": "a\ufffdb"}
    assert box.arguments(Told(), "") == {}
    large = {"type": "object", "properties": {"x": {"type": "string", "maxLength": 3}}}
    with pytest.raises(ToolError) as caught:
        box.checked(Told(parameters=large), {"x": "y" * 15_000})
    assert len(str(caught.value)) < 2 * SEEN


async def test_nobody_is_asked_for_a_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    """A schema that refers to another place is not fetched from there."""
    dialled: list[Any] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **_: dialled.append(given))
    monkeypatch.setattr(socket.socket, "connect", lambda _, to: dialled.append(to))
    one = Told(parameters={"properties": {"x": {"$ref": "http://site.test/schema.json"}}})
    box = Toolbox([Told("else")])
    with pytest.raises(Exception, match=r"Unresolvable|refers"):
        box.checked(one, {"x": 1})
    assert dialled == []


@pytest.mark.parametrize("error", [ValueError("a secret"), KeyError("a secret"), RecursionError("a secret")])
async def test_what_went_wrong_is_told_to_the_log_alone(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """Of an exception the model and readers are told only that there was one."""
    with caplog.at_level(logging.ERROR), pytest.raises(ToolError) as caught:
        await called(Told(gives=error))
    assert str(caught.value) == "it failed"
    assert "a secret" in caplog.text


class Panic(BaseException):
    """As extensions written in Rust raise it."""


@pytest.mark.parametrize(
    "error",
    [Panic("p"), SystemExit(0), KeyboardInterrupt(), GeneratorExit(), StopIteration(), asyncio.CancelledError(),
     BaseExceptionGroup("g", [Panic()])],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
@pytest.mark.parametrize("how", ["coroutine", "thread"])
async def test_what_is_meant_for_a_process_ends_none(error: BaseException, how: str) -> None:
    """It is a failure of the tool like any other; the next call is made."""

    @tool(name="fails")
    def in_a_thread() -> None:
        raise error

    failing = in_a_thread if how == "thread" else Told("fails", gives=error)
    for _ in range(2):
        with pytest.raises(ToolError, match="it failed"):
            await called(failing)
    assert await called(Told(gives="well")) == "well"


async def test_a_call_that_does_not_end_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has its time, and a little to end; then nobody waits for it: neither whoever called nor who cancels that."""
    monkeypatch.setattr(toolbox, "LEAVE_SECONDS", 0.05)
    leave, begun, ended = asyncio.Event(), asyncio.Event(), []

    @tool(seconds=0.05)
    async def stubborn() -> None:
        """Take no for an answer."""
        begun.set()
        while not leave.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await leave.wait()
        ended.append(1)
        raise RuntimeError("nobody is told")

    with pytest.raises(ToolError, match="it took longer than"):
        await called(stubborn)
    begun.clear()
    calling = asyncio.create_task(called(stubborn))
    await begun.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(calling, 2)
    leave.set()
    await until(lambda: len(ended) == 2)


async def test_of_calls_that_do_not_end_there_are_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then no more are made of that tool, until some have ended; of others they are."""
    monkeypatch.setattr(toolbox, "LEAVE_SECONDS", 0.01)
    leave = asyncio.Event()

    @tool(seconds=0.01)
    async def stubborn() -> None:
        """Take no for an answer."""
        while not leave.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await leave.wait()

    box = Toolbox([stubborn, told := Told(gives="well")])
    for _ in range(THREADS):
        with pytest.raises(ToolError, match="it took longer than"):
            await box.call(stubborn, asked(), {})
    with pytest.raises(ToolError, match="it is busy with calls that take too long"):
        await box.call(stubborn, asked(), {})
    assert await box.call(told, asked(), {}) == "well"
    leave.set()
    await until(lambda: not box._left)
    assert await box.call(stubborn, asked(), {}) == ""


@pytest.mark.parametrize("kind", ["maps", "text", "bytes"])
async def test_a_huge_result_stops_nobody(kind: str) -> None:
    """It is cut before anything is done with it that takes long; meanwhile the loop turns."""
    huge = {"maps": [{"a": 1}] * 300_000, "text": "é\x00" * 10_000_000, "bytes": b"x" * 20_000_000}[kind]
    longest, over = 0.0, asyncio.Event()

    async def turn() -> None:
        nonlocal longest
        while not over.is_set():
            at = time.monotonic()
            await asyncio.sleep(0.001)
            longest = max(longest, time.monotonic() - at)

    turning = asyncio.create_task(turn())
    result = await called(Told(gives=huge))
    over.set()
    await turning
    assert "cut: the first" in result
    assert len(result.encode()) < RESULT_BYTES + 100
    assert "\x00" not in result
    assert longest < 1.0


async def test_what_a_tool_says_went_wrong() -> None:
    """It is told, within bounds, and without what a terminal would obey."""
    with pytest.raises(ToolError) as caught:
        await called(Told(gives=ToolError("no \x1b[31mred\ud800")))
    assert str(caught.value) == "no \ufffd[31mred\ufffd"
    with pytest.raises(ToolError) as caught:
        await called(Told(gives=ToolError("x" * 1_000_000)))
    assert len(str(caught.value)) == RESULT_BYTES


async def test_a_call_has_its_time() -> None:
    """Past it the tool is cancelled, and the model told."""
    ended = asyncio.Event()

    @tool(seconds=0.05)
    async def waits() -> None:
        """Wait for ever."""
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(ToolError, match=r"it took longer than 0\.05 s"):
        await called(waits)
    assert ended.is_set()


async def test_a_cancelled_call_is_cancelled() -> None:
    """It is no failure of the tool: who asked has gone."""
    begun = asyncio.Event()

    @tool
    async def waits() -> None:
        """Wait for ever."""
        begun.set()
        await asyncio.Event().wait()

    calling = asyncio.create_task(called(waits))
    await begun.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling


async def test_so_many_calls_at_once() -> None:
    """The others wait for one of them to end, and then have their turn."""
    inside, most, leave = 0, 0, asyncio.Event()

    @tool
    async def crowds() -> int:
        """Count who is there."""
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await leave.wait()
        inside -= 1
        return most

    box = Toolbox([crowds])
    calls = [asyncio.create_task(box.call(crowds, asked(), {})) for _ in range(3 * AT_ONCE)]
    await until(lambda: inside == AT_ONCE)
    leave.set()
    assert await asyncio.gather(*calls) == [AT_ONCE] * (3 * AT_ONCE)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (None, ""), ("", ""), (0, 0), (False, False), ({}, {}), ([], []), ("é\n\t", "é\n\t"),
        ("a\x00\x1b\x7fb", "a\ufffd\ufffd\ufffdb"), ("\ud83d", "\ufffd"), ("😀", "😀"),
        (float("nan"), "nan"), (float("-inf"), "-inf"), (2**53 - 1, 2**53 - 1), (2**53, str(2**53)),
        (-(10**30), str(-(10**30))), (1.5, 1.5), ((1, 2), [1, 2]), ({1: 2, 2.5: 3}, {"1": 2, "2.5": 3}),
        ({"a\x00": "\ud800"}, {"a\ufffd": "\ufffd"}), (b"abc", "YWJj"), ({"x": {3}}, {"x": [3]}),
    ],
)  # fmt: skip
async def test_results_are_cleaned(value: Any, read: Any) -> None:
    """A result is what every reader of JSON can have, a browser and a terminal among them."""
    result = await called(Told(gives=value)) if value is not None else await called(_nothing)
    assert result == read
    assert type(result) is type(read)


@tool
async def _nothing() -> None:
    """Give nothing."""


async def test_what_is_deep_or_endless() -> None:
    """It is cut where nobody would look; what contains itself is no result."""
    deep: Any = "bottom"
    for _ in range(500):
        deep = [deep]
    result = clean(deep)
    for _ in range(DEEP):
        (result,) = result
    assert result == "…"
    itself: list[Any] = []
    itself.append(itself)
    for wrong in (itself, object(), iter([1]), {(1, 2): 3}):
        with pytest.raises(ToolError, match="it failed"):
            await called(Told(gives=wrong))


@pytest.mark.parametrize("value", ["é" * RESULT_BYTES, ["x" * 100] * 1000, {str(n): n for n in range(10_000)}])
async def test_results_have_a_size(value: Any) -> None:
    """The beginning of what is larger, as text, which says so; what just fits is as it was."""
    result = await called(Told(gives=value))
    assert isinstance(result, str)
    assert "(cut: the first " in result
    assert len(result.encode()) < RESULT_BYTES + 100
    assert "\ufffd" not in result
    assert bounded("x" * RESULT_BYTES) == "x" * RESULT_BYTES
    assert bounded(["x" * (RESULT_BYTES - 4)]) == ["x" * (RESULT_BYTES - 4)]
