"""HTTP/1.1 to an upstream, for the one thing that is done for every token: reading a stream of events.

The `openai` package makes an object of each. Here llhttp parses, and what has come is kept until it is asked for:
whoever asks seldom gets much at once, since in between nothing is read. Connections are kept for the next request.
"""

import asyncio
import math
import ssl
from collections import deque
from dataclasses import dataclass, field
from typing import Final, cast
from urllib.parse import SplitResult
from urllib.request import getproxies, proxy_bypass

import httptools

from app.agent.bell import Bell

AHEAD_BYTES: Final = 256 * 1024
ERROR_BYTES: Final = 64 * 1024
IDLE: Final = 64  # connections that are kept


class Broken(ConnectionError):
    """The connection broke off, or what came is not HTTP. `unheard`: before anything had come."""

    unheard = False


class NotReached(TimeoutError):
    """Connecting took too long."""


@dataclass(slots=True)
class Answer:
    """The head of a response, and of its body what has come and was not taken."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    complete: bool = False


class Http1(asyncio.Protocol):
    """One connection: one request at a time."""

    def __init__(self) -> None:
        self.answer = Answer()
        self.keeps = False  # it may be used again
        self.closed = False
        self.bell: Bell | None = None  # rung, once, when something comes
        self._transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)
        self._come = Bell()
        self._rests = False

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.close()
        self._ring()
        if len(self.answer.body) > AHEAD_BYTES:
            self._rest()

    def eof_received(self) -> None:
        """Take the end: a body without a length ends with it."""
        self.keeps = False
        if self.answer.status and not {"content-length", "transfer-encoding"} & self.answer.headers.keys():
            self.answer.complete = True
            self._ring()

    def connection_lost(self, error: Exception | None) -> None:
        """Take that there is no connection."""
        self.closed, self.keeps = True, False
        self._ring()

    # llhttp's side

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self.answer.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Take the head's end."""
        self.answer.status = self._parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        """Take a part of the body."""
        self.answer.body += data

    def on_message_complete(self) -> None:
        """Take the body's end."""
        if self.answer.status >= 200:
            self.answer.complete = True
            self.keeps = self._parser.should_keep_alive()

    # The owner's side

    def send(self, request: bytes) -> None:
        """Send a request; what is known of the last one is forgotten."""
        self.answer, self.keeps, self.bell = Answer(), False, None
        self.go_on()
        self._parser = httptools.HttpResponseParser(self)
        self._transport.write(request)

    async def head(self) -> Answer:
        """Return when the head has come.

        Raises:
            Broken
        """
        while not self.answer.status >= 200:
            await self._more()
        self._rest()
        return self.answer

    async def whole(self) -> bytes:
        """Return the body, or the beginning of a long one.

        Raises:
            Broken
        """
        while not self.answer.complete and len(self.answer.body) < ERROR_BYTES:
            await self._more()
        return bytes(self.answer.body)

    async def take(self, seconds: float) -> bytes:
        """Return what has come of the body, at least something; empty at its end.

        Raises:
            Broken: it ended before its end.
            TimeoutError: nothing came in so many seconds.
        """
        while not (data := self.come()) and not self.answer.complete:
            await self._more(seconds)
        return data

    @property
    def has_more(self) -> bool:
        """Whether there is something of the body to take, or it has ended."""
        return bool(self.answer.body) or self.answer.complete or self.closed

    def come(self) -> bytes:
        """Take what has come of the body; nothing, if nothing has.

        Raises:
            Broken: it ended before its end.
        """
        taken = bytes(self.answer.body)
        if taken:
            self.answer.body.clear()
            self._rest()
        elif not self.answer.complete:
            self._stands()
        return taken

    def tell(self, bell: Bell) -> None:
        """Ring a bell, once, when something comes."""
        self.bell = bell
        self.go_on()

    def _rest(self) -> None:
        """Leave what comes to the kernel until it is asked for: then much is read at once."""
        if not (self._rests or self._transport.is_closing()):
            self._rests = True
            self._transport.pause_reading()

    def go_on(self) -> None:
        """Read what comes."""
        if self._rests and not self._transport.is_closing():
            self._rests = False
            self._transport.resume_reading()

    async def _more(self, seconds: float = math.inf) -> None:
        self._stands()
        self.go_on()
        if not await self._come.heard(seconds):
            raise TimeoutError

    def _stands(self) -> None:
        if self.closed:
            broken = Broken("the connection broke off")
            broken.unheard = not self.answer.headers
            raise broken

    def _ring(self) -> None:
        self._come.ring()
        if self.bell is not None:
            self.bell.ring()
            self.bell = None

    @property
    def gone(self) -> bool:
        """Whether the other side has closed it; uvloop lets nobody write to it then."""
        return self.closed or self._transport.is_closing()

    def close(self) -> None:
        """Close."""
        self.closed, self.keeps = True, False
        self._transport.close()


def proxied(url: SplitResult) -> bool:
    """Say whether the environment names a proxy for this address."""
    proxies = getproxies()
    return bool({url.scheme, "all"} & proxies.keys()) and not proxy_bypass(url.netloc)


class Pool:
    """The connections to one upstream."""

    def __init__(self, base: SplitResult, headers: dict[str, str], connect_s: float) -> None:
        self._host, tls = base.hostname or "", base.scheme == "https"
        self._port = base.port or (443 if tls else 80)
        self._tls = ssl.create_default_context() if tls else None
        self._connect_s = connect_s
        said = {"Host": base.netloc.rpartition("@")[2], "Content-Type": "application/json"} | headers
        self._head = "".join(f"{name}: {value}\r\n" for name, value in said.items())
        self.idle: deque[Http1] = deque(maxlen=IDLE)

    async def post(self, path: str, body: bytes) -> Http1:
        """Send a request and return its connection when the head of the answer has come. Give it back to `done`.

        Raises:
            Broken, NotReached, OSError
        """
        head = f"POST {path} HTTP/1.1\r\n{self._head}Content-Length: {len(body)}\r\n\r\n"
        request = head.encode("latin-1") + body
        while self.idle:
            line = self.idle.pop()
            if line.gone:
                continue
            try:
                return await self._ask(line, request)
            except Broken as error:
                if not error.unheard:
                    raise
        return await self._ask(await self._connect(), request)

    def done(self, line: Http1) -> None:
        """Take back a connection: it is kept if its answer is complete."""
        line.go_on()  # to hear of its end
        if line.keeps and not line.closed and len(self.idle) < IDLE:
            self.idle.append(line)
        else:
            line.close()

    def close(self) -> None:
        """Close what is idle."""
        while self.idle:
            self.idle.pop().close()

    async def _ask(self, line: Http1, request: bytes) -> Http1:
        try:
            line.send(request)
            await line.head()
        except BaseException:
            line.close()
            raise
        return line

    async def _connect(self) -> Http1:
        try:
            async with asyncio.timeout(self._connect_s):
                _, line = await asyncio.get_running_loop().create_connection(
                    Http1, self._host, self._port, ssl=self._tls
                )
        except TimeoutError as error:
            raise NotReached(f"no connection within {self._connect_s} s") from error
        return line
