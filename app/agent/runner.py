"""The runs that this node carries.

A run that is carried here is not carried twice, and neither is one under a fence that was carried before. So a `say`
whose answer was lost may be asked again, and whichever answer arrives first begins the run. A closed runner hands back
whatever it is given: what a draining node commits, another node claims. So does one that does not have the run's model.
"""

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from app.agent.run import ANSWERS, Means, Run
from app.agent.titles import Exchange
from app.core.errors import StateUnavailable
from app.core.model import Session
from app.state.outcomes import Carry

REMEMBERED: Final = 4096

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Over:
    """A run is no longer carried here.

    `at` is the ms of its end, or since when it waits for a person; 0 if it goes on elsewhere. `tokens` is what it used;
    `goes_on`: the session's next run has begun. `exchange`: what the session's title is to be made of, if that is for
    this node.
    """

    session: Session
    at: int
    tokens: int
    goes_on: bool
    exchange: Exchange | None


class Runner:
    """The runs that this node carries. Its tasks belong to the task group that `node` gives it."""

    def __init__(self, means: Means, tasks: asyncio.TaskGroup, *, ended: Callable[[Over], None]) -> None:
        self.ended: Counter[str] = Counter()  # runs that were ended here, by their state, and those that were held
        self._means = means
        self._tasks = tasks
        self._tell_ended = ended
        self._closed = False
        self._carried: dict[str, tuple[Run, asyncio.Task[None]]] = {}
        self._known: OrderedDict[tuple[str, int], None] = OrderedDict()  # run and fence of what was carried here

    @property
    def running(self) -> int:
        """How many runs are carried now."""
        return len(self._carried)

    @property
    def lease_age_s(self) -> float:
        """Seconds since the renewal of the lease that was renewed least recently; 0 where none is held."""
        return max((run.lease_age_s for run, _ in self._carried.values()), default=0.0)

    def carries(self, run: str) -> bool:
        """Say whether a run is carried here now."""
        return run in self._carried

    def carry(self, carry: Carry | None) -> None:
        """Carry a run that was put into this node's hands."""
        if carry is None:
            return
        name, fence = carry.writer.run, carry.writer.fence
        if (name, fence) in self._known or name in self._carried:
            return
        elsewhere = carry.how in ANSWERS and carry.request.model not in self._means.model.names
        if self._closed or elsewhere:
            self._tasks.create_task(self._hand_back(carry))
            return
        self._known[name, fence] = None
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        run = Run(carry, self._means)
        self._carried[name] = run, self._tasks.create_task(self._see_through(run))

    def look(self, run: str) -> None:
        """Have a run ask for its stop flag now: somebody set it."""
        if (carried := self._carried.get(run)) is not None:
            carried[0].look()

    async def idle(self) -> None:
        """Return when no run is carried."""
        while self._carried:
            await asyncio.gather(*(run.over.wait() for run, _ in self._carried.values()))

    def close(self) -> None:
        """Begin no more runs: hand back at once what is given from now on, and what another node can `continue`."""
        self._closed = True
        for run, _ in self._carried.values():
            if run.takeover in ("continue", "resume"):
                run.give_up()

    def give_up(self) -> None:
        """Have all runs write what is there, and leave the rest to other nodes; `idle` tells when that is done."""
        for run, _ in self._carried.values():
            run.give_up()

    def abandon(self) -> None:
        """Drop all runs: their leases lapse, and whoever finds them goes on."""
        for _, task in self._carried.values():
            task.cancel()

    async def _hand_back(self, carry: Carry) -> None:
        try:
            await self._means.runs.release(carry.writer)
        except StateUnavailable:
            log.warning("run %s: could not be handed back, and waits for its lease to lapse", carry.writer.run)

    async def _see_through(self, run: Run) -> None:
        following: Carry | None = None
        writer = run.carry.writer
        try:
            following = await run.see_through()
        except StateUnavailable:
            log.info("run %s: Redis cannot be written; left to its lease", writer.run)
        except asyncio.CancelledError:
            raise
        except BaseException:
            log.exception("run %s: dropped; its lease will lapse", writer.run)
        finally:
            run.over.set()
            del self._carried[writer.run]
        if run.state:
            self.ended[run.state] += 1
        self.carry(following)
        self._tell_ended(Over(writer.session, run.ended_at, run.tokens, following is not None, run.exchange))
