"""Publishes are lost, readers are slow: nothing is lost or repeated, and nobody else notices."""

import asyncio
import random
import socket as sockets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from app.client import Chat, Said, Session, connect
from app.core.entries import Delta, decode
from tests.reader import Reader, Record, reading
from tests.servers import Script, two, until

SLOW_SECONDS = 10.0


async def _read_all(reader: Reader, run: str) -> Record:
    record = Record()
    await reader.ask(type="open", session="s", cursor="0-0")
    while run not in record.ends:
        record.take(await reader.next("batch"))
    return record


async def test_with_the_subscription_killed_nothing_is_lost_or_repeated(
    redis_url: str, redis: Any, model: Script
) -> None:
    """CLIENT KILL of both nodes' pub/sub connections at random, ten times in one answer."""
    pieces = [f"{index} " for index in range(400)]
    model.answers.append([step for piece in pieces for step in (piece, 0.008)])
    async with two(redis_url, model, flush_ms=1) as (a, b), reading(a.ws) as one, reading(b.ws) as other:
        said = await one.ask(type="say", session="s", id="m", text="Count.")
        reads = [asyncio.create_task(_read_all(reader, said["run"])) for reader in (one, other)]
        killed = 0
        for _ in range(10):
            await asyncio.sleep(random.uniform(0.05, 0.3))
            killed += redis.client_kill_filter(_type="pubsub")
        records = await asyncio.gather(*reads)
    assert killed >= 10
    for record in records:
        assert "".join(pieces) == record.texts[said["run"]]
        assert record.whole(said["run"])


async def test_a_lost_publish_is_found_by_the_next_one(redis_url: str, redis: Any, model: Script) -> None:
    """A channel is unsubscribed behind the node's back for a while: the next entry shows the gap."""
    step = asyncio.Semaphore(0)
    model.gate = step.acquire
    model.answers.append(["one ", "two ", "three ", "four "])
    async with two(redis_url, model, flush_ms=0) as (a, b), reading(a.ws) as one, reading(b.ws) as other:
        said = await one.ask(type="say", session="s", id="m", text="Count.")
        record = Record()
        await other.ask(type="open", session="s", cursor="0-0")

        async def until_text(text: str) -> None:
            while record.texts.get(said["run"]) != text:
                record.take(await other.next("batch"))

        step.release()
        await until_text("one ")
        channel = next(channel for channel in b.node.state.bus.channels if ":live:" in channel)
        b.node.state.bus.unsubscribe(channel)
        await until(lambda: redis.pubsub_numsub(channel)[0][1] == 1)
        step.release()
        await until(lambda: _text_in_log(redis).endswith("two "))
        await b.node.state.bus.subscribe(channel)
        step.release()
        await until_text("one two three ")
        assert b.node.hub.tally.healed >= 1
        step.release()
        while said["run"] not in record.ends:
            record.take(await other.next("batch"))
        assert record.whole(said["run"])


def _text_in_log(redis: Any) -> str:
    """The text of all deltas in the only log there is."""
    log = redis.keys("*:log:*")[0]
    entries = [decode(fields[b"e"]) for _, fields in redis.xrange(log)]
    return "".join(entry.text for entry in entries if isinstance(entry, Delta))


async def test_a_reader_that_stops_reading_delays_nobody(redis_url: str, model: Script) -> None:
    """It reads nothing for 10 s while 240 KB pass; another is never late; then it catches up exactly."""
    piece = "x" * 999 + " "
    model.answers.append([step for _ in range(240) for step in (piece, SLOW_SECONDS / 240)])
    async with two(redis_url, model) as (a, b), reading(a.ws) as one, reading(b.ws) as quick:
        small = sockets.socket()
        small.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
        small.setblocking(False)
        await asyncio.get_running_loop().sock_connect(small, ("127.0.0.1", b.port))
        async with reading(b.ws, sock=small) as slow:
            said = await one.ask(type="say", session="s", id="m", text="Fill.")
            await slow.send(type="open", session="s", cursor="0-0")
            slow.socket.transport.pause_reading()
            late, record, last = 0.0, Record(), time.monotonic()
            await quick.ask(type="open", session="s", cursor="0-0")
            while said["run"] not in record.ends:
                record.take(await quick.next("batch"))
                late, last = max(late, time.monotonic() - last), time.monotonic()
            held = max(connection.outbox.queued_bytes for connection in b.site.connections)
            slow.socket.transport.resume_reading()
            behind = Record()
            while said["run"] not in behind.ends:
                behind.take(await slow.next("batch"))
    assert late < 1.0
    assert held <= 256 * 1024 + 4096
    assert record.whole(said["run"])
    assert behind.whole(said["run"])
    assert record.cursor == behind.cursor
    assert len(behind.steps) < len(record.steps)  # merged


@asynccontextmanager
async def _fallen_back(
    redis_url: str, redis: Any, model: Script
) -> AsyncIterator[tuple[str, Chat, Said, asyncio.Semaphore]]:
    """Have Redis fall back in mid-answer to where "one " was said, after "one two " was: a replica that had less."""
    step = asyncio.Semaphore(0)
    model.gate = step.acquire
    model.answers.append(["one ", "two ", "three ", "four "])
    async with two(redis_url, model, flush_ms=0) as (a, b), connect(b.ws, user="ada") as chat:
        session = await chat.open("s")
        said = await chat.say("Count.", session="s")
        step.release()
        await session.until(partial(_shows, session, "one "))
        before = {key: redis.dump(key) for key in redis.keys("*") if not key.endswith(b":leases")}
        step.release()
        await session.until(partial(_shows, session, "one two "))
        for key, value in before.items():
            redis.restore(key, 600_000, value, replace=True)
        yield b.ws, chat, said, step
        assert a.node.differing + b.node.differing == 0


async def test_a_writer_whose_tail_was_lost_puts_it_back(redis_url: str, redis: Any, model: Script) -> None:
    """Under its old ids, where nothing came after: no reader notices, not even one that comes with an old cursor."""
    async with _fallen_back(redis_url, redis, model) as (url, chat, said, step):
        session = said.session
        cursor = str(session.transcript.at)
        follows = asyncio.create_task(_kinds(session))
        for _ in range(3):
            step.release()
        turn = await said.answer()
        assert turn["text"] == "one two three four "
        assert await follows in (["delta", "end"], ["delta", "delta", "end"])
        async with reading(url) as reader:
            await reader.ask(type="open", session="s", cursor=cursor)
            batch = await reader.next("batch", "reset")
            assert (batch["type"], batch["after"]) == ("batch", cursor)
        assert (chat.differs, len(model.asked)) == (0, 1)


async def test_a_writer_whose_lost_tail_was_written_over_writes_its_text_anew(
    redis_url: str, redis: Any, model: Script
) -> None:
    """Somebody spoke meanwhile, and has the ids: every reader ends with the whole text, once."""
    async with _fallen_back(redis_url, redis, model) as (url, chat, said, step):
        async with reading(url) as speaker:
            await speaker.ask(type="say", session="s", id="other", text="And now?")
        for _ in range(4):
            step.release()
        turn = await said.answer()
        assert turn["text"] == "one two three four "
        assert (chat.differs, turn["text"]) == (0, await _read_again(url, said.run))


async def _kinds(session: Session) -> list[str]:
    """The kinds of the entries that come until a run ends; `reset` for a reset."""
    kinds: list[str] = []
    async for frame in session.follow():
        kinds += [entry["kind"] for entry in frame["entries"]] if frame["type"] == "batch" else [frame["type"]]
        if "end" in kinds:
            break
    return kinds


def _shows(session: Session, text: str) -> bool:
    run = session.transcript.run
    return run is not None and run.text == text


async def _read_again(url: str, run: str) -> str:
    """What a reader who comes afterwards is shown of a run."""
    async with connect(url, user="ada") as chat:
        session = await chat.open("s")
        return str((session.turn(run) or {})["text"])
