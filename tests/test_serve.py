"""The command line on real processes: two nodes, one Redis, one upstream, and what goes wrong at the start."""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.client import connect
from tests.servers import ROOT, free_port, sse, upstream


async def start(*flags: str, **environ: str) -> Process:
    """Start `python -m app` with an environment of ours only."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app", *flags, cwd=ROOT, env=kept | environ, stdout=PIPE, stderr=PIPE
    )


@asynccontextmanager
async def node(name: str, redis_url: str, base_url: str) -> AsyncIterator[tuple[Process, int]]:
    """One node as a process; yield it and its port once it serves."""
    port = free_port()
    process = await start("serve", "--port", str(port), "--node", name, REDIS_URL=redis_url, OPENAI_BASE_URL=base_url)
    try:
        assert process.stdout is not None
        lines = [(await asyncio.wait_for(process.stdout.readline(), 15)).decode() for _ in range(4)]
        assert f"chat: node {name}\n" == lines[0]
        assert lines[1].startswith(("  state Redis 7", "  state Valkey"))
        assert [f"  model up-1 at {base_url}/\n", f"  open  http://127.0.0.1:{port}\n"] == lines[2:]
        yield process, port
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def slowly(body: dict[str, Any]) -> AsyncIterator[bytes]:
    """Answer for about a second."""
    for index in range(50):
        yield sse(f"{index} ")
        await asyncio.sleep(0.02)
    yield sse(None, "stop")


async def test_two_processes_one_answer(redis_url: str) -> None:
    """Said on one, seen on the other; on SIGTERM the answer under way is finished, and the process ends well."""
    async with (
        upstream() as up,
        node("a", redis_url, up.url) as (process, first),
        node("b", redis_url, up.url) as (_, second),
    ):
        up.answer = slowly
        urls = [f"ws://127.0.0.1:{port}/ws" for port in (first, second)]
        async with connect(urls[0], user="ada") as speaker, connect(urls[1], user="ada") as reader:
            said = await speaker.say("Count.", session="s")
            session = await reader.open("s")
            await session.until(lambda: session.transcript.run and session.transcript.run.text)
            process.send_signal(signal.SIGTERM)
            await session.until(lambda: session.turn(said.run))
            turn = session.turn(said.run) or {}
        assert "".join(f"{index} " for index in range(50)) == turn["text"]
        assert await asyncio.wait_for(process.wait(), 10) == 0
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{second}") as http:
            assert (await http.get("/ready")).status_code == 200


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        (
            {"REDIS_URL": "redis://127.0.0.1:9/0", "MODEL_NAME": "m", "OPENAI_API_KEY": "k"},
            "chat: REDIS_URL: no Redis answers there",
        ),
        (
            {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"},
            "chat: no model found at http://127.0.0.1:9/v1",
        ),
        ({"REDIS_URL": "redis://x", "OPENAI_API_KEY": "k", "PORT": "x"}, "chat: PORT is 'x'; expected a whole number"),
    ],
    ids=["no Redis", "no upstream", "no port"],
)
async def test_what_is_wrong_at_the_start_is_one_line(environ: dict[str, str], words: str, tmp_path: Path) -> None:
    """On stderr, without a traceback; exit code 2."""
    process = await start("serve", **({"PORT": str(free_port()), "DATA_DIR": str(tmp_path)} | environ))
    out, error = await asyncio.wait_for(process.communicate(), 30)
    lines = [line for line in error.decode().splitlines() if not line.startswith("20")]  # dated lines are the log's
    assert (process.returncode, out, len(lines)) == (2, b"", 1), error.decode()
    assert lines[0].startswith(words)


async def test_a_port_that_is_taken_is_one_line(redis_url: str) -> None:
    """It names the port."""
    async with upstream() as up:
        taken = up.url.split(":")[2].removesuffix("/v1")
        process = await start(REDIS_URL=redis_url, OPENAI_BASE_URL=up.url, PORT=taken)
        _, error = await asyncio.wait_for(process.communicate(), 30)
        line = f"chat: PORT {taken} on HOST 127.0.0.1 cannot be taken: Address already in use; set another PORT\n"
        assert (2, line) == (process.returncode, error.decode())
