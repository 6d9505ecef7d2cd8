"""One run in this node's hands: from the model, through the coalescer, into the log, to its end.

What the model says is kept where it comes in, up to 256 KiB, and taken at the beat: the first text at once, then all
that came in `FLUSH_MS`. In between the run says that it lives. What Redis answers decides: a stop flag ends the run, a
fence drops it. A hint from the bus only has it look sooner.

A model that fails before its first token has been asked again by then (`agent/llm.py`), and ends the run. One that
breaks off in mid-answer is asked once more: that is another attempt, and as its model can, it goes on after the text
that stands, or begins anew; readers see so when its first text is there, and keep what they have until then.
"""

import asyncio
import logging
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from app.agent.answer import Answer, TooMuch
from app.agent.beat import Beat
from app.agent.bell import Bell
from app.agent.flow import Flow, Piece, asked, tokens_of
from app.agent.llm import Model
from app.agent.prompt import Prompt
from app.agent.prompts import Prompts
from app.agent.titles import Exchange
from app.agent.writing import FencedOut, Writing
from app.core import entries
from app.core.coalesce import Coalescer
from app.core.errors import ChatError, Internal, ModelTimeout, ModelUnavailable, Unavailable
from app.core.model import Request, Turn
from app.state.bounds import ATTEMPTS
from app.state.outcomes import Carry
from app.state.runs import Runs

ANSWERS: Final = ("new", "restart", "continue")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds: how long a lease is, and how long text is gathered."""

    lease_s: float = 6.0
    flush_s: float = 0.04


class Run:
    """A run that this node carries, for as long as it does. Owned by the runner."""

    def __init__(
        self, carry: Carry, runs: Runs, model: Model, prompts: Prompts, node: str, pace: Pace, beat: Beat
    ) -> None:
        self.state = ""  # of the end that it has written,
        self.ended_at = 0  # and its ms
        self.exchange: Exchange | None = None  # what the session's title is to be made of, if that is for this node
        self.over = asyncio.Event()
        can = model.abilities(carry.request.model)
        self.takeover, self._titles = can.takeover, can.titles
        self.carry = carry
        self._model = model
        self._prompts = prompts
        self._prompt: Prompt | None = None  # what was asked
        self._beat, self._group = beat, beat.join()
        self._renew_s = pace.lease_s / 3
        self._coalescer = Coalescer()
        self._bell = Bell()  # there is something to write, or to ask
        self._began_at = time.monotonic()
        self._first_at: float | None = None
        self._deadline = self._began_at + carry.left_s
        self._look = self._given_up = False
        self._spoke = False  # the model has, in this attempt
        self._again = ""  # how the next attempt begins, with its first text
        self._failure: ChatError | None = None
        self._usage: dict[str, Any] | None = None
        self._answer = Answer(carry.writer.run)
        anew = partial(_anew, carry.request, node, self._answer)
        self._writing = Writing(carry, runs, lease_s=pace.lease_s, deadline=self._deadline, anew=anew)

    @property
    def lease_age_s(self) -> float:
        """Seconds since its lease was renewed."""
        return time.monotonic() - self._writing.renewed_at

    @property
    def tokens(self) -> int:
        """What it has used."""
        return tokens_of(self._usage, self._answer.length)

    def look(self) -> None:
        """Ask Redis now whether the run is to stop."""
        self._look = True
        self._bell.ring()

    def give_up(self) -> None:
        """Write what is there, and leave the rest of the run to another node."""
        self._given_up = True
        self._bell.ring()

    async def see_through(self) -> Carry | None:
        """Answer, and end the run; return the next one of the session, which has begun with that."""
        self._answer.stands(self.carry.partial)
        try:
            if self.carry.how not in ANSWERS:
                return await self._close()
            while not await self._try():
                if self._given_up:
                    await self._writing.release()
                    return None
                await self._prepare()
            return await self._end()
        except FencedOut:
            log.info("run %s: fenced out", self.carry.writer.run)
            return None

    async def _close(self) -> Carry | None:
        """End a run that was claimed only for that, with the text that stands in the log."""
        if self.carry.how == "stopped":
            self._writing.stop = True
        else:
            self._failure = Unavailable("it was tried as often as it may be", code=self.carry.how)
        return await self._end()

    async def _try(self) -> bool:
        """Have the model answer, once; say whether that, or what befell it, ends the run here."""
        asking = asyncio.create_task(self._ask())
        asking.add_done_callback(self._asked)
        try:
            all_said = await self._write(asking)
        finally:  # the upstream is told before the last write
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            if not (asking.cancelled() or asking.exception()):
                await asking.result().close()
        if all_said or self._writing.stop:
            return True
        await self._flush(self._coalescer.finish())
        return self._failure is not None and not self._broke_off()

    async def _ask(self) -> Flow:
        prefix = self._answer.text if (self._again or self.carry.how) == "continue" else ""
        self._prompt = prompt = self._prompt or await self._prompts.of_run(self.carry)
        return await asked(self._model, self.carry.request.model, replace(prompt, prefix=prefix))

    def _asked(self, asking: asyncio.Task[Flow]) -> None:
        self._bell.ring()

    async def _write(self, asking: asyncio.Task[Flow]) -> bool:
        """Write what the model says; say whether it has said all. Else the run is to stop, or has failed."""
        writing = self._writing
        while not (writing.stop or self._failure or self._given_up):
            piece = self._take(asking) if asking.done() else None
            if piece is not None:
                self._usage = piece.usage or self._usage
                self._coalescer.add(piece.text)
                await self._flush(self._coalescer.take())
            elif asking.done() and not self._failure and asking.result().over:
                return True
            now = time.monotonic()
            if now >= self._deadline:
                self._failure = self._failure or ModelTimeout("the run's time is over")
            elif self._look or now >= writing.renewed_at + self._renew_s:
                self._look = False
                await writing.renew()
            elif not self._failure:
                await self._wait(asking, now, came=piece is not None and bool(piece.text))
        return False

    def _take(self, asking: asyncio.Task[Flow]) -> Piece | None:
        """Take what the model has said since; what befell it becomes the run's failure."""
        try:
            piece = asking.result().take()
        except ChatError as error:
            self._failure = error
            return None
        except Exception:
            log.exception("the model failed in a way that we do not know")
            self._failure = Internal("the answer failed")
            return None
        if piece is not None and piece.text:
            self._spoke = True
            self._first_at = self._first_at or time.monotonic()
        return piece

    async def _wait(self, asking: asyncio.Task[Flow], now: float, *, came: bool) -> None:
        """Wait for something to come; after the beat, if something has. But not longer than the lease allows."""
        seconds = min(self._writing.renewed_at + self._renew_s, self._deadline) - now
        if asking.done():
            flow = asking.result()
            if came:
                self._beat.at(self._group, partial(flow.tell, self._bell))
            else:
                flow.tell(self._bell)
                seconds = min(seconds, flow.left_s)
        await self._bell.heard(seconds)

    def _broke_off(self) -> bool:
        """Whether the model failed in mid-answer, and may be asked once more."""
        return (
            isinstance(self._failure, ModelUnavailable | ModelTimeout)
            and self._spoke
            and self.takeover != "fail"
            and self._writing.attempt < ATTEMPTS
            and time.monotonic() < self._deadline
        )

    async def _prepare(self) -> None:
        """Make ready for another attempt."""
        log.info("run %s: asks again: %s", self.carry.writer.run, self._failure)
        self._failure, self._spoke = None, False
        self._coalescer = Coalescer()
        self._again = self.takeover

    async def _flush(self, texts: list[str]) -> None:
        if texts and (added := await self._taken(texts)):
            await self._writing.append(added)

    async def _taken(self, texts: list[str]) -> list[bytes]:
        """Count text towards the answer and encode it; past the answer's bound, cut it and fail the run."""
        await self._begin_again()
        try:
            return self._answer.add(texts)
        except TooMuch as error:
            self._failure = error
            return error.added

    async def _begin_again(self) -> None:
        """Tell readers of another attempt, if one is to be told: its first text is there."""
        if not self._again:
            return
        how, self._again = self._again, ""
        await self._writing.again(how)
        if how == "restart":
            self._answer.clear()

    async def _end(self) -> Carry | None:
        last: list[bytes] = []
        if not isinstance(self._failure, TooMuch):
            texts = self._coalescer.finish()
            if texts or not (self._failure or self._writing.stop):
                last = await self._taken(texts)
        state = "failed" if self._failure else "stopped" if self._writing.stop else "done"
        code = self._failure.code if self._failure else None
        run, answer, timing = self.carry.writer.run, self._answer, self._timing()
        end = entries.End(
            run=run, state=state, length=answer.length, sha256=answer.sha256, code=code, usage=self._usage,
            timing=timing,
        )  # fmt: skip
        turn = Turn(
            id=run, role="assistant", text=answer.text, run=run, state=None if state == "done" else state, code=code,
            model=self.carry.request.model, usage=self._usage, timing=timing,
            temperature=self._prompt and self._prompt.temperature, prompt=self._prompt and self._prompt.fingerprint,
        )  # fmt: skip
        titles = state == "done" and self._titles and bool(answer.text.strip())
        ended = await self._writing.end([*last, entries.encode(end)], turn, titles=titles)
        self.state, self.ended_at = state, ended.at.ms
        if ended.titles:
            said = self.carry.turns[-1].text if self.carry.turns else ""
            self.exchange = Exchange(run, self.carry.request.model, said, answer.text)
        return ended.carry

    def _timing(self) -> dict[str, int]:
        """Milliseconds from this node's taking the run: to its first text, if any, and to its end."""
        timing = {"total_ms": round((time.monotonic() - self._began_at) * 1000)}
        if self._first_at is not None:
            timing["first_ms"] = round((self._first_at - self._began_at) * 1000)
        return timing


def _anew(request: Request, node: str, answer: Answer, attempt: int) -> list[bytes]:
    """The whole answer so far, as entries that replace what readers have of it."""
    run = entries.Run(
        run=request.run, turn=request.turn, attempt=attempt, how="restart", node=node, model=request.model
    )  # fmt: skip
    return [entries.encode(run), *answer.deltas()]
