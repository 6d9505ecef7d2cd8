"""The incoming side of a connection: messages become what should be frames, so many and no more.

A client that goes past its limits is told when it may go on. Until then what it sends is refused without asking Redis,
and in the end its connection is closed: so is that of one whose messages cannot be decoded.
"""

import asyncio
from typing import Any, Final

from app.core.errors import BadFrame, ChatError, RateLimited
from app.core.model import User
from app.core.protocol import Close, Codec, decode
from app.edge.limits import Limits

UNDECODABLE: Final = 20
REFUSED: Final = 100


class Inbox:
    """What one client sends."""

    def __init__(self, codec: Codec, limits: Limits, address: str) -> None:
        self.over: int | None = None  # the close code, once there is nothing more to be read
        self._codec = codec
        self._limits = limits
        self._address = address
        self._undecodable = self._refused = 0
        self._until = 0.0  # what comes before then is refused

    async def take(self, message: bytes | str, user: User | None) -> list[Any]:
        """Read one message.

        Raises:
            TooBig, BadFrame: it cannot be; see `decode`.
            RateLimited: it may not be now.
        """
        now = asyncio.get_running_loop().time()
        size = len(message) if isinstance(message, bytes) or message.isascii() else len(message.encode())
        try:
            if now < self._until:
                raise RateLimited("too much too fast", after_ms=max(1, round((self._until - now) * 1000)))
            return await self._read(message, size, user)
        except RateLimited as error:
            self._until = max(self._until, now + (error.after_ms or 0) / 1000)
            self._refused += 1
            if self._refused >= REFUSED:
                self.over = Close.TOO_OFTEN
            raise

    async def _read(self, message: bytes | str, size: int, user: User | None) -> list[Any]:
        try:
            values = decode(message, self._codec)
        except ChatError as error:
            await self._limits.message(user, self._address, frames=1, size=size)
            self._undecodable += isinstance(error, BadFrame)
            if self._undecodable >= UNDECODABLE:
                self.over = Close.NOT_OURS
            raise
        await self._limits.message(user, self._address, frames=len(values), size=size)
        self._undecodable = self._refused = 0
        return values
