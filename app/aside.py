"""What a node does on the side: nobody waits for it, and nothing hangs on it."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final

from app.core.errors import StateUnavailable

GIVE_UP_SECONDS: Final = 2.0

log = logging.getLogger(__name__)


class Aside:
    """It runs in a group of tasks that its owner gives it."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks
        self._doing: set[asyncio.Task[None]] = set()

    def do(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something done."""
        task = self._tasks.create_task(_done(work))
        self._doing.add(task)
        task.add_done_callback(self._doing.discard)

    async def settle(self) -> None:
        """Return when what is under way is done, or takes too long."""
        if self._doing:
            await asyncio.wait(self._doing, timeout=GIVE_UP_SECONDS)

    async def close(self) -> None:
        """The same; what takes too long is dropped."""
        await self.settle()
        for task in self._doing:
            task.cancel()


async def _done(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except StateUnavailable:
        log.info("something on the side could not be done: Redis does not answer")
    except Exception:  # it may end neither its group nor the node
        log.exception("something on the side failed in a way that we do not know")
