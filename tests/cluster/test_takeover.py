"""A node is gone: another goes on with its answers, under the same run ids."""

import asyncio
import hashlib
import time
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from app.agent.rescue import LOOK_SECONDS
from app.client import connect
from app.core.errors import ModelUnavailable
from app.core.protocol import Frame
from tests.reader import Reader, reading
from tests.servers import Script, serving, two, until

LEASE = 1.0
FOREVER: list[str | float | Exception] = [step for index in range(5000) for step in (f"{index} ", 0.01)]


async def test_the_answer_goes_on_at_another_node(redis_url: str, model: Script) -> None:
    """The run's id stays; readers drop what the first attempt said, and have the second's text, whole."""
    model.answers.extend([list(FOREVER), ["All ", "is ", "well."]])
    async with AsyncExitStack() as stack:
        lives = {name: AsyncExitStack() for name in ("a", "b")}
        nodes = {}
        for name, life in lives.items():
            await stack.enter_async_context(life)
            nodes[name] = await life.enter_async_context(serving(redis_url, model, name, lease_seconds=LEASE))
        chat = await stack.enter_async_context(connect([node.ws for node in nodes.values()], user="ada"))
        said = await chat.say("Well?", session="s")
        await said.session.until(lambda: said.session.transcript.run and said.session.transcript.run.text)
        served_by = chat.welcome["node"]
        nodes[served_by].node.runner.abandon()
        await lives[served_by].aclose()
        began = time.monotonic()
        async with asyncio.timeout(10):
            turn = await said.answer()
        assert time.monotonic() - began < LEASE + 1.0
        assert turn["text"] == "All is well."
        [other] = set(nodes) - {served_by}
        assert (nodes[other].node.rescue.claimed.total(), chat.differs, len(model.asked)) == (1, 0, 2)
        assert other == chat.welcome["node"]


async def test_a_run_whose_model_or_node_fails_ends_after_three_attempts(
    redis_url: str, redis: Any, model: Script
) -> None:
    """Each loss is an attempt; the fourth claim ends it as `unavailable`, with the text that stands."""
    model.answers.extend([list(FOREVER) for _ in range(3)])
    async with two(redis_url, model, lease_seconds=LEASE) as (a, b), reading(b.ws) as reader:
        said = await reader.ask(type="say", session="s", id="m", text="Well?")
        for attempt in (1, 2, 3):
            await until(partial(_asked, model, attempt))
            await until(lambda: _text(redis))
            a.node.runner.abandon()
            b.node.runner.abandon()
            await until(lambda: a.node.runner.running + b.node.runner.running == 0)
        end: Frame = {}
        while not end:
            batch = await reader.next("batch")
            end = next((entry for entry in batch["entries"] if entry["kind"] == "end"), {})
        assert (end["state"], end["code"]) == ("failed", "unavailable")
        history = await reader.ask(type="history", session="s", limit=10)
        [_, turn] = history["turns"]
        assert (said["run"], "failed", end["length"]) == (turn["id"], turn["state"], len(turn["text"]))
        assert end["length"] > 0


def _asked(model: Script, times: int) -> bool:
    return len(model.asked) == times


def _text(redis: Any) -> bool:
    """Whether the current attempt has said something: its writer has appended."""
    return int(redis.hget(redis.keys("*:head:*")[0], "count")) > 0


async def test_a_stop_of_a_run_whose_node_is_dead_ends_it(redis_url: str, model: Script) -> None:
    """Once its lease has run out it is claimed, and ended as stopped, with the text that stands; nobody is asked."""
    model.answers.append(list(FOREVER))
    async with two(redis_url, model, lease_seconds=LEASE) as (a, b), connect(b.ws, user="ada") as chat:
        async with reading(a.ws) as speaker:
            said = await speaker.ask(type="say", session="s", id="m", text="Well?")
        session = await chat.open("s")
        await session.until(lambda: session.transcript.run and session.transcript.run.text)
        a.node.runner.abandon()
        a.node.draining = True
        await chat.stop("s", said["run"])
        await session.until(lambda: session.turn(said["run"]))
        turn = session.turn(said["run"]) or {}
        assert turn["state"] == "stopped"
        assert turn["text"].startswith("0 ")
        assert (len(model.asked), chat.differs) == (1, 0)


async def test_a_queued_turn_is_answered_after_a_takeover(redis_url: str, model: Script) -> None:
    """The queue waits for the run that was taken over, and goes on after it."""
    model.answers.extend([list(FOREVER), ["First."], ["Second."]])
    async with two(redis_url, model, lease_seconds=LEASE) as (a, b), connect(b.ws, user="ada") as chat:
        async with reading(a.ws) as speaker:
            await speaker.ask(type="say", session="s", id="m1", text="One?")
        await chat.open("s")
        second = await chat.say("Two?", session="s")
        a.node.draining = True
        a.node.runner.abandon()
        assert (await second.answer())["text"] == "Second."
        texts = [turn["text"] for turn in second.session.transcript.turns]
        assert texts == ["One?", "First.", "Two?", "Second."]


async def test_a_draining_node_hands_over_at_once(redis_url: str, model: Script) -> None:
    """What it cannot finish in time it gives up, with the bell: no lease is waited for, and no attempt is counted."""
    model.answers.extend([list(FOREVER), ["Done."]])
    async with two(redis_url, model, lease_seconds=60) as (a, b), connect(b.ws, user="ada") as chat:
        async with reading(a.ws) as speaker:
            said = await speaker.ask(type="say", session="s", id="m", text="Well?")
        session = await chat.open("s")
        await session.until(lambda: session.transcript.run and session.transcript.run.text)
        began = time.monotonic()
        await a.node.drain()
        await session.until(lambda: session.turn(said["run"]))
        assert time.monotonic() - began < 1.0 + LOOK_SECONDS
        assert (session.turn(said["run"]) or {})["text"] == "Done."
        assert (a.node.rescue.claimed.total(), b.node.rescue.claimed.total()) == (0, 1)


async def test_a_node_that_was_frozen_writes_nothing_more(redis_url: str, redis: Any, model: Script) -> None:
    """Its lease ran out and another has claimed: its next append is refused, and nothing interleaves."""
    step = asyncio.Event()

    async def wait() -> None:
        if len(model.asked) == 1 and first:
            await step.wait()
        first.append(1)

    first: list[int] = []
    model.gate = wait
    model.answers.extend([["old ", "old ", "old "], ["new ", 0.3, "new"]])
    async with two(redis_url, model, lease_seconds=LEASE, flush_ms=0) as (a, b), connect(b.ws, user="ada") as chat:
        async with reading(a.ws) as speaker:
            said = await speaker.ask(type="say", session="s", id="m", text="Well?")
        a.node.draining = True
        session = await chat.open("s")
        await session.until(lambda: session.transcript.run and session.transcript.run.text == "old ")

        def claimed() -> bool:
            for key in redis.keys("*:leases"):  # as if the node had not renewed for its lease
                redis.zadd(key, dict.fromkeys(redis.zrange(key, 0, -1), 1), xx=True)
            return b.node.rescue.claimed.total() == 1

        await until(claimed)
        step.set()
        await session.until(lambda: session.turn(said["run"]))
        assert (session.turn(said["run"]) or {})["text"] == "new new"
        await until(lambda: a.node.runner.running == 0)
        assert chat.differs == 0


async def test_a_model_that_breaks_off_is_asked_again(redis_url: str, model: Script) -> None:
    """Up to three attempts, at the same node; what the last of them said is kept, and its failure is told."""
    model.answers.extend([[f"{word} ", ModelUnavailable("gone")] for word in ("One", "Two", "Three")])
    async with two(redis_url, model, lease_seconds=LEASE) as (a, _), reading(a.ws) as reader:
        await reader.ask(type="say", session="s", id="m", text="Well?")
        entries = await _until_end(reader)
        assert [entry["how"] for entry in entries if entry["kind"] == "run"] == ["new", "restart", "restart"]
        assert [entry["attempt"] for entry in entries if entry["kind"] == "run"] == [1, 2, 3]
        assert tuple(entries[-1][key] for key in ("state", "code", "length")) == ("failed", "model_unavailable", 6)
        assert (len(model.asked), a.node.rescue.claimed.total()) == (3, 0)


async def test_text_stands_until_another_attempt_speaks(redis_url: str, model: Script) -> None:
    """An attempt that fails before its first token takes nothing from the screen: that text is what is kept."""
    model.answers.extend([["Half an ", ModelUnavailable("gone")], [ModelUnavailable("still gone")]])
    async with two(redis_url, model, lease_seconds=LEASE) as (a, _), reading(a.ws) as reader:
        await reader.ask(type="say", session="s", id="m", text="Well?")
        entries = await _until_end(reader)
        assert [entry["kind"] for entry in entries] == ["turn", "run", "delta", "end"]
        assert tuple(entries[-1][key] for key in ("state", "code", "length")) == ("failed", "model_unavailable", 8)
        assert len(model.asked) == 2


async def test_an_answer_goes_on_after_its_text(redis_url: str, model: Script) -> None:
    """A model that can `continue` is given what stands: nothing on a screen is taken back, at a takeover or a cut."""
    model.takeover = "continue"
    model.answers.extend([["One ", ModelUnavailable("gone")], ["two ", *FOREVER], ["three."]])
    async with two(redis_url, model, lease_seconds=60) as (a, b), reading(b.ws) as reader:
        async with reading(a.ws) as speaker:
            await speaker.ask(type="say", session="s", id="m", text="Well?")
        await reader.ask(type="open", session="s", cursor="0-0")
        entries: list[Frame] = []
        while not any("two 0 " in entry.get("text", "") or entry.get("text") == "0 " for entry in entries):
            entries += (await reader.next("batch"))["entries"]
        began = time.monotonic()
        await a.node.drain()
        entries += await _until_end(reader)
        assert time.monotonic() - began < 1.0 + LOOK_SECONDS
        assert [entry["how"] for entry in entries if entry["kind"] == "run"] == ["new", "continue", "continue"]
        assert [entry["attempt"] for entry in entries if entry["kind"] == "run"] == [1, 2, 2]
        text = "".join(entry["text"] for entry in entries if entry["kind"] == "delta")
        assert [prompt.prefix for prompt in model.prompts] == ["", "One ", text.removesuffix("three.")]
        assert (entries[-1]["state"], entries[-1]["sha256"]) == ("done", hashlib.sha256(text.encode()).hexdigest())
        assert dict(b.node.rescue.claimed) == {"continue": 1}


async def test_an_answer_that_cannot_go_on_fails_with_what_stands(redis_url: str, model: Script) -> None:
    """`fail`: its node is gone, and nobody asks anew. One that had said nothing is simply answered."""
    model.takeover = "fail"
    model.answers.extend([["One ", *FOREVER], [60.0], ["Answered."]])
    async with two(redis_url, model, lease_seconds=LEASE) as (a, b), connect(b.ws, user="ada") as chat:
        async with reading(a.ws) as speaker:
            spoke = await speaker.ask(type="say", session="spoke", id="m1", text="Well?")
            session = await chat.open("spoke")
            await session.until(lambda: session.transcript.run and session.transcript.run.text)
            silent = await speaker.ask(type="say", session="silent", id="m2", text="Well?")
        other = await chat.open("silent")
        await until(lambda: len(model.asked) == 2)
        a.node.draining = True
        a.node.runner.abandon()
        await session.until(lambda: session.turn(spoke["run"]))
        turn = session.turn(spoke["run"]) or {}
        assert (turn["state"], turn["code"], turn["text"][:4]) == ("failed", "unavailable", "One ")
        await other.until(lambda: other.turn(silent["run"]))
        assert (other.turn(silent["run"]) or {})["text"] == "Answered."


async def test_a_run_waits_for_a_node_that_has_its_model(redis_url: str, model: Script) -> None:
    """During a deploy nodes know different models: a run is not claimed where its own is missing."""
    stranger = Script(names=("another",))
    model.answers.extend([list(FOREVER), ["Here."]])
    async with serving(redis_url, stranger, "c", lease_seconds=LEASE) as c, connect(c.ws, user="ada") as chat:
        async with serving(redis_url, model, "a", lease_seconds=LEASE) as a:
            async with reading(a.ws) as speaker:
                said = await speaker.ask(type="say", session="s", id="m", text="Well?")
            session = await chat.open("s")
            await session.until(lambda: session.transcript.run and session.transcript.run.text)
            a.node.runner.abandon()
        await c.node.state.runs.lapsed(range(256), given_up_only=False)
        async with serving(redis_url, model, "b", lease_seconds=LEASE) as b:
            await session.until(lambda: session.turn(said["run"]))
            assert (session.turn(said["run"]) or {})["text"] == "Here."
            assert (b.node.rescue.claimed.total(), c.node.rescue.claimed.total()) == (1, 0)
        assert stranger.asked == []


async def _until_end(reader: Reader) -> list[Frame]:
    """All entries until a run ends."""
    entries: list[Frame] = []
    while not entries or entries[-1]["kind"] != "end":
        entries += (await reader.next("batch"))["entries"]
    return entries


async def test_a_run_that_cannot_be_read_takes_no_node_down(redis_url: str, redis: Any, model: Script) -> None:
    """Its record is damaged: every node says so in its log, and goes on with the others."""
    model.answers.extend([list(FOREVER), list(FOREVER), ["Well."]])
    async with two(redis_url, model, lease_seconds=LEASE) as (a, b), connect(b.ws, user="ada") as chat:
        async with reading(a.ws) as speaker:
            await speaker.ask(type="say", session="bad", id="m1", text="One?")
            good = await speaker.ask(type="say", session="good", id="m2", text="Two?")
        session = await chat.open("good")
        [record] = redis.keys("*:run:*/bad")
        redis.hset(record, "request", b"\xc1")
        a.node.draining = True
        a.node.runner.abandon()
        await session.until(lambda: session.turn(good["run"]))
        assert (session.turn(good["run"]) or {})["text"] == "Well."
        await chat.ping()


async def test_what_a_draining_node_is_given_another_answers(redis_url: str, model: Script) -> None:
    """A `say` to a node that drains is committed there and answered elsewhere; so is a turn that was queued there."""
    step = asyncio.Event()

    async def wait() -> None:
        if len(model.asked) == 1:
            await step.wait()

    model.gate = wait
    async with two(redis_url, model, lease_seconds=60, drain_seconds=10) as (a, b), connect(b.ws, user="ada") as chat:
        async with reading(a.ws) as speaker:
            await speaker.ask(type="say", session="s", id="m1", text="One?")
            session = await chat.open("s")
            drain = asyncio.create_task(a.node.drain())
            await until(lambda: a.node.draining)
            await speaker.ask(type="say", session="s", id="m2", text="Two?")
            other = await speaker.ask(type="say", session="other", id="m3", text="Three?")
            opened = await chat.open("other")
            await opened.until(lambda: opened.turn(other["run"]))
            step.set()
            await drain
        await session.until(lambda: len(session.transcript.turns) == 4)
        assert [turn["text"] for turn in session.transcript.turns[1::2]] == ["You said: One?", "You said: Two?"]
        assert (b.node.rescue.claimed.total(), len(model.asked)) == (2, 3)
