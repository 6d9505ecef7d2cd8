"""Ours: two real nodes, with their default settings but for limits: one user does here what a crowd does."""

import asyncio
import sys
from typing import Any

import msgpack
import msgspec

from app.core.protocol import Codec, encode
from bench.machine import Place, Process
from bench.sockets import LIMIT_SECONDS, Refused, WebSocket, request
from bench.systems import Command, Reader, System
from bench.tokens import Answer, Ask


class OurReader(Reader):
    """A client of `chat.v1`: the one rule, and nothing else."""

    def __init__(self, session: str, answer: Answer | None, codec: Codec) -> None:
        super().__init__(session, answer)
        self.cursor: str | None = None
        self.gaps = 0  # batches that did not follow: then the log is read, as the rule says
        self._behind = False
        self._codec = codec
        self._decode = msgpack.unpackb if codec is Codec.MSGPACK else msgspec.json.decode

    async def connect(self, port: int) -> None:
        """Connect."""
        self.socket = self._socket = WebSocket(self._take)
        headers = {"Sec-WebSocket-Protocol": str(self._codec), "X-User-Id": self.session}
        await self._socket.connect(port, "/ws", headers)

    async def follow(self, port: int) -> None:
        """Connect, and open the session, or resume it at the cursor."""
        await self.connect(port)
        await self.opened()

    async def opened(self) -> None:
        """Open the session anew, at the cursor; return when that is answered."""
        self.following = asyncio.get_running_loop().create_future()
        self._open()
        async with asyncio.timeout(LIMIT_SECONDS):
            await self.following

    def _open(self) -> None:
        self._behind = True
        if self.cursor is None:
            frame: dict[str, Any] = {"type": "open", "session": self.session}
        else:
            frame = {"type": "hello", "resume": [{"session": self.session, "cursor": self.cursor}]}
        self._socket.send(encode({"ref": "o"} | frame, self._codec))

    def _take(self, payload: bytes) -> None:
        message = self._decode(payload)
        for frame in message if isinstance(message, list) else [message]:
            self._apply(frame)

    def _apply(self, frame: dict[str, Any]) -> None:
        match frame["type"]:
            case "batch":
                if self._behind:
                    return
                if frame["after"] == self.cursor:
                    self.cursor = frame["at"]
                    self._fold(frame["entries"])
                elif frame["at"] != self.cursor:
                    self.gaps += 1
                    self._open()
            case "ok":
                self._behind = False
                if not self.following.done():
                    self.following.set_result(None)
            case "snapshot":
                self.cursor = frame["at"]
            case "error" if not self.following.done():
                self.following.set_exception(Refused(frame["message"]))

    def _fold(self, entries: list[dict[str, Any]]) -> None:
        if self.answer is None:
            return
        for entry in entries:
            match entry["kind"]:
                case "delta":
                    self.answer.take(entry["text"])
                case "end":
                    self.answer.end()


class Ours(System):
    """The project's nodes; clients speak msgpack."""

    name = "ours"
    title = "ours"
    about = 200
    codec = Codec.MSGPACK

    def __init__(self, *, prefix: tuple[str, ...] = (), **settings: str) -> None:
        self._prefix = prefix
        self._settings = settings

    def node(self, name: str, port: int, around: Place, redis: Process, upstream: Process) -> Command:
        """A node with its default settings, but for those that were given: without limits, for a crowd, or titles."""
        environ = {
            "NODE": name, "PORT": str(port), "REDIS_URL": f"redis://127.0.0.1:{redis.port}/0", "MODEL_NAME": "up-1",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{upstream.port}/v1", "DATA_DIR": str(around.folder),
            "DRAIN_SECONDS": "0.1", "LIMITS": "off", "TITLES": "0",
        }  # fmt: skip
        prefix = [part.replace("{node}", name) for part in self._prefix]
        return Command([sys.executable, *prefix, "-m", "app", "serve"], environ | self._settings)

    async def say(self, port: int, session: str, ask: Ask) -> None:
        """Say it over HTTP, which does not follow the session at that node."""
        path = f"/api/sessions/{session}/turns"
        await request(port, path, {"text": ask.prompt}, {"X-User-Id": session})

    def reader(self, session: str, answer: Answer | None = None) -> OurReader:
        """A client of one session, whose user has the session's name."""
        return OurReader(session, answer, self.codec)


class OursJson(Ours):
    """The same; clients speak JSON, as the page does."""

    name = "ours-json"
    title = "ours, JSON"
    variant = True
    codec = Codec.JSON
