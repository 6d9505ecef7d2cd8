"""uvicorn's connections, as this server has them: WebSockets with a way straight to the transport, and not too many.

A request's head has a bound in bytes and in time: nothing is known of its sender yet. So has, in time, what is left of
its body when it is answered. What a WebSocket can carry besides messages (pings, pongs, fragments) counts as no frame
of ours, and has bounds here.

A frame that many clients get is encoded once, header included, and written as it is where the socket takes it.
Whatever cannot be written at once takes ASGI's way.
"""

import asyncio
import resource
from typing import Any, Final, Self

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

STRAIGHT: Final = "chat.socket"
PING: Final = b"\x89\x00"
ASK_SECONDS: Final = 30.0  # after which a client from which nothing came is asked at each heartbeat,
DROP_SECONDS: Final = 60.0  # and given up
HEAD_SECONDS: Final = 5.0  # until a request's head is whole
HEAD_BYTES: Final = 16 * 1024
REST_SECONDS: Final = 5.0  # until a body is whole whose request was answered
LEAVE_SECONDS: Final = 1.0  # for one who was refused to stop sending: a reset would take the answer away
TOO_LONG: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
UNREAD: Final = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
SLICE: Final = 4096  # bytes of a WebSocket that are read before it is asked whether they are too many frames
CONTROLS: Final = 100  # pings and pongs of one client
CONTROL_SECONDS: Final = 10.0  # in so long a time
FRAGMENTS: Final = 256  # of one message
WAITING: Final = 4096  # messages that came in one go
OWN_FILES: Final = 256  # descriptors that clients leave to this process, or a quarter of what there is


class Client(HttpToolsProtocol):
    """A client's connection, refused where descriptors run short: what a node carries must not want for one.

    The kernel gives the lowest descriptor that is free, so a new one's number tells how many there are.
    """

    _head_bytes = _field_bytes = 0  # of the head that is being read: as it came, and what was read of it
    _late: asyncio.TimerHandle | None = None
    _rest: asyncio.TimerHandle | None = None
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or drop it at once."""
        super().connection_made(transport)
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if transport.get_extra_info("socket").fileno() >= most - min(OWN_FILES, most // 4):
            transport.abort()
        else:
            self._late = self.loop.call_later(HEAD_SECONDS, transport.abort)

    def data_received(self, data: bytes) -> None:
        """Take what came; a head that is not whole by now may be too long."""
        if self._refused:
            return
        super().data_received(data)
        if self._late is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self.send_400_response("")

    def on_message_begin(self) -> None:
        """Begin to wait for a head's end."""
        super().on_message_begin()
        if self._late is None:
            self._late = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of the head, unless that makes it too long."""
        self._field_bytes += len(name) + len(value)
        if self._field_bytes > HEAD_BYTES:
            raise ValueError("the parser ends with this, and what follows is `send_400_response`")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Wait no more."""
        self._waited()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse a request that cannot be read, or whose head is too long."""
        if self.transport.is_closing() or self._refused:
            return
        if max(self._head_bytes, self._field_bytes) <= HEAD_BYTES:
            super().send_400_response(msg)
            return
        self._refused = True
        self.transport.write(TOO_LONG)
        self.transport.write_eof()
        self._waited()
        self._late = self.loop.call_later(LEAVE_SECONDS, self.transport.abort)

    def on_response_complete(self) -> None:
        """Wait for the next request; but first for the end of this one, and for that not long."""
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._rest = self.loop.call_later(REST_SECONDS, self.transport.abort)

    def on_message_complete(self) -> None:
        """Wait for the next request, if this one was answered already: uvicorn would for ever."""
        super().on_message_complete()
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._waited()
        if self._rest is not None:
            self._rest.cancel()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection to a `Socket`, and let go of what it was."""
        super().handle_websocket_upgrade()
        del self.parser

    def _waited(self) -> None:
        self._head_bytes = self._field_bytes = 0
        if self._late is not None:
            self._late.cancel()
            self._late = None


class Socket(WebSocketsSansIOProtocol):
    """One WebSocket, as uvicorn serves it."""

    _heard_at = 0.0
    _controls = 0
    _controls_since = 0.0

    async def run_asgi(self) -> None:
        """Run the application, which finds this in its scope."""
        self.scope[STRAIGHT] = self  # type: ignore[typeddict-unknown-key]
        try:
            await super().run_asgi()
        finally:
            del self.scope[STRAIGHT]  # type: ignore[typeddict-item]

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of all that refers to itself: what is over is freed at once, and not by the collector of cycles."""
        super().connection_lost(exc)
        self.conn.parser.close()

    @classmethod
    def of(cls, scope: Scope) -> Self | None:
        """The socket of a scope; None where another server serves it."""
        socket = scope.get(STRAIGHT)
        return socket if isinstance(socket, cls) else None

    @property
    def takes(self) -> bool:
        """Whether a frame can be written now."""
        over = self.disconnected or self.close_sent or self.transport.is_closing()
        return self.writable.is_set() and self.handshake_complete and not over

    def start_keepalive(self) -> None:
        """Take that the handshake is over: what was said in it is needed no more."""
        del self.request, self.response

    def data_received(self, data: bytes) -> None:
        """Take what came, whatever it is: the client is there."""
        self._heard_at = self.loop.time()
        for start in range(0, len(data), SLICE):
            super().data_received(data[start : start + SLICE])
            if self.queue.qsize() > WAITING:
                self.drop()
            if self.transport.is_closing():
                break
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self._unread()

    def handle_ping(self) -> None:
        """Answer, so many times."""
        super().handle_ping()
        self._controlled()

    def handle_pong(self, event: Any) -> None:
        """Take an answer, or what nobody asked for, so many times."""
        self._controlled()

    def handle_cont(self, event: Any) -> None:
        """Take a piece of a message, of so many."""
        super().handle_cont(event)
        if len(self.frames) > FRAGMENTS:
            self.drop()

    def _controlled(self) -> None:
        if self._heard_at - self._controls_since > CONTROL_SECONDS:
            self._controls_since, self._controls = self._heard_at, 0
        self._controls += 1
        if self._controls > CONTROLS:
            self.drop()

    def _unread(self) -> None:
        """Refuse an upgrade that could not be read, and close: uvicorn does neither, and nothing else would."""
        self.transport.write(b"".join(self.conn.data_to_send()) or UNREAD)
        self.transport.close()

    def beat(self) -> bool:
        """Ask a client from which nothing has come whether it is there; say whether it is, and drop one that is not.

        uvicorn would have a timer for each.
        """
        silent_s = self.loop.time() - self._heard_at
        if silent_s > DROP_SECONDS:
            self.drop()
        elif silent_s > ASK_SECONDS and self.takes:
            self.push(PING)
        return silent_s <= DROP_SECONDS

    def drop(self) -> None:
        """Close without a word, whatever is still to be sent."""
        self.transport.abort()

    def push(self, framed: bytes) -> None:
        """Write a whole frame, header included. Only while it `takes`."""
        self.transport.write(framed)
