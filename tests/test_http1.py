"""agent.http1 and agent.events: a stream of events over HTTP/1.1, in any pieces, from any server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvloop

from app.agent.events import Events, NoChunk
from app.agent.http1 import Broken, NotReached, Pool, proxied
from app.agent.lines import LINE_BYTES
from app.agent.llm import Limits, OpenAIModel
from app.agent.prompt import Prompt
from tests.servers import sse, until, upstream

READ_BYTES = 512 * 1024  # what an event loop reads at once, and a little more
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def part(data: bytes) -> bytes:
    """A part of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


@asynccontextmanager
async def server(answer: Callable[[int], list[bytes | float | None]]) -> AsyncIterator[tuple[Pool, list[int]]]:
    """Serve: what `answer` gives for each request of a connection is written; pauses are kept, None closes.

    Yields a pool to it, and how many requests came on each connection.
    """
    counts: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mine = len(counts)
        counts.append(0)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError), contextlib.closing(writer):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                await reader.readexactly(length)
                counts[mine] += 1
                for step in answer(sum(counts)):
                    if step is None:
                        return
                    if isinstance(step, float):
                        await asyncio.sleep(step)
                    else:
                        writer.write(step)
                        await writer.drain()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    pool = Pool(urlsplit(f"http://127.0.0.1:{port}/v1/"), {"Authorization": "Bearer x"}, 1.0)
    try:
        yield pool, counts
    finally:
        pool.close()
        listening.close()


async def body(pool: Pool) -> bytes:
    """Ask, and read to the end."""
    line = await pool.post("/v1/x", b"{}")
    try:
        taken = []
        while data := await line.take(5.0):
            taken.append(data)
        return b"".join(taken)
    finally:
        pool.done(line)


async def test_a_body_in_any_pieces() -> None:
    """Cut wherever, also within the head and the sizes of its parts."""
    whole = CHUNKED + part(b"one ") + part(b"two") + b"0\r\n\r\n"
    cuts: list[bytes | float | None] = [step for byte in whole for step in (bytes([byte]), 0.0)]
    async with server(lambda count: cuts) as (pool, _):
        assert await body(pool) == b"one two"


async def test_a_connection_is_kept_for_the_next_request() -> None:
    """As long as its answers are read to their end."""
    paused: list[bytes | float | None] = [CHUNKED, part(b"x"), 60.0]
    async with server(lambda count: paused if count == 4 else [CHUNKED, part(b"x"), b"0\r\n\r\n"]) as (pool, counts):
        assert [await body(pool) for _ in range(3)] == [b"x"] * 3
        assert counts == [3]
        line = await pool.post("/v1/x", b"{}")
        pool.done(line)
        assert await body(pool) == b"x"
        assert len(counts) == 2


async def test_a_connection_that_was_closed_while_idle_is_no_failure() -> None:
    """Nobody had seen the request: another connection is made."""
    async with server(lambda count: [CHUNKED, part(b"x"), b"0\r\n\r\n", None]) as (pool, counts):
        assert [await body(pool) for _ in range(3)] == [b"x"] * 3
        assert counts == [1, 1, 1]


def test_a_connection_that_was_closed_while_idle_is_no_failure_on_uvloop() -> None:
    """As nodes run: there writing to a closed connection raises."""

    async def ask() -> None:
        async with server(lambda count: [CHUNKED, part(b"x"), b"0\r\n\r\n", None]) as (pool, counts):
            for _ in range(3):
                assert await body(pool) == b"x"
                await until(lambda: all(line.gone for line in pool.idle))
            assert counts == [1, 1, 1]

    uvloop.run(ask())


@pytest.mark.parametrize(
    "answer",
    [
        [None],
        [b"HTTP/1.1 200 OK\r\n", None],
        [CHUNKED, part(b"x"), None],
        [CHUNKED, b"nonsense\r\n", 60.0],
        [b"what\r\n\r\n", 60.0],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", None],
    ],
)
async def test_what_breaks_off_is_broken(answer: list[bytes | float | None]) -> None:
    """Before its head or its end, or with what is no HTTP."""
    async with server(lambda count: answer) as (pool, _):
        with pytest.raises(Broken):
            await body(pool)


async def test_a_body_without_a_length_ends_with_its_connection() -> None:
    """As HTTP/1.0 has it."""
    async with server(lambda count: [b"HTTP/1.1 200 OK\r\n\r\n", b"all of it", None]) as (pool, _):
        assert await body(pool) == b"all of it"


async def test_no_more_is_read_ahead_than_may_be() -> None:
    """Whoever does not take holds the server back."""
    sent = 0

    def endless(count: int) -> list[bytes | float | None]:
        return [CHUNKED, *[part(b"x" * 65_536) for _ in range(200)], b"0\r\n\r\n"]

    async with server(endless) as (pool, _):
        line = await pool.post("/v1/x", b"{}")
        for _ in range(3):
            await asyncio.sleep(0.05)
            assert len(line.answer.body) <= READ_BYTES
            sent += len(await line.take(5.0))
        while data := await line.take(5.0):
            sent += len(data)
        assert sent == 200 * 65_536
        pool.done(line)


async def test_nobody_listens() -> None:
    """Refused at once; and whoever is not reached in time is not waited for."""
    with pytest.raises(OSError, match="onnect"):
        await body(Pool(urlsplit("http://127.0.0.1:9/"), {}, 1.0))
    async with upstream() as up:
        with pytest.raises(NotReached):
            await body(Pool(urlsplit(up.url), {}, 0.0))


async def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the `openai` package asks, through it: here one that is the upstream itself."""
    async with upstream() as up:
        proxy = urlsplit(up.url)
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, f"http://{proxy.netloc}")
        assert proxied(urlsplit("http://model.example/v1/"))
        model = await OpenAIModel.connect(
            base_url="http://model.example/v1", api_key="k", name="up-1", limits=Limits(1.0, 5.0, 5.0)
        )
        text = "".join(
            [piece.text async for piece in model.stream("up-1", Prompt([{"role": "user", "content": "one two"}]))]
        )
        await model.close()
        assert (text, up.keys) == ("one two ", ["Bearer k"])


def chunks(*data: bytes) -> list[Any]:
    """What is said in all chunks of a stream."""
    events = Events()
    return [chunk.choices[0].delta.content for some in data for chunk in events.chunks(some)]


def test_events_in_any_pieces() -> None:
    """Lines cut anywhere, with either line end; comments and names of events are passed over."""
    stream = b": hello\r\n\r\n" + sse("one ") + b"event: x\n" + sse("two").replace(b"\n", b"\r\n") + b"data: [DONE]\n\n"
    assert chunks(stream) == ["one ", "two"]
    assert chunks(*(stream[index : index + 1] for index in range(len(stream)))) == ["one ", "two"]


@pytest.mark.parametrize(
    "data",
    [
        b"data: {nonsense\n",
        b"data: \xff\xfe\n",
        b'data: "text"\n',
        b'data: {"choices": 5}\n',
        b'data: {"choices": [{"delta": {"content": 5}}]}\n',
        b'data: {"error": {"message": "secret"}}\n',
        b"data: " + b"[" * 100_000 + b"\n",
        b"x" * (LINE_BYTES + 1),
    ],
    ids=range(8),
)
def test_what_is_no_chunk(data: bytes) -> None:
    """Typed; and no line is longer than it may be."""
    with pytest.raises(NoChunk):
        list(Events().chunks(data))
