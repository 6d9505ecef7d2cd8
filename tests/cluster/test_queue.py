"""Two clients at once: one run at a time, every accepted turn answered once, and the model sees them in order."""

import asyncio
import random

import pytest

from tests.reader import Reader, Record, reading
from tests.servers import Script, two

ROUNDS = 100


async def test_two_clients_at_once(redis_url: str, model: Script) -> None:
    """100 rounds of queue, interrupt and reject, from two nodes."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    model.answers.extend([["one ", chance.random() * 0.004, "two"] for _ in range(ROUNDS * 2)])
    accepted: dict[str, str] = {}

    async def speak(reader: Reader, name: str) -> None:
        for index in range(ROUNDS):
            how = chance.choice(["queue", "interrupt", "reject"])
            id = f"{name}-{index}"
            reply = await reader.ask(type="say", session="s", id=id, text=f"Text of {id}", when_busy=how)
            if reply["type"] == "ok":
                accepted[id] = reply["run"]
            else:
                assert reply["code"] in ("busy", "queue_full")
            await asyncio.sleep(chance.random() * 0.01)

    async with (
        two(redis_url, model, flush_ms=1, history_turns=1000) as (a, b),
        reading(a.ws) as one,
        reading(b.ws) as other,
        reading(b.ws) as watcher,
    ):
        await asyncio.gather(speak(one, "x"), speak(other, "y"))
        record, runs, order = Record(), [], []
        await watcher.ask(type="open", session="s", cursor="0-0")
        while len(record.ends) < len(accepted):
            batch = await watcher.next("batch")
            record.take(batch)
            runs += [entry["run"] for entry in batch["entries"] if entry["kind"] == "run"]
            order += [entry["turn"] for entry in batch["entries"] if entry["kind"] == "run"]
        turns = (await watcher.ask(type="history", session="s", limit=100))["turns"]
    assert sorted(accepted.values()) == sorted(runs)
    assert set(accepted.values()) == set(record.ends)
    assert all(record.whole(run) for run in runs)
    asked = [messages[-1]["content"] for messages in model.asked]  # who was stopped at once was not
    assert asked == [text for text in (f"Text of {id}" for id in order) if text in asked]
    assert len(asked) > len(order) // 2
    last = [f"Text of {id}" for id in order][-50:]
    assert last == [turn["text"] for turn in turns if turn["role"] == "user"][-50:]
    for messages in model.asked:
        said = [message["content"] for message in messages if message["role"] == "user"]
        assert said == [f"Text of {id}" for id in order if f"Text of {id}" in said]


@pytest.mark.parametrize("how", ["queue", "interrupt", "reject"])
async def test_one_speaks_while_the_other_is_answered(redis_url: str, model: Script, how: str) -> None:
    """`queue` waits, `interrupt` stops what runs and goes first, `reject` is `busy`."""
    model.answers.append([step for index in range(300) for step in (f"{index} ", 0.005)])
    async with two(redis_url, model) as (a, b), reading(a.ws) as one, reading(b.ws) as other:
        first = await one.ask(type="say", session="s", id="m1", text="Count.")
        waiting = await other.ask(type="say", session="s", id="m2", text="Wait.")
        third = await other.ask(type="say", session="s", id="m3", text="Now!", when_busy=how)
        if how == "reject":
            assert (third["type"], third["code"], third["retry"]) == ("error", "busy", "later")
        record, order = Record(), []
        await other.ask(type="open", session="s", cursor="0-0")
        expected = [first["run"], waiting["run"]] if how == "reject" else [first["run"], waiting["run"], third["run"]]
        if how == "interrupt":
            expected = [first["run"], third["run"], waiting["run"]]
        while len(record.ends) < len(expected):
            batch = await other.next("batch")
            record.take(batch)
            order += [entry["run"] for entry in batch["entries"] if entry["kind"] == "run"]
        assert expected == order
        assert ("stopped" if how == "interrupt" else "done") == record.ends[first["run"]]["state"]
        assert all(record.ends[run]["state"] == "done" for run in expected[1:])
