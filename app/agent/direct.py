"""The answer of an OpenAI-compatible upstream, read from its connection with nothing between.

A stream that ends without a `finish_reason` was cut, whatever the HTTP connection says: servers break off without
an error.
"""

import time
from typing import Final

from app.agent.bell import Bell
from app.agent.calls import Calls, TooManyCalls
from app.agent.events import Events, NoChunk
from app.agent.flow import Piece, counted
from app.agent.http1 import Http1, Pool
from app.agent.prefix import Prefix
from app.agent.retry import CUT, told
from app.core.errors import ContentRefused, ModelUnavailable

USAGE: Final = {name: name for name in ("prompt_tokens", "completion_tokens", "total_tokens")}


class Silence:
    """How long a model may go on without a token."""

    def __init__(self, seconds: float) -> None:
        self.broken(seconds)

    def broken(self, seconds: float) -> None:
        """Take that it spoke; the next token is due within so many seconds of being waited for."""
        self._seconds = seconds
        self._until: float | None = None

    @property
    def left_s(self) -> float:
        """What is left of them, from when it was first asked for."""
        now = time.monotonic()
        if self._until is None:
            self._until = now + self._seconds
        return self._until - now


class Reading:
    """The body of one answer: bytes in, pieces out."""

    def __init__(self, said: Prefix, first_s: float, next_s: float) -> None:
        self.silence = Silence(max(first_s, next_s))  # the first token has a limit of its own
        self.wrong: NoChunk | None = None  # what follows the last piece is no chunk
        self._said = said
        self._next_s = next_s
        self._events = Events()
        self._finished = ""
        self._calls = Calls()

    def piece(self, data: bytes) -> Piece | None:
        """Read what came, or raise what was wrong with it.

        Raises:
            NoChunk: at the next call, if there was a piece before it.
        """
        texts: list[str] = []
        thoughts: list[str] = []
        works, usage = False, None
        try:
            for chunk in self._events.chunks(data):
                usage = chunk.usage or usage
                for choice in chunk.choices[:1]:
                    delta = choice.delta
                    self._finished = choice.finish_reason or self._finished
                    texts.append(delta.content or "")
                    if delta.reasoning_content or delta.reasoning or delta.tool_calls:
                        works = True
                        thoughts.append(delta.thought)
                        for part in delta.tool_calls or ():
                            self._calls.add(part)
        except NoChunk as error:
            self.wrong = error
        except TooManyCalls as error:
            self.wrong = NoChunk(str(error))
        text = "".join(texts)
        if text or works or usage:
            self.silence.broken(self._next_s)
            said = self._said.new(text) if text else ""
            return Piece(said, counted(usage, USAGE) if usage else None, "".join(thoughts))
        self.check()
        return None

    def check(self) -> None:
        """Raise what was wrong.

        Raises:
            NoChunk
        """
        if self.wrong is not None:
            raise self.wrong

    def end(self) -> Piece | None:
        """Take that this was all.

        Raises:
            ContentRefused, ModelUnavailable
        """
        match self._finished:
            case "content_filter":
                raise ContentRefused("the model refused to go on")
            case "":
                raise ModelUnavailable("the model broke off without an end")
        rest, calls = self._said.rest(), self._calls.made
        return Piece(rest, calls=calls) if rest or calls else None


class Direct:
    """A `Flow` over a connection whose answer has begun."""

    def __init__(self, line: Http1, pool: Pool, reading: Reading) -> None:
        self.over = False
        self._line = line
        self._pool = pool
        self._reading = reading
        self._held: Piece | None = None
        self._closed = False

    @property
    def left_s(self) -> float:
        """See `Flow`."""
        return self._reading.silence.left_s

    def take(self) -> Piece | None:
        """See `Flow`."""
        if self._held is not None:
            piece, self._held = self._held, None
            return piece
        try:
            return self._take()
        except CUT as error:
            raise told(error) from error

    def tell(self, bell: Bell) -> None:
        """See `Flow`."""
        if self._closed:
            return  # the connection is somebody else's by now
        if self._held is not None or self._reading.wrong is not None or self._line.has_more:
            bell.ring()
        else:
            self._line.tell(bell)

    async def first(self) -> None:
        """Return when there is something to take, or nothing will be; raises whatever befalls the request before."""
        bell = Bell()
        while (piece := self._take()) is None and not self.over:
            self.tell(bell)
            await bell.heard(self.left_s)
        self._held = piece

    async def close(self) -> None:
        """See `Flow`."""
        if not self._closed:
            self._closed = True
            self._pool.done(self._line)

    def _take(self) -> Piece | None:
        self._reading.check()
        if data := self._line.come():
            return self._reading.piece(data)
        if self.over:
            return None
        if self._line.answer.complete:
            piece = self._reading.end()
            self.over = True
            return piece
        if self.left_s <= 0:
            raise TimeoutError
        return None
