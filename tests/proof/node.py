"""Nodes, as the scripts know them: they say, claim and write, forget everything, and never know what became of a call.

What a node does here is done by the product's own `Sessions`, `Runs` and `Writing`, over a wire on which a call or its
answer may get lost. Such a call waits, while anything else happens, until it is made again: it stands in a coroutine
that is driven by hand. Nothing needs an event loop.
"""

from collections import Counter
from collections.abc import Callable, Coroutine, Generator, Sequence
from enum import Enum
from typing import Any, Final, Literal, cast

from app.agent.answer import Answer
from app.agent.writing import FencedOut, Writing
from app.core import entries
from app.core.errors import ClientError
from app.core.model import Session, Turn
from app.core.questions import Question
from app.state.outcomes import Carry
from app.state.runs import Runs
from app.state.script import Scripts
from app.state.sessions import Sessions
from tests.proof.world import BOUNDS, World

CAN: Final = {"restarts": "restart", "continues": "continue", "fails": "fail"}
MODELS: Final = (*CAN, "unknown")


class Fate(Enum):
    """What becomes of a call."""

    ANSWERED = "answered"
    UNSENT = "unsent"  # it is lost, and made again later
    UNHEARD = "unheard"  # its answer is lost, and it is made again later


class Again:
    """What a call awaits that is to be made again."""

    def __await__(self) -> Generator[None]:
        yield


class Wire:
    """Where `app.state.script.Scripts` is in a node: calls go to the world, and may get lost on the way."""

    def __init__(self, world: World) -> None:
        self.fates: list[Fate] = []  # of the next calls; then all are answered
        self._world = world

    def channel(self, name: str) -> str:
        """Name a channel: there is one database."""
        return name

    async def run(self, name: str, keys: Sequence[str], *arguments: Any) -> list[Any]:
        """Run a script until its answer is heard."""
        while True:
            fate = self.fates.pop(0) if self.fates else Fate.ANSWERED
            if fate is not Fate.UNSENT:
                answer = self._world.call(name, tuple(keys), arguments)
            if fate is Fate.ANSWERED:
                return answer
            await Again()
            self._world.pass_time(1)


class Node:
    """One life of a node, and the runs that it carries. Its rules for carrying are those of `app.agent.runner`."""

    def __init__(self, world: World, number: int) -> None:
        self.wire = Wire(world)
        scripts, told = cast(Scripts, self.wire), {"incarnation": f"inc-{number}", "name": f"node-{number}"}
        self.sessions = Sessions(scripts, bounds=BOUNDS, damaged=Counter(), **told)
        self.runs = Runs(scripts, bounds=BOUNDS, damaged=Counter(), **told)
        self.name = told["name"]
        self.pens: dict[str, Pen] = {}
        self.asking: list[Coroutine[Any, Any, None]] = []  # that wait to be made again, but for pens
        self._known: set[tuple[str, int]] = set()

    def begin(self, asked: Coroutine[Any, Any, None], fates: Sequence[Fate]) -> None:
        """Begin to ask something."""
        if self.drive(asked, fates):
            self.asking.append(asked)

    def go_on(self, asked: Coroutine[Any, Any, None], fates: Sequence[Fate]) -> None:
        """Ask again what waits."""
        self.asking.remove(asked)
        self.begin(asked, fates)

    def drive(self, asked: Coroutine[Any, Any, None], fates: Sequence[Fate]) -> bool:
        """Go on with what is asked; say whether it waits to be made again."""
        self.wire.fates = list(fates)
        try:
            asked.send(None)
        except StopIteration:
            return False
        return True

    async def say(self, session: Session, asked: Question, run: str, model: str) -> None:
        """Commit a question, and carry its run if it is put into this node's hands."""
        try:
            said = await self.sessions.say(session, asked, run=run, model=model, models=tuple(CAN))
        except ClientError:
            return
        self.carry(said.carry)

    async def claim(self, member: str) -> None:
        """Take over a run, if it can be had."""
        self.carry(await self.runs.claim(member, CAN))

    async def only(self, asked: Coroutine[Any, Any, Any]) -> None:
        """Ask something whose answer does not matter here: its contract was kept."""
        try:
            await asked
        except ClientError:
            return

    def carry(self, carry: Carry | None) -> None:
        """Carry a run, but never twice under one fence."""
        if carry is None or (carry.writer.run, carry.writer.fence) in self._known or carry.writer.run in self.pens:
            return
        self._known.add((carry.writer.run, carry.writer.fence))
        self.pens[carry.writer.run] = Pen(self, carry)

    def die(self) -> None:
        """Forget all, and leave what was asked as it is."""
        for asked in (*self.asking, *(pen.waits for pen in self.pens.values())):
            if asked is not None:
                asked.close()


class Pen:
    """A run that a node carries: what is written of it, as `app.agent.run` does. It does one thing at a time."""

    def __init__(self, node: Node, carry: Carry) -> None:
        self.carry = carry
        self.node = node
        self.answer = Answer(carry.writer.run)
        self.answer.stands(carry.partial)
        self.waits: Coroutine[Any, Any, None] | None = None
        self.writing = Writing(carry, node.runs, lease_s=BOUNDS.lease_s, deadline=0.0, anew=self._anew)

    @property
    def answers(self) -> bool:
        """Whether the run is to be answered, and not only to be ended."""
        return self.carry.how in ("new", "restart", "continue")

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

    async def append(self, texts: list[str]) -> None:
        """Write text."""
        await self.writing.append(self.answer.add(texts))

    async def again(self, how: Literal["restart", "continue"]) -> None:
        """Begin another attempt."""
        await self.writing.again(how)
        if how == "restart":
            self.answer.clear()

    async def end(self, texts: list[str]) -> None:
        """Write the last text and the end, and carry the session's next run."""
        answer, run = self.answer, self.carry.writer.run
        last = answer.add(texts) if self.answers else []
        state = "done" if self.answers else "failed"
        end = entries.End(run=run, state=state, length=answer.length, sha256=answer.sha256)
        turn = Turn(id=run, role="assistant", text=answer.text, run=run, state=None if self.answers else state)
        following = await self.writing.end([*last, entries.encode(end)], turn, titles=state == "done")
        del self.node.pens[run]
        self.node.carry(following.carry)

    async def renew(self) -> None:
        """Keep the right."""
        await self.writing.renew()

    async def release(self) -> None:
        """Give the right up."""
        await self.writing.release()
        del self.node.pens[self.carry.writer.run]

    async def _unless_fenced(self, doing: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await doing()
        except FencedOut:
            del self.node.pens[self.carry.writer.run]

    def _anew(self, attempt: int) -> list[bytes]:
        """The whole text, as entries that replace what readers have of it."""
        run = entries.Run(
            run=self.carry.writer.run, turn=self.carry.request.turn, attempt=attempt, how="restart",
            node=self.node.name, model=self.carry.request.model,
        )  # fmt: skip
        return [entries.encode(run), *self.answer.deltas()]
