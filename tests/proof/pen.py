"""A run that a node carries: what is written of it, as `app.agent.run` does, by the product's own parts.

What a model says and what comes of its calls is for the rules to say, and they are done one at a time: nothing is
awaited but Redis.
"""

from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import msgspec

from app.agent.answer import Answer
from app.agent.flow import ToolCall
from app.agent.request import AgentRequest
from app.agent.steps import Call
from app.agent.tools import tool
from app.agent.tools.toolbox import Toolbox
from app.agent.watch import Watch
from app.agent.working import Working
from app.agent.writing import FencedOut, Writing
from app.core import entries
from app.core.model import Turn
from app.state.outcomes import Carry, Decided, Held
from app.state.runs import Closing
from tests.proof.standing import mark
from tests.proof.wire import Fate
from tests.proof.world import BOUNDS

if TYPE_CHECKING:
    from tests.proof.node import Node

HOLD_MS: Final = 600_000
FALLBACK: Final = "continues"  # the model that is asked where another cannot be


@tool(idempotent=True)
async def look(_request: AgentRequest, thing: str) -> str:
    """Look at something."""
    return thing


@tool
async def book(_request: AgentRequest, thing: str) -> str:
    """Book something."""
    return thing


@tool(approval=True)
async def pay(_request: AgentRequest, thing: str) -> str:
    """Pay for something."""
    return thing


TOOLBOX: Final = Toolbox([look, book, pay])


class Unhurried:
    """A watch for whom nothing waits: that needs no event loop."""

    given_up = False


class Hands(Working):
    """A run's calls, each of which settles when a rule says so."""

    async def decide(self) -> None:
        """Begin what was allowed, and settle what was not."""
        await self._decided()

    async def settle(self, call: Call) -> None:
        """Have something come of a call."""
        await self._tell([entries.Tool(run=self._writing.writer.run, call=call.id, result=f"{call.name} {call.id}")])


class Pen:
    """A run that a node carries. It does one thing at a time."""

    def __init__(self, node: "Node", carry: Carry) -> None:
        run = carry.writer.run
        self.carry = carry
        self.node = node
        self.model = carry.request.model  # that is asked now
        self.answer = Answer(run)
        self.answer.stands(carry.log)
        self.waits: Coroutine[Any, Any, None] | None = None
        self.writing = Writing(carry, node.runs, lease_s=BOUNDS.lease_s, deadline=0.0, anew=self._anew)
        watch = cast(Watch, Unhurried())
        self._hands = Hands(self.answer, self.writing, watch, TOOLBOX, cast(AgentRequest, None), (), self._usage)

    @property
    def answers(self) -> bool:
        """Whether the run is to be answered, and not only to be ended."""
        return self.carry.how in ("new", "restart", "continue", "resume")

    @property
    def carried(self) -> bool:
        """Whether it is carried still."""
        return self.node.pens.get(self.carry.writer.run) is self

    def begin(self, doing: Callable[[], Coroutine[Any, Any, None]], fates: Sequence[Fate]) -> None:
        """Do something, if nothing waits; else go on with what does."""
        self.waits = self.waits or self._unless_fenced(doing)
        self.go_on(fates)

    def go_on(self, fates: Sequence[Fate]) -> None:
        """Go on with what waits."""
        assert self.waits is not None
        if not self.node.drive(self.waits, fates):
            self.waits = None

    async def append(self, texts: list[str], thoughts: Sequence[str] = ()) -> None:
        """Write what the model says and thinks."""
        added = [*self.answer.think(list(thoughts)), *self.answer.add(texts)]
        await self.writing.append(added, self._place if self.model == "resumes" else "")

    async def again(self, how: Literal["restart", "continue"], other: str = "") -> None:
        """Begin another attempt; or have another model asked."""
        await self.writing.again(how, other)
        self.model = other or self.model
        if how == "restart":
            self.answer.cut()

    async def call(self, texts: list[str], names: Sequence[str], id: str) -> None:
        """Write what the model says last before it wants things called; some of which a person is asked about."""
        wanted = [ToolCall(f"{id}{name}", name, msgspec.json.encode({"thing": id}).decode()) for name in names]
        await self._hands.take(wanted, self.answer.add(texts), self._until)

    async def step(self) -> None:
        """Do what is next where no model speaks: settle a call, begin what was allowed, or wait for people."""
        begun = [call for call in self.answer.open if call.begun]
        undecided = [call for call in self.answer.open if call.asks and call.decision is None]
        if begun:
            await self._hands.settle(begun[0])
        elif len(undecided) < len(self.answer.open):
            await self._hands.decide()
        elif undecided:
            await self._hold("approval", max(call.until or 0 for call in undecided))
        elif self.writing.wanted == "pause" and not (self.answer.partial and self.model == "fails"):
            await self._hold("pause", self._until)
        else:
            await self.writing.renew()

    async def end(self, texts: list[str]) -> None:
        """Write the last text and the end, and carry the session's next run."""
        whole = self.answers and not self.answer.open
        last = self.answer.add(texts) if whole else []
        end, turn = self._ending("done" if whole else "failed")
        following = await self.writing.end([*last, entries.encode(end)], turn, titles=whole)
        del self.node.pens[self.carry.writer.run]
        self.node.carry(following.carry)

    async def renew(self) -> None:
        """Keep the right; and say where the upstream is, if it has said nothing yet."""
        if self.model == "resumes" and not self.answer.partial:
            await self.writing.placed(self._place)
        else:
            await self.writing.renew()

    async def release(self) -> None:
        """Give the right up."""
        await self.writing.release()
        del self.node.pens[self.carry.writer.run]

    async def _hold(self, why: str, until: int) -> None:
        """Let the run wait, if there is anything to wait for."""
        run, (end, turn) = self.carry.writer.run, self._ending("stopped")
        entry = entries.encode(entries.Hold(run=run, why=why, until=until))
        closing = Closing(entries.encode(end), turn, self.answer.partial, self._usage())
        match await self.writing.hold(why, until, entry, closing):
            case Held():
                del self.node.pens[run]
            case Decided(answers=answers):
                self.answer.decided(answers)
                if self.answer.partial:
                    await self.release()

    def _ending(self, state: str) -> tuple[entries.End, Turn]:
        run, answer = self.carry.writer.run, self.answer
        end = entries.End(run=run, state=state, length=answer.length, sha256=answer.sha256)
        turn = Turn(
            id=run, role="assistant", text=answer.text, run=run, state=None if state == "done" else state,
            reasoning=answer.reasoning, calls=tuple(call.shown() for call in answer.steps.calls()),
        )  # fmt: skip
        return end, turn

    @property
    def _place(self) -> str:
        return mark(self.answer.text, self.answer.reasoning)

    @property
    def _until(self) -> int:
        return self.node.world.clock + HOLD_MS

    def _usage(self) -> dict[str, Any]:
        return {"calls": len(self.answer.steps.calls()), "length": self.answer.length}

    async def _unless_fenced(self, doing: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await doing()
        except FencedOut:
            del self.node.pens[self.carry.writer.run]

    def _anew(self, attempt: int, count: int) -> list[bytes]:
        """All that readers must be told again."""
        run = entries.Run(
            run=self.carry.writer.run, turn=self.carry.request.turn, attempt=attempt, how="restart",
            node=self.node.name, model=self.model,
        )  # fmt: skip
        return [entries.encode(run), *self.answer.anew(count)]
