"""An answer as it comes: kept until it is asked for, and then taken at once, all of it, without waiting."""

import asyncio
import math
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

from app.agent.bell import Bell
from app.agent.prompt import Prompt
from app.core.errors import ModelUnavailable

AHEAD_BYTES: Final = 256 * 1024
MOST: Final = 2**53  # of a count that a browser can have, and the state's encoding


class ToolCall(NamedTuple):
    """A call that the model wants made. `arguments` is JSON, as far as the model can write it."""

    id: str
    name: str
    arguments: str


class Piece(NamedTuple):
    """What came since the last time: thinking, then text; in the end the usage, and the calls that it wants made.

    `place` is where the upstream can be taken up again after this, if it keeps its answers.
    """

    text: str = ""
    usage: dict[str, Any] | None = None
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()
    place: str = ""

    @classmethod
    def joined(cls, pieces: Sequence["Piece"]) -> "Piece":
        """Several pieces as one."""
        return cls(
            "".join(piece.text for piece in pieces),
            next((piece.usage for piece in reversed(pieces) if piece.usage), None),
            "".join(piece.reasoning for piece in pieces),
            tuple(call for piece in pieces for call in piece.calls),
            next((piece.place for piece in reversed(pieces) if piece.place), ""),
        )


def counted(usage: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """What an upstream says that an answer used, by our names for its own; what is no count is left out."""
    known = {name: usage.get(theirs) for name, theirs in names.items()}
    return {name: one for name, one in known.items() if isinstance(one, int | float) and 0 <= one <= MOST}


def tokens_of(usage: dict[str, Any] | None, size: int) -> int:
    """How many tokens an answer of so many bytes took: as the model says, else one for every four bytes."""
    told = (usage or {}).get("total_tokens")
    return told if isinstance(told, int) and told >= 0 else size // 4


class PlaceLost(ModelUnavailable):
    """The upstream does not have the answer any more that was to be taken up again."""


@runtime_checkable
class Cancels(Protocol):
    """An answer that its upstream goes on with, also where nobody reads."""

    async def cancel(self) -> None:
        """Tell the upstream that nobody will."""


@runtime_checkable
class Keeps(Protocol):
    """A model whose upstream keeps its answers."""

    async def cancel(self, name: str, place: str) -> None:
        """Tell the upstream that nobody wants the answer at a place any more."""


class Flow(Protocol):
    """One answer, under way. Close it in the end: that releases the upstream."""

    @property
    def over(self) -> bool:
        """Whether the model has said all, and all of it was taken."""

    @property
    def left_s(self) -> float:
        """How many seconds more the model may be silent, from when it was first waited for."""

    def take(self) -> Piece | None:
        """Take what has come.

        Raises:
            ModelUnavailable, ModelTimeout, ContentRefused: after what came before it.
        """

    def tell(self, bell: Bell) -> None:
        """Ring a bell, once, when there is something to take: now, or later. Nothing needs to be read before."""

    async def close(self) -> None:
        """Let go of the upstream."""


class Streams(Protocol):
    """A model that gives its answer piece by piece."""

    def stream(self, name: str, prompt: Prompt) -> AsyncGenerator[Piece, None]:
        """Answer; see `llm.Model`."""


@runtime_checkable
class Asks(Protocol):
    """A model that keeps its answer itself."""

    async def ask(self, name: str, prompt: Prompt) -> Flow:
        """Answer; return when the first piece is there."""


async def asked(model: Streams, name: str, prompt: Prompt) -> Flow:
    """Ask a model of either kind; raises as its answer does."""
    if isinstance(model, Asks):
        return await model.ask(name, prompt)
    return Pumped(model.stream(name, prompt))


async def pieces(flow: Flow) -> AsyncGenerator[Piece, None]:
    """Give an answer piece by piece; raises as it does."""
    bell = Bell()
    try:
        while True:
            if (piece := flow.take()) is not None:
                yield piece
            elif flow.over:
                return
            else:
                flow.tell(bell)
                await bell.heard(flow.left_s)
    finally:
        await flow.close()


class Pumped:
    """The answer of a model that gives it piece by piece: read ahead, up to 256 KiB."""

    left_s = math.inf  # the model sees to it itself

    def __init__(self, stream: AsyncGenerator[Piece, None]) -> None:
        self._pieces: list[Piece] = []
        self._bytes = 0
        self._room = Bell()
        self._bell: Bell | None = None
        self._error: Exception | None = None
        self._done = False
        self._pump = asyncio.create_task(self._read(stream))

    @property
    def over(self) -> bool:
        """See `Flow`."""
        return self._done and not self._pieces and self._error is None

    def take(self) -> Piece | None:
        """See `Flow`; raises what the stream does."""
        if self._pieces:
            taken, self._pieces, self._bytes = self._pieces, [], 0
            self._room.ring()
            return Piece.joined(taken)
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return None

    def tell(self, bell: Bell) -> None:
        """See `Flow`."""
        self._bell = bell
        if self._pieces or self._done:
            self._ring()

    async def first(self) -> None:
        """Return when there is something to take, or nothing will be; raises what befalls the stream before."""
        bell = Bell()
        self.tell(bell)
        await bell.heard()
        if self._error is not None and not self._pieces:
            Pumped.take(self)  # as it is

    async def close(self) -> None:
        """See `Flow`."""
        self._pump.cancel()
        await asyncio.gather(self._pump, return_exceptions=True)

    async def _read(self, stream: AsyncGenerator[Piece, None]) -> None:
        try:
            async with aclosing(stream):
                async for piece in stream:
                    self._pieces.append(piece)
                    self._bytes += len(piece.text) + len(piece.reasoning)
                    self._ring()
                    while self._bytes >= AHEAD_BYTES:
                        await self._room.heard()
        except Exception as error:  # noqa: BLE001 - it is raised where it is taken
            self._error = error
        finally:
            self._done = True
            self._ring()

    def _ring(self) -> None:
        if self._bell is not None:
            self._bell.ring()
            self._bell = None
