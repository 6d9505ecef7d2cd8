"""RFC 6455 by Autobahn's cases, which kosoku runs against an echo that is served with exactly our settings.

Without the cases on speed (9) and on compression (12, 13), which we do not offer.
"""

import asyncio
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from app import config
from app.edge.serve import listen, server
from tests.servers import free_port, until

CASES: Final = 247
WITHOUT: Final = ("9.*", "12.*", "13.*")
LONG_SECONDS: Final = 60.0  # it takes about six
PASSED: Final = {"OK", "NON-STRICT", "INFORMATIONAL"}
KNOWN: Final = {"7.1.5"}  # a close in the middle of a message: the `websockets` package says 1002, and not 1000


async def test_our_websocket_is_one(tmp_path: Path) -> None:
    """Every case passes, in what is said and in how it closes, but for the known ones."""
    async with _echoing() as port:
        without = [word for case in WITHOUT for word in ("-x", case)]
        program = Path(sys.executable).with_name("kosoku")
        fuzzing = await asyncio.create_subprocess_exec(
            program, "-m", "fuzzingclient", "-p", "2", *without, "-o", tmp_path, f"127.0.0.1:{port}",
            stdout=DEVNULL, stderr=DEVNULL,
        )  # fmt: skip
        try:
            async with asyncio.timeout(LONG_SECONDS):
                await fuzzing.wait()
        finally:
            if fuzzing.returncode is None:
                fuzzing.kill()
    [results] = msgspec.json.decode((tmp_path / "index.json").read_bytes()).values()
    failed = {case for case, result in results.items() if not _passed(result)}
    assert (len(results), failed) == (CASES, KNOWN)


def _passed(result: dict[str, Any]) -> bool:
    return {result["behavior"], result["behaviorClose"]} <= PASSED


@asynccontextmanager
async def _echoing() -> AsyncIterator[int]:
    """Serve an echo as the product serves itself; yield its port."""
    settings = config.read({"PORT": str(free_port())}, {})
    http = server(Starlette(routes=[WebSocketRoute("/", _echo)]))
    listener = listen(settings)
    serving = asyncio.create_task(http.serve([listener]))
    await until(lambda: http.started)
    try:
        yield settings.port
    finally:
        http.should_exit = http.force_exit = True
        await serving
        listener.close()


async def _echo(socket: WebSocket) -> None:
    """Say whatever is said."""
    await socket.accept()
    while (message := await socket.receive())["type"] == "websocket.receive":
        await socket.send({**message, "type": "websocket.send"})
