"""What goes out on one socket: a short queue of frames, and then whatever is owed.

What the socket takes is written at once. Else one task sends. It writes the queue; when that is empty it asks its
owner, by `pull`, to queue more of what the socket is owed, and ends when nothing is. So an idle socket costs no task,
and a slow one holds its queue, one pulled frame and the kernel's buffer. While it works the outbox is not `idle`, and
rooms let the socket's followers lag.
"""

import asyncio
import logging
import weakref
from collections import deque
from typing import Final, Protocol

from starlette.websockets import WebSocket, WebSocketDisconnect

from app.agent.bell import Bell
from app.core.protocol import Close, Codec, Frame, encode, framed
from app.edge.socket import Socket

SLOW_SECONDS: Final = 30.0
QUEUE_BYTES: Final = 1024 * 1024

log = logging.getLogger(__name__)


class Owner(Protocol):
    """Whose socket it is."""

    def owes(self) -> bool:
        """Whether more is to be sent than is queued."""

    async def pull(self) -> None:
        """Queue some of it."""

    def end(self, code: int) -> None:
        """Have the socket closed: nothing can be sent."""


class Outbox:
    """The outgoing side of a connection, which lives as long as its `owner`."""

    def __init__(
        self,
        socket: WebSocket,
        codec: Codec,
        straight: Socket | None,
        owner: "Owner",
    ) -> None:
        self.queued_bytes = 0  # encoded, and not yet with the socket
        self._socket = socket
        self._codec = codec
        self._straight = straight
        self._owner = weakref.proxy(owner)
        self._queue: deque[bytes | str] = deque()
        self._short = Bell()
        self._sender: asyncio.Task[None] | None = None
        self._lost = False

    @property
    def idle(self) -> bool:
        """Whether a frame would go out at once."""
        return self._sender is None and (self._straight is None or self._straight.takes)

    def send(self, frame: Frame) -> None:
        """Queue a frame."""
        self.push(encode(frame, self._codec))

    def push(self, message: bytes | str, whole: bytes | None = None) -> None:
        """Send an encoded frame at once, if the socket takes it; else queue it. `whole` is it with its header."""
        if self._sender is None and self._straight is not None and self._straight.takes and not self._lost:
            self._straight.push(framed(message) if whole is None else whole)
        elif not self._lost:
            self._queue.append(message)
            self.queued_bytes += len(message)
            self.wake()

    def wake(self) -> None:
        """Send what is queued or owed, unless that is being done."""
        if self._sender is None and not self._lost:
            self._sender = asyncio.create_task(self._send())

    async def space(self) -> None:
        """Return when the queue is short."""
        while self.queued_bytes > QUEUE_BYTES:
            await self._short.heard()

    async def sent(self) -> None:
        """Return when what is queued is with the socket, or the socket is lost."""
        if self._sender is not None and not self._lost:
            await asyncio.wait([self._sender])

    def clear(self) -> None:
        """Let go of what is queued, and of whoever waits for space."""
        self._queue.clear()
        self.queued_bytes = 0
        self._short.ring()

    def stop(self) -> None:
        """Send nothing more."""
        self._lost = True
        if self._sender is not None:
            self._sender.cancel()
            self._sender = None

    async def _send(self) -> None:
        try:
            while self._queue or self._owner.owes():
                if not self._queue:
                    await self._owner.pull()
                    continue
                message = self._queue.popleft()
                self.queued_bytes -= len(message)
                self._short.ring()
                async with asyncio.timeout(SLOW_SECONDS):
                    if isinstance(message, str):
                        await self._socket.send_text(message)
                    else:
                        await self._socket.send_bytes(message)
        except TimeoutError:
            self._lose(Close.TOO_SLOW)
        except (WebSocketDisconnect, RuntimeError):
            self._lose(Close.GONE)  # RuntimeError: the server closed it meanwhile
        except Exception:
            log.exception("sending failed in a way that we do not know")
            self._lose(Close.BROKEN)
        else:
            self._sender = None

    def _lose(self, code: int) -> None:
        self._lost = True
        self.clear()
        self._owner.end(code)
