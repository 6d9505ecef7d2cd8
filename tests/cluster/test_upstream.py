"""Whatever an upstream does, the run ends once, honestly, with what it said; and its node serves on."""

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.agent.llm import Limits, OpenAIModel
from app.core.breaker import Breaker
from app.core.protocol import Frame
from tests.reader import reading
from tests.servers import serving, sse, two, until, upstream

ANSWER_BYTES = 256 * 1024
QUICK = Limits(connect_s=1.0, first_s=0.3, next_s=0.3)


async def huge(body: dict[str, Any]) -> AsyncIterator[bytes]:
    """One chunk of 1 MB."""
    yield sse("x" * 1_000_000, "stop")


async def endless(body: dict[str, Any]) -> AsyncIterator[bytes]:
    """Never end."""
    while True:
        yield sse("and on " * 100)
        await asyncio.sleep(0)


async def empty(body: dict[str, Any]) -> AsyncIterator[bytes]:
    """End well, with nothing said."""
    yield sse(None, "stop")


async def unfinished(body: dict[str, Any]) -> AsyncIterator[bytes]:
    """End without a finish_reason."""
    yield sse("Half an answer.")


async def hung(body: dict[str, Any]) -> AsyncIterator[bytes]:
    """Say something, and then nothing."""
    yield sse("Half an answer.")
    await asyncio.sleep(60)


async def malformed(body: dict[str, Any]) -> AsyncIterator[bytes]:
    """Say something, and then what is none."""
    yield sse("Half an answer.")
    yield b"data: \xff\xfe{]\n\n"


async def nothing(body: dict[str, Any]) -> AsyncIterator[bytes]:
    """Close without a word."""
    yield b""


@pytest.mark.parametrize(
    ("answer", "ends", "asked"),
    [
        (huge, ("failed", "too_long", ANSWER_BYTES), 1),
        (endless, ("failed", "too_long", ANSWER_BYTES), 1),
        (empty, ("done", None, 0), 1),
        (unfinished, ("failed", "model_unavailable", 15), 3),
        (hung, ("failed", "model_timeout", 15), 3),
        (malformed, ("failed", "model_unavailable", 15), 3),
        (nothing, ("failed", "model_unavailable", 0), 3),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_an_upstream_that_misbehaves(redis_url: str, answer: Any, ends: Any, asked: int) -> None:
    """The run ends once; what was said is kept, and is what readers have; another is answered."""
    async with upstream() as up:
        up.answer = answer
        model = await OpenAIModel.connect(base_url=up.url, api_key=None, name="up-1", limits=QUICK)
        async with serving(redis_url, model) as node, reading(node.ws) as reader:
            said = await reader.ask(type="say", session="s", id="m", text="Well?")
            text, end = await _answer(reader, said)
            assert (end["state"], end.get("code"), end["length"]) == ends
            assert (len(text.encode()), hashlib.sha256(text.encode()).hexdigest()) == (end["length"], end["sha256"])
            assert len(up.requests) == asked
            up.answer = None
            again = await reader.ask(type="say", session="s", id="m2", text="And now?")
            assert (await _answer(reader, again))[0] == "And now? "
        await model.close()


async def _answer(reader: Any, said: Frame) -> tuple[str, Frame]:
    """Read an answer as a client would: its text, and its end."""
    text = ""
    entries: list[Frame] = []
    while not any(entry["kind"] == "end" for entry in entries):
        entries = (await reader.next("batch"))["entries"]
        for entry in entries:
            if entry["kind"] == "run" and entry["how"] == "restart":
                text = ""
            text += entry["text"] if entry["kind"] == "delta" else ""
    return text, next(entry for entry in entries if entry["kind"] == "end" and entry["run"] == said["run"])


async def test_a_run_waits_for_the_probe_of_its_upstream(redis_url: str) -> None:
    """While the breaker is open it holds its lease and waits, and then is answered; past its time it has failed."""
    async with upstream() as up:
        breaker = Breaker(failures=1, first_s=1.0)
        model = await OpenAIModel.connect(base_url=up.url, api_key=None, name="up-1", limits=QUICK, breaker=breaker)
        async with two(redis_url, model, lease_seconds=0.6, run_seconds=5) as (a, b), reading(a.ws) as reader:
            breaker.failed(asyncio.get_running_loop().time())
            said = await reader.ask(type="say", session="s", id="m", text="Well?")
            text, end = await _answer(reader, said)
            assert (text, end["state"]) == ("Well? ", "done")
            assert end["timing"]["first_ms"] >= 900
            assert (len(up.requests), b.node.rescue.claimed.total()) == (1, 0)
        async with serving(redis_url, model, run_seconds=0.5) as a, reading(a.ws) as reader:
            breaker.failed(asyncio.get_running_loop().time())
            said = await reader.ask(type="say", session="t", id="m", text="Well?")
            text, end = await _answer(reader, said)
            assert (text, end["state"], end["code"], len(up.requests)) == ("", "failed", "model_timeout", 1)
        await model.close()


async def test_a_stop_while_the_breaker_is_open(redis_url: str) -> None:
    """It ends the run at once."""
    async with upstream() as up:
        breaker = Breaker(failures=1, first_s=60.0)
        model = await OpenAIModel.connect(base_url=up.url, api_key=None, name="up-1", limits=QUICK, breaker=breaker)
        async with serving(redis_url, model) as node, reading(node.ws) as reader:
            breaker.failed(asyncio.get_running_loop().time())
            said = await reader.ask(type="say", session="s", id="m", text="Well?")
            await until(lambda: node.node.runner.running)
            await reader.send(type="stop", session="s", run=said["run"])
            _, end = await _answer(reader, said)
            assert (end["state"], breaker.state, up.requests) == ("stopped", "open", [])
        await model.close()


def _call(name: str, arguments: str, finish: str = "tool_calls") -> list[bytes]:
    """An answer that is a call."""
    call = {"index": 0, "id": "k", "function": {"name": name, "arguments": arguments}}
    chunk = {"id": "c", "choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": finish}]}
    return [b"data: " + json.dumps(chunk).encode() + b"\n\n"]


def _refused(body: dict[str, Any]) -> bool:
    """Whether strict servers refuse a request: for a function's name (OpenAI), or arguments (vLLM, SGLang)."""
    functions = [call["function"] for message in body["messages"] for call in message.get("tool_calls", ())]
    named = all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", function["name"]) for function in functions)
    return not named or not all(isinstance(json.loads(function["arguments"]), dict) for function in functions)


@pytest.mark.parametrize(
    "first",
    [
        _call("time", '{"zone": "U'), _call("time", '{"zone": "U', "length"), _call("time", "[1, 2]"),
        _call("functions.time", "{}"), _call("", "{}"), _call("no_such", '{"one": 1}'),
    ],
    ids=["no JSON", "cut", "an array", "a name with a dot", "no name", "an unknown tool"],
)  # fmt: skip
async def test_a_malformed_call_does_not_end_the_session(redis_url: str, first: list[bytes]) -> None:
    """Its model is told what was wrong; strict upstreams take the request, and those of what is said next."""
    async with upstream() as up:

        async def answer(body: dict[str, Any]) -> AsyncIterator[bytes]:
            for chunk in first if len(up.requests) == 1 else [sse("So.", "stop")]:
                yield chunk

        up.answer = answer
        model = await OpenAIModel.connect(base_url=up.url, api_key=None, name="up-1", limits=QUICK)
        async with serving(redis_url, model) as node, reading(node.ws) as reader:
            for id in ("m1", "m2"):
                said = await reader.ask(type="say", session="s", id=id, text="Well?")
                text, end = await _answer(reader, said)
                assert (text, end["state"]) == ("So.", "done")
        assert [_refused(body) for body in up.requests] == [False] * 3
        assert '{"error":' in up.requests[1]["messages"][-1]["content"]
        await model.close()
