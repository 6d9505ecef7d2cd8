"""What a good Python developer would write by hand: `bench/peers/handwritten.py`."""

import asyncio
import sys
from typing import Any

import msgspec

from bench.machine import Place, Process
from bench.sockets import LIMIT_SECONDS, WebSocket, request
from bench.systems import Command, Reader, System
from bench.tokens import Answer, Ask


class HandwrittenReader(Reader):
    """Its client: it remembers the number of the last piece that it has."""

    def __init__(self, session: str, answer: Answer | None) -> None:
        super().__init__(session, answer)
        self._last = 0

    async def connect(self, port: int) -> None:
        """Connect."""
        self.socket = self._socket = WebSocket(self._take)
        await self._socket.connect(port, "/ws")

    async def follow(self, port: int) -> None:
        """Connect, and open the session after the last piece."""
        self.following = asyncio.get_running_loop().create_future()
        await self.connect(port)
        self._socket.send(msgspec.json.encode({"type": "open", "session": self.session, "after": self._last}).decode())
        async with asyncio.timeout(LIMIT_SECONDS):
            await self.following

    def _take(self, payload: bytes) -> None:
        frame: dict[str, Any] = msgspec.json.decode(payload)
        match frame["type"]:
            case "piece":
                if frame["seq"] > self._last:
                    self._last = frame["seq"]
                    if self.answer is not None:
                        self.answer.end() if frame["done"] else self.answer.take(frame["text"])
            case "opened":
                self.following.set_result(None)


class Handwritten(System):
    """Starlette, uvicorn, redis.asyncio and `openai.AsyncOpenAI`: the like-for-like peer."""

    name = "handwritten"
    title = "hand-written Starlette + PUBLISH + XADD + openai"

    def node(self, name: str, port: int, around: Place, redis: Process, upstream: Process) -> Command:
        """A node."""
        environ = {
            "PORT": str(port), "REDIS_URL": f"redis://127.0.0.1:{redis.port}/0",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{upstream.port}/v1", "OPENAI_API_KEY": "none",
        }  # fmt: skip
        return Command([sys.executable, "-m", "bench.peers.handwritten"], environ)

    async def say(self, port: int, session: str, ask: Ask) -> None:
        """Say it over HTTP."""
        await request(port, f"/say/{session}", {"text": ask.prompt})

    def reader(self, session: str, answer: Answer | None = None) -> HandwrittenReader:
        """A client of one session."""
        return HandwrittenReader(session, answer)
