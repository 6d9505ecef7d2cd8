"""uvicorn's connections, as this server has them: WebSockets with a way straight to the transport, and not too many.

A frame that many clients get is encoded once, header included, and written as it is where the socket takes it.
Whatever cannot be written at once takes ASGI's way.
"""

import asyncio
import resource
from typing import Final, Self

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

STRAIGHT: Final = "chat.socket"
PING: Final = b"\x89\x00"
ASK_SECONDS: Final = 30.0  # after which a client from which nothing came is asked at each heartbeat,
DROP_SECONDS: Final = 60.0  # and given up
OWN_FILES: Final = 256  # descriptors that clients leave to this process, or a quarter of what there is


class Client(HttpToolsProtocol):
    """A client's connection, refused where descriptors run short: what a node carries must not want for one.

    The kernel gives the lowest descriptor that is free, so a new one's number tells how many there are.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or drop it at once."""
        super().connection_made(transport)
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if transport.get_extra_info("socket").fileno() >= most - min(OWN_FILES, most // 4):
            transport.abort()

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection to a `Socket`, and let go of what it was."""
        super().handle_websocket_upgrade()
        del self.parser


class Socket(WebSocketsSansIOProtocol):
    """One WebSocket, as uvicorn serves it."""

    _heard_at = 0.0

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
        super().data_received(data)

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
