"""A typed function becomes a tool: what the model is told of it, and how it is called."""

import asyncio
import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
import pytest

from app.agent.tools import AgentRequest, StatelessTool, ToolError, tool
from app.agent.tools.tool import SECONDS
from tests.tools import asked, called


@tool
async def weather(city: str, days: int = 1) -> str:
    """Tell the weather of a city in the next days."""
    return f"{city}: {days} days of rain"


async def test_three_lines_are_a_tool() -> None:
    """Its name, its docstring and its types are what the model is told; its defaults are taken."""
    assert isinstance(weather, StatelessTool)
    schema = weather.get_tool_schema()
    assert (schema["name"], schema["description"]) == ("weather", "Tell the weather of a city in the next days.")
    parameters = schema["parameters"]
    assert parameters["type"] == "object"
    assert set(parameters["properties"]) == {"city", "days"}
    assert parameters["properties"]["city"] == {"type": "string"}
    assert parameters["properties"]["days"]["type"] == "integer"
    assert parameters["required"] == ["city"]
    assert parameters["additionalProperties"] is False
    assert (weather.approval, weather.idempotent, weather.seconds) == (False, False, SECONDS)
    assert await called(weather, city="Oslo") == "Oslo: 1 days of rain"
    assert await called(weather, city="Oslo", days=3) == "Oslo: 3 days of rain"


async def test_what_an_operator_says_of_a_tool() -> None:
    """Another name, and how it may be called."""

    @tool(name="other", approval=True, idempotent=True, seconds=2.5)
    async def one() -> None:
        pass

    assert one.get_tool_schema()["name"] == "other"
    assert one.get_tool_schema()["description"] == ""
    assert (one.approval, one.idempotent, one.seconds) == (True, True, 2.5)
    assert await called(one) == ""


@dataclass
class Place:
    """Where something is."""

    lat: float
    lon: float = 0.0


class Route(msgspec.Struct):
    """Places, one after another."""

    stops: list[Place]
    how: Literal["walk", "ride"] = "walk"


async def test_types_are_told_and_made() -> None:
    """Descriptions and bounds that are annotated; values of other types, nested ones too."""

    @tool
    async def go(
        route: Route,
        at: datetime | None = None,
        often: Annotated[int, msgspec.Meta(ge=1, le=3, description="how often")] = 1,
        tags: list[str] = [],  # noqa: B006 - each call has its own
    ) -> Any:
        """Go."""
        tags.append(type(at).__name__)
        return [type(route).__name__, [type(stop).__name__ for stop in route.stops], often, tags]

    parameters = go.get_tool_schema()["parameters"]
    often = parameters["properties"]["often"]
    assert (often["description"], often["minimum"], often["maximum"]) == ("how often", 1, 3)
    assert parameters["properties"]["route"] == {"$ref": "#/$defs/Route"}
    assert set(parameters["$defs"]) == {"Route", "Place"}
    route = {"stops": [{"lat": 1.5}, {"lat": 2, "lon": 3}]}
    assert await called(go, route=route, at="2026-11-26T12:00:00Z") == [
        "Route", ["Place", "Place"], 1, ["datetime"],
    ]  # fmt: skip
    assert await called(go, route=route) == ["Route", ["Place", "Place"], 1, ["NoneType"]]
    wrongs: list[dict[str, Any]] = [{"stops": [{}]}, {"stops": 1}, {"stops": [], "how": "fly"}]
    for wrong in wrongs:
        with pytest.raises(ToolError, match=r"wrong arguments: \$\.route"):
            await called(go, route=wrong)
    with pytest.raises(ToolError, match=r"\$\.often: 4 is greater than the maximum of 3"):
        await called(go, route=route, often=4)
    with pytest.raises(ToolError, match=r"wrong arguments: .*at"):
        await called(go, route=route, at="tomorrow")


async def test_the_request_is_given_not_asked_for() -> None:
    """Who asks is no parameter; a model that names somebody is refused."""

    @tool
    async def whose(request: AgentRequest, thing: str) -> str:
        """Tell whose thing it is."""
        return f"{request.user_id}'s {thing}"

    @tool
    async def noted(thing: str, by: Annotated[AgentRequest, "who asks"]) -> str:
        """Tell it, too."""
        return f"{by.user_id}'s {thing}"

    for one, field in ((whose, "request"), (noted, "by")):
        assert set(one.get_tool_schema()["parameters"]["properties"]) == {"thing"}
        assert await called(one, asked("eve"), thing="hat") == "eve's hat"
        for given in ({field: {"user_id": "ada"}}, {"user_id": "ada"}):
            with pytest.raises(ToolError, match="wrong arguments"):
                await called(one, asked("eve"), thing="hat", **given)
            with pytest.raises(ToolError, match="wrong arguments"):
                await one.execute(asked("eve"), {"thing": "hat"} | given)


async def test_a_function_that_waits_holds_up_nobody() -> None:
    """What is not `async` is called in a thread."""
    entered, leave = threading.Event(), threading.Event()

    @tool
    def blocks(text: str) -> str:
        """Block."""
        entered.set()
        assert leave.wait(10)
        return f"{text} {threading.current_thread() is threading.main_thread()}"

    calling = asyncio.create_task(called(blocks, text="main:"))
    assert await asyncio.to_thread(entered.wait, 10)
    leave.set()  # which a loop that waits could not do
    assert await calling == "main: False"


def _untyped(city, days: int = 1) -> str:  # type: ignore[no-untyped-def]
    """Lack a type."""
    return f"{city}{days}"


def _of_no_schema(thing: complex) -> str:
    """Take what JSON does not have."""
    return str(thing)


def _of_a_callable(thing: Callable[[], int]) -> str:
    """Take what JSON does not have."""
    return str(thing)


@pytest.mark.parametrize("function", [_untyped, _of_no_schema, _of_a_callable])
def test_a_parameter_without_a_type(function: Callable[..., Any]) -> None:
    """It is told when the tool is made, not when it is called."""
    with pytest.raises(TypeError):
        tool(function)


async def test_wrong_arguments_say_what_was_expected() -> None:
    """Also without a toolbox before it."""
    for given, why in (
        ({}, "missing required field `city`"),
        ({"city": 5}, r"Expected `str`, got `int` - at `\$\.city`"),
        ({"city": "Oslo", "where": 1}, "unknown field `where`"),
    ):
        with pytest.raises(ToolError, match=why):
            await weather.execute(asked(), given)


async def test_an_async_function_that_was_wrapped() -> None:
    """A decorator that does not know of it gives a function that is not async: what that returns is awaited."""

    def noted(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def note(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return note

    @tool
    @noted
    async def double(number: int) -> int:
        return 2 * number

    assert await called(double, number=2) == 4
