"""The calls that a model wants made, as they come: in pieces, by index, and not always as they should.

https://platform.openai.com/docs/guides/function-calling#streaming. Some servers give each call whole, all with the
index 0 or none; some give no id. What a call is named in a run is the run's to decide.
"""

from typing import Any, Final

import msgspec

from app.agent.flow import ToolCall

CALLS: Final = 32  # of one answer that are made
LISTED: Final = 4 * CALLS  # that are read: of those that are not made a model is told so
ARGUMENT_BYTES: Final = 256 * 1024  # of all calls of one answer


class TooManyCalls(ValueError):
    """There are more calls, or longer ones, than an answer may have."""


class Function(msgspec.Struct):
    """What is called, or a piece of it."""

    name: str | None = None
    arguments: Any = None


class Part(msgspec.Struct):
    """A piece of a call."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None


class Calls:
    """The calls of one answer. Mutable, owned by its reading."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._names: list[str] = []
        self._arguments: list[str] = []
        self._places: dict[int, int] = {}  # the call that an index last named
        self._bytes = 0

    def add(self, part: Part) -> None:
        """Take in a piece.

        Raises:
            TooManyCalls
        """
        function = part.function or Function()
        place = self._place(part, begins=bool(function.name))
        self._ids[place] = self._ids[place] or part.id or ""
        self._names[place] += function.name or ""
        given = function.arguments
        text = given if isinstance(given, str) else "" if given is None else msgspec.json.encode(given).decode()
        self._arguments[place] += text
        self._bytes += len(text)
        if self._bytes > ARGUMENT_BYTES:
            raise TooManyCalls(f"calls with arguments of more than {ARGUMENT_BYTES} bytes")

    @property
    def made(self) -> tuple[ToolCall, ...]:
        """All of them."""
        return tuple(map(ToolCall, self._ids, self._names, self._arguments))

    def _place(self, part: Part, *, begins: bool) -> int:
        """The call to which a piece belongs; a new one where its index, its id or its name says so."""
        index = part.index if part.index is not None else -1
        last = self._places.get(index)
        if last is not None:
            other = bool(part.id and self._ids[last] and part.id != self._ids[last])
            again = bool(part.id) and part.id == self._ids[last]
            whole = begins and bool(self._names[last]) and (part.index is None or bool(self._arguments[last]))
            if not other and (again or not whole):
                return last
        if len(self._ids) == LISTED:
            raise TooManyCalls(f"more than {LISTED} calls in one answer")
        for texts in (self._ids, self._names, self._arguments):
            texts.append("")
        self._places[index] = len(self._ids) - 1
        return len(self._ids) - 1
