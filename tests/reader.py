"""A raw reader: one WebSocket, nothing but the client's one rule, and a record of what came."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgpack
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from app.core.protocol import Codec, Frame, encode


class Reader:
    """One raw connection."""

    def __init__(self, socket: ClientConnection, codec: Codec) -> None:
        self.socket = socket
        self.codec = codec

    async def send(self, **frame: Any) -> None:
        """Send a frame."""
        await self.socket.send(encode(frame, self.codec))

    async def next(self, *types: str) -> Frame:
        """Return the next frame, or the next of these types."""
        while True:
            async with asyncio.timeout(10):
                message = await self.socket.recv()
            frame: Frame = msgpack.unpackb(message) if isinstance(message, bytes) else msgspec.json.decode(message)
            if not types or frame["type"] in types:
                return frame

    async def ask(self, **frame: Any) -> Frame:
        """Send a frame and return what answers its ref."""
        await self.send(**({"ref": "r"} | frame))
        while True:
            answer = await self.next()
            if answer.get("ref") == frame.get("ref", "r"):
                return answer

    def abort(self) -> None:
        """Cut the socket as a network would: no close frame, no FIN."""
        self.socket.transport.abort()


@asynccontextmanager
async def reading(url: str, codec: Codec | None = None, user: str = "ada", **options: Any) -> AsyncIterator[Reader]:
    """Connect raw, in `codec` or a random one, and take the welcome."""
    codec = codec or random.choice(list(Codec))
    headers = {"X-User-Id": user} | options.pop("headers", {})
    async with connect(
        url, subprotocols=[Subprotocol(codec)], additional_headers=headers, compression=None, max_size=2**20,
        proxy=None, close_timeout=1, **options,
    ) as socket:  # fmt: skip
        reader = Reader(socket, codec)
        assert (await reader.next())["type"] == "welcome"
        yield reader


class Record:
    """What one reader has of one session, over any number of connections: its cursor, its text, its steps."""

    def __init__(self) -> None:
        self.cursor = "0-0"
        self.texts: dict[str, str] = {}
        self.ends: dict[str, Frame] = {}
        self.steps: list[tuple[str, str]] = []
        self.resets = 0

    def take(self, batch: Frame) -> None:
        """Apply a batch that follows the cursor; anything else is a fault of the server, in these tests."""
        assert self.cursor == batch["after"], f"at {self.cursor}, and was given a batch after {batch['after']}"
        self.cursor = batch["at"]
        if batch["entries"]:
            self.steps.append((batch["after"], batch["at"]))
        for entry in batch["entries"]:
            if entry["kind"] == "delta":
                self.texts[entry["run"]] = self.texts.get(entry["run"], "") + entry["text"]
            if entry["kind"] == "end":
                self.ends[entry["run"]] = entry

    def whole(self, run: str) -> bool:
        """Whether the text of a run is the one whose digest its end tells."""
        text = self.texts.get(run, "").encode()
        return (len(text), hashlib.sha256(text).hexdigest()) == (self.ends[run]["length"], self.ends[run]["sha256"])
