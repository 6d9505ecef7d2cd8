"""agent.tools.mcp: tools of real servers, here over stdio and elsewhere over HTTP, and what becomes of them."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pytest
import uvicorn

from app.agent.request import AgentRequest
from app.agent.tools.declared import WrongTools
from app.agent.tools.mcp import Servers, entries
from app.agent.tools.tool import ToolError
from app.agent.tools.toolbox import Toolbox
from tests.servers import ROOT, free_port, until
from tests.tools.mcp_server import made

SERVER: Final = [sys.executable, str(ROOT / "tests" / "tools" / "mcp_server.py")]
REQUEST: Final = AgentRequest("a-user", "a-session", "a question", datetime.now(UTC), {}, {}, [])


def table(name: str = "files", **fields: Any) -> str:
    """One `[[server]]`."""
    return "[[server]]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in {"name": name, **fields}.items())


def _toml(value: Any) -> str:
    match value:
        case dict():
            return "{ " + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + " }"
        case list():
            return "[" + ", ".join(map(_toml, value)) + "]"
        case str():
            return f"'{value}'"
    return str(value)


@asynccontextmanager
async def kept(folder: Path, *tables: str, environ: Mapping[str, str] = os.environ) -> AsyncIterator[Servers]:
    """Keep the servers of a file."""
    file = folder / "mcp.toml"
    file.write_text("\n".join(tables))
    servers = Servers.of(file, environ)
    task = asyncio.create_task(servers.run())
    try:
        yield servers
    finally:
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=8)
        assert done, "it goes on"
        assert task.cancelled()


@asynccontextmanager
async def elsewhere(port: int, *, old: bool) -> AsyncIterator[None]:
    """Serve over HTTP, until all its connections are cut."""
    app = made(old=old).streamable_http_app()
    config = uvicorn.Config(app, port=port, log_config=None, access_log=False, timeout_graceful_shutdown=0)
    http = uvicorn.Server(config)
    http.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    task = asyncio.create_task(http.serve())
    await until(lambda: http.started)
    try:
        yield
    finally:
        http.should_exit = True
        await task


async def call(servers: Servers, name: str, **parameters: Any) -> Any:
    """Call a tool as a run does."""
    box = Toolbox(sources=[servers])
    tool = box.get(name)
    assert tool is not None, name
    return await box.call(tool, REQUEST, box.checked(tool, parameters))


def names(servers: Servers) -> set[str]:
    """What the tools are called."""
    return {one.get_tool_schema()["name"] for one in servers.tools}


async def test_tools_of_a_server_here_are_called(tmp_path: Path) -> None:
    """By either version of the protocol: text, structure, failure, other than text; and the list as it changes."""
    tables = table("new", command=SERVER, approval="never"), table("old", command=[*SERVER, "--old"], approval="never")
    async with kept(tmp_path, *tables) as servers:
        await until(lambda: {"new__echo", "old__echo"} <= names(servers), 20)
        for name, refusal in (("new", "asks for what it is not given"), ("old", "List roots not supported")):
            assert await call(servers, f"{name}__echo", text="hello") == "hello"
            assert await call(servers, f"{name}__add", a=1, b=2) == {"sum": 3}
            with pytest.raises(ToolError, match="it is empty"):
                await call(servers, f"{name}__fail", why="it is empty")
            with pytest.raises(ToolError, match=r"wrong arguments: \$: 'text' is a required property"):
                await call(servers, f"{name}__echo")
            assert await call(servers, f"{name}__picture") == [
                "here",
                {"type": "image", "mimeType": "image/png", "bytes": 8},
                "words",
                {"type": "resource", "mimeType": "x/y", "bytes": 3},
            ]
            with pytest.raises(ToolError, match=refusal):
                await call(servers, f"{name}__ask")
            assert await call(servers, f"{name}__grow") == {"result": "done"}
        await until(lambda: {"new__grown", "old__grown"} <= names(servers))
        assert await call(servers, "new__grown", text="more") == "more"


async def test_a_call_has_its_time_and_is_cancelled_there_too(tmp_path: Path) -> None:
    """The server is told, and goes on with other calls; and one that never answers is none of its affair."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        async with kept(
            tmp_path,
            table("deaf", url=f"http://127.0.0.1:{deaf.getsockname()[1]}/mcp"),
            table("none", command=["/no/such/program"]),
            table("mute", command=[sys.executable, "-c", "import sys; sys.stdin.read()"]),
            table("here", command=SERVER, tools=["echo", "slow", "cancellations"], seconds=0.5),
        ) as servers:
            assert servers.tools == []
            await until(lambda: servers.tools, 20)
            assert names(servers) == {"here__echo", "here__slow", "here__cancellations"}
            with pytest.raises(ToolError, match=r"it took longer than 0\.5 s"):
                await call(servers, "here__slow", seconds=60.0)
            assert await call(servers, "here__cancellations") == {"result": [60.0]}
            waiting = asyncio.create_task(call(servers, "here__slow", seconds=30.0))
            assert await call(servers, "here__echo", text="meanwhile") == "meanwhile"
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert await call(servers, "here__cancellations") == {"result": [60.0, 30.0]}
            ending = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - ending < 2


async def test_a_server_that_was_killed_is_begun_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tools are gone, a call under way has failed, and all is there with the next; none has any of our secrets."""
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setenv("FILES_KEY", "its own")
    async with kept(tmp_path, table(command=SERVER, env={"KEY": "env:FILES_KEY", "MODE": "x"})) as servers:
        await until(lambda: servers.tools, 20)
        before = servers.tools
        seen = await call(servers, "files__around")
        assert seen["environment"].items() >= {"KEY": "its own", "MODE": "x", "PATH": os.environ["PATH"]}.items()
        assert "secret" not in str(seen)
        inherited = {"PATH", "HOME", "LANG", "USER", "LOGNAME", "SHELL", "TERM", "LC_CTYPE"}  # the last by PEP 538
        assert set(seen["environment"]) - inherited == {"KEY", "MODE"}
        waiting = asyncio.create_task(call(servers, "files__slow", seconds=60.0))
        await call(servers, "files__echo", text="it has both")
        os.kill(seen["process"], signal.SIGKILL)
        with pytest.raises(ToolError, match="files is not connected"):
            await waiting
        await until(lambda: not servers.tools)
        with pytest.raises(ToolError, match="files is not connected"):
            await before[0].execute(REQUEST, {"text": "a tool that was listed before"})
        await until(lambda: servers.tools, 20)
        another = (await call(servers, "files__around"))["process"]
        assert another != seen["process"]
        await call(servers, "files__slow", seconds=0.5)  # meanwhile its list is read once more, and then all is quiet
        os.kill(another, signal.SIGKILL)
        await until(lambda: not servers.tools)  # without a call that would show it


@pytest.mark.parametrize("old", [False, True], ids=["newest", "handshake"])
async def test_a_server_elsewhere_comes_and_goes(tmp_path: Path, old: bool) -> None:
    """It is there, is cut off, and is there again; it learns nothing of who asks."""
    port = free_port()
    entry = table("far", url=f"http://127.0.0.1:{port}/mcp", headers={"Authorization": "env:TOKEN"})
    async with AsyncExitStack() as stack:
        async with elsewhere(port, old=old):
            servers = await stack.enter_async_context(kept(tmp_path, entry, environ={"TOKEN": "Bearer it"}))
            await until(lambda: servers.tools, 20)
            assert await call(servers, "far__add", a=1, b=2) == {"sum": 3}
            seen = await call(servers, "far__around")
            told = f"{seen['headers']} {seen['meta']}"
            assert seen["headers"]["authorization"] == "Bearer it"
            assert ("'name': 'chat'" in told) == (not old)  # with each call, or in the handshake
            assert not any(word in told for word in (REQUEST.user_id, REQUEST.session_id, REQUEST.message))
            await call(servers, "far__grow")
            await until(lambda: "far__grown" in names(servers))
            before = servers.tools  # they may be gone at once, if their list was being read
        with pytest.raises(ToolError, match="far is not connected"):
            await before[0].execute(REQUEST, {"text": "a tool that was listed before"})
        await until(lambda: not servers.tools)
        await servers.come("farther__echo")  # which is nobody's
        async with elsewhere(port, old=old):
            await asyncio.wait_for(servers.come("far__echo"), 20)
            assert "far__grown" not in names(servers)
            assert await call(servers, "far__echo", text="again") == "again"


async def test_a_server_that_forgot_us_is_met_anew(tmp_path: Path) -> None:
    """One that began again between two calls refuses the first: that shows it, and the next is answered."""
    port = free_port()
    async with AsyncExitStack() as stack:
        async with elsewhere(port, old=True):
            entry = table("far", url=f"http://127.0.0.1:{port}/mcp")
            servers = await stack.enter_async_context(kept(tmp_path, entry))
            await until(lambda: servers.tools, 20)
            before = servers.tools
        async with elsewhere(port, old=True):
            with pytest.raises(ToolError, match=r"far: |far is not connected"):
                await before[0].execute(REQUEST, {"text": "hello"})
            await until(lambda: not servers.tools)
            await until(lambda: servers.tools, 20)
            assert await call(servers, "far__echo", text="hello") == "hello"


async def test_an_end_comes_through_whatever_fails_meanwhile(tmp_path: Path) -> None:
    """At any moment of a server that ends as soon as it began: the package may put that error in its place."""
    for moment in range(30):
        async with kept(tmp_path, table("a", command=["false"]), table("b", command=["sh", "-c", "sleep 0.01"])):
            await asyncio.sleep(moment / 500)  # the moment is what is tried here


@pytest.mark.skipif(find_spec("mcp_server_time") is None, reason="mcp-server-time is not installed")
async def test_a_reference_server_is_understood(tmp_path: Path) -> None:
    """The one for times, of the protocol's own people."""
    command = [sys.executable, "-m", "mcp_server_time", "--local-timezone", "UTC"]
    async with kept(tmp_path, table("time", command=command, approval="writes")) as servers:
        await until(lambda: servers.tools, 20)
        assert names(servers) == {"time__get_current_time", "time__convert_time"}
        now = await call(servers, "time__get_current_time", timezone="Europe/Vienna")
        assert now["timezone"] == "Europe/Vienna"
        with pytest.raises(ToolError, match="Nowhere"):
            await call(servers, "time__get_current_time", timezone="Nowhere")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read"),
        ("server = ", "is not right"),
        ("", "missing required field `server`"),
        (table(command=["x"], path="y"), "unknown field `path`"),
        (table(), "has neither command nor url; expected one of them"),
        (table(command=["x"], url="http://h/"), "has both command and url"),
        (table(command=[]), r"has command \[\]; expected a program"),
        (table(url="ftp://h/"), "has url 'ftp://h/'; expected http://HOST/PATH"),
        (table("a b", command=["x"]), "server 'a b' has a wrong name; expected 1 to 32"),
        (table("a__b", command=["x"]), "server 'a__b' has a wrong name"),
        (table("a_", command=["x"]), "server 'a_' has a wrong name"),
        (table("a" * 33, command=["x"]), "has a wrong name"),
        (table(command=["x"]) * 2, "2 servers are named 'files'"),
        (table(command=["x"], approval="maybe"), "Invalid enum value 'maybe'"),
        (table(command=["x"], seconds=0), "has seconds 0; expected more than 0"),
        (table(command=["x"], headers={"a": "b"}), "has headers and no url"),
        (table(url="http://h/", env={"a": "b"}), "has env and no command"),
        (table(url="http://h/", headers={"a": "env:NONE"}), "has header a in NONE, which is not set"),
        (table(url="http://h/", headers={"a": "env:LINES"}), "has header 'a'; expected printable ASCII"),
    ],
)
def test_what_is_wrong_with_the_file_is_said(tmp_path: Path, text: str | None, words: str) -> None:
    """Which file, what was seen, and what was expected."""
    file = tmp_path / "mcp.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(WrongTools, match=words) as raised:
        entries(file, {"LINES": "one\ntwo"})
    assert str(raised.value).startswith(f"{file}: ")
    assert "two" not in str(raised.value)


def test_without_the_package_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And only where there is a file of servers: nothing else of the project loads it."""
    file = tmp_path / "mcp.toml"
    file.write_text(table(command=["x"]))
    monkeypatch.setitem(sys.modules, "mcp.client.client", None)
    monkeypatch.delitem(sys.modules, "app.agent.tools.mcp_link", raising=False)
    with pytest.raises(WrongTools, match=r"the package mcp is missing .*; pip install 'chat\[mcp\]'"):
        Servers.of(file, {})
    code = "import sys, app.agent.tools.mcp; sys.exit('mcp' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
