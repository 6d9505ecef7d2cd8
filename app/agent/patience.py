"""Beginning an answer: asked again as `retry` says, held back by a breaker, within the limit for the first token."""

import time
from asyncio import sleep, timeout
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from app.agent.retry import NotAdmitted, failed, patiently
from app.core.breaker import Breaker

T = TypeVar("T")


class Patience:
    """How the answers of one upstream are begun. Its breaker counts what fails, and holds everybody back while open."""

    def __init__(self, breaker: Breaker, first_s: float, *, waits: bool = True) -> None:
        """`waits`: while the breaker is open; else that is a failure, for somebody else can be asked."""
        self.breaker = breaker
        self._waits = waits
        self._first_s = first_s

    async def begun(self, begin: Callable[[], Awaitable[T]]) -> T:
        """Return what `begin` does, when the first token is there; raises what befalls the last try."""
        return await patiently(partial(self._once, begin))

    async def _once(self, begin: Callable[[], Awaitable[T]]) -> T:
        await self._breaker_closes()
        try:
            async with timeout(self._first_s):
                begun = await begin()
        except BaseException as error:
            self.breaker.failed(time.monotonic()) if failed(error) else self.breaker.let_go()
            raise
        self.breaker.succeeded()
        return begun

    async def _breaker_closes(self) -> None:
        """Return when a try may be made."""
        while wait := self.breaker.admit(time.monotonic()):
            if not self._waits:
                raise NotAdmitted("the model's upstream has failed too often of late")
            await sleep(wait)
