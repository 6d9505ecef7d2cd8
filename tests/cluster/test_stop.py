"""Stop, from anywhere: one end, at once, whatever is lost."""

import asyncio
import time

import pytest

from app.state.keys import node_channel
from tests.reader import Reader, Record, reading
from tests.servers import Script, Served, two, until

FOREVER = [step for index in range(2000) for step in (f"{index} ", 0.01)]
SOON = 0.5  # seconds; a flush is 0.04


async def _stopped(reader: Reader, run: str) -> Record:
    record = Record()
    await reader.ask(type="open", session="s", cursor="0-0")
    while run not in record.ends:
        record.take(await reader.next("batch"))
    return record


async def test_stop_from_another_node_ends_the_run_within_one_flush(redis_url: str, model: Script) -> None:
    """`stopped`, with the text that stands, and the model is let go."""
    model.answers.append(list(FOREVER))
    async with two(redis_url, model) as (a, b), reading(a.ws) as one, reading(b.ws) as other:
        said = await one.ask(type="say", session="s", id="m", text="Count.")
        await until(lambda: model.asked)
        began = time.monotonic()
        stopped = await other.ask(type="stop", session="s", run=said["run"])
        assert stopped["type"] == "ok"
        record = await _stopped(other, said["run"])
        assert time.monotonic() - began < SOON
        assert record.ends[said["run"]]["state"] == "stopped"
        assert record.whole(said["run"])
        assert model.closed == 1
        again = await other.ask(type="stop", session="s", run=said["run"])
        assert ("ok", record.cursor) == (again["type"], again["at"])


async def test_stop_while_the_first_token_is_awaited(redis_url: str, model: Script) -> None:
    """No text yet, so no append brings the flag: the hint does."""
    model.answers.append([60.0])
    async with two(redis_url, model) as (a, b), reading(a.ws) as one, reading(b.ws) as other:
        said = await one.ask(type="say", session="s", id="m", text="Think.")
        await until(lambda: model.asked)
        began = time.monotonic()
        await other.ask(type="stop", session="s", run=said["run"])
        record = await _stopped(other, said["run"])
        assert time.monotonic() - began < SOON
        assert (record.ends[said["run"]]["state"], record.ends[said["run"]]["length"]) == ("stopped", 0)


def _deafen(served: Served) -> None:
    """Have a node hear nothing that is published, from now on, and not know it: real UNSUBSCRIBEs."""
    bus = served.node.state.bus
    for channel in list(bus.channels):
        bus.unsubscribe(channel)


@pytest.mark.parametrize("answer", [FOREVER, [60.0]], ids=["while it talks", "before its first token"])
async def test_stop_with_every_publish_lost(redis_url: str, model: Script, answer: list[str | float]) -> None:
    """The flag comes back with the next append or renewal; readers heal at the next heartbeat."""
    model.answers.append(list(answer))
    async with two(redis_url, model, lease_seconds=1) as (a, b), reading(a.ws) as one, reading(b.ws) as other:
        said = await one.ask(type="say", session="s", id="m", text="Count.")
        await other.ask(type="open", session="s")
        await until(lambda: model.asked)
        _deafen(a)
        _deafen(b)
        assert node_channel(a.node.incarnation) not in a.node.state.bus.channels
        began = time.monotonic()
        await other.ask(type="stop", session="s", run=said["run"])
        await until(lambda: a.node.runner.running == 0)
        assert time.monotonic() - began < 1.0  # a third of the lease, and a flush
        await asyncio.gather(a.node.hub.compare(), b.node.hub.compare())
        ended = False
        while not ended:
            batch = await other.next("batch")
            ended = any(entry["kind"] == "end" for entry in batch["entries"])


async def test_a_queued_run_is_stopped_where_it_waits(redis_url: str, model: Script) -> None:
    """It leaves the queue with `end {stopped, length: 0}`, no `run`, and its turn never enters the history."""
    model.answers.append(list(FOREVER))
    async with two(redis_url, model) as (a, b), reading(a.ws) as one, reading(b.ws) as other:
        first = await one.ask(type="say", session="s", id="m1", text="Count.")
        second = await other.ask(type="say", session="s", id="m2", text="And then?")
        stopped = await one.ask(type="stop", session="s", run=second["run"])
        assert stopped["type"] == "ok"
        await one.ask(type="stop", session="s", run=first["run"])
        record = await _stopped(other, first["run"])
        assert (record.ends[second["run"]]["state"], record.ends[second["run"]]["length"]) == ("stopped", 0)
        history = await other.ask(type="history", session="s", limit=100)
        assert ["m1", first["run"]] == [turn["id"] for turn in history["turns"]]
    assert len(model.asked) == 1
