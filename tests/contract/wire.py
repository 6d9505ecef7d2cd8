"""A client that keeps no rule: bytes out as they are given, frames in as they came, none lost on the way.

`python -m pytest tests/contract` holds a node to `docs/protocol.md` with it. Whatever does not answer what was asked
stays in `inbox`, in order, so that a test can say what came and what did not.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import msgpack
import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from app.core.protocol import Codec, Frame
from tests.servers import Served

SECONDS = 8.0  # more than a connection may stay without a hello
RETRIES = {"no", "now", "later", "sign_in", "resync"}
INSIDE = ("msgspec", "msgpack.", "Traceback", "<class", "Error:", "redis")  # what a stranger has no business to see

both_codecs = pytest.mark.parametrize("codec", list(Codec), ids=["msgpack", "json"])


def pack(value: Any, codec: Codec) -> bytes | str:
    """Write a value as a message of a codec, whatever it is."""
    if codec is Codec.JSON:
        return msgspec.json.encode(value).decode()
    packed: bytes = msgpack.packb(value)
    return packed


class Wire:
    """One raw connection."""

    def __init__(self, socket: ClientConnection, codec: Codec) -> None:
        self.socket = socket
        self.codec = codec
        self.inbox: deque[Frame] = deque()
        self.largest = 0  # bytes of the largest message so far
        self._refs = count(1)

    async def raw(self, message: bytes | str) -> None:
        """Send a message as it is."""
        await self.socket.send(message)

    async def send(self, value: Any) -> None:
        """Send a value, a frame or an array of frames, as one message."""
        await self.raw(pack(value, self.codec))

    async def frame(self) -> Frame:
        """Return the next frame."""
        return self.inbox.popleft() if self.inbox else await self._hear()

    async def find(self, type: str, **fields: Any) -> Frame:
        """Return the next frame of a type, and with these fields; what came before it stays."""
        wanted = {"type": type} | fields
        for held in self.inbox:
            if wanted.items() <= held.items():
                self.inbox.remove(held)
                return held
        while not wanted.items() <= (heard := await self._hear()).items():
            self.inbox.append(heard)
        return heard

    async def reply(self, ref: str) -> Frame:
        """Return the `ok` or `error` that answers `ref`; what came before it stays."""
        while (heard := await self._hear()).get("ref") != ref or heard["type"] not in ("ok", "error"):
            self.inbox.append(heard)
        return heard

    async def ask(self, type: str, **fields: Any) -> Frame:
        """Send a command and return its reply."""
        ref = f"ask-{next(self._refs)}"
        await self.send({"type": type, "ref": ref} | fields)
        return await self.reply(ref)

    async def ok(self, type: str, **fields: Any) -> Frame:
        """Send a command that succeeds, and return its `ok`."""
        reply = await self.ask(type, **fields)
        assert reply["type"] == "ok", reply
        return reply

    async def hello(self) -> Frame:
        """Say hello, and return the welcome."""
        await self.send({"type": "hello", "ref": "hello"})
        return await self.find("welcome", ref="hello")

    async def rest(self) -> list[Frame]:
        """Return all that came, up to the reply to a `ping`: after it the server has nothing more to say by itself."""
        assert (await self.ask("ping"))["type"] == "ok"
        came = list(self.inbox)
        self.inbox.clear()
        return came

    async def ended(self, run: str) -> Frame:
        """Return the `end` entry of a run that this connection follows."""
        while True:
            batch = await self.frame()
            for entry in batch.get("entries", ()):
                if (entry["kind"], entry.get("run")) == ("end", run):
                    found: Frame = entry
                    return found

    async def said(self, id: str, text: str = "Hello.", session: str = "s", **more: Any) -> Frame:
        """Say something, wait until it is answered, and return the `ok`."""
        ok = await self.ok("say", session=session, id=id, text=text, **more)
        await self.ended(ok["run"])
        return ok

    async def closed(self) -> tuple[int | None, list[Frame]]:
        """Wait for the close; return its code, and the frames before it."""
        try:
            while True:
                self.inbox.append(await self._hear())
        except ConnectionClosed as error:
            return (error.rcvd.code if error.rcvd else None), list(self.inbox)

    async def _hear(self) -> Frame:
        async with asyncio.timeout(SECONDS):
            message = await self.socket.recv()
        assert isinstance(message, str) is (self.codec is Codec.JSON)
        self.largest = max(self.largest, len(message.encode() if isinstance(message, str) else message))
        frame: Frame = msgspec.json.decode(message) if isinstance(message, str) else msgpack.unpackb(message)
        return frame


@asynccontextmanager
async def dialled(served: Served, codec: Codec, headers: dict[str, str] | None = None) -> AsyncIterator[Wire]:
    """Connect with these headers only, and take nothing yet."""
    async with connect(
        served.ws, subprotocols=[Subprotocol(codec)], additional_headers=headers or {}, compression=None, proxy=None,
        max_size=2**20, close_timeout=1,
    ) as socket:  # fmt: skip
        yield Wire(socket, codec)


@asynccontextmanager
async def wired(served: Served, codec: Codec, user: str = "ada") -> AsyncIterator[Wire]:
    """Connect as a program of this name, and take the welcome."""
    async with dialled(served, codec, {"X-User-Id": user}) as wire:
        assert (await wire.frame())["type"] == "welcome"
        yield wire


def refused(frame: Frame, code: str, ref: str | None = None, *words: str) -> None:
    """Hold an error frame to the contract: its code, its ref where one was given, and words that its message has."""
    assert frame["type"] == "error", frame
    assert code == frame["code"], frame
    assert frame.get("ref") == ref, frame
    assert frame["retry"] in RETRIES, frame
    assert set(frame) <= {"type", "code", "message", "retry", "after_ms", "ref", "session"}, frame
    assert [inside for inside in INSIDE if inside in frame["message"]] == [], frame
    assert [word for word in words if word.casefold() not in frame["message"].casefold()] == [], frame
