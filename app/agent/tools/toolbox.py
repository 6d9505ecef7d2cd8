"""The tools that are here: what of them a model is told, and calling them within bounds.

Rules: the model's arguments are checked against the tool's schema before anything is called, and what is wrong with
them the model is told. A call has its time, and what it returns its size; so many calls at once, and the others wait.
A call that does not end when it is told to is left behind: nothing waits for it, and whatever it raises ends nothing.
What a tool returns is data: its control characters are gone, and nothing in it adds a tool or changes who asks.
"""

import asyncio
import copy
import logging
import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol

import jsonschema
import msgspec
import referencing
import referencing.exceptions

from app.agent.request import AgentRequest
from app.agent.tools.declared import SEEN, WrongTools, declared
from app.agent.tools.tool import THREADS, Parameters, StatelessTool, ToolError
from app.core.coalesce import CONTROL, SURROGATE, head_of
from app.core.protocol import ARGUMENT_BYTES

AT_ONCE: Final = 16
LEAVE_SECONDS: Final = 1.0  # for a call that is told to end
COME_SECONDS: Final = 30.0  # for a tool that is called, and not there yet: its node has begun just now
RESULT_BYTES: Final = 16 * 1024
LARGE: Final = 4  # times as much is looked through, to be cleaned
DEEP: Final = 32
CHECKED: Final = 30_000  # parts of a schema, times values, that are held to each other in our loop: some 0.1 s
BITS: Final = 53  # of a whole number that a browser can have

log = logging.getLogger(__name__)


class Source(Protocol):
    """Where tools come from, that may come and go."""

    @property
    def tools(self) -> Sequence[StatelessTool]:
        """Those that are there now."""

    async def come(self, name: str) -> None:
        """Return when all is there that could have a tool of this name; at once, where nothing could."""

    async def run(self) -> None:
        """See to it that they are there, until cancelled."""


class Toolbox:
    """A node's tools, by name."""

    def __init__(self, tools: Iterable[StatelessTool] = (), sources: Sequence[Source] = ()) -> None:
        self._own: dict[str, StatelessTool] = {}
        self._further: dict[str, StatelessTool] = {}
        self._sources = sources
        self._free = asyncio.Semaphore(AT_ONCE)
        self._left: dict[asyncio.Task[Any], StatelessTool] = {}  # calls that do not end
        for one in tools:
            name = declared(one)["name"]
            if name in self._own:
                raise WrongTools(f"two tools are named {name!r}")
            self._own[name] = one

    def further(self, tools: Iterable[StatelessTool]) -> tuple[str, ...]:
        """Have tools for those requests alone that name them; return their names.

        Raises:
            WrongTools: one is not right, or another tool has its name.
        """
        named: dict[str, StatelessTool] = {}
        for one in tools:
            name = declared(one)["name"]
            there = (self._further | named).get(name, one)
            if name in self._own or not _same(one, there):
                raise WrongTools(f"two tools are named {name!r}")
            named[name] = there
        self._further |= named
        return tuple(named)

    def schemas(self, further: Sequence[str] = ()) -> tuple[dict[str, Any], ...]:
        """What a model is told of the tools that it may call."""
        return tuple(one.get_tool_schema() for one in self._known(further).values())

    def get(self, name: str, further: Sequence[str] = ()) -> StatelessTool | None:
        """The tool of a name, if such a request may call it."""
        return self._known(further).get(name)

    async def awaited(self, name: str, further: Sequence[str] = ()) -> StatelessTool | None:
        """The tool of a name, as `get`; one that is expected of a source is waited for, for `COME_SECONDS`."""
        found = self.get(name, further)
        if found is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(COME_SECONDS):
                    for source in self._sources:
                        await source.come(name)
            found = self.get(name, further)
        return found

    def find(self, name: str) -> StatelessTool | None:
        """The tool of a name, whoever may call it."""
        return self._known(tuple(self._further)).get(name)

    def arguments(self, tool: StatelessTool, text: str) -> Parameters:
        """Read the arguments that a model gives, as JSON.

        Raises:
            ToolError: they are not what the tool takes.
        """
        if len(text) > ARGUMENT_BYTES or len(text.encode(errors="replace")) > ARGUMENT_BYTES:
            raise ToolError(f"wrong arguments: at most {ARGUMENT_BYTES} bytes are taken")
        try:
            given = msgspec.json.decode(text or "{}")
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise ToolError(f"wrong arguments: not JSON: {error}") from error
        return self.checked(tool, given)

    def checked(self, tool: StatelessTool, given: Any) -> Parameters:
        """Hold arguments to the tool's schema.

        Raises:
            ToolError: they are not what the tool takes.
        """
        if not isinstance(given, dict):
            raise ToolError(f"wrong arguments: expected an object, got {_seen(given)}")
        given = clean(given)  # first: what is checked is what the tool is given
        if tool.checks and _parts(tool.get_tool_schema()) * _parts(given) > CHECKED:
            return given  # type: ignore[no-any-return]
        try:
            wrong = jsonschema.exceptions.best_match(_validator(tool.get_tool_schema()).iter_errors(given))
        except (referencing.exceptions.Unresolvable, RecursionError) as error:
            raise ToolError("wrong arguments: the tool's schema refers to what is not there, or to itself") from error
        if wrong is not None:
            raise ToolError(f"wrong arguments: {_seen(wrong.json_path)}: {_seen(wrong.message)}")
        return given  # type: ignore[no-any-return]

    async def call(self, tool: StatelessTool, request: AgentRequest, given: Parameters) -> Any:
        """Call a tool with checked arguments; return a JSON value of at most `RESULT_BYTES`.

        Raises:
            ToolError: it failed; the message is fit for the model and for readers.
        """
        async with self._free:
            if list(self._left.values()).count(tool) >= THREADS:  # in threads or not: so many of them take memory
                raise ToolError("it is busy with calls that take too long")
            making = asyncio.create_task(_executed(tool, request, given))
            try:
                done, _ = await asyncio.wait({making}, timeout=tool.seconds)
            finally:
                if not making.done():
                    making.cancel()
                    self._leave(making, tool)
                    await asyncio.wait({making}, timeout=LEAVE_SECONDS)
            if not done:
                raise ToolError(f"it took longer than {tool.seconds:g} s")
            try:
                return await asyncio.to_thread(kept, making.result())
            except ToolError as error:
                said = str(clean(str(error))).encode()
                raise ToolError(head_of(said, RESULT_BYTES).decode()) from error
            except BaseException as error:
                task = asyncio.current_task()
                if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                    raise
                log.exception("tool %s failed", tool.get_tool_schema()["name"])
                raise ToolError("it failed") from error

    def _leave(self, call: asyncio.Task[Any], tool: StatelessTool) -> None:
        """Have nothing wait for a call: neither its place, which is another's now, nor the process at its end."""
        self._left[call] = tool
        call.add_done_callback(self._gone)
        # Else a loop that ends cancels all its tasks, and waits for them however long they take. This is how asyncio
        # has tasks that are not its own: https://docs.python.org/3/library/asyncio-extending.html#task-lifetime-support
        asyncio.tasks._unregister_task(call)

    def _gone(self, call: asyncio.Task[Any]) -> None:
        """Let go of a call that was left behind, and ended; what it raised is nobody's any more."""
        self._left.pop(call, None)
        if not call.cancelled():
            call.exception()

    def _known(self, further: Sequence[str]) -> dict[str, StatelessTool]:
        """Those that a request may call; who comes from elsewhere takes nobody's name."""
        known = {name: self._further[name] for name in further if name in self._further} | self._own
        for source in self._sources:
            for one in source.tools:
                known.setdefault(str(one.get_tool_schema()["name"]), one)
        return known


def _same(one: StatelessTool, other: StatelessTool) -> bool:
    """Whether two tools do the same: of one class, and made from the same things."""
    if one is other or type(one) is not type(other):
        return one is other
    mine, theirs = one.__getstate__() or {}, other.__getstate__() or {}
    if not (isinstance(mine, dict) and isinstance(theirs, dict) and mine.keys() == theirs.keys()):
        return False
    return all(mine[name] is theirs[name] for name in mine)


async def _executed(tool: StatelessTool, request: AgentRequest, given: Parameters) -> Any:
    """Execute a tool, with a request of its own; what would end the loop is an error like any other."""
    try:
        return await tool.execute(copy.deepcopy(request), given)
    except (KeyboardInterrupt, SystemExit) as error:
        raise RuntimeError(f"{type(error).__name__}: {error}") from error


def _seen(value: Any) -> str:
    """What was wrong, on a line: its beginning, and its end, where the reason is."""
    text = str(clean(str(value)))
    return text if len(text) <= SEEN else f"{text[: SEEN // 2]} … {text[-SEEN // 2 :]}"


def _validator(schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    """A validator that asks nobody for a schema that another refers to."""
    return jsonschema.Draft202012Validator(schema.get("parameters", {}), registry=referencing.Registry())


def _parts(value: Any) -> int:
    """How many values there are in a JSON value, itself among them."""
    match value:
        case dict():
            return 1 + sum(map(_parts, value.values()))
        case list():
            return 1 + sum(map(_parts, value))
    return 1


def clean(value: Any, deep: int = DEEP) -> Any:
    """A JSON value as every reader can have it: no control characters, no lone surrogates, nothing endless."""
    match value:
        case dict() | list() | tuple() if not deep:
            return "…"
        case str():
            value = CONTROL.sub("\ufffd", value)
            return value if value.isascii() or not SURROGATE.search(value) else SURROGATE.sub("\ufffd", value)
        case dict():
            return {clean(str(key)): clean(one, deep - 1) for key, one in value.items()}
        case list() | tuple():
            return [clean(one, deep - 1) for one in value]
        case int() if value.bit_length() > BITS:
            return str(value)
        case float() if not math.isfinite(value):
            return str(value)
    return value


def kept(result: Any) -> Any:
    """What is kept of a result, of any size: a JSON value, or the beginning of its text where it is too large.

    So long as that is not known nothing is done with it that takes longer than to encode it.
    """
    if result is None:
        return ""
    if isinstance(result, str):
        data = result.encode(errors="replace")
    else:
        try:
            data = msgspec.json.encode(result)
        except UnicodeEncodeError:  # lone surrogates
            data = b""
    if len(data) <= LARGE * RESULT_BYTES:
        return bounded(clean(msgspec.to_builtins(result, str_keys=True)))
    return _cut(str(clean(data[: LARGE * RESULT_BYTES].decode(errors="ignore"))).encode(), len(data))


def bounded(value: Any) -> Any:
    """A JSON value, or the beginning of its text where it is too large."""
    data = value.encode() if isinstance(value, str) else msgspec.json.encode(value)
    return value if len(data) <= RESULT_BYTES else _cut(data, len(data))


def _cut(data: bytes, size: int) -> str:
    return f"{head_of(data, RESULT_BYTES).decode()} … (cut: the first {RESULT_BYTES} of {size} bytes)"
