"""A provider that speaks OpenAI's Responses API, as a script says: it generates by itself, whoever listens.

A script gives events, pauses (seconds), things to wait for, and bytes that are sent as they are, on the first
connection only. Events are numbered here. What a test may do to it: cut connections, refuse requests, forget.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from app.agent.flow import Piece, ToolCall
from app.agent.llm import Limits
from app.agent.prompt import Prompt
from app.agent.responses import ResponsesModel
from tests.servers import listening

Event = dict[str, Any]
Step = Event | float | bytes | asyncio.Event

USUAL = Limits()
QUICK = Limits(connect_s=1.0, first_s=0.4, next_s=0.4)
ASK = Prompt([{"role": "user", "content": "one two three"}])
CALL = ToolCall("call_1", "weather", '{"city":"Riga"}')
USAGE = {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12, "output_tokens_details": {"reasoning_tokens": 3}}


@dataclass
class Generation:
    """One response as its provider keeps it."""

    id: str
    background: bool
    sent: list[tuple[int | None, bytes]] = field(default_factory=list)  # with their numbers
    over: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    @property
    def object(self) -> Event:
        """What is told of it."""
        return {"id": self.id, "object": "response", "status": "in_progress", "output": []}

    async def generate(self, steps: Iterable[Step]) -> None:
        """Do as the script says; ring for each event."""
        number = 0
        for step in steps:
            match step:
                case float():
                    await asyncio.sleep(step)
                    continue
                case asyncio.Event():
                    await step.wait()
                    continue
                case bytes():
                    self.sent.append((None, step))
                case _:
                    self.sent.append((number, sse({"sequence_number": number} | self._named(step))))
                    number += 1
            self.ring()
        self.end()

    def end(self) -> None:
        """Generate no more."""
        self.over = True
        self.ring()

    def ring(self) -> None:
        """Tell all connections."""
        self.news.set()
        self.news = asyncio.Event()

    def _named(self, event: Event) -> Event:
        return event | {"response": self.object | event["response"]} if "response" in event else event


@dataclass
class Provider:
    """The server's state, for tests to read and to set."""

    url: str = ""
    script: Callable[[Event], Iterable[Step]] = lambda body: answer(["one ", "two ", "three "])
    generations: list[Generation] = field(default_factory=list)
    created: list[Event] = field(default_factory=list)  # the bodies
    retrieved: list[int] = field(default_factory=list)  # the numbers after which
    cancelled: list[str] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)  # connections break before the event of that number, one each
    quietly: bool = False  # they end instead
    statuses: list[int] = field(default_factory=list)  # of the next requests
    headers: dict[str, str] = field(default_factory=dict)
    replays: bool = False  # what is retrieved begins at the beginning
    only_end: bool = False  # what is retrieved is the last event

    def refusal(self) -> Response | None:
        """What the next request is refused with, if it is."""
        status = self.statuses.pop(0) if self.statuses else 200
        return None if status == 200 else JSONResponse({"error": {"message": "no"}}, status, self.headers)

    def begin(self, body: Event) -> Generation:
        """Begin to generate."""
        generation = Generation(f"resp_{len(self.generations)}", bool(body.get("background")))
        self.generations.append(generation)
        generation.task = asyncio.create_task(generation.generate(self.script(body)))
        return generation

    def known(self, id: str) -> Generation | None:
        """The response of that id, if it is kept."""
        return next((one for one in self.generations if one.id == id and one.background), None)

    async def stream(self, generation: Generation, after: int) -> AsyncIterator[bytes]:
        """What comes after a number, until it is over, or cut."""
        at = 0
        try:
            while True:
                while at < len(generation.sent):
                    number, data = generation.sent[at]
                    at += 1
                    if (number is None and after >= 0) or (number is not None and number <= after):
                        continue
                    if number is not None and self.cuts and number >= self.cuts[0]:
                        self.cuts.pop(0)
                        if self.quietly:
                            return
                        raise ConnectionResetError
                    yield data
                if generation.over:
                    return
                await generation.news.wait()
        finally:
            if not generation.background and generation.task is not None:
                generation.task.cancel()


def sse(event: Event) -> bytes:
    """An event as it is sent."""
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def said(text: str, kind: str = "output_text") -> Event:
    """A piece of text."""
    return {"type": f"response.{kind}.delta", "item_id": "msg", "output_index": 0, "content_index": 0, "delta": text}


def called(id: str, name: str, arguments: str) -> list[Event]:
    """A call, in pieces of four characters."""
    item = {"type": "function_call", "id": f"fc_{id}", "call_id": id, "name": name, "status": "completed"}
    delta = {"type": "response.function_call_arguments.delta", "item_id": item["id"], "output_index": 1}
    return [
        {"type": "response.output_item.added", "output_index": 1, "item": item | {"arguments": ""}},
        *(delta | {"delta": arguments[at : at + 4]} for at in range(0, len(arguments), 4)),
        {"type": "response.function_call_arguments.done", "item_id": item["id"], "arguments": arguments},
        {"type": "response.output_item.done", "output_index": 1, "item": item | {"arguments": arguments}},
    ]


def begun() -> list[Step]:
    """How every response begins."""
    return [{"type": "response.created", "response": {}}, {"type": "response.in_progress", "response": {}}]


def ended(kind: str = "completed", **more: Any) -> Event:
    """How a response ends."""
    return {"type": f"response.{kind}", "response": {"status": kind, "usage": USAGE} | more}


def answer(texts: Iterable[str], *between: Step, end: Event | None = None) -> list[Step]:
    """A whole response: its texts, each followed by `between`."""
    item = {"id": "msg", "type": "message", "role": "assistant"}
    return [
        *begun(),
        {"type": "response.output_item.added", "output_index": 0, "item": item | {"content": []}},
        {"type": "response.content_part.added", "item_id": "msg", "part": {"type": "output_text", "text": ""}},
        *(step for text in texts for step in (said(text), *between)),
        {"type": "response.output_text.done", "item_id": "msg", "text": "".join(texts)},
        {"type": "response.output_item.done", "output_index": 0, "item": item | {"content": []}},
        end or ended(),
    ]


FAILED = ended("failed", error={"code": "server_error", "message": "no"})


def thinks() -> list[Step]:
    """A response with thoughts in two parts, texts, and a call."""
    part = {"type": "response.reasoning_summary_part.added", "item_id": "rs", "output_index": 0}
    return [
        *begun(), part | {"summary_index": 0}, said("Let ", "reasoning_summary_text"),
        said("me see.", "reasoning_summary_text"), part | {"summary_index": 1}, said("Ah.", "reasoning_summary_text"),
        said("It "), said("rains"), said(", I"), said(" think."), *called(*CALL),
        {"type": "keepalive"}, ended(),
    ]  # fmt: skip


@asynccontextmanager
async def provider() -> AsyncIterator[Provider]:
    """Run a provider on a free port."""
    state = Provider()

    async def create(request: Request) -> Response:
        body = await request.json()
        state.created.append(body)
        return state.refusal() or _streaming(state.stream(state.begin(body), -1))

    async def retrieve(request: Request) -> Response:
        after = int(request.query_params["starting_after"])
        state.retrieved.append(after)
        generation = state.known(request.path_params["id"])
        if (refusal := state.refusal()) is not None:
            return refusal
        if generation is None or request.query_params["stream"] != "true":
            return JSONResponse({"error": {"message": "not found"}}, 404)
        if state.only_end:
            after = len(generation.sent) - 2
        return _streaming(state.stream(generation, -1 if state.replays else after))

    async def cancel(request: Request) -> Response:
        state.cancelled.append(request.path_params["id"])
        generation = state.known(request.path_params["id"])
        if (refusal := state.refusal()) is not None:
            return refusal
        if generation is None or generation.task is None:
            return JSONResponse({"error": {"message": "not found"}}, 404)
        generation.task.cancel()
        generation.end()
        return JSONResponse(generation.object | {"status": "cancelled"})

    async def models(request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": "up-1", "object": "model"}]})

    app = Starlette(
        routes=[
            Route("/v1/models", models),
            Route("/v1/responses", create, methods=["POST"]),
            Route("/v1/responses/{id}", retrieve),
            Route("/v1/responses/{id}/cancel", cancel, methods=["POST"]),
        ]
    )
    async with listening(app) as where:
        state.url = f"{where}/v1"
        try:
            yield state
        finally:
            tasks = [one.task for one in state.generations if one.task is not None]
            for generating in tasks:
                generating.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _streaming(data: AsyncIterator[bytes]) -> Response:
    return StreamingResponse(data, media_type="text/event-stream")


@asynccontextmanager
async def node(up: Provider, limits: Limits = USUAL, **options: Any) -> AsyncIterator[ResponsesModel]:
    """A model of its own, as another node has."""
    model = await ResponsesModel.connect(base_url=up.url, api_key=None, name="up-1", limits=limits, **options)
    try:
        yield model
    finally:
        await model.close()


async def drained(model: ResponsesModel, prompt: Prompt = ASK) -> Piece:
    """One answer, as one piece."""
    return Piece.joined([piece async for piece in model.stream("up-1", prompt)])


async def whole(up: Provider, prompt: Prompt = ASK, **options: Any) -> Piece:
    """One answer, asked for at a node of its own, as one piece."""
    async with node(up, **options) as model:
        return await drained(model, prompt)
