"""Serving: uvicorn with its settings right, and an end in the right order.

One process, `websockets-sansio` (the implementation with write backpressure), no compression (30 KiB a socket and
twice the CPU), messages of at most 1 MiB, no proxy headers, no environment read behind our back. uvicorn closes all
sockets as soon as it is told to stop, so it is told last: after our own drain.
"""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn

from app.config import SettingError, Settings
from app.core.protocol import FRAME_BYTES
from app.edge.app import Site
from app.node import Node

BACKLOG: Final = 2048
SILENT_MS: Final = 40_000  # the kernel drops a peer that acknowledges nothing for so long
SEND_BYTES: Final = 64 * 1024  # the kernel keeps at most about twice that for a slow peer; left alone, up to 4 MiB


class Server(uvicorn.Server):
    """uvicorn's server without its signal handlers: this process has its own order of stopping."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def listen(settings: Settings) -> socket.socket:
    """Take the port.

    Raises:
        SettingError: it is taken, or not ours to take.
    """
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        listener = socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise SettingError(
            f"PORT {settings.port} on HOST {settings.host} cannot be taken: {reason}; set another PORT"
        ) from error
    listener.set_inheritable(True)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # uvloop sets it anyway, asyncio does not
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux has it, macOS does not
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_MS)
    return listener


def server(site: Site) -> Server:
    """Make the server of a site."""
    logging.getLogger("uvicorn.error").addFilter(_worth_a_line)
    return Server(
        uvicorn.Config(
            site.app,
            lifespan="off",
            workers=1,
            http="httptools",
            ws="websockets-sansio",
            ws_max_size=FRAME_BYTES,
            ws_per_message_deflate=False,
            proxy_headers=False,
            server_header=False,
            access_log=False,
            log_config=None,
            timeout_graceful_shutdown=2,
        )
    )


def _worth_a_line(record: logging.LogRecord) -> bool:
    """Drop what uvicorn says of every upgrade that is refused with a response: a stranger could fill the log."""
    return "without completing handshake" not in record.getMessage()


async def serve(node: Node, listener: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT; then drain, then stop. A second signal ends the drain."""
    site = Site(node)
    told = asyncio.Event()

    def tell() -> None:
        if told.is_set():
            node.hurry()
        told.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, tell)
    uvicorn_server = server(site)
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(uvicorn_server.serve([listener]))
        beating = tasks.create_task(site.beat())
        waiting = tasks.create_task(told.wait())
        await asyncio.wait([serving, waiting], return_when=asyncio.FIRST_COMPLETED)
        await node.drain()
        uvicorn_server.should_exit = True
        await serving
        beating.cancel()
        waiting.cancel()
