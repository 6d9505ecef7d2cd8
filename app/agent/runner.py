"""The runs that this node carries.

A run that is carried here is not carried twice, and neither is one under a fence that was carried before. So a `say`
whose answer was lost may be asked again, and whichever answer arrives first begins the run. A closed runner hands back
whatever it is given: what a draining node commits, another node claims.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from app.agent.llm import Model
from app.agent.run import Pace, Run
from app.core.errors import StateUnavailable
from app.core.model import Session
from app.state.outcomes import Carry
from app.state.sessions import Sessions

REMEMBERED: Final = 4096

log = logging.getLogger(__name__)


class Runner:
    """The runs that this node carries. Its tasks belong to the task group that `node` gives it."""

    def __init__(
        self,
        sessions: Sessions,
        model: Model,
        tasks: asyncio.TaskGroup,
        *,
        node: str,
        pace: Pace,
        ended: Callable[[Session], None],
    ) -> None:
        self._sessions = sessions
        self._model = model
        self._tasks = tasks
        self._node = node
        self._pace = pace
        self._ended = ended
        self._closed = False
        self._runs: dict[str, Run] = {}
        self._working: dict[asyncio.Task[None], None] = {}
        self._carried: OrderedDict[tuple[str, int], None] = OrderedDict()

    @property
    def running(self) -> int:
        """How many runs are carried now."""
        return len(self._runs)

    def carry(self, carry: Carry | None) -> None:
        """Carry a run that was put into this node's hands."""
        if carry is None:
            return
        key = (carry.writer.run, carry.writer.fence)
        if key in self._carried or carry.writer.run in self._runs:
            return
        if self._closed:
            self._tasks.create_task(self._hand_back(carry))
            return
        self._carried[key] = None
        if len(self._carried) > REMEMBERED:
            self._carried.popitem(last=False)
        run = Run(carry, self._sessions, self._model, self._node, self._pace)
        self._runs[carry.writer.run] = run
        task = self._tasks.create_task(self._see_through(run))
        self._working[task] = None
        task.add_done_callback(self._working.pop)

    def look(self, run: str) -> None:
        """Have a run ask for its stop flag now: somebody set it."""
        if (carried := self._runs.get(run)) is not None:
            carried.look()

    async def idle(self) -> None:
        """Return when no run is carried."""
        while self._runs:
            await asyncio.gather(*(run.over.wait() for run in self._runs.values()))

    def close(self) -> None:
        """Begin no more runs: hand back at once what is given from now on."""
        self._closed = True

    def give_up(self) -> None:
        """Have all runs write what is there, and leave the rest to other nodes; `idle` tells when that is done."""
        for run in self._runs.values():
            run.give_up()

    def carries(self, run: str) -> bool:
        """Say whether a run is carried here now."""
        return run in self._runs

    async def _hand_back(self, carry: Carry) -> None:
        try:
            await self._sessions.release(carry.writer)
        except StateUnavailable:
            log.warning("run %s: could not be handed back, and waits for its lease to lapse", carry.writer.run)

    def abandon(self) -> None:
        """Drop all runs: their leases lapse, and whoever finds them goes on."""
        for task in list(self._working):
            task.cancel()

    async def _see_through(self, run: Run) -> None:
        following: Carry | None = None
        try:
            following = await run.see_through()
        except StateUnavailable:
            log.info("run %s: Redis cannot be written; left to its lease", run.writer.run)
        except Exception:
            log.exception("run %s: dropped; its lease will lapse", run.writer.run)
        finally:
            run.over.set()
            del self._runs[run.writer.run]
        self.carry(following)
        self._ended(run.writer.session)
