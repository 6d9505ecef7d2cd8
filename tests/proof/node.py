"""Nodes, as the scripts know them: they say, claim and write, forget everything, and never know what became of a call.

What a node does here is done by the product's own `Sessions`, `Runs`, `Holds` and `Writing`, over a wire on which a
call or its answer may get lost. Such a call waits, while anything else happens, until it is made again: it stands in a
coroutine that is driven by hand. Nothing needs an event loop.
"""

from collections import Counter
from collections.abc import Coroutine, Sequence
from typing import Any, Final, cast

from app.core.errors import ClientError
from app.core.model import Session
from app.core.questions import Question
from app.state.holds import Holds
from app.state.outcomes import Carry
from app.state.runs import Runs
from app.state.script import Scripts
from app.state.sessions import Sessions
from tests.proof.pen import Pen
from tests.proof.wire import Fate, Wire
from tests.proof.world import BOUNDS, World

CAN: Final = {"restarts": "restart", "continues": "continue", "resumes": "resume", "fails": "fail"}
CANNOT: Final = CAN | {"resumes": "restart"}  # of a node that knows nothing of that
MODELS: Final = (*CAN, "unknown")


class Node:
    """One life of a node, and the runs that it carries. Its rules for carrying are those of `app.agent.runner`."""

    def __init__(self, world: World, number: int) -> None:
        self.wire = Wire(world)
        scripts, told = cast(Scripts, self.wire), {"incarnation": f"inc-{number}", "name": f"node-{number}"}
        self.sessions = Sessions(scripts, bounds=BOUNDS, damaged=Counter(), **told)
        self.runs = Runs(scripts, bounds=BOUNDS, damaged=Counter(), **told)
        self.holds = Holds(scripts, bounds=BOUNDS)
        self.name = told["name"]
        self.world = world
        self.pens: dict[str, Pen] = {}
        self._can = CAN if number % 3 else CANNOT
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
        self.carry(await self.runs.claim(member, self._can))

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
