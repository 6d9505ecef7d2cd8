"""Socket.IO 4 with the Redis streams adapter: `bench/peers/socketio`."""

import asyncio
import contextlib
import json
from typing import Final

import msgspec

from bench.sockets import LIMIT_SECONDS, WebSocket
from bench.systems import Reader
from bench.systems.node import NodePeer
from bench.tokens import Answer

PATH: Final = "/socket.io/?EIO=4&transport=websocket"


class SocketIOReader(Reader):
    """A client of Socket.IO's protocol 5 over Engine.IO's 4, with connection state recovery."""

    def __init__(self, session: str, answer: Answer | None) -> None:
        super().__init__(session, answer)
        self._pid: str | None = None
        self._offset: str | None = None
        self._auth: dict[str, str] = {}

    async def connect(self, port: int) -> None:
        """Connect to the default namespace, and join nothing."""
        self.following = asyncio.get_running_loop().create_future()
        self._socket = self.socket = WebSocket(self._take)
        await self._socket.connect(port, PATH)
        async with asyncio.timeout(LIMIT_SECONDS):
            await self.following

    async def follow(self, port: int) -> None:
        """Connect, and have what was missed sent again, or join the session's room."""
        self._auth = {"session": self.session}
        if self._pid is not None and self._offset is not None:
            self._auth |= {"pid": self._pid, "offset": self._offset}
        await self.connect(port)

    def _take(self, payload: bytes) -> None:
        match payload[:1], payload[1:2]:
            case b"0", _:  # Engine.IO is open
                self._socket.send("40" + json.dumps(self._auth))
            case b"2", _:  # its ping
                self._socket.send("3")
            case b"4", b"0":  # the namespace is connected
                self._pid = json.loads(payload[2:]).get("pid")
                with contextlib.suppress(asyncio.InvalidStateError):
                    self.following.set_result(None)
            case b"4", b"2":
                self._event(msgspec.json.decode(payload[2:]))

    def _event(self, event: list[str]) -> None:
        self._offset = event[-1]
        if self.answer is None:
            return
        if event[0] == "token":
            self.answer.take(event[1])
        else:
            self.answer.end()


class SocketIO(NodePeer):
    """A room a session; what was missed comes from the adapter's one stream."""

    name = "socketio"
    title = "Socket.IO 4 + Redis streams adapter"
    folder = "socketio"
    about = 100

    def reader(self, session: str, answer: Answer | None = None) -> SocketIOReader:
        """A client of one session."""
        return SocketIOReader(session, answer)
