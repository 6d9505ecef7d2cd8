"""The runs that this node carries.

A node carries a run once: `carry` of one that it has, or had, is nothing. So a `say` whose answer was lost may be
asked again, and whichever answer arrives first begins the run.
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

    async def release(self) -> None:
        """Give up all runs, for other nodes to go on with.

        Raises:
            StateUnavailable: not all could be; their leases lapse.
        """
        runs = list(self._runs.values())
        self.abandon()
        await asyncio.gather(*(run.release() for run in runs))

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
