"""Sockets that die, close and come back at bad moments: nothing is left behind, nobody waits for ever."""

import asyncio
import json
import time
from typing import Any

import msgpack
import pytest

from app.client import connect
from tests.reader import Record, reading
from tests.servers import Script, serving, two, until


async def test_a_socket_that_dies_owing_much_leaves_nothing(redis_url: str, model: Script) -> None:
    """It sent arrays of junk and never read the errors: connection, queue and room go with it."""
    async with serving(redis_url, model) as a:
        for _ in range(3):
            async with reading(a.ws) as reader:
                await reader.ask(type="open", session="s")
                reader.socket.transport.pause_reading()
                junk = msgpack.packb([0] * 1000) if reader.codec.endswith("msgpack") else json.dumps([0] * 1000)
                for _ in range(20):
                    await reader.socket.send(junk)
                await until(lambda: any(one.outbox.queued_bytes > 2**20 for one in a.site.connections))
                reader.abort()
        await until(lambda: not a.site.connections and a.node.hub.rooms == 0)


async def test_close_while_the_log_is_read(redis_url: str, model: Script) -> None:
    """The read that was under way is nobody's business any more; the socket goes on."""
    model.answers.append([str(index) + " " for index in range(50)])
    async with serving(redis_url, model, flush_ms=0) as a, reading(a.ws) as reader:
        await reader.ask(type="say", session="s", id="m", text="Count.")
        await until(lambda: a.node.runner.running == 0)
        for _ in range(50):
            await reader.send(type="open", session="s")
            await reader.send(type="open", session="s", cursor="0-0")
            await reader.send(type="close", session="s")
            assert (await reader.ask(type="ping"))["type"] == "ok"
        assert a.node.hub.rooms == 0


async def test_a_long_backlog_comes_at_once(redis_url: str, model: Script) -> None:
    """More than one read of it, to the only follower there is: no heartbeat is waited for."""
    pieces = [f"{index} " for index in range(1500)]
    step = asyncio.Semaphore(0)
    model.gate = step.acquire
    model.answers.append(list(pieces))
    async with two(redis_url, model, flush_ms=0) as (a, b):
        async with reading(a.ws) as speaker:
            said = await speaker.ask(type="say", session="s", id="m", text="Count.")
            for _ in pieces:
                step.release()
                await asyncio.sleep(0)
        await until(lambda: a.node.runner.running == 0, 30)
        async with reading(b.ws) as reader:
            began, record = time.monotonic(), Record()
            await reader.ask(type="open", session="s", cursor="0-0")
            while said["run"] not in record.ends:
                record.take(await reader.next("batch"))
            assert time.monotonic() - began < 2.0
            assert "".join(pieces) == record.texts[said["run"]]


async def test_junk_on_a_channel_harms_nobody(redis_url: str, redis: Any, model: Script) -> None:
    """What is no batch is not believed: the room looks into the log."""
    async with serving(redis_url, model) as a, reading(a.ws) as reader:
        await reader.ask(type="open", session="s")
        await reader.next("snapshot")
        channel = next(channel for channel in a.node.state.bus.channels if ":live:" in channel)
        for junk in (b"hello", b"", b"1-1 2-2 \xc1", b"0-0 5-1 \x01", b"0-0 9-2 \x81\xa4kind"):
            redis.publish(channel, junk)
        said = await reader.ask(type="say", session="s", id="m", text="Hello.")
        while not any(entry["kind"] == "end" for entry in (await reader.next("batch"))["entries"]):
            pass
        history = await reader.ask(type="history", session="s", limit=10)
        assert ["m", said["run"]] == [turn["id"] for turn in history["turns"]]


async def test_a_client_that_resumes_while_redis_is_away_heals(redis_url: str, redis: Any, model: Script) -> None:
    """Its resume is answered `unavailable`; it asks again when it may, and has the whole answer."""
    model.answers.append([step for index in range(200) for step in (f"{index} ", 0.05)])
    async with serving(redis_url, model) as a, connect(a.ws, user="ada") as chat:
        said = await chat.say("Count.", session="s")
        await said.session.until(lambda: said.session.transcript.run and said.session.transcript.run.text)
        redis.client_pause(6500, all=True)
        chat.drop()
        async with asyncio.timeout(30):
            turn = await said.answer()
        assert "".join(f"{index} " for index in range(200)) == turn["text"]
        assert (chat.differs, chat.connections) == (0, 2)


async def test_an_answer_that_redis_lost_is_made_anew(redis_url: str, redis: Any, model: Script) -> None:
    """Redis forgets everything in mid-answer: the client says it again, and `answer` has what came of it."""
    model.answers.append([step for index in range(100) for step in (f"{index} ", 0.02)])
    async with serving(redis_url, model) as a, connect(a.ws, user="ada") as chat:
        said = await chat.say("Count.", session="s")
        first = said.run
        await said.session.until(lambda: said.session.transcript.run and said.session.transcript.run.text)
        redis.flushall()
        redis.client_kill_filter(_type="pubsub")
        async with asyncio.timeout(10):
            turn = await said.answer()
        assert turn["text"] == "You said: Count."
        assert first != said.run


@pytest.mark.parametrize("redis_type", ["normal", "pubsub"])
async def test_connections_to_redis_are_made_anew(redis_url: str, redis: Any, model: Script, redis_type: str) -> None:
    """Killed, again and again, while turns are said: each is answered once."""
    async with two(redis_url, model) as (a, b), connect([a.ws, b.ws], user="ada") as chat:
        for index in range(10):
            said = await chat.say(f"Text {index}", session="s")
            redis.client_kill_filter(_type=redis_type, skipme=True)
            async with asyncio.timeout(10):
                assert f"You said: Text {index}" == (await said.answer())["text"]
    assert len(model.asked) == 10
