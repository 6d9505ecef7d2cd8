"""One step of a run: the model is asked, and what it says is written as it comes.

What it says is kept where it comes in, up to 256 KiB, and taken at the beat: the first text at once, then all that came
in `FLUSH_MS`. A model that fails before its first token has been asked again by then (`agent/llm.py`), and another one
is asked, if it names one. One that breaks off in mid-answer is asked once more: that is another attempt, and as its
model can, it goes on after the text that stands, or begins anew; readers see so when its first text is there, and keep
what they have until then.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final

import msgspec

from app.agent.answer import Answer, TooMuch
from app.agent.beat import Beat
from app.agent.flow import Cancels, Flow, Piece, PlaceLost, ToolCall, asked
from app.agent.llm import Model
from app.agent.prompt import Prompt
from app.agent.watch import Watch
from app.agent.writing import Writing
from app.core.coalesce import Coalescer
from app.core.errors import ChatError, Internal, ModelTimeout, ModelUnavailable
from app.state.bounds import ATTEMPTS

BREAKS: Final = (ModelUnavailable, ModelTimeout)

log = logging.getLogger(__name__)

Asked = Callable[[str], Prompt]  # the prompt for a model, now


class Speaking:
    """A model that is asked for one step. Owned by the run.

    `calls`: what it wants made; `failure`: why it has said no more. `usage` is what it used; of the bytes that it was
    asked it has not told what the `untold` ones cost.
    """

    def __init__(self, model: Model, name: str, answer: Answer, writing: Writing, watch: Watch, beat: Beat) -> None:
        self.name = name  # the model that is asked now
        self.prompt: Prompt | None = None  # what was asked
        self.calls: tuple[ToolCall, ...] = ()
        self.failure: ChatError | None = None
        self.usage: dict[str, Any] = {}
        self.untold = 0
        self.first_at: float | None = None
        self._model = model
        self._answer = answer
        self._writing = writing
        self._watch = watch
        self._beat, self._group = beat, beat.join()
        self._texts, self._thoughts = Coalescer(), Coalescer()
        self._spoke = False  # the model has, in this attempt
        self._again: tuple[str, str] | None = None  # how the next attempt begins, with its first text; another model
        self._tried = [name]

    @property
    def takeover(self) -> str:
        """How an answer of its model goes on elsewhere."""
        return self._model.abilities(self.name).takeover

    async def through(self, prompt: Asked, how: str, place: str) -> bool:
        """Have the model answer, as often as it may be asked; say whether it has said all.

        Else the run is to stop, to be held or to be left, or `failure` says why. What was said last is for `rest`.

        Raises:
            FencedOut, StateUnavailable
        """
        while True:
            prefix = self._answer.begun if how == "continue" and self.takeover == "continue" else ""
            if how == "continue" and not prefix and self._answer.partial:  # nobody can go on with a thought: anew
                self._again = ("restart", self._again[1] if self._again else self.name)
            self.prompt = replace(prompt(self.name), prefix=prefix, place=place if how == "resume" else "")
            if await self._once(self.prompt):
                return True
            if self._writing.stop:
                return False
            await self._flush(self._finished())
            if self.failure is None or not self._may_again():
                return False
            how, place = self._again[0] if self._again else "", ""

    async def rest(self) -> list[bytes]:
        """What was said last, encoded; past the answer's bound it is cut, and the run has failed."""
        if isinstance(self.failure, TooMuch):
            return []
        said = self._finished()
        if said[0] or said[1] or not (self.failure or self._writing.stop):
            await self._goes_on()
        return self._encoded(said)

    async def _once(self, prompt: Prompt) -> bool:
        """Ask the model, once; say whether it has said all."""
        self.untold += len(msgspec.json.encode(prompt.messages))
        asking = asyncio.create_task(asked(self._model, self.name, prompt))
        asking.add_done_callback(lambda _: self._watch.bell.ring())
        try:
            return await self._write(asking)
        finally:  # the upstream is told before the last write
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            if not (asking.cancelled() or asking.exception()):
                flow = asking.result()
                if isinstance(flow, Cancels) and (self._writing.stop or self.failure):
                    await flow.cancel()
                await flow.close()

    async def _write(self, asking: asyncio.Task[Flow]) -> bool:
        """Write what the model says; say whether it has said all."""
        watch = self._watch
        while not (self.failure or watch.called_off or self._pauses):
            piece = self._take(asking) if asking.done() else None
            if piece is not None:
                await self._come(piece)
            elif asking.done() and not self.failure and asking.result().over:
                return True
            if watch.late:
                self.failure = self.failure or ModelTimeout("the run's time is over")
            elif not await watch.renewed() and not self.failure:
                await self._wait(asking, came=piece is not None and bool(piece.text or piece.reasoning))
        return False

    @property
    def _pauses(self) -> bool:
        """Whether the run is to be held, and can be in mid-answer."""
        return self._writing.wanted == "pause" and self.takeover != "fail"

    def _take(self, asking: asyncio.Task[Flow]) -> Piece | None:
        """Take what the model has said since; what befell it becomes the run's failure."""
        try:
            piece = asking.result().take()
        except ChatError as error:
            self.failure = error
            return None
        except Exception:
            log.exception("the model failed in a way that we do not know")
            self.failure = Internal("the answer failed")
            return None
        if piece is not None and (piece.text or piece.reasoning or piece.calls):
            self._spoke = True
            self.first_at = self.first_at or time.monotonic()
        return piece

    async def _come(self, piece: Piece) -> None:
        """Write a piece."""
        if piece.usage:
            self.usage, self.untold = piece.usage, 0
        self.calls += piece.calls
        self._texts.add(piece.text)
        if piece.reasoning:
            self._thoughts.add(piece.reasoning)
        said = self._thoughts.take(), self._texts.take()
        if piece.place and not (said[0] or said[1] or self._spoke or self._again):
            await self._writing.placed(piece.place)
        await self._flush(said, piece.place)

    async def _wait(self, asking: asyncio.Task[Flow], *, came: bool) -> None:
        """Wait for something to come; after the beat, if something has."""
        if not asking.done():
            await self._watch.rest()
            return
        flow = asking.result()
        if came:
            self._beat.at(self._group, partial(flow.tell, self._watch.bell))
            await self._watch.rest()
        else:
            flow.tell(self._watch.bell)
            await self._watch.rest(flow.left_s)

    def _may_again(self) -> bool:
        """Whether the model, or another one, may be asked once more after this failure; then all is made ready."""
        failure, lost = self.failure, isinstance(self.failure, PlaceLost)
        if not isinstance(failure, BREAKS) or self._watch.late:
            return False
        other = next((name for name in self._model.abilities(self.name).fallback if name not in self._tried), None)
        if (self._spoke or lost) and self.takeover != "fail" and self._writing.attempt < ATTEMPTS:
            self._again = ("continue" if self.takeover == "continue" else "restart", "")
        elif not self._spoke and other is not None:
            self.name = other
            self._tried.append(other)
            self._again = ("restart" if self._answer.partial else "continue", other)
        else:
            return False
        log.info("run %s: asks again, %s: %s", self._writing.writer.run, self.name, failure)
        self.failure, self._spoke, self.calls = None, False, ()
        self._texts, self._thoughts = Coalescer(), Coalescer()
        return not self._watch.given_up

    def _finished(self) -> tuple[list[str], list[str]]:
        return self._thoughts.finish(), self._texts.finish()

    async def _flush(self, said: tuple[list[str], list[str]], place: str = "") -> None:
        """Write what was said."""
        if not (said[0] or said[1]):
            return
        await self._goes_on()
        if added := self._encoded(said):
            await self._writing.append(added, place)

    def _encoded(self, said: tuple[list[str], list[str]]) -> list[bytes]:
        """Count what was said towards the answer and encode it; past the answer's bound, cut it and fail the run."""
        added: list[bytes] = []
        try:
            added += self._answer.think(said[0]) if said[0] else []
            added += self._answer.add(said[1])
        except TooMuch as error:
            self.failure = error
            added += error.added
        return added

    async def _goes_on(self) -> None:
        """Tell readers of another attempt, if one is to be told: its first text is there, or its end."""
        if self._again is None:
            return
        (how, model), self._again = self._again, None
        await self._writing.again(how, model)
        if how == "restart":
            self._answer.cut()
