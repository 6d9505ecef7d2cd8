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
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from redis.exceptions import RedisError

from app.state.connect import Connect, backoff
from app.state.keys import channel_in
from app.state.wire import Wire, pack

SILENCE_SECONDS: Final = 5.0

log = logging.getLogger(__name__)


class Bus:
    """The subscriptions of a node. Owned by `run`, which reconnects until it is cancelled."""

    def __init__(
        self,
        connect: Connect,
        own: str,
        *,
        database: int = 0,
        heard: Callable[[str, bytes], None],
        missed: Callable[[], None],
    ) -> None:
        self._connect = connect
        self._own = own
        self._suffix = channel_in(database, "")
        self._heard = heard
        self._missed = missed
        self._wanted: dict[str, asyncio.Future[None]] = {own: asyncio.Future()}
        self._asked: Counter[str] = Counter()  # SUBSCRIBEs whose confirmation is to come
        self._wire: Wire | None = None
        self._saying: list[bytes] = []  # what leaves at the end of this turn of the loop
        self._catching_up = False  # after a connect, until all is confirmed

    @property
    def confirmed(self) -> bool:
        """Whether every wanted channel is confirmed on a connection that stands."""
        return self._wire is not None and not self._asked

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
            wire: Wire | None = None
            try:
                wire = await Wire.reach(self._connect(), self._take, lambda: None)
                failures = 0
                await self._listen(wire)
            except (RedisError, OSError) as error:
                log.warning("redis pub/sub: %s", error)
            finally:
                self._wire = None
                if wire is not None:
                    await wire.close()
            failures += 1
            await asyncio.sleep(backoff().compute(failures))

    def _say(self, verb: str, channel: str) -> None:
        if self._wire is None:
            return  # the connection to come subscribes to all that is wanted then
        self._asked[channel] += verb == "SUBSCRIBE"
        if not self._saying:
            asyncio.get_running_loop().call_soon(self._leave)
        self._saying.append(pack(verb, self._named(channel)))

    def _named(self, channel: str) -> str:
        """Name a channel as Redis has it. A node's own is no other one's anyhow."""
        return channel if channel == self._own else channel + self._suffix

    def _leave(self) -> None:
        """Send what was said in this turn of the loop."""
        saying, self._saying = self._saying, []
        if self._wire is not None and saying:
            self._wire.send(b"".join(saying))

    async def _listen(self, wire: Wire) -> None:
        """Hear until the connection is lost, or is too silent."""
        for channel, confirmed in self._wanted.items():
            if confirmed.done():
                self._wanted[channel] = asyncio.get_running_loop().create_future()
        # A new future would leave waiting whoever waits on the old one, so only confirmed ones are replaced.
        self._asked = Counter(list(self._wanted))
        self._saying.clear()
        self._catching_up = True
        self._wire = wire
        wire.send(pack("SUBSCRIBE", *map(self._named, self._wanted)))
        while not wire.lost.is_set():
            if await self._silent(wire, wire.heard_at + SILENCE_SECONDS):
                wire.send(pack("PING"))
                if await self._silent(wire, asyncio.get_running_loop().time() + SILENCE_SECONDS):
                    raise OSError(f"no answer to a ping within {SILENCE_SECONDS} s")

    async def _silent(self, wire: Wire, until: float) -> bool:
        """Wait until a time of the loop's; say whether the connection stands, and nothing was heard meanwhile."""
        since = wire.heard_at
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await wire.lost.wait()
        return wire.heard_at == since and not wire.lost.is_set()

    def _take(self, message: Any) -> None:
        match message:
            case [b"message", channel, data]:
                self._heard(self._meant(channel), data)
            case [b"subscribe", channel, _]:
                self._confirm(self._meant(channel))
                if self._catching_up and self.confirmed:
                    self._catching_up = False
                    self._missed()
            case Exception():
                log.error("redis pub/sub: %s", message)
            case _:
                pass  # unsubscribe, pong

    def _meant(self, channel: bytes) -> str:
        return channel.decode().removesuffix(self._suffix)

    def _confirm(self, channel: str) -> None:
        self._asked[channel] -= 1
        if self._asked[channel] > 0:
            return  # given up and wanted again: only the last SUBSCRIBE's confirmation counts
        del self._asked[channel]
        confirmed = self._wanted.get(channel)
        if confirmed is not None and not confirmed.done():
            confirmed.set_result(None)
