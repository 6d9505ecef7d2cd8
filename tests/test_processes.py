"""Several nodes from one command: each may be killed, none is missed, and all end together."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from app.client import Chat, Said, connect
from tests.servers import free_port, sse, until, upstream
from tests.test_start import Box, Started, asked, box, refused

COUNTED = "".join(f"{index} " for index in range(40))
NOWHERE = "redis://127.0.0.1:9/0"
TOLD = {"LEASE_SECONDS": "1", "DRAIN_SECONDS": "10"}


async def slowly(body: dict[str, Any]) -> AsyncIterator[bytes]:
    """Answer for about a second."""
    for index in range(40):
        yield sse(f"{index} ")
        await asyncio.sleep(0.025)
    yield sse(None, "stop")


def free_ports(count: int) -> int:
    """The first of so many ports in a row that nobody has."""
    while True:
        first = free_port()
        try:
            with ExitStack() as stack:
                for port in range(first, first + count):
                    stack.enter_context(socket.create_server(("127.0.0.1", port)))
                return first
        except (OSError, OverflowError):
            continue


def nodes(machine: Box) -> dict[str, int]:
    """The processes of nodes that a command runs, by their names."""
    found: dict[str, int] = {}
    for pid in machine.pids():
        with suppress(OSError):
            told = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            if b"serve" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                found |= {entry[5:].decode(): pid for entry in told if entry.startswith(b"NODE=")}
    return found


async def begun(chat: Chat) -> Said:
    """Have an answer begun."""
    said = await chat.say("Count", session="s")
    transcript = said.session.transcript
    await said.session.until(lambda: transcript.run and "5 " in transcript.run.text)
    return said


@asynccontextmanager
async def several(machine: Box, count: int, *flags: str, **environ: str) -> AsyncIterator[Started]:
    """Run several nodes; at the end SIGTERM ends them all, well."""
    started = machine.start(*flags, **TOLD, **environ)
    await started.serves(count)
    yield started
    started.process.terminate()
    assert await started.ended() == 0
    assert machine.pids() == []


async def test_a_cluster_loses_a_node_and_no_answer(tmp_path: Path) -> None:
    """Three nodes on ports in a row tell clients of each other; one is killed in mid-answer, and another goes on."""
    first = free_ports(3)
    addresses = [f"http://127.0.0.1:{port}" for port in range(first, first + 3)]
    with box(tmp_path) as machine:
        async with (
            upstream() as up,
            several(machine, 3, "cluster", "3", PORT=str(first), OPENAI_BASE_URL=up.url) as run,
        ):
            up.answer = slowly
            for address in addresses:
                assert f"\n  open  {address}\n" in run.out
            async with connect([f"ws{address[4:]}/ws" for address in addresses], user="ada") as chat:
                said = await begun(chat)
                assert chat.welcome["nodes"] == addresses
                dead = chat.welcome["node"]
                os.kill(nodes(machine)[dead], signal.SIGKILL)
                async with asyncio.timeout(10):
                    turn = await said.answer()
                assert (turn["text"], turn.get("state"), chat.differs) == (COUNTED, None, 0)
                assert chat.welcome["node"] != dead
            left = [name for name in "abc" if name != dead]
            assert sorted(nodes(machine)) == left
            async with httpx.AsyncClient() as http:
                for name in left:
                    assert (await http.get(f"{addresses['abc'.index(name)]}/ready")).status_code == 200
            await until(lambda: f"chat: node {dead} (process " in run.out)
            assert " ended with -9\n" in run.out


async def test_workers_of_one_port_lose_no_answer(tmp_path: Path) -> None:
    """The one that carries the run is killed: the other goes on, and the dead one is started again under its name."""
    port = free_port()
    with box(tmp_path) as machine:
        async with (
            upstream() as up,
            several(machine, 2, "serve", "--workers", "2", PORT=str(port), OPENAI_BASE_URL=up.url) as run,
        ):
            up.answer = slowly
            names = {f"node-{port}-1", f"node-{port}-2"}
            async with connect(f"ws://127.0.0.1:{port}/ws", user="ada") as chat:
                said = await begun(chat)
                dead = chat.welcome["node"]
                assert dead in names
                pid = nodes(machine)[dead]
                os.kill(pid, signal.SIGKILL)
                async with asyncio.timeout(10):
                    turn = await said.answer()
                assert (turn["text"], chat.differs) == (COUNTED, 0)
            await until(lambda: run.out.count(f"chat: node {dead}\n") == 2)
            assert nodes(machine)[dead] != pid
            assert await _seen(port, names) == names


async def _seen(port: int, names: set[str]) -> set[str]:
    """Connect until all nodes have been met."""
    met: set[str] = set()
    async with asyncio.timeout(10):
        while met != names:
            async with connect(f"ws://127.0.0.1:{port}/ws", user="ada") as chat:
                await chat.ping()
                met.add(chat.welcome["node"])
    return met


async def test_what_is_given_as_a_flag_reaches_every_node(tmp_path: Path) -> None:
    """A data folder, a model's name, a log level: `serve --workers` and `cluster` take them as `serve` does."""
    with box(tmp_path) as machine:
        other, first = tmp_path / "other", free_ports(2)
        async with upstream() as up:
            flags = ["--data-dir", str(other), "--model-name", "named", "--port", str(first), "--log-level", "error",
                     "--openai-base-url", up.url]  # fmt: skip
            async with several(machine, 2, "cluster", "2", *flags) as run:
                assert run.out.count(f", embedded in {other}\n") == 2
                assert run.out.count("\n  model named at ") == 2
        assert run.errors.read_text() == ""
        assert not machine.data.exists()


async def test_ctrl_c_in_the_terminal_lets_the_answers_end(tmp_path: Path) -> None:
    """It reaches every process of the terminal at once; the drain is not cut short by that."""
    first = free_ports(2)
    with box(tmp_path) as machine:
        async with upstream() as up:
            up.answer = slowly
            run = machine.start("cluster", "2", PORT=str(first), OPENAI_BASE_URL=up.url, **TOLD)
            await run.serves(2)
            async with connect(f"ws://127.0.0.1:{first}/ws", user="ada") as chat:
                said = await begun(chat)
                os.killpg(run.process.pid, signal.SIGINT)
                async with asyncio.timeout(10):
                    assert (await said.answer())["text"] == COUNTED
            assert await run.ended() == 0
            assert len(up.requests) == 1


async def test_a_second_signal_ends_the_drain(tmp_path: Path) -> None:
    """Whoever presses Ctrl+C twice is in a hurry: so are the nodes."""

    async def forever(body: dict[str, Any]) -> AsyncIterator[bytes]:
        while True:
            yield sse("on and ")
            await asyncio.sleep(0.05)

    told = TOLD | {"DRAIN_SECONDS": "60", "PORT": str(free_port())}
    with box(tmp_path) as machine:
        async with upstream() as up:
            up.answer = forever
            run = machine.start("serve", "--workers", "2", OPENAI_BASE_URL=up.url, **told)
            await run.serves(2)
            async with connect(f"ws://127.0.0.1:{told['PORT']}/ws", user="ada") as chat:
                said = await chat.say("Well?", session="s")
                await said.session.until(lambda: said.session.transcript.run and said.session.transcript.run.text)
                run.process.send_signal(signal.SIGINT)
                await until(lambda: len(nodes(machine)) == 1)
                run.process.send_signal(signal.SIGINT)
                async with asyncio.timeout(10):
                    assert await run.ended() == 0


STUBBORN = """import asyncio, contextlib
from app.agent.tools import tool

@tool(seconds=0.1)
async def stubborn() -> None:
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
"""


async def test_a_tool_that_does_not_end_ends_with_its_node(tmp_path: Path) -> None:
    """The process does not wait for it."""

    async def answer(body: dict[str, Any]) -> AsyncIterator[bytes]:
        call = {"index": 0, "id": "c", "function": {"name": "stubborn", "arguments": "{}"}}
        told = any(message["role"] == "tool" for message in body["messages"])
        delta = {"content": "I see."} if told else {"tool_calls": [call]}
        yield sse(None, "stop", choices=[{"index": 0, "delta": delta, "finish_reason": "stop"}])

    (tmp_path / "stubborn_tools.py").write_text(STUBBORN)
    told = {"PYTHONPATH": str(tmp_path), "TOOLS": "stubborn_tools", "TITLES": "off"}
    with box(tmp_path) as machine:
        async with upstream() as up:
            up.answer = answer
            async with machine.serving(OPENAI_BASE_URL=up.url, **told) as (node, port):
                assert (await asked(port, "Well?"))["text"] == "I see."
                node.process.terminate()
                async with asyncio.timeout(10):
                    assert await node.ended() == 0, node.errors.read_text()


async def test_a_setting_that_is_wrong_stops_all(tmp_path: Path) -> None:
    """A port that is taken, a Redis that is not there: the exit code is 2, and no node is started again and again."""
    first = free_ports(3)
    with box(tmp_path) as machine, socket.create_server(("127.0.0.1", first + 1)):
        taken = f"chat: PORT {first + 1} on HOST 127.0.0.1 cannot be taken: Address already in use"
        told = {"PORT": str(first), "OPENAI_API_KEY": "k", "MODEL_NAME": "m"}
        line, run, lost = await asyncio.gather(
            refused(machine, "serve", "--workers", "2", **told | {"PORT": str(first + 1)}),
            _ended(machine.start("cluster", "2", **told)),
            _ended(machine.start("serve", "--workers", "2", **told | {"PORT": str(first + 2), "REDIS_URL": NOWHERE})),
        )
        assert line.startswith(taken)
        assert (run.process.returncode, run.err.count("\n")) == (2, 1)
        assert run.err.startswith(taken)
        assert lost.process.returncode == 2
        assert lost.err.startswith("chat: REDIS_URL: no Redis answers there")
        assert lost.err.count("\n") <= 2


async def _ended(run: Started) -> Started:
    await run.ended()
    return run
