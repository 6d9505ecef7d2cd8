"""A model whose every word is known, behind a real upstream: it thinks, speaks, and has tools called, in three steps.

Calls are streamed as OpenAI's chat completions stream them: first the id and the name, then the arguments in fragments
of one to five characters, those of two calls interleaved. In each session it stands where the test wants it to, once.
"""

import asyncio
import json
import random
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import Any, Final

from tests.faults.tools_for_nodes import outcome
from tests.servers import Upstream, upstream

STEPS: Final = (1, 2, 3)
FIRST: Final = ("map", "table")  # what the calls of the first step are about
TOOLS: Final = {"map": "look", "weather": "look", "table": "book", "bill": "pay", "wine": "order"}
USAGE: Final = {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}
WORDS: Final = re.compile(r"[^ ]* [^ ]?|[^ ]+")  # each with the next one's first character
FRAGMENT: Final = 5


def text(step: int) -> str:
    """What it says in a step."""
    return f"Step {step}: " + " ".join(f"{step}.{index}" for index in range(12))


def thoughts(step: int) -> tuple[str, str]:
    """What it thinks in a step, in two pieces."""
    return f"[{step}: hm, ", "so.]"


def call_id(step: int, what: str) -> str:
    """What it names a call."""
    return f"call-{step}-{what}"


@dataclass
class Play:
    """What it says in one session, whose id is the question.

    `second` is what the calls of its second step are about; `stands_at` names a mark, `<step>.first`, `thought`,
    `text` or `pieces`: there it waits for `go`.
    """

    session: str
    second: tuple[str, ...]
    stands_at: str = ""
    go: asyncio.Event = field(default_factory=asyncio.Event)
    at: str = ""  # the last mark that it came to
    asked: list[dict[str, Any]] = field(default_factory=list)

    def calls(self, step: int) -> tuple[str, ...]:
        """What the calls of a step are about."""
        return {1: FIRST, 2: self.second}.get(step, ())

    def results(self, step: int) -> list[dict[str, Any]]:
        """What the model is told of the calls of a step: the messages."""
        return [
            {
                "role": "tool",
                "tool_call_id": call_id(step, what),
                "content": json.dumps({"data": outcome(TOOLS[what], what)}, separators=(",", ":")),
            }
            for what in self.calls(step)
        ]

    async def says(self, body: dict[str, Any]) -> AsyncIterator[bytes]:
        """Stream a step; after a prefix, go on right where that ends."""
        self.asked.append(body)
        messages = body["messages"]
        question = max(index for index, message in enumerate(messages) if message["role"] == "user")
        step = 1 + sum(1 for message in messages[question:] if message.get("tool_calls"))
        last = messages[-1]
        said = last["content"] if last["role"] == "assistant" and not last.get("tool_calls") else ""
        await self._stand(f"{step}.first")
        if not said:
            one, other = thoughts(step)
            yield _chunk(reasoning_content=one)
            await self._stand(f"{step}.thought")
            yield _chunk(reasoning_content=other)
        whole, stood = text(step), False
        rest = whole.removeprefix(said) if whole.startswith(said) else f"[{said!r} is no beginning of it]"
        for word in WORDS.findall(rest):
            yield _chunk(content=word)
            said += word
            if len(said) > len(whole) // 2 and not stood:
                stood = True
                await self._stand(f"{step}.text")
        pieces = [*_pieces(step, self.calls(step))]
        for place, piece in enumerate(pieces):
            if place == len(pieces) // 2:
                await self._stand(f"{step}.pieces")
            yield _chunk(tool_calls=[piece])
        yield _chunk("tool_calls" if pieces else "stop")
        yield _line({"choices": [], "usage": USAGE}) + b"data: [DONE]\n\n"

    async def _stand(self, mark: str) -> None:
        self.at = mark
        if mark == self.stands_at:
            await self.go.wait()


def _pieces(step: int, whats: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The pieces of calls: all heads, then fragments of their arguments in turn."""
    for index, what in enumerate(whats):
        function = {"name": TOOLS[what], "arguments": ""}
        yield {"index": index, "id": call_id(step, what), "type": "function", "function": function}
    fragments = [_cut(json.dumps({"what": what})) for what in whats]
    for turn in zip_longest(*fragments):
        for index, fragment in enumerate(turn):
            if fragment is not None:
                yield {"index": index, "function": {"arguments": fragment}}


def _cut(whole: str) -> list[str]:
    """Cut a text into fragments at random."""
    fragments: list[str] = []
    while whole:
        size = random.randint(1, FRAGMENT)
        fragments.append(whole[:size])
        whole = whole[size:]
    return fragments


def _chunk(finish: str | None = None, **delta: Any) -> bytes:
    return _line({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def _line(fields: dict[str, Any]) -> bytes:
    head = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "up-1"}
    return b"data: " + json.dumps(dict(chain(head.items(), fields.items()))).encode() + b"\n\n"


@asynccontextmanager
async def scripted(plays: Mapping[str, Play]) -> AsyncIterator[Upstream]:
    """Run the upstream of these plays."""

    def answer(body: dict[str, Any]) -> AsyncIterator[bytes]:
        question = next(message["content"] for message in reversed(body["messages"]) if message["role"] == "user")
        return plays[question].says(body)

    async with upstream() as state:
        state.answer = answer
        yield state
