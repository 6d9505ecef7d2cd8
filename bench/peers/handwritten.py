"""What a good Python developer would write by hand in an afternoon, as a node. `python -m bench.peers.handwritten`.

Starlette on uvicorn and uvloop, without compression; tokens through `openai.AsyncOpenAI`; each token one pipelined
round trip to Redis, XADD for who comes later and PUBLISH for who is there; one pub/sub connection a node. A reader
subscribes first, then reads the stream after its last number, then goes on live, so that it misses nothing.

It is the peer that ours is measured against: no lease, no takeover, no limits, no idempotence, no users.
"""

import asyncio
import json
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import redis.asyncio
import uvicorn
from openai import AsyncOpenAI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

KEPT = 2000


class Node:
    """What a process has: its Redis, its model, its answers under way, and who reads here."""

    def __init__(self) -> None:
        self.redis = redis.asyncio.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)
        self.pubsub = self.redis.pubsub(ignore_subscribe_messages=True)
        self.model = AsyncOpenAI(base_url=os.environ["OPENAI_BASE_URL"])
        self.readers: dict[str, set[asyncio.Queue[str]]] = defaultdict(set)
        self.tasks: set[asyncio.Task[None]] = set()

    async def listen(self) -> None:
        """Give what is published to who reads it here, for ever."""
        await self.pubsub.subscribe("nodes")
        async for message in self.pubsub.listen():
            for queue in self.readers.get(message["channel"].removeprefix("live:"), ()):
                queue.put_nowait(message["data"])

    async def answer(self, session: str, text: str) -> None:
        """Have the model answer, and give each token on."""
        number = int(await self.redis.incr(f"count:{session}"))
        chunks = await self.model.chat.completions.create(
            model="up-1",
            messages=[{"role": "user", "content": text}],
            stream=True,
            stream_options={"include_usage": True},
        )
        async for chunk in chunks:
            if chunk.choices and (piece := chunk.choices[0].delta.content):
                await self.append(session, number, piece)
                number += 1
        await self.append(session, number, "", done=True)
        await self.redis.set(f"count:{session}", number)

    async def append(self, session: str, number: int, text: str, *, done: bool = False) -> None:
        """Keep a piece, and tell of it."""
        piece = json.dumps({"type": "piece", "seq": number, "text": text, "done": done})
        async with self.redis.pipeline(transaction=False) as pipe:
            pipe.xadd(f"log:{session}", {"piece": piece}, id=f"{number}-0", maxlen=KEPT, approximate=True)
            pipe.publish(f"live:{session}", piece)
            await pipe.execute()

    def begin(self, session: str, text: str) -> None:
        """Answer, in a task that is kept until it is done."""
        task = asyncio.create_task(self.answer(session, text))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def follow(self, socket: WebSocket, session: str, after: int) -> None:
        """Send a session's pieces after a number, first those that are kept, then live; until the socket is gone."""
        queue: asyncio.Queue[str] = asyncio.Queue()
        first = not self.readers[session]
        self.readers[session].add(queue)
        try:
            if first:
                await self.pubsub.subscribe(f"live:{session}")
            await socket.send_text(json.dumps({"type": "opened", "session": session}))
            missed: list[tuple[str, dict[str, str]]] = await self.redis.xrange(f"log:{session}", min=f"({after}-0")  # type: ignore[assignment]
            for _, fields in missed:
                await socket.send_text(fields["piece"])
            while True:
                await socket.send_text(await queue.get())
        finally:
            self.readers[session].discard(queue)
            if not self.readers[session]:
                del self.readers[session]
                await self.pubsub.unsubscribe(f"live:{session}")


def application() -> Starlette:
    """The routes."""
    node = Node()

    async def say(request: Request) -> JSONResponse:
        node.begin(request.path_params["session"], (await request.json())["text"])
        return JSONResponse({"ok": True})

    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        following: list[asyncio.Task[None]] = []
        try:
            while True:
                frame: dict[str, Any] = await socket.receive_json()
                if frame["type"] == "open":
                    work = node.follow(socket, frame["session"], int(frame.get("after", 0)))
                    following.append(asyncio.create_task(work))
        except WebSocketDisconnect:
            pass
        finally:
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)

    @asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        listening = asyncio.create_task(node.listen())
        yield
        listening.cancel()

    routes = [Route("/say/{session}", say, methods=["POST"]), WebSocketRoute("/ws", talk)]
    return Starlette(routes=routes, lifespan=life)


if __name__ == "__main__":
    uvicorn.run(
        application(), port=int(os.environ["PORT"]), ws_per_message_deflate=False, access_log=False,
        log_level="warning", loop="uvloop", http="httptools",
    )  # fmt: skip
