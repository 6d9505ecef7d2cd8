"""How this process reaches Redis: one pipelined connection for commands, one for subscriptions.

redis-py's `Connection` does the handshake, authentication, TLS and parsing; the rest of it is not used here,
because its client would retry writes behind our back, and its pub/sub would reconnect without saying so.

While Redis cannot be reached, again and again, a breaker is open: calls fail at once, with the time after which the
next attempt to connect is made, which is the breaker's probe.

Rules: a command is sent as it is called, in order, and all calls of one turn of the event loop leave in one
write. A call has a limit on its time. A connection that breaks, or is silent past that limit, fails every call
that waits for an answer: whether it was carried out is then unknown, so only what is idempotent may be repeated,
and the caller decides that.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.exceptions import ConnectionError as Broken
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as NoAnswer

from app.core.breaker import Breaker
from app.core.errors import StateUnavailable

SCHEMES: Final = ("redis://", "rediss://", "unix://")
CONNECT_SECONDS: Final = 2.0
COMMAND_SECONDS: Final = 2.0
MOST_SECONDS: Final = 1.0
PROBE_SECONDS: Final = 0.1  # what an attempt to connect takes, about
WAITING: Final = 20_000

log = logging.getLogger(__name__)

Connect = Callable[[], AbstractConnection]


def connector(url: str) -> Connect:
    """Return a maker of connections to `url`: `redis://`, `rediss://` or `unix://`.

    Raises:
        ValueError: the URL is not one of these.
    """
    if not url.startswith(SCHEMES):
        raise ValueError(f"expected {', '.join(SCHEMES)}, not {url.partition('://')[0]!r}")
    keepalive = {} if url.startswith("unix://") else {"socket_keepalive": True}
    pool = ConnectionPool.from_url(
        url,
        protocol=2,
        socket_timeout=None,  # our own limits; a subscription may be silent for long
        socket_connect_timeout=CONNECT_SECONDS,
        retry=Retry(NoBackoff(), 0),
        client_name="chat",
        **keepalive,
    )
    return pool.make_connection


def backoff() -> ExponentialWithJitterBackoff:
    """How long to wait between attempts to reach Redis: up to 50 ms, 100 ms, 200 ms … 1 s, at random."""
    return ExponentialWithJitterBackoff(cap=MOST_SECONDS, base=0.025)


class Pipe:
    """One connection for all commands of a node. Owned by `run`, which reconnects until it is cancelled."""

    def __init__(self, connect: Connect) -> None:
        self.breaker = Breaker(most_s=MOST_SECONDS)
        self._connect = connect
        self._packer = connect()  # never connected: it knows how to write commands
        self._outgoing: dict[asyncio.Future[Any], list[bytes]] = {}
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._wanted = asyncio.Event()
        self._broken = asyncio.Event()

    async def call(self, *command: Any) -> Any:
        """Send one command and return its answer, as bytes.

        Raises:
            StateUnavailable: Redis is away, or too many calls wait already.
            redis.exceptions.ConnectionError: the connection broke; the command may have been carried out.
            redis.exceptions.TimeoutError: no answer in time; it may have been carried out.
            redis.exceptions.ResponseError: Redis refused it.
        """
        return (await self.calls([command]))[0]

    async def calls(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Send commands in one write and return their answers; raises as `call` does, if one of them fails."""
        if self.breaker.state != "closed":
            after_ms = round((self.breaker.wait_s(time.monotonic()) + PROBE_SECONDS) * 1000)
            raise StateUnavailable("the state store does not answer; try again", after_ms=after_ms)
        if len(self._outgoing) + len(self._waiting) + len(commands) > WAITING:
            raise StateUnavailable("too many commands wait for Redis", after_ms=1000)
        loop = asyncio.get_running_loop()
        answers: dict[asyncio.Future[Any], list[bytes]] = {
            loop.create_future(): self._packer.pack_command(*command) for command in commands
        }
        self._outgoing |= answers
        self._wanted.set()
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                return [await answer for answer in answers]
        except TimeoutError as error:
            self._broken.set()
            raise NoAnswer(f"no answer within {COMMAND_SECONDS} s") from error
        finally:
            for answer in answers:
                self._outgoing.pop(answer, None)
                if not answer.cancel() and not answer.cancelled():
                    answer.exception()  # of several that failed, only the first is told

    async def run(self) -> None:
        """Keep the connection and carry commands over it, until cancelled."""
        failures = 0
        while True:
            self.breaker.admit(time.monotonic())
            connection = self._connect()
            try:
                await connection.connect()
                failures = 0
                self.breaker.succeeded()
                await self._carry(connection)
            except (RedisError, OSError) as error:
                log.warning("redis: %s", error)
            finally:
                self._fail()
                with contextlib.suppress(RedisError, OSError):
                    await connection.disconnect(nowait=True)
            failures += 1
            self.breaker.failed(time.monotonic())
            wait = self.breaker.wait_s(time.monotonic())
            await asyncio.sleep(wait or backoff().compute(failures))

    async def _carry(self, connection: AbstractConnection) -> None:
        self._broken.clear()
        tasks = [
            asyncio.create_task(self._write(connection)),
            asyncio.create_task(self._read(connection)),
            asyncio.create_task(self._broken.wait()),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _write(self, connection: AbstractConnection) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            calls, self._outgoing = self._outgoing, {}
            self._waiting.extend(calls)
            packed = [part for parts in calls.values() for part in parts]
            await connection.send_packed_command(packed, check_health=False)

    async def _read(self, connection: AbstractConnection) -> None:
        while True:
            try:
                value = await connection.read_response(disable_decoding=True, timeout=math.inf)
            except ResponseError as error:
                value = error
            answer = self._waiting.popleft()
            if answer.done():
                continue
            if isinstance(value, Exception):
                answer.set_exception(value)
            else:
                answer.set_result(value)

    def _fail(self) -> None:
        """Tell every caller whose command was sent that its outcome is unknown."""
        while self._waiting:
            answer = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(Broken("the connection to Redis broke"))
