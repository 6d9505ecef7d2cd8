"""One run in this node's hands: from the model, through the coalescer, into the log, to its end.

Two tasks: one reads the model, and stops reading while 256 KiB wait for the log; one writes, one append at a time,
and says in between that the run lives. What Redis answers decides: a stop flag ends the run, a fence drops it, an
unknown outcome is asked again with the same count. A hint from the bus only has the writer look sooner.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from app.agent.llm import Model
from app.agent.prompt import messages
from app.core import entries
from app.core.coalesce import Coalescer, head_of, pieces
from app.core.errors import ChatError, Internal, ModelTimeout, StateUnavailable, TooLong, Unavailable
from app.core.model import Turn
from app.state.outcomes import Appended, Carry, Ended, Fenced, Lost, Renewed
from app.state.sessions import Sessions

ANSWER_BYTES: Final = 256 * 1024
ANSWER_ENTRIES: Final = 20_000
PENDING_BYTES: Final = 256 * 1024
AGAIN_SECONDS: Final = 0.25

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds: how long a lease is, and how long text is gathered."""

    lease_s: float = 6.0
    flush_s: float = 0.04


class FencedOut(Exception):
    """This run is somebody else's now, or nobody's."""


class Run:
    """A run that this node carries, for as long as it does. Owned by the runner."""

    def __init__(self, carry: Carry, sessions: Sessions, model: Model, node: str, pace: Pace) -> None:
        self.writer = carry.writer
        self.over = asyncio.Event()
        self._carry = carry
        self._sessions = sessions
        self._model = model
        self._node = node
        self._renew_s = pace.lease_s / 3
        self._coalescer = Coalescer(pace.flush_s, PENDING_BYTES)
        self._wake = asyncio.Event()  # there is something to write, or to ask
        self._room = asyncio.Event()  # the log has taken text
        self._began_at = self._touched_at = time.monotonic()
        self._first_at: float | None = None
        self._deadline = self._began_at + carry.left_s
        self._stop = self._look = self._given_up = False
        self._failure: ChatError | None = None
        self._usage: dict[str, Any] | None = None
        self._text: list[str] = []
        self._hash = hashlib.sha256()
        self._length = self._entries = self._count = 0

    def look(self) -> None:
        """Ask Redis now whether the run is to stop."""
        self._look = True
        self._wake.set()

    def give_up(self) -> None:
        """Write what is there, and leave the rest of the run to another node."""
        self._given_up = True
        self._wake.set()

    async def see_through(self) -> Carry | None:
        """Answer, and end the run; return the next one of the session, which has begun with that."""
        try:
            if self._carry.ending:
                return await self._close()
            return await self._answer()
        except FencedOut:
            log.info("run %s: fenced out", self.writer.run)
            return None

    async def _answer(self) -> Carry | None:
        reader = asyncio.create_task(self._read())
        try:
            await self._write(reader)
            if self._given_up and not (reader.done() or self._stop or self._failure):
                await self._flush(self._coalescer.finish(time.monotonic()))
                await self._sessions.release(self.writer)
                return None
            if reader.done() and not self._stop and self._failure is None:
                self._failure = _failure(reader)
            reader.cancel()  # the upstream is told before the last write
            return await self._end()
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _close(self) -> Carry | None:
        """End a run that was claimed only for that, with the text that stands in the log."""
        partial, ending = self._carry.partial, self._carry.ending
        if partial:
            self._taken(pieces(partial, entries.TEXT_BYTES))
        self._stop = ending == "stopped"
        self._failure = None if self._stop else Unavailable("it was tried as often as it may be", code=ending)
        return await self._end()

    async def _read(self) -> None:
        """Read the model to its end."""
        request = self._carry.request
        try:
            shown = messages(self._carry.turns, request.context, self._model.prompt_tokens(request.model))
            async with aclosing(self._model.stream(request.model, shown)) as stream:
                async for piece in stream:
                    self._usage = piece.usage or self._usage
                    if piece.text:
                        await self._gather(piece.text)
        finally:
            self._wake.set()

    async def _gather(self, text: str) -> None:
        if self._first_at is None:
            self._first_at = time.monotonic()
        if self._coalescer.empty:
            self._wake.set()
        self._coalescer.add(text)
        while self._coalescer.full:
            self._wake.set()
            self._room.clear()
            await self._room.wait()

    async def _write(self, reader: asyncio.Task[None]) -> None:
        """Write what the model says until it has ended, the run is to stop, or a bound is reached."""
        while not (reader.done() or self._stop or self._failure or self._given_up):
            now = time.monotonic()
            due = self._coalescer.due(now)
            if due == 0.0:
                await self._flush(self._coalescer.take(now))
                self._room.set()
            elif self._look or now >= self._touched_at + self._renew_s:
                await self._renew()
            elif now >= self._deadline:
                self._failure = ModelTimeout("the run's time is over")
            else:
                until = min(self._touched_at + self._renew_s, self._deadline)
                await self._sleep(min(until - now, due if due is not None else until - now))

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    async def _flush(self, texts: list[str]) -> None:
        if added := self._taken(texts):
            await self._append(added)

    def _taken(self, texts: list[str]) -> list[bytes]:
        """Count text towards the answer and encode it; past the answer's bound, cut it and fail the run."""
        added = []
        for text in texts:
            data = text.encode()
            if self._length + len(data) > ANSWER_BYTES or self._entries >= ANSWER_ENTRIES:
                data = head_of(data, ANSWER_BYTES - self._length) if self._entries < ANSWER_ENTRIES else b""
                text = data.decode()
                self._failure = TooLong(f"an answer has at most {ANSWER_BYTES} bytes")
            if text:
                self._text.append(text)
                self._hash.update(data)
                self._length += len(data)
                self._entries += 1
                added.append(entries.encode(entries.Delta(run=self.writer.run, text=text)))
            if self._failure is not None:
                break
        return added

    async def _append(self, added: list[bytes]) -> None:
        while True:
            match await self._certainly(partial(self._sessions.append, self.writer, self._count, added)):
                case Appended(stop=stop):
                    self._count += 1
                    self._stop = self._stop or stop
                    return
                case Lost(count=count):
                    self._count, added = count, self._anew()
                case _:
                    raise FencedOut

    async def _renew(self) -> None:
        self._look = False
        self._touched_at = time.monotonic()  # also if that fails: the next try is a renewal's time away
        try:
            renewed = await self._sessions.renew(self.writer)
        except StateUnavailable:
            return
        match renewed:
            case Renewed(stop=stop):
                self._stop = self._stop or stop
            case Fenced():
                raise FencedOut

    async def _end(self) -> Carry | None:
        last = self._taken(self._coalescer.finish(time.monotonic())) if not isinstance(self._failure, TooLong) else []
        state = "failed" if self._failure else "stopped" if self._stop else "done"
        code = self._failure.code if self._failure else None
        end = entries.End(
            run=self.writer.run, state=state, length=self._length, sha256=self._hash.hexdigest(), code=code,
            usage=self._usage, timing=self._timing(),
        )  # fmt: skip
        turn = Turn(
            id=self.writer.run, role="assistant", text="".join(self._text), run=self.writer.run,
            state=None if state == "done" else state, code=code, model=self._carry.request.model,
            usage=self._usage, timing=end.timing,
        )  # fmt: skip
        added = [*last, entries.encode(end)]
        while True:
            match await self._certainly(partial(self._sessions.end, self.writer, self._count, added, turn)):
                case Ended(carry=carry):
                    return carry
                case Lost(count=count):
                    self._count, added = count, [*self._anew(), entries.encode(end)]
                case _:
                    raise FencedOut

    async def _certainly(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask until Redis answers; after the run's deadline and one lease more, give up."""
        while True:
            try:
                answer = await ask()
                self._touched_at = time.monotonic()
                return answer
            except StateUnavailable:
                if time.monotonic() > self._deadline + 3 * self._renew_s:
                    raise
                await asyncio.sleep(AGAIN_SECONDS)

    def _anew(self) -> list[bytes]:
        """The whole answer so far, as entries that replace what readers have of it."""
        request = self._carry.request
        run = entries.Run(
            run=self.writer.run,
            turn=request.turn,
            attempt=self._carry.attempt,
            how="restart",
            node=self._node,
            model=request.model,
        )
        texts = pieces("".join(self._text), entries.TEXT_BYTES) if self._text else []
        return [entries.encode(run), *(entries.encode(entries.Delta(run=self.writer.run, text=text)) for text in texts)]

    def _timing(self) -> dict[str, int]:
        """Milliseconds from this node's taking the run: to its first text, if any, and to its end."""
        timing = {"total_ms": round((time.monotonic() - self._began_at) * 1000)}
        if self._first_at is not None:
            timing["first_ms"] = round((self._first_at - self._began_at) * 1000)
        return timing


def _failure(reader: asyncio.Task[None]) -> ChatError | None:
    """What went wrong in reading the model, in the protocol's terms."""
    error = reader.exception()
    if error is None or isinstance(error, ChatError):
        return error
    log.error("the model failed in a way that we do not know", exc_info=error)
    return Internal("the answer failed")
