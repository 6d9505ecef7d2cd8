"""uvicorn's WebSocket, with a way straight to its transport.

A frame that many clients get is encoded once, header included, and written as it is where the socket takes it: that
costs half of what going through ASGI does (`docs/performance.md`). Whatever cannot be written at once takes ASGI's way.
"""

from typing import Final, Self

from starlette.types import Scope
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

STRAIGHT: Final = "chat.socket"


class Socket(WebSocketsSansIOProtocol):
    """One WebSocket, as uvicorn serves it."""

    async def run_asgi(self) -> None:
        """Run the application, which finds this in its scope."""
        self.scope[STRAIGHT] = self  # type: ignore[typeddict-unknown-key]
        await super().run_asgi()

    @classmethod
    def of(cls, scope: Scope) -> Self | None:
        """The socket of a scope; None where another server serves it."""
        socket = scope.get(STRAIGHT)
        return socket if isinstance(socket, cls) else None

    @property
    def takes(self) -> bool:
        """Whether a frame can be written now."""
        return self.writable.is_set() and self.handshake_complete and not (self.disconnected or self.close_sent)

    def push(self, framed: bytes) -> None:
        """Write a whole frame, header included. Only while it `takes`."""
        self.transport.write(framed)
