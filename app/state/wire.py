"""A connection to Redis after its handshake: bytes out, replies in, as they come.

redis-py connects, says who we are, and speaks TLS; then its transport gets this protocol, with no stream object, timer
or task a command. hiredis parses and packs.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final, cast

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as Broken
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as NoAnswer

REACH_SECONDS: Final = 3.0


class Wire(asyncio.Protocol):
    """One connection. `heard` gets every reply, and errors as values; `lost` is set when there is no connection.

    While it is `full` its owner sends nothing; `drained` tells when that is over.
    """

    def __init__(
        self, connection: AbstractConnection, heard: Callable[[Any], None], drained: Callable[[], None]
    ) -> None:
        self.full = False
        self.lost = asyncio.Event()
        self.heard_at = asyncio.get_running_loop().time()
        self._connection = connection
        self._heard = heard
        self._drained = drained
        self._replies = hiredis.Reader(replyError=_error)
        self._now = asyncio.get_running_loop().time
        self._transport: asyncio.Transport

    @classmethod
    async def reach(
        cls, connection: AbstractConnection, heard: Callable[[Any], None], drained: Callable[[], None]
    ) -> "Wire":
        """Connect, and take over.

        Raises:
            RedisError, OSError
        """
        try:
            async with asyncio.timeout(REACH_SECONDS):  # redis-py limits the connecting, not the handshake
                await connection.connect()
        except TimeoutError as error:
            raise NoAnswer(f"no handshake within {REACH_SECONDS} s") from error
        writer = connection._writer
        assert writer is not None
        wire = cls(connection, heard, drained)
        wire._transport = cast(asyncio.Transport, writer.transport)
        writer.transport.set_protocol(wire)
        if writer.transport.is_closing():  # it was lost in between, and told the protocol before
            wire.lost.set()
        return wire

    def send(self, packed: bytes) -> None:
        """Send packed commands; on a connection that has broken, which `lost` will tell, that is in vain."""
        if not self._transport.is_closing():  # uvloop lets nobody write to it then
            self._transport.write(packed)

    async def close(self) -> None:
        """Close, without a word."""
        self.lost.set()
        self._transport.abort()
        with contextlib.suppress(RedisError, OSError):
            await self._connection.disconnect(nowait=True)

    def data_received(self, data: bytes) -> None:
        """Take what came (asyncio)."""
        self.heard_at = self._now()
        self._replies.feed(data)
        while (reply := self._replies.gets()) is not False:
            self._heard(reply)

    def pause_writing(self) -> None:
        """Take that the other side does not read as fast (asyncio)."""
        self.full = True

    def resume_writing(self) -> None:
        """Take that it has read (asyncio)."""
        self.full = False
        self._drained()

    def connection_lost(self, error: Exception | None) -> None:
        """Take the end (asyncio)."""
        self.lost.set()


def pack(*command: Any) -> bytes:
    """Pack a command as Redis reads it (RESP2): texts, bytes and numbers."""
    return cast(bytes, hiredis.pack_command(command))


def _error(text: str) -> Exception:
    if text.startswith("NOSCRIPT"):
        return NoScriptError(text)
    return Broken(text) if text.startswith("LOADING") else ResponseError(text)
