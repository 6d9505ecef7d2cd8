"""One run in this node's hands, step by step to its end: the model speaks, its calls are made, and it speaks again.

What Redis answers to each write decides: a stop flag ends the run, a fence drops it. A hint from the bus only has it
look sooner. Where a person is to decide, or wants a pause, the run is held: all that there is of it is in Redis, and
whoever claims it goes on.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from app.agent.answer import Answer
from app.agent.beat import Beat
from app.agent.flow import Keeps, tokens_of
from app.agent.llm import Model
from app.agent.prompt import Prompt
from app.agent.prompts import Prompts
from app.agent.request import AgentRequest
from app.agent.speaking import Speaking
from app.agent.titles import Exchange
from app.agent.tools.toolbox import Toolbox
from app.agent.watch import Watch
from app.agent.working import Working
from app.agent.writing import FencedOut, Writing
from app.core import entries
from app.core.errors import ChatError, Unavailable
from app.core.model import Request, Turn
from app.state.outcomes import Carry, Decided, Held
from app.state.runs import Closing, Runs

ANSWERS: Final = ("new", "restart", "continue", "resume")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds: of a lease, of gathering text, of waiting for a person. And how many steps a run may have."""

    lease_s: float = 6.0
    flush_s: float = 0.04
    hold_s: float = 259_200.0
    steps: int = 10


@dataclass(frozen=True, slots=True)
class Means:
    """What every run of a node is carried with. `now` is Redis's clock, in ms."""

    runs: Runs
    model: Model
    prompts: Prompts
    toolbox: Toolbox
    node: str
    pace: Pace
    beat: Beat
    now: Callable[[], int]


class Run:
    """A run that this node carries, for as long as it does. Owned by the runner."""

    def __init__(self, carry: Carry, means: Means) -> None:
        self.state = ""  # of the end that it has written, or `held`,
        self.ended_at = 0  # and its ms
        self.exchange: Exchange | None = None  # what the session's title is to be made of, if that is for this node
        self.over = asyncio.Event()
        self.carry = carry
        self._means = means
        self._began_at = time.monotonic()
        deadline = self._began_at + carry.left_s
        self._answer = Answer(carry.writer.run)
        anew = partial(_anew, carry.request, means.node, self._answer)
        pace = means.pace
        self._writing = Writing(carry, means.runs, lease_s=pace.lease_s, deadline=deadline, anew=anew)
        self._watch = Watch(self._writing, deadline=deadline, renew_s=pace.lease_s / 3)
        self._failure: ChatError | None = None
        self._used: dict[str, Any] = {}  # by steps that are over
        self._untold = 0  # in them, see `Speaking`
        self._speaking = self._spoken(carry.request.model)

    @property
    def takeover(self) -> str:
        """How it goes on at another node."""
        return self._speaking.takeover

    @property
    def lease_age_s(self) -> float:
        """Seconds since its lease was renewed."""
        return time.monotonic() - self._writing.renewed_at

    @property
    def tokens(self) -> int:
        """What it has used here, also where it was stopped before its model could say so."""
        told = tokens_of(_sum(self._used, self._speaking.usage), self._answer.length)
        return told + tokens_of(None, self._untold + self._speaking.untold)

    def look(self) -> None:
        """Ask Redis now what is wanted of the run."""
        self._watch.look()

    def give_up(self) -> None:
        """Write what is there, and leave the rest of the run to another node."""
        self._watch.give_up()

    async def see_through(self) -> Carry | None:
        """Answer, and end the run; return the next one of the session, which has begun with that."""
        self._answer.stands(self.carry.log)
        try:
            return await (self._go_on() if self.carry.how in ANSWERS else self._close())
        except FencedOut:
            log.info("run %s: fenced out", self.carry.writer.run)
            return None

    async def _close(self) -> Carry | None:
        """End a run that was claimed only for that, with what stands in the log."""
        if self.carry.how == "stopped":
            self._writing.wanted = "stop"
        else:
            self._failure = Unavailable("it was tried as often as it may be", code=self.carry.how)
        if self.carry.place and isinstance(self._means.model, Keeps):
            await self._means.model.cancel(self.carry.request.model, self.carry.place)
        return await self._end([])

    async def _go_on(self) -> Carry | None:
        """Take step after step."""
        how, place = self.carry.how, self.carry.place
        request = await self._means.prompts.request(self.carry)
        further = self.carry.request.tools
        work = Working(
            self._answer, self._writing, self._watch, self._means.toolbox, request, further, self._usage
        )  # fmt: skip
        while True:
            if not self._answer.open:
                prompt = self._prompt(request)
                all_said = await self._speaking.through(prompt, how, place)
                how = place = ""
                rest = await self._speaking.rest() if all_said or self._writing.stop else []
                self._failure = self._speaking.failure
                may_call = self._speaking.prompt is not None and self._speaking.prompt.may_call
                if all_said and self._speaking.calls and may_call and not self._failure:
                    await work.take(self._speaking.calls, rest, self._until)
                    self._step()
                elif all_said or self._failure or self._writing.stop:
                    return await self._end(rest)
            if not self._writing.stop:
                await work.through()
                self._failure = work.failure
            if self._failure or self._writing.stop:
                return await self._end([])
            if self._watch.given_up:
                await self._writing.release()
                return None
            if await self._waits():
                return None

    def _prompt(self, request: AgentRequest) -> Callable[[str], Prompt]:
        """What a model is asked now."""
        return partial(
            self._means.prompts.of, request, steps=self._answer.steps, further=self.carry.request.tools,
            may_call=self._may_call,
        )  # fmt: skip

    @property
    def _may_call(self) -> bool:
        """Whether the model may call tools still: not in the last of its steps."""
        return len(self._answer.steps) < self._means.pace.steps - 1

    @property
    def _until(self) -> int:
        """Until when a run that is held now waits: ms of Redis's clock."""
        return self._means.now() + round(self._means.pace.hold_s * 1000)

    def _step(self) -> None:
        """Begin another step, with the model that was asked last."""
        spoken, self._used = self._speaking, _sum(self._used, self._speaking.usage)
        self._untold += spoken.untold
        self._speaking = self._spoken(spoken.name)
        self._speaking.prompt, self._speaking.first_at = spoken.prompt, spoken.first_at

    def _spoken(self, name: str) -> Speaking:
        means = self._means
        return Speaking(means.model, name, self._answer, self._writing, self._watch, means.beat)

    async def _waits(self) -> bool:
        """Hold the run, if a person is to decide on a call, or wants a pause; say whether it is held."""
        asked = [call.until or 0 for call in self._answer.open if call.asks and call.decision is None]
        if not asked and self._writing.wanted != "pause":
            return False
        why, until = ("approval", max(asked)) if asked else ("pause", self._until)
        run, usage = self.carry.writer.run, self._usage()
        end, turn = self._ending("stopped", None)
        entry = entries.encode(entries.Hold(run=run, why=why, until=until))
        closing = Closing(entries.encode(end), turn, self._answer.partial, usage)
        match await self._writing.hold(why, until, entry, closing):
            case Held():
                self.state, self.ended_at = "held", self._means.now()
                return True
            case Decided(answers=answers):
                self._answer.decided(answers)
                if self._answer.partial:  # it was to be held in mid-answer, and is not any more
                    await self._writing.release()
                    return True
        return False

    async def _end(self, rest: list[bytes]) -> Carry | None:
        """End the run, after the `rest` of what was said."""
        state = "failed" if self._failure else "stopped" if self._writing.stop else "done"
        code = self._failure.code if self._failure else None
        end, turn = self._ending(state, code)
        can = self._means.model.abilities(self._speaking.name) if state == "done" else None
        titles = can is not None and can.titles and bool(turn.text.strip())
        ended = await self._writing.end([*rest, entries.encode(end)], turn, titles=titles)
        self.state, self.ended_at = state, ended.at.ms
        if ended.titles:
            said = self.carry.turns[-1].text if self.carry.turns else ""
            self.exchange = Exchange(turn.run, self._speaking.name, said, turn.text)
        return ended.carry

    def _ending(self, state: str, code: str | None) -> tuple[entries.End, Turn]:
        """The end that the run has in a state, and its turn."""
        run, answer, prompt = self.carry.writer.run, self._answer, self._speaking.prompt
        usage, timing = self._usage() or None, self._timing()
        end = entries.End(
            run=run, state=state, length=answer.length, sha256=answer.sha256, code=code, usage=usage, timing=timing
        )  # fmt: skip
        turn = Turn(
            id=run, role="assistant", text=answer.text, run=run, state=None if state == "done" else state, code=code,
            model=self._speaking.name, usage=usage, timing=timing, reasoning=answer.reasoning,
            calls=tuple(call.shown() for call in answer.steps.calls()),
            temperature=prompt.temperature if prompt else None, prompt=prompt.fingerprint if prompt else None,
        )  # fmt: skip
        return end, turn

    def _usage(self) -> dict[str, Any]:
        """What the run has used so far, in all its steps and at all nodes."""
        used = _sum(self.carry.usage, self._used, self._speaking.usage)
        return self._means.model.abilities(self._speaking.name).priced(used)

    def _timing(self) -> dict[str, int]:
        """Milliseconds from this node's taking the run: to its first text, if any, and to its end."""
        timing = {"total_ms": round((time.monotonic() - self._began_at) * 1000)}
        if (first_at := self._speaking.first_at) is not None:
            timing["first_ms"] = round((first_at - self._began_at) * 1000)
        return timing


def _sum(*usages: dict[str, Any]) -> dict[str, Any]:
    """Usages as one."""
    names = dict.fromkeys(name for usage in usages for name in usage)
    numbers = {name: [usage[name] for usage in usages if isinstance(usage.get(name), int | float)] for name in names}
    return {name: sum(known) for name, known in numbers.items() if known}


def _anew(request: Request, node: str, answer: Answer, attempt: int, count: int) -> list[bytes]:
    """All that readers must be told again where Redis has only so many appends of this writer's."""
    run = entries.Run(
        run=request.run, turn=request.turn, attempt=attempt, how="restart", node=node, model=request.model
    )  # fmt: skip
    return [entries.encode(run), *answer.anew(count)]
