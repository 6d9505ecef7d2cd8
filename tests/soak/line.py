"""A WebSocket for crowds: `websockets`' core, which does no I/O, fed by the event loop itself.

It costs no task and about 30 KiB. Whoever holds one hears each frame as it comes, and when the line is lost.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, Self, cast

import msgpack
import msgspec
from websockets.client import ClientProtocol
from websockets.frames import Frame as Raw
from websockets.frames import Opcode
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from app.core.protocol import FRAME_BYTES, Codec, Frame, encode

OPEN_SECONDS: Final = 5.0  # as our clients


class Line(asyncio.Protocol):
    """One connection. Made by `to`."""

    def __init__(self, url: str, user: str, codec: Codec, heard: Callable[[Frame], None]) -> None:
        loop = asyncio.get_running_loop()
        self.code: int | None = None  # of the close frame, if there was one
        self.open: asyncio.Future[None] = loop.create_future()
        self.lost: asyncio.Future[None] = loop.create_future()
        self._codec = codec
        self._heard = heard
        self._user = user
        self._core = ClientProtocol(parse_uri(url), subprotocols=[Subprotocol(codec)], max_size=FRAME_BYTES)
        self._transport: asyncio.Transport

    @classmethod
    async def to(cls, url: str, user: str, codec: Codec, heard: Callable[[Frame], None]) -> Self:
        """Connect.

        Raises:
            OSError: refused, lost, or not open in time.
        """
        uri = parse_uri(url)
        async with asyncio.timeout(OPEN_SECONDS):
            loop = asyncio.get_running_loop()
            _, line = await loop.create_connection(lambda: cls(url, user, codec, heard), uri.host, uri.port)
            try:
                await line.open
            except BaseException:
                line.cut()
                raise
        return line

    def send(self, **frame: Any) -> None:
        """Send a frame; one that is lost with the line is not missed here."""
        message = encode(frame, self._codec)
        if isinstance(message, str):
            self._core.send_text(message.encode())
        else:
            self._core.send_binary(message)
        self._write()

    def cut(self) -> None:
        """Drop the connection without a word, as a network would."""
        self._transport.abort()

    def rest(self) -> None:
        """Take nothing from the socket, until `go_on`."""
        self._transport.pause_reading()

    def go_on(self) -> None:
        """Take again what comes."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    # What the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self._transport = cast(asyncio.Transport, transport)
        request = self._core.connect()
        request.headers["X-User-Id"] = self._user
        self._core.send_request(request)
        self._write()

    def data_received(self, data: bytes) -> None:
        """Hand on the frames that came."""
        self._core.receive_data(data)
        for event in self._core.events_received():
            if not isinstance(event, Raw):
                self._opened()
            elif event.opcode is Opcode.TEXT:
                self._heard(msgspec.json.decode(event.data))
            elif event.opcode is Opcode.BINARY:
                self._heard(msgpack.unpackb(event.data))
            elif event.opcode is Opcode.CLOSE:
                self.code = self._core.close_code
                self._transport.close()
        self._write()

    def connection_lost(self, error: Exception | None) -> None:
        """Tell whoever waits."""
        if not self.open.done():
            self.open.set_exception(ConnectionError("closed before it was open"))
        self.lost.set_result(None)

    def _opened(self) -> None:
        if self._core.handshake_exc is None:
            self.open.set_result(None)
        else:
            self.open.set_exception(ConnectionRefusedError(str(self._core.handshake_exc)))

    def _write(self) -> None:
        for data in self._core.data_to_send():
            if data and not self._transport.is_closing():
                self._transport.write(data)
