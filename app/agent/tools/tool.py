"""What a model may have done for it: a tool, and how a typed function becomes one.

A tool has no state: all that it may know of the question comes with each call, as an `AgentRequest`, and whose question
it is stands there, never in what the model gives. What it returns is data for the model and for readers: any JSON
value. What it raises as `ToolError` they are told; of any other error only that there was one.

    @tool
    async def weather(city: str, days: int = 1) -> str:
        "The weather of a city in the next days."
"""

import asyncio
import copy
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Annotated, Any, Final, cast, get_args, get_origin, get_type_hints, overload

import msgspec

from app.agent.request import AgentRequest

SECONDS: Final = 30.0

Parameters = dict[str, Any]


class ToolError(Exception):
    """A call failed; the message is for the model and for readers."""


class StatelessTool(ABC):
    """Something that can be called by a model.

    `approval`: a person is asked before each call. `idempotent`: it may be called again where nobody knows whether it
    was, since its node died; else such an answer has failed. `seconds`: how long a call may take.
    """

    approval: bool = False
    idempotent: bool = False
    seconds: float = SECONDS

    @abstractmethod
    async def execute(self, context: AgentRequest, parameters: Parameters) -> Any:
        """Do it, with parameters that match the schema; return any JSON value.

        Raises:
            ToolError
        """

    @abstractmethod
    def get_tool_schema(self) -> dict[str, Any]:
        """Give its `name`, its `description`, and its `parameters` as a JSON Schema."""


class FunctionTool(StatelessTool):
    """A typed function as a tool: its name, its docstring, its parameters.

    A parameter that is annotated as `AgentRequest` is given the request. A function that is not `async` is called in a
    thread.
    """

    def __init__(self, function: Callable[..., Any], *, name: str, approval: bool, idempotent: bool, seconds: float):
        self.approval, self.idempotent, self.seconds = approval, idempotent, seconds
        self._function = function
        hints = get_type_hints(function, include_extras=True)
        hints.pop("return", None)
        signature = inspect.signature(function).parameters
        self._requests = [name for name, hint in hints.items() if _bare(hint) is AgentRequest]
        if missing := [name for name in signature if name not in hints]:
            raise TypeError(f"tool {name!r}: parameters without a type: {', '.join(missing)}")
        fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [
            (one.name, hints[one.name])
            if one.default is one.empty
            else (one.name, hints[one.name], msgspec.field(default_factory=partial(copy.copy, one.default)))
            for one in signature.values()
            if one.name not in self._requests
        ]
        self._parameters = msgspec.defstruct("Parameters", fields, forbid_unknown_fields=True, kw_only=True)
        (_,), known = msgspec.json.schema_components([self._parameters], ref_template="#/$defs/{name}")
        shape = {key: value for key, value in known.pop("Parameters").items() if key != "title"}
        self._schema = {
            "name": name,
            "description": inspect.getdoc(function) or "",
            "parameters": shape | ({"$defs": known} if known else {}),
        }

    def get_tool_schema(self) -> dict[str, Any]:
        """See `StatelessTool`."""
        return self._schema

    async def execute(self, context: AgentRequest, parameters: Parameters) -> Any:
        """See `StatelessTool`."""
        try:
            read = msgspec.convert(parameters, self._parameters)
        except msgspec.ValidationError as error:
            raise ToolError(f"wrong arguments: {error}") from error
        given = {field: getattr(read, field) for field in read.__struct_fields__}
        given |= dict.fromkeys(self._requests, context)
        if inspect.iscoroutinefunction(self._function):
            return await cast(Coroutine[Any, Any, Any], self._function(**given))
        return await asyncio.to_thread(self._function, **given)


@overload
def tool(function: Callable[..., Any]) -> FunctionTool: ...


@overload
def tool(
    *, name: str | None = None, approval: bool = False, idempotent: bool = False, seconds: float = SECONDS
) -> Callable[[Callable[..., Any]], FunctionTool]: ...


def tool(
    function: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    approval: bool = False,
    idempotent: bool = False,
    seconds: float = SECONDS,
) -> FunctionTool | Callable[[Callable[..., Any]], FunctionTool]:
    """Make a tool of a typed function; its docstring tells the model what it is for. See `StatelessTool` for the rest.

    Raises:
        TypeError: a parameter has no type, or one that has no JSON Schema.
    """

    def made(function: Callable[..., Any]) -> FunctionTool:
        return FunctionTool(
            function, name=name or function.__name__, approval=approval, idempotent=idempotent, seconds=seconds
        )

    return made if function is None else made(function)


def _bare(hint: Any) -> Any:
    """A type without what is annotated to it."""
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint
