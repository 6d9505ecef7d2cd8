"""Tools as they are declared: whether one is right, and those of a person's own modules.

Rules: what is wrong with a tool ends the start, and the message names the tool. When it is called it is too late: then
only a model is told, and somebody waits.
"""

import importlib
import inspect
import math
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import jsonschema
import msgspec

from app.agent.tools.tool import StatelessTool

NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
SEEN: Final = 200  # characters of what was wrong


class WrongTools(Exception):
    """Tools cannot be had as they were named; the message says which, and why."""


def declared(tool: StatelessTool) -> dict[str, Any]:
    """Give a tool's schema, if all that it says of itself is right.

    Raises:
        WrongTools
    """
    kind = f"{type(tool).__module__}.{type(tool).__qualname__}"
    try:
        schema = tool.get_tool_schema()
    except Exception as error:
        raise WrongTools(f"tool {kind}: get_tool_schema fails: {type(error).__name__}: {error}") from error
    if not isinstance(schema, dict):
        raise WrongTools(f"tool {kind}: get_tool_schema gives {schema!r:.200}; expected a dict")
    name = schema.get("name")
    if not (isinstance(name, str) and NAME.match(name)):
        raise WrongTools(f"a tool is named {name!r}; expected 1 to 64 of A-Z a-z 0-9 _ - ({kind})")
    if wrong := _wrong_schema(schema) or _wrong_call(tool):
        raise WrongTools(f"tool {name!r}: {wrong}")
    return schema


def _wrong_schema(schema: dict[str, Any]) -> str | None:
    """What is wrong with a schema."""
    try:
        msgspec.json.encode(schema)
    except (TypeError, ValueError, RecursionError) as error:
        return f"its schema is not JSON: {error}"
    parameters = schema.get("parameters", {})
    if not isinstance(parameters, dict):
        return f"its parameters are {parameters!r:.200}; expected a JSON Schema of type object"
    try:
        jsonschema.Draft202012Validator.check_schema(parameters)
    except jsonschema.SchemaError as error:
        return f"its parameters are no JSON Schema: {error.message[:SEEN]}"
    if parameters.get("type", "object") != "object":
        return f"its parameters are of type {parameters['type']!r:.200}; expected object"
    return None


def _wrong_call(tool: StatelessTool) -> str | None:
    """What is wrong with how it is called."""
    for flag in ("approval", "idempotent", "checks"):
        if not isinstance(value := getattr(tool, flag), bool):
            return f"{flag} is {value!r}; expected True or False"
    seconds: Any = tool.seconds
    if isinstance(seconds, bool) or not (isinstance(seconds, int | float) and 0 < seconds < math.inf):
        return f"seconds is {seconds!r}; expected a number over 0"
    execute = tool.execute
    if not any(map(inspect.iscoroutinefunction, (execute, inspect.unwrap(execute)))):
        return "its execute is not async"
    return None


def loaded(modules: Iterable[str]) -> list[StatelessTool]:
    """Load a person's own tools: in each module the objects that are one, and the classes that make one by themselves.

    Raises:
        WrongTools: there is no such module, it fails, or it has no tool.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    found: list[StatelessTool] = []
    for name in modules:
        try:
            module = importlib.import_module(name)
            own = _of(module)
        except KeyboardInterrupt:  # we are told to stop
            raise
        except BaseException as error:  # a module that exits ends no start without a word
            raise WrongTools(f"{name} cannot be loaded: {type(error).__name__}: {error}") from error
        if not own:
            raise WrongTools(f"{name} has no tool; expected functions with @tool, or a StatelessTool")
        found += own
    return found


def _of(module: ModuleType) -> list[StatelessTool]:
    found = list({id(one): one for one in vars(module).values() if isinstance(one, StatelessTool)}.values())
    instanced = {type(one) for one in found}
    for one in vars(module).values():
        is_own = inspect.isclass(one) and issubclass(one, StatelessTool) and one.__module__ == module.__name__
        if is_own and not inspect.isabstract(one) and one not in instanced and _makes_itself(one):
            found.append(one())
    return found


def _makes_itself(kind: type[StatelessTool]) -> bool:
    """Whether a class needs nothing to make a tool."""
    return all(
        one.default is not one.empty or one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
        for one in inspect.signature(kind).parameters.values()
    )
