"""The real parts that tests stand on: a Redis of their own, nodes on real sockets, an upstream that speaks OpenAI.

Two nodes in one process on one Redis are a cluster of two: `node` knows no HTTP, and uvicorn serves each.
"""

import asyncio
import contextlib
import json
import random
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import redis
import uvicorn
from redis.backoff import ConstantBackoff
from redis.retry import Retry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from app import config
from app.agent.flow import Piece, ToolCall
from app.agent.llm import Abilities, Model
from app.agent.prompt import Message, Prompt
from app.core.breaker import Breaker
from app.core.model import Takeover
from app.edge.app import Site
from app.edge.serve import listen, server
from app.node import Node, running

PORTS = cycle(random.sample(PLACES := range(20_000, 30_000), len(PLACES)))


def free_port() -> int:
    """A port that nobody has, and that the kernel gives to nobody who asks for any port meanwhile."""
    for port in PORTS:
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError


async def until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    """Wait until `condition()` is true; fail after `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for is in other objects, or in Redis
            await asyncio.sleep(0.005)


async def becomes(condition: Callable[[], Awaitable[bool]], seconds: float = 10.0) -> None:
    """Wait until `await condition()` is true; fail after `seconds`."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - what is waited for is in Redis
            await asyncio.sleep(0.005)


@contextmanager
def redis_server() -> Iterator[str]:
    """Run a Redis that is this test run's own, in memory; yield its URL."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    assert program is not None, "tests need redis-server on PATH"
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        process = subprocess.Popen(
            [*command, "--maxmemory-policy", "noeviction"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            _answering(port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()
            process.wait()


def _answering(port: int) -> None:
    """Return when a Redis answers; redis-py's own retries wait for it."""
    patient = Retry(ConstantBackoff(0.05), 200)
    with redis.Redis(port=port, retry=patient) as client:
        client.ping()


@dataclass
class Script:
    """A model that answers what tests queue: each answer a list of texts, pieces, pauses (seconds), and errors.

    Without anything queued it repeats the question. `gate`, where given, is awaited before each piece.
    """

    answers: list[Sequence[str | float | Exception | Piece]] = field(default_factory=list)
    asked: list[list[Message]] = field(default_factory=list)
    gate: Callable[[], Any] | None = None
    closed: int = 0
    names: tuple[str, ...] = ("script-1", "script-2")
    takeover: Takeover = "restart"
    titles: bool = False
    prompts: list[Prompt] = field(default_factory=list)
    breakers: dict[str, Breaker] = field(default_factory=dict)

    def abilities(self, name: str) -> Abilities:
        """What the test says."""
        return Abilities(self.takeover, titles=self.titles)

    async def stream(self, name: str, prompt: Prompt) -> AsyncGenerator[Piece, None]:
        """Answer as queued."""
        self.asked.append(prompt.messages)
        self.prompts.append(prompt)
        answer = self.answers.pop(0) if self.answers else [f"You said: {prompt.messages[-1]['content']}"]
        try:
            for step in answer:
                if self.gate is not None:
                    await self.gate()
                match step:
                    case str():
                        yield Piece(text=step)
                    case Piece():
                        yield step
                    case float():
                        await asyncio.sleep(step)
                    case _:
                        raise step
            yield Piece(usage={"prompt_tokens": 3, "completion_tokens": len(answer), "total_tokens": 3 + len(answer)})
        finally:
            self.closed += 1


@dataclass
class Served:
    """A node on a real socket."""

    node: Node
    site: Site
    port: int

    @property
    def ws(self) -> str:
        """Where its WebSocket is."""
        return f"ws://127.0.0.1:{self.port}/ws"

    @property
    def http(self) -> str:
        """Where its HTTP is."""
        return f"http://127.0.0.1:{self.port}"


def call(name: str, arguments: dict[str, Any] | str, id: str = "call-1") -> Piece:
    """A piece in which a model wants a call made."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return Piece(calls=(ToolCall(id, name, text),))


@asynccontextmanager
async def serving(
    redis_url: str, model: Model, name: str = "a", *, trial: Any = False, tools: Any = (), sources: Any = (),
    **settings: Any,
) -> AsyncIterator[Served]:  # fmt: skip
    """Run one node on a free port of this machine; `trial`: it says that its model is for trying out only."""
    port = free_port()
    values = {"REDIS_URL": redis_url, "OPENAI_API_KEY": "none", "PORT": str(port), "NODE": name, "LIMITS": "off"}
    read = config.read(values | {"DRAIN_SECONDS": "0.01"} | {key.upper(): str(v) for key, v in settings.items()}, {})
    listener = listen(read)
    async with running(read, model, trial=bool(trial), tools=tools, sources=sources) as node:
        site = Site(node)
        uvicorn_server: uvicorn.Server = server(site.app)
        task = asyncio.create_task(uvicorn_server.serve([listener]))
        guarding = asyncio.create_task(site.guard())
        await until(lambda: uvicorn_server.started)
        try:
            yield Served(node, site, read.port)
        finally:
            uvicorn_server.should_exit = True
            uvicorn_server.force_exit = True
            guarding.cancel()
            await task
            listener.close()


@asynccontextmanager
async def two(redis_url: str, model: Model, **settings: Any) -> AsyncIterator[tuple[Served, Served]]:
    """Run nodes a and b on one Redis."""
    async with serving(redis_url, model, "a", **settings) as a, serving(redis_url, model, "b", **settings) as b:
        yield a, b


@dataclass
class Upstream:
    """An HTTP server that speaks OpenAI's chat completions, saying what `lines` gives."""

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    answer: Callable[[dict[str, Any]], AsyncIterator[bytes]] | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def sse(text: str | None = None, finish: str | None = None, **more: Any) -> bytes:
    """One chunk of a chat completion's stream."""
    delta = {} if text is None else {"content": text}
    chunk = {
        "id": "c", "object": "chat.completion.chunk", "created": 0, "model": "up-1",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more,
    }  # fmt: skip
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


async def words(body: dict[str, Any]) -> AsyncIterator[bytes]:
    """Repeat the question word by word, as a well-behaved upstream would."""
    for word in str(body["messages"][-1]["content"]).split(" "):
        yield sse(word + " ")
        await asyncio.sleep(0)
    yield sse(None, "stop")
    usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
    yield b"data: " + json.dumps({"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "up-1",
                                  "choices": [], "usage": usage}).encode() + b"\n\n"  # fmt: skip
    yield b"data: [DONE]\n\n"


@asynccontextmanager
async def listening(app: Starlette) -> AsyncIterator[str]:
    """Serve an app on a free port; yield its URL."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
        http = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, access_log=False))
        http.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
        task = asyncio.create_task(http.serve([listener]))
        await until(lambda: http.started)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            http.should_exit = http.force_exit = True
            await task


@asynccontextmanager
async def upstream() -> AsyncIterator[Upstream]:
    """Run an upstream on a free port."""
    state = Upstream()

    async def models(request: Request) -> Response:
        return JSONResponse(
            {"object": "list", "data": [{"id": "up-1", "object": "model", "created": 0, "owned_by": "x"}]}
        )

    async def completions(request: Request) -> Response:
        body = await request.json()
        state.requests.append(body)
        state.keys.append(request.headers["authorization"])
        if state.status != 200:
            return JSONResponse({"error": {"message": "no"}}, state.status, state.headers)
        return StreamingResponse((state.answer or words)(body), media_type="text/event-stream")

    app = Starlette(routes=[Route("/v1/models", models), Route("/v1/chat/completions", completions, methods=["POST"])])
    async with listening(app) as where:
        state.url = f"{where}/v1"
        yield state


ROOT = Path(__file__).parents[1]
