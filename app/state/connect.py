"""How this process reaches Redis: one pipelined connection for commands, one for subscriptions.

Rules: a command is sent as it is called, in order, and all calls of one turn of the event loop leave in one
write. A call has a limit on its time. A connection that breaks, or is silent past that limit, fails every call
that waits for an answer: whether it was carried out is then unknown, so only what is idempotent may be repeated,
and the caller decides that.

While Redis cannot be reached, again and again, a breaker is open: calls fail at once, with the time after which the
next attempt to connect is made, which is the breaker's probe.
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.exceptions import ConnectionError as Broken
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as NoAnswer

from app.core.breaker import Breaker
from app.core.errors import StateUnavailable
from app.state.wire import Wire, pack

SCHEMES: Final = ("redis://", "rediss://", "unix://")
CONNECT_SECONDS: Final = 2.0
COMMAND_SECONDS: Final = 2.0
LOOK_SECONDS: Final = 0.25
MOST_SECONDS: Final = 1.0
PROBE_SECONDS: Final = 0.1  # what an attempt to connect takes, about
WAITING: Final = 20_000

log = logging.getLogger(__name__)

Connect = Callable[[], AbstractConnection]


def database(url: str) -> int:
    """Return the number of the database that `url` names; 0 where it names none."""
    return int(ConnectionPool.from_url(url).connection_kwargs.get("db") or 0)


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
        self._loop = asyncio.get_running_loop()
        self._connect = connect
        self._wire: Wire | None = None
        self._over = False  # nothing is carried any more
        self._leaving = False  # what is called in this turn of the loop leaves at its end
        # Each call: its answer, its command, and when it was called.
        self._calls: deque[tuple[asyncio.Future[Any], bytes, float]] = deque()
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()

    def call(self, *command: Any) -> asyncio.Future[Any]:
        """Send one command; its answer comes as bytes.

        Await it, or cancel it. It raises
            redis.exceptions.ConnectionError: the connection broke; the command may have been carried out.
            redis.exceptions.TimeoutError: no answer in time; it may have been carried out.
            redis.exceptions.ResponseError: Redis refused it.

        Raises:
            StateUnavailable: Redis is away, or too many calls wait already.
        """
        now = time.monotonic()
        if self._over:
            raise StateUnavailable("this node ends; try again", after_ms=1000)
        if self.breaker.state != "closed":
            after_ms = round((self.breaker.wait_s(now) + PROBE_SECONDS) * 1000)
            raise StateUnavailable("the state store does not answer; try again", after_ms=after_ms)
        if len(self._calls) + len(self._waiting) >= WAITING:
            raise StateUnavailable("too many commands wait for Redis", after_ms=1000)
        answer = self._loop.create_future()
        self._calls.append((answer, pack(*command), now))
        if not self._leaving and self._wire is not None:
            self._leaving = True
            self._loop.call_soon(self._leave)
        return answer

    async def calls(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Send commands in one write and return their answers; raises as `call` does, if one of them fails."""
        answers: list[asyncio.Future[Any]] = []
        try:
            for command in commands:
                answers.append(self.call(*command))  # noqa: PERF401 - what was called is let go where the next fails
            return [await answer for answer in answers]
        finally:
            for answer in answers:
                if not answer.cancel() and not answer.cancelled():
                    answer.exception()  # of several that failed, only the first is told

    async def run(self) -> None:
        """Keep the connection and carry commands over it, until cancelled; then every call fails."""
        try:
            await self._keep()
        finally:
            self._over = True
            self._let_go(math.inf)

    async def _keep(self) -> None:
        failures = 0
        while True:
            self.breaker.admit(time.monotonic())
            connecting = asyncio.create_task(Wire.reach(self._connect(), self._answer, self._leave))
            try:
                while not connecting.done():
                    await asyncio.wait([connecting], timeout=LOOK_SECONDS)
                    self._let_go(time.monotonic())
                self._wire = connecting.result()
                failures = 0
                self.breaker.succeeded()
                await self._carry(self._wire)
            except (RedisError, OSError) as error:
                log.warning("redis: %s", error)
            finally:
                connecting.cancel()
                if self._wire is not None:
                    await self._wire.close()
                self._wire = None
                self._fail(Broken, "the connection to Redis broke")
            failures += 1
            self.breaker.failed(time.monotonic())
            wait = self.breaker.wait_s(time.monotonic())
            if wait:
                self._let_go(math.inf)
            await asyncio.sleep(wait or backoff().compute(failures))

    async def _carry(self, wire: Wire) -> None:
        """Return or raise when the connection is lost, or too silent."""
        self._leave()
        while not wire.lost.is_set():
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await wire.lost.wait()
            except TimeoutError:
                if self._waiting and time.monotonic() - self._waiting[0][1] > COMMAND_SECONDS:
                    self._fail(NoAnswer, f"no answer within {COMMAND_SECONDS} s")
                    raise NoAnswer(f"no answer within {COMMAND_SECONDS} s") from None

    def _leave(self) -> None:
        """Send what was called."""
        self._leaving = False
        if self._wire is None or self._wire.full:
            return
        packed = []
        for answer, command, at in self._calls:
            if not answer.done():
                self._waiting.append((answer, at))
                packed.append(command)
        self._calls.clear()
        if packed:
            self._wire.send(b"".join(packed))

    def _answer(self, reply: Any) -> None:
        """Hand a reply to the oldest call that waits for one."""
        answer, _ = self._waiting.popleft()
        if answer.done():
            return
        if isinstance(reply, Exception):
            answer.set_exception(reply)
        else:
            answer.set_result(reply)

    def _fail(self, kind: type[RedisError], why: str) -> None:
        """Tell every caller whose command was sent that its outcome is unknown."""
        while self._waiting:
            answer, _ = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(kind(why))

    def _let_go(self, now: float) -> None:
        """Fail what was called too long ago, and never sent, for there is no connection."""
        while self._calls and (self._calls[0][0].done() or now - self._calls[0][2] > COMMAND_SECONDS):
            answer, _, _ = self._calls.popleft()
            if not answer.done():
                answer.set_exception(NoAnswer(f"no connection within {COMMAND_SECONDS} s"))


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Pipe]:
    """Have a pipe to `url` for a while."""
    pipe = Pipe(connector(url))
    carrying = asyncio.create_task(pipe.run())
    try:
        yield pipe
    finally:
        carrying.cancel()
        await asyncio.gather(carrying, return_exceptions=True)
