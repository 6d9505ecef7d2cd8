"""Following a session from within a request, for as long as it waits."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from app.core.entries import Batch
from app.core.model import Cursor, Session
from app.live.follow import Follower, Restart
from app.live.hub import Hub
from app.live.room import Shared, Standing


class _Waiter:
    """The sink of a request that waits: never ready, so that it pulls."""

    ready = False

    def __init__(self) -> None:
        self.rung = asyncio.Event()

    def deliver(self, shared: Shared) -> None:
        """Never called: this sink is never ready."""
        raise AssertionError("a waiter pulls")

    def lag(self, standing: Standing) -> None:
        """Wake the request."""
        self.rung.set()


@asynccontextmanager
async def tail(hub: Hub, session: Session, after: Cursor) -> AsyncIterator[AsyncGenerator[Batch | Restart, None]]:
    """Follow a session from within a request: an iterator of batches, without end."""
    room = await hub.join(session)
    waiter = _Waiter()
    follower = Follower(room, after, waiter)

    async def pulls() -> AsyncGenerator[Batch | Restart, None]:
        while True:
            waiter.rung.clear()
            while (pulled := await follower.pull()) is not None:
                yield pulled.batch if isinstance(pulled, Shared) else pulled
            await waiter.rung.wait()

    follower.begin()
    try:
        yield pulls()
    finally:
        follower.end()
        hub.leave(room)
