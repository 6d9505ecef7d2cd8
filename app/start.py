"""From settings to a node that serves: its state, its model, its socket, and words about all of them."""

import asyncio
import gc
import os
import signal
import socket
import webbrowser
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import replace
from typing import Final

from app.agent.llm import Abilities, Limits
from app.agent.models import WrongModels
from app.agent.tools.declared import WrongTools, loaded
from app.agent.tools.mcp import Servers
from app.agent.upstreams import Upstream, chosen
from app.config import SettingError, Settings
from app.core.errors import ModelUnavailable
from app.edge.serve import listen, listen_to_operators, serve
from app.node import running
from app.state.child import NotStarted
from app.state.embedded import NoServer, embedded
from app.state.fit import Fitness, Unfit, fitness

LINE: Final = 400  # characters of an error that came from elsewhere
REFUSED: Final = (401, 403)
COLLECT: Final = (20_000, 20, 10)  # Python's own: 700, 10, 10


async def start(settings: Settings, *, listener: int | None = None, open_browser: bool = False) -> None:
    """Serve one node until told to stop; on the socket whose descriptor is `listener`, where given.

    Raises:
        SettingError: something that it needs is missing or wrong; the message says what to do.
    """
    # Until it serves, SIGTERM is Ctrl+C: what was begun is undone, and no server of ours is left behind.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, signal.raise_signal, signal.SIGINT)
    opened = listen(settings) if listener is None else socket.socket(fileno=listener)
    operators = listen_to_operators(settings)
    with opened, operators or nullcontext():
        async with AsyncExitStack() as stack:
            url, fit, upstream = await stack.enter_async_context(parts(settings))
            told = replace(settings, redis_url=url)
            try:
                sources = [Servers.of(settings.mcp, os.environ)] if settings.mcp else []
                node = await stack.enter_async_context(
                    running(told, upstream.model, trial=upstream.trial, tools=loaded(settings.tools), sources=sources)
                )
            except WrongTools as error:
                raise SettingError(_line(str(error))) from error
            host = f"[{settings.host}]" if ":" in settings.host else settings.host
            address = f"http://{host}:{opened.getsockname()[1]}"
            where = "" if settings.redis_url else f", embedded in {settings.data_dir}"
            lines = (
                f"chat: node {settings.node}",
                f"state {fit.words}{where}",
                f"model {upstream.words}",
                f"open  {address}",
            )
            print("\n  ".join(lines), flush=True)
            if open_browser:
                await asyncio.to_thread(webbrowser.open, address)
            _settle()
            await serve(node, opened, operators)


@asynccontextmanager
async def parts(settings: Settings) -> AsyncIterator[tuple[str, Fitness, Upstream]]:
    """Have the state and the model at hand: the state's URL, what was found of it, and the model.

    Raises:
        SettingError: one of them is not to be had; the message says what to do.
    """
    limits = Limits(settings.connect_seconds, settings.first_token_seconds, settings.next_token_seconds)
    async with AsyncExitStack() as stack:
        try:
            url = settings.redis_url or await stack.enter_async_context(embedded(settings.data_dir))
            fit = await fitness(url)
            upstream = await stack.enter_async_context(
                chosen(
                    models=settings.models,
                    base_url=settings.openai_base_url,
                    api_key=settings.openai_api_key,
                    name=settings.model_name,
                    limits=limits,
                    abilities=Abilities(
                        settings.model_takeover,
                        settings.model_prefix,
                        titles=settings.titles,
                        tools=settings.model_tools,
                    ),
                    data=settings.data_dir,
                )
            )
        except WrongModels as error:
            raise SettingError(f"MODELS {settings.models}: {error}") from error
        except (Unfit, NoServer) as error:
            raise SettingError(_line(str(error))) from error
        except NotStarted as error:
            raise SettingError(
                f"a server in DATA_DIR {settings.data_dir} did not start: {_line(str(error))}; set another DATA_DIR"
            ) from error
        except ModelUnavailable as error:
            key_is_wrong = getattr(error.__cause__, "status_code", None) in REFUSED
            do = "Set OPENAI_API_KEY right" if key_is_wrong else "Set OPENAI_BASE_URL right, or MODEL_NAME"
            raise SettingError(f"{_line(error.message)}. {do}") from error
        except OSError as error:
            reason = error.strerror or str(error)
            raise SettingError(f"DATA_DIR {settings.data_dir} cannot be used: {reason}; set another") from error
        yield url, fit, upstream


def _settle() -> None:
    """Have the collector of cycles leave alone what lives as long as the process, and look less often for the rest.

    With thousands of clients each full collection stops the node for a tenth of a second, and clients make few cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT)


def _line(text: str) -> str:
    """What others say, as part of one line."""
    return " ".join(text.split())[:LINE]
