"""Several models: another is asked where one fails, what an answer costs, and a provider that keeps its answers."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import redis as redis_package

from app.agent.llm import Abilities, Limits
from app.agent.models import Models
from app.core.protocol import Frame
from tests.cluster.test_tools import Counted, asked_at, followed, of, said_at, text
from tests.reader import reading
from tests.responses_upstream import CALL, Provider, Step, answer, begun, called, ended, provider, said
from tests.servers import Upstream, serving, sse, two, until, upstream

LEASE = 1.0
BODY = """
[[model]]
name = "first"
base_url = "{first}"
fallback = ["second", "third"]
[[model]]
name = "second"
base_url = "{second}"
input_price = 1.0
output_price = 10.0
[[model]]
name = "third"
base_url = "{second}"
"""


@asynccontextmanager
async def models(tmp_path: Path, body: str, **urls: str) -> AsyncIterator[Models]:
    """Models of a file."""
    file = tmp_path / "models.toml"
    file.write_text(body.format(**urls))
    made = await Models.connect(file, {}, Limits(1.0, 5.0, 5.0), Abilities())
    try:
        yield made
    finally:
        await made.close()


@asynccontextmanager
async def a_pair(redis_url: str, tmp_path: Path) -> AsyncIterator[tuple[Any, Upstream, Upstream]]:
    """A node with models at two upstreams."""
    async with (
        upstream() as first,
        upstream() as second,
        models(tmp_path, BODY, first=first.url, second=second.url) as made,
        serving(redis_url, made) as served,
    ):
        yield served, first, second


async def test_another_model_is_asked_where_one_fails_before_its_first_token(redis_url: str, tmp_path: Path) -> None:
    """Readers are told which answers; it is no attempt more; and the turn says what it cost."""
    async with a_pair(redis_url, tmp_path) as (served, first, second), reading(served.ws) as reader:
        first.status = 503
        await reader.ask(type="open", session="s", cursor="0-0")
        entries = await followed(reader, (await said_at(served))["run"], "end")
        assert [(entry["model"], entry["attempt"], entry["how"]) for entry in of(entries, "run")] == [
            ("first", 1, "new"), ("second", 1, "continue"),
        ]  # fmt: skip
        turn = (await reader.ask(type="history", session="s", limit=1))["turns"][0]
        assert (turn["model"], turn["text"], turn["usage"]["cost"]) == ("second", "Well? ", 5 / 1e6 + 70 / 1e6)
        assert len(second.requests) == 1


async def test_an_upstream_that_is_known_to_fail_is_not_waited_for(redis_url: str, tmp_path: Path) -> None:
    """Its breaker is open: one probe at most, and the other model is asked."""
    async with a_pair(redis_url, tmp_path) as (served, first, _), reading(served.ws) as reader:
        first.status = 503
        await reader.ask(type="open", session="s", cursor="0-0")
        for index in range(2):
            await followed(reader, (await said_at(served, id=f"m{index}"))["run"], "end")
        tried = len(first.requests)
        assert served.node.model.breakers[first.url + "/"].state == "open"
        entries = await followed(reader, (await said_at(served, id="last"))["run"], "end")
        assert entries[-1]["state"] == "done"
        assert len(first.requests) <= tried + 1  # a probe, at most


async def test_a_session_or_a_say_chooses_its_model(redis_url: str, tmp_path: Path) -> None:
    """A session's own holds where a `say` names none."""
    async with a_pair(redis_url, tmp_path) as (served, _, second), reading(served.ws) as reader:
        await asked_at(served, "set", model="second")
        await reader.ask(type="open", session="s")
        await followed(reader, (await said_at(served))["run"], "end")
        await followed(reader, (await said_at(served, id="m2", model="third"))["run"], "end")
        assert [request["model"] for request in second.requests] == ["second", "third"]


THINKS = """
[[model]]
name = "thinks"
base_url = "{url}"
reasoning = "back"
"""


async def test_a_model_is_given_back_what_it_thought(redis_url: str, tmp_path: Path) -> None:
    """As DeepSeek wants it, which refuses requests else: with what it said in this answer, and in those before."""

    async def deltas(body: dict[str, Any]) -> AsyncIterator[bytes]:
        call = {"index": 0, "id": "k", "function": {"name": "add", "arguments": '{"one": 1, "other": 2}'}}
        calls = body["messages"][-1]["role"] == "user" and len(up.requests) < 3
        last = {"tool_calls": [call]} if calls else {"content": "So."}
        for delta in ({"reasoning_content": "Hm, "}, {"reasoning_content": f"{len(up.requests)}."}, last):
            yield b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"
        yield sse(None, "stop")

    async with upstream() as up, models(tmp_path, THINKS, url=up.url) as made:
        up.answer = deltas
        async with serving(redis_url, made, tools=Counted().tools) as served, reading(served.ws) as reader:
            await reader.ask(type="open", session="s", cursor="0-0")
            for id in ("m1", "m2"):
                assert (await followed(reader, (await said_at(served, id=id))["run"], "end"))[-1]["state"] == "done"
    thoughts = [
        [message["reasoning_content"] for message in body["messages"] if message["role"] == "assistant"]
        for body in up.requests
    ]
    assert thoughts == [[], ["Hm, 1."], ["Hm, 1.Hm, 2.", ""]]


KEEPS = """
[[model]]
name = "keeps"
base_url = "{url}"
api = "responses"
takeover = "resume"
"""


@asynccontextmanager
async def keeping(tmp_path: Path) -> AsyncIterator[tuple[Provider, Models, Models]]:
    """A provider that keeps its answers, and two nodes' models of it."""
    async with (
        provider() as up,
        models(tmp_path, KEEPS, url=up.url) as one,
        models(tmp_path, KEEPS, url=up.url) as other,
    ):
        yield up, one, other


async def test_no_token_is_generated_twice_where_the_provider_keeps_the_answer(redis_url: str, tmp_path: Path) -> None:
    """Its node dies in mid-answer: another takes it up where the log ends, and the provider has generated once."""
    gate = asyncio.Event()

    def script(body: Frame) -> list[Step]:
        return [*answer([f"{n} " for n in range(50)])[:-1], gate, *answer([f"{n} " for n in range(50, 100)])[1:]]

    async with (
        provider() as up,
        models(tmp_path, KEEPS, url=up.url) as one,
        models(tmp_path, KEEPS, url=up.url) as other,
    ):
        up.script = script
        async with AsyncExitStack() as stack:
            a = await stack.enter_async_context(serving(redis_url, one, "a", lease_seconds=LEASE))
            b = await stack.enter_async_context(serving(redis_url, other, "b", lease_seconds=LEASE))
            reader = await stack.enter_async_context(reading(b.ws))
            await reader.ask(type="open", session="s", cursor="0-0")
            run = (await said_at(a))["run"]
            early: list[Frame] = []
            while "49 " not in text(early):
                early += (await reader.next("batch"))["entries"]
            a.node.runner.abandon()
            await until(lambda: a.node.rescue.claimed.total() + b.node.rescue.claimed.total())
            gate.set()
            entries = early + await followed(reader, run, "end")
        assert [entry["how"] for entry in of(entries, "run")] == ["new", "resume"]
        assert text(entries) == "".join(f"{n} " for n in range(100))
        assert (len(up.generations), entries[-1]["length"]) == (1, len(text(entries)))


async def test_a_node_that_dies_before_the_first_token_has_its_answer_taken_up_too(
    redis_url: str, redis: redis_package.Redis, tmp_path: Path
) -> None:
    """The place is known as soon as the provider has begun."""
    gate = asyncio.Event()
    async with (
        provider() as up,
        models(tmp_path, KEEPS, url=up.url) as one,
        models(tmp_path, KEEPS, url=up.url) as other,
    ):
        up.script = lambda body: [*begun(), gate, *answer(["Hello."])[1:]]
        async with AsyncExitStack() as stack:
            a = await stack.enter_async_context(serving(redis_url, one, "a", lease_seconds=LEASE))
            b = await stack.enter_async_context(serving(redis_url, other, "b", lease_seconds=LEASE))
            reader = await stack.enter_async_context(reading(b.ws))
            await reader.ask(type="open", session="s", cursor="0-0")
            run = (await said_at(a))["run"]
            await until(lambda: any(redis.hget(head, "place") for head in redis.keys("*:head:*")))
            a.node.runner.abandon()
            await until(lambda: a.node.rescue.claimed.total() + b.node.rescue.claimed.total())
            gate.set()
            entries = await followed(reader, run, "end")
        assert (text(entries), len(up.generations), up.retrieved) == ("Hello.", 1, up.retrieved[:1])


async def test_what_is_stopped_is_cancelled_at_its_provider(redis_url: str, tmp_path: Path) -> None:
    """By whoever carries it, and by whoever claims it only to end it."""
    async with provider() as up, models(tmp_path, KEEPS, url=up.url) as made:
        up.script = lambda body: [*begun(), said("Hm. "), asyncio.Event()]
        async with two(redis_url, made, lease_seconds=LEASE) as (a, b), reading(b.ws) as reader:
            await reader.ask(type="open", session="s", cursor="0-0")
            run = (await said_at(a))["run"]
            await followed(reader, run, "delta")
            await asked_at(b, "stop", run=run)
            await followed(reader, run, "end")
            await until(lambda: up.cancelled == ["resp_0"])
            run = (await said_at(a, id="m2"))["run"]
            await followed(reader, run, "delta")
            a.node.runner.abandon()
            await asked_at(b, "stop", run=run)
            assert (await followed(reader, run, "end"))[-1]["state"] == "stopped"
            await until(lambda: up.cancelled == ["resp_0", "resp_1"])


async def test_calls_over_the_responses_api(redis_url: str, tmp_path: Path) -> None:
    """They are made, and their results are in the next request."""
    asked: list[Any] = []

    def script(body: Frame) -> list[Step]:
        asked.append(body["input"])
        return answer(["Sunny."]) if len(asked) == 2 else [*answer(["Let me see."])[:-1], *called(*CALL), ended()]

    async with provider() as up, models(tmp_path, KEEPS, url=up.url) as made:
        up.script = script
        async with serving(redis_url, made, tools=Counted().tools) as served, reading(served.ws) as reader:
            await reader.ask(type="open", session="s", cursor="0-0")
            entries = await followed(reader, (await said_at(served))["run"], "end")
        assert text(entries) == "Let me see.\n\nSunny."
        assert [item["type"] for item in asked[1][-2:]] == ["function_call", "function_call_output"]
        assert "there is no tool 'weather'" in asked[1][-1]["output"]
