"""One connection to any of several nodes: made anew whenever it is lost, and elsewhere before its node goes away.

A call (`ask`) waits for a connection, sends its frame with a `ref`, and waits for the reply; if the connection is
lost meanwhile it raises `LinkLost`, and whoever asked decides whether to ask again. The close code decides whether
there is a next connection: see `protocol.returns`.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Any, Final

import msgpack
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.typing import Subprotocol

from app.client.who import Who
from app.core.errors import ChatError, Retry
from app.core.protocol import FRAME_BYTES, HEARTBEAT_MS, Close, Codec, Frame, encode, returns

SILENCE_SECONDS: Final = HEARTBEAT_MS / 1000 + 10
OPEN_SECONDS: Final = 5.0
FIRST_SECONDS: Final = 0.5
MOST_SECONDS: Final = 20.0

log = logging.getLogger(__name__)


class LinkLost(Exception):
    """The connection was lost before the reply came; what was asked may have been done."""


class Refused(Exception):
    """The server closed with a code that says not to come back."""


class Link:
    """The connection of one chat. Owned by `run`."""

    def __init__(
        self,
        urls: Sequence[str],
        who: Who,
        codec: Codec,
        *,
        welcomed: Callable[[], list[Frame]],
        heard: Callable[[Frame], Awaitable[None]],
    ) -> None:
        self.moves = 0  # how often a node sent us to another, and we went
        self._urls = list(urls)
        self._next = random.randrange(len(self._urls))
        self._who = who
        self._codec = codec
        self._welcomed = welcomed
        self._heard = heard
        self._socket: ClientConnection | None = None
        self._open = asyncio.Event()
        self._greeted = False
        self._sent_away = asyncio.Event()
        self._after_s = 0.0  # how long to stay after that
        self._refs = count(1)
        self._asked: dict[str, asyncio.Future[Frame]] = {}

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self._open.is_set()

    async def ask(self, frame: Frame) -> Frame:
        """Send a command and return its `ok`.

        Raises:
            ChatError: the server answered with an error.
            LinkLost: the connection was lost first.
        """
        await self._open.wait()
        ref = str(next(self._refs))
        reply: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._asked[ref] = reply
        try:
            await self.tell(frame | {"ref": ref})
            answer = await reply
        finally:
            self._asked.pop(ref, None)
        if answer["type"] == "error":
            raise error_of(answer)
        return answer

    async def tell(self, frame: Frame) -> None:
        """Send a frame, and wait for no reply.

        Raises:
            LinkLost: there is no connection.
        """
        socket = self._socket
        if socket is None:
            raise LinkLost
        try:
            await socket.send(encode(frame, self._codec))
        except ConnectionClosed as error:
            if socket is self._socket:
                self._lost()  # whoever asks again waits for the next connection
            raise LinkLost from error

    def drop(self) -> None:
        """Cut the connection without a word."""
        if self._socket is not None:
            self._socket.transport.abort()

    async def run(self) -> None:
        """Keep a connection until cancelled.

        Raises:
            Refused: the server wants no such client.
        """
        failures = 0
        while True:
            try:
                socket = await self._reach()
                failures = 0
                while True:
                    socket = await self._serve(socket)
            except (OSError, InvalidHandshake, TimeoutError) as error:
                log.info("no connection: %s", error)
                failures += 1
            except ConnectionClosed as closed:
                code = closed.rcvd.code if closed.rcvd else None
                if not returns(code) or (code == Close.SIGN_IN and not self._who.renews):
                    raise Refused(f"closed with {code}") from closed
                failures = 0 if self._greeted else failures + 1
            finally:
                self._lost()
            most = min(MOST_SECONDS, FIRST_SECONDS * 2**failures) if failures else 0.05
            await asyncio.sleep(random.uniform(0, most))

    async def _reach(self) -> ClientConnection:
        """Connect to the next node.

        Raises:
            Refused, OSError, InvalidHandshake, TimeoutError
        """
        url = self._urls[self._next % len(self._urls)]
        self._next += 1
        try:
            return await connect(
                url, subprotocols=[Subprotocol(self._codec)], additional_headers=self._who.headers(), compression=None,
                max_size=FRAME_BYTES, open_timeout=OPEN_SECONDS, close_timeout=1, proxy=None,
            )  # fmt: skip
        except (InvalidHandshake, InvalidURI) as error:
            status = getattr(getattr(error, "response", None), "status_code", None)
            if isinstance(error, InvalidURI) or status in (400, 401, 403, 404):
                raise Refused(f"{url}: {error}") from error
            raise

    async def _serve(self, socket: ClientConnection) -> ClientConnection:
        """Greet and hear a node, until it sends us away and another one is reached; return that one's connection.

        The other one is greeted when this one is closed and all that it sent is applied: there is no gap, and nothing
        comes twice.
        """
        self._sent_away.clear()
        self._greeted = False
        self._socket = socket
        moving = asyncio.create_task(self._move())
        listening = asyncio.create_task(self._listen(socket))
        try:
            for frame in self._welcomed():
                await socket.send(encode(frame, self._codec))
            self._greeted = True
            self._open.set()
            await asyncio.wait([listening, moving], return_when=asyncio.FIRST_COMPLETED)
            if not moving.done() and not self._sent_away.is_set():
                await listening  # raises why it ended
            reached = await moving
            await socket.close()
            await asyncio.gather(listening, return_exceptions=True)
            self.moves += 1
            self._lost()
            return reached
        finally:
            for task in (listening, moving):
                task.cancel()
            await asyncio.gather(listening, moving, return_exceptions=True)
            await socket.close()

    async def _move(self) -> ClientConnection:
        """Wait until we are sent away; then reach another node, however often that takes.

        Raises:
            Refused
        """
        await self._sent_away.wait()
        wait_s = self._after_s
        while True:
            await asyncio.sleep(wait_s)
            try:
                return await self._reach()
            except (OSError, InvalidHandshake, TimeoutError) as error:
                log.info("no other node: %s", error)
                wait_s = random.uniform(0, 2 * FIRST_SECONDS)

    async def _listen(self, socket: ClientConnection) -> None:
        while True:
            async with asyncio.timeout(SILENCE_SECONDS):
                message = await socket.recv()
            for frame in _frames(message):
                if frame["type"] == "away":
                    self._after_s = frame["after_ms"] / 1000
                    self._sent_away.set()
                await self._take(frame)

    async def _take(self, frame: Frame) -> None:
        reply = self._asked.get(frame.get("ref", ""))
        if reply is not None and not reply.done() and frame["type"] in ("ok", "error", "welcome"):
            reply.set_result(frame)
        try:
            await self._heard(frame)
        except LinkLost:
            return  # the next connection resumes

    def _lost(self) -> None:
        self._socket = None
        self._open.clear()
        for reply in self._asked.values():
            if not reply.done():
                reply.set_exception(LinkLost())
                reply.exception()  # whoever asked may have found out while sending, and wait for no reply


def error_of(frame: Frame) -> ChatError:
    """Give an `error` frame as an exception with its code."""
    error = ChatError(frame["message"], code=frame["code"], after_ms=frame.get("after_ms"))
    retry: Retry = frame["retry"]
    error.retry = retry
    return error


def _frames(message: str | bytes) -> list[Frame]:
    value: Any = msgpack.unpackb(message) if isinstance(message, bytes) else msgspec.json.decode(message)
    return value if isinstance(value, list) else [value]
