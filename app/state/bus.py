"""This node's ear: one connection, on which it hears what is published for it.

A channel is subscribed while somebody here needs it. `subscribe` returns when Redis has confirmed it, so that what
is read from the log afterwards and what is heard together miss nothing. Redis tells nobody what was missed while
a connection was down: after a reconnect, once every channel is confirmed again, `missed` is called, and whoever
listens compares with the log.

A channel of the node's own keeps the connection in use; silence is tested with a ping, so a half-open one is found.
"""

import asyncio
import contextlib
import logging
import math
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from app.state.connect import Connect, backoff

SILENCE_SECONDS: Final = 5.0

log = logging.getLogger(__name__)


class Bus:
    """The subscriptions of a node. Owned by `run`, which reconnects until it is cancelled."""

    def __init__(
        self, connect: Connect, own: str, *, heard: Callable[[str, bytes], None], missed: Callable[[], None]
    ) -> None:
        self._connect = connect
        self._own = own
        self._heard = heard
        self._missed = missed
        self._wanted: dict[str, asyncio.Future[None]] = {own: asyncio.Future()}
        self._asked: Counter[str] = Counter()  # SUBSCRIBEs whose confirmation is to come
        self._commands: list[tuple[str, str]] = []
        self._spoken = asyncio.Event()
        self._connected = False

    @property
    def confirmed(self) -> bool:
        """Whether every wanted channel is confirmed on a connection that stands."""
        return self._connected and not self._asked

    @property
    def channels(self) -> tuple[str, ...]:
        """What is heard, or will be once it is confirmed."""
        return tuple(self._wanted)

    async def subscribe(self, channel: str) -> None:
        """Hear `channel`; return when Redis has confirmed it. Cancel to give up waiting."""
        if channel not in self._wanted:
            self._wanted[channel] = asyncio.get_running_loop().create_future()
            self._say("SUBSCRIBE", channel)
        await asyncio.shield(self._wanted[channel])

    def unsubscribe(self, channel: str) -> None:
        """Hear `channel` no more."""
        if self._wanted.pop(channel, None) is not None:
            self._say("UNSUBSCRIBE", channel)

    async def run(self) -> None:
        """Keep the connection and hear, until cancelled."""
        failures = 0
        while True:
            connection = self._connect()
            try:
                await connection.connect()
                failures = 0
                await self._listen(connection)
            except (RedisError, OSError) as error:
                log.warning("redis pub/sub: %s", error)
            finally:
                self._connected = False
                with contextlib.suppress(RedisError, OSError):
                    await connection.disconnect(nowait=True)
            failures += 1
            await asyncio.sleep(backoff().compute(failures))

    def _say(self, verb: str, channel: str) -> None:
        if self._connected:  # else the connection to come subscribes to all that is wanted then
            self._asked[channel] += verb == "SUBSCRIBE"
            self._commands.append((verb, channel))
            self._spoken.set()

    async def _listen(self, connection: AbstractConnection) -> None:
        for channel, confirmed in self._wanted.items():
            if confirmed.done():
                self._wanted[channel] = asyncio.get_running_loop().create_future()
        # A new future would leave waiting whoever waits on the old one, so only confirmed ones are replaced.
        self._commands.clear()
        self._asked = Counter(list(self._wanted))
        self._connected = True
        await connection.send_command("SUBSCRIBE", *self._wanted, check_health=False)
        writer = asyncio.create_task(self._speak(connection))
        try:
            await self._hear(connection)
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    async def _speak(self, connection: AbstractConnection) -> None:
        while True:
            await self._spoken.wait()
            self._spoken.clear()
            commands, self._commands = self._commands, []
            packed = connection.pack_commands(commands)
            await connection.send_packed_command(packed, check_health=False)

    async def _hear(self, connection: AbstractConnection) -> None:
        catching_up, asked = True, False
        while True:
            message = await self._next(connection)
            if message is None:
                if asked:
                    raise OSError(f"no answer to a ping within {SILENCE_SECONDS} s")
                asked = True
                self._commands.append(("PING", ""))
                self._spoken.set()
                continue
            asked = False
            match message:
                case [b"message", channel, data]:
                    self._heard(channel.decode(), data)
                case [b"subscribe", channel, _]:
                    self._confirm(channel.decode())
                    if catching_up and self.confirmed:
                        catching_up = False
                        self._missed()
                case _:
                    pass  # unsubscribe, pong

    async def _next(self, connection: AbstractConnection) -> list[Any] | None:
        """The next message; None after a silence."""
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                message: list[Any] = await connection.read_response(
                    disable_decoding=True, timeout=math.inf, disconnect_on_error=False
                )
                return message
        except TimeoutError:
            return None

    def _confirm(self, channel: str) -> None:
        self._asked[channel] -= 1
        if self._asked[channel] > 0:
            return  # given up and wanted again: only the last SUBSCRIBE's confirmation counts
        del self._asked[channel]
        confirmed = self._wanted.get(channel)
        if confirmed is not None and not confirmed.done():
            confirmed.set_result(None)
