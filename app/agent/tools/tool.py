"""What a model may have done for it: a tool, and how a typed function becomes one.

A tool has no state: all that it may know of the question comes with each call, as an `AgentRequest`, and whose question
it is stands there, never in what the model gives. What it returns is data for the model and for readers: any JSON
value. What it raises as `ToolError` they are told; of any other error only that there was one.

    @tool
    async def weather(city: str, days: int = 1) -> str:
        "The weather of a city in the next days."
"""

import asyncio
import contextlib
import copy
import inspect
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, cast, get_args, get_type_hints, overload

import msgspec

from app.agent.request import AgentRequest

SECONDS: Final = 30.0
THREADS: Final = 8  # calls at once of a function that is not async; of any tool, those that do not end

Parameters = dict[str, Any]


class ToolError(Exception):
    """A call failed; the message is for the model and for readers."""


class StatelessTool(ABC):
    """Something that can be called by a model.

    `approval`: a person is asked before each call. `idempotent`: it may be called again where nobody knows whether it
    was, since its node died; else such an answer has failed. `seconds`: how long a call may take. `checks`: it holds
    what it is given to its schema itself, so that where this takes long it need not be done before.
    """

    approval: bool = False
    idempotent: bool = False
    seconds: float = SECONDS
    checks: bool = False

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
        self._threads = threading.BoundedSemaphore(THREADS)
        if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
            raise TypeError(f"tool {name!r} is a generator; expected a function that returns all that it gives")
        try:
            hints = get_type_hints(function, include_extras=True)
        except (NameError, AttributeError, SyntaxError, TypeError) as error:
            raise TypeError(f"tool {name!r}: its types cannot be read: {error}") from error
        hints.pop("return", None)
        signature = inspect.signature(function).parameters
        self._requests = [name for name, hint in hints.items() if _mentions_request(hint)]
        if unnamed := [
            one.name for one in signature.values() if one.kind not in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
        ]:
            raise TypeError(f"tool {name!r}: parameters that have no one name: {', '.join(unnamed)}")
        if missing := [name for name in signature if name not in hints]:
            raise TypeError(f"tool {name!r}: parameters without a type: {', '.join(missing)}")
        for one in signature:
            if one not in self._requests:
                _readable(name, one, hints[one])
        fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [
            (one.name, hints[one.name])
            if one.default is one.empty
            else (one.name, hints[one.name], msgspec.field(default_factory=partial(copy.copy, one.default)))
            for one in signature.values()
            if one.name not in self._requests
        ]
        self._parameters = msgspec.defstruct("Parameters", fields, forbid_unknown_fields=True, kw_only=True)
        (place,), known = msgspec.json.schema_components([self._parameters], ref_template="#/$defs/{name}")
        shape = {key: value for key, value in known.pop(place["$ref"].rpartition("/")[2]).items() if key != "title"}
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
            read = msgspec.convert(parameters, self._parameters, str_keys=True)
        except msgspec.ValidationError as error:
            raise ToolError(f"wrong arguments: {error}") from error
        given = {field: getattr(read, field) for field in read.__struct_fields__}
        given |= dict.fromkeys(self._requests, context)
        if inspect.iscoroutinefunction(self._function):
            return await cast(Coroutine[Any, Any, Any], self._function(**given))
        if not self._threads.acquire(blocking=False):
            raise ToolError("it is busy with calls that take too long")
        result = await self._threaded(partial(self._function, **given))
        return await result if inspect.isawaitable(result) else result  # of an async function that was wrapped

    async def _threaded(self, call: Callable[[], Any]) -> Any:
        """Call in a thread of its own, which nobody waits for at the end: one that hangs takes no other's place."""
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[Any] = loop.create_future()

        def tell(result: Any, error: Exception | None) -> None:
            if outcome.done():
                return
            if error is None:
                outcome.set_result(result)
            else:
                outcome.set_exception(error)

        def run() -> None:
            result, failed = None, None
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001 - whoever waits is told
                failed = _carried(error)
            finally:
                self._threads.release()
            with contextlib.suppress(RuntimeError):  # the loop is closed by now
                loop.call_soon_threadsafe(tell, result, failed)

        threading.Thread(target=run, name="tool", daemon=True).start()
        return await outcome


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


def _carried(error: BaseException) -> Exception:
    """An error as a future can have it, and a loop outlives it: a tool may raise what is meant for a process."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    carried = RuntimeError(f"{type(error).__name__}: {error}")
    carried.__cause__ = error
    return carried


def _readable(tool: str, parameter: str, hint: Any) -> None:
    """Raise TypeError where a type has no JSON Schema."""
    try:
        msgspec.json.schema(hint)
    except TypeError as error:
        why = str(error).splitlines()[-1]
        raise TypeError(f"tool {tool!r}: parameter {parameter!r} has a type without a JSON Schema: {why}") from error


def _mentions_request(hint: Any) -> bool:
    """Whether a parameter is for the request: in no form may a model give one, for it says who asks."""
    return hint is AgentRequest or any(map(_mentions_request, get_args(hint)))
