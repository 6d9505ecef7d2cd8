"""Serving: uvicorn with its settings right, and an end in the right order.

One process, `websockets-sansio` (the implementation with write backpressure), no compression (30 KiB a socket and
twice the CPU), messages of at most 1 MiB, no proxy headers, no environment read behind our back. uvicorn closes all
sockets as soon as it is told to stop, so it is told last: after our own drain.
"""

import asyncio
import logging
import os
import resource
import signal
import socket
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from app.config import SettingError, Settings
from app.core.protocol import FRAME_BYTES, HEARTBEAT_MS
from app.edge.admin import admin
from app.edge.app import Site
from app.edge.metrics import Metrics
from app.edge.socket import Client, Socket
from app.node import Node

OF_STRANGERS: Final = (
    "without completing handshake",
    "Invalid UTF-8 sequence",
    "Invalid HTTP request received",
    "Unsupported upgrade request",
)
BACKLOG: Final = 2048
SILENT_MS: Final = 40_000  # the kernel drops a peer that acknowledges nothing for so long
SEND_BYTES: Final = 64 * 1024  # the kernel keeps at most about twice that for a slow peer; left alone, up to 4 MiB


class Server(uvicorn.Server):
    """uvicorn's server without its signal handlers: this process has its own order of stopping."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def more_files() -> None:
    """Take as many descriptors as this process may have: each client needs one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # where the kernel's own bound is lower than what it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def listen(settings: Settings) -> socket.socket:
    """Take the port.

    Raises:
        SettingError: it is taken, or not ours to take.
    """
    listener = _taken(settings.host, settings.port, "")
    listener.set_inheritable(True)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux has it, macOS does not
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_MS)
    return listener


def listen_to_operators(settings: Settings) -> socket.socket | None:
    """Take the operators' port, if there is to be one; raises as `listen` does."""
    return _taken(settings.admin_host, settings.admin_port, "ADMIN_") if settings.admin_port else None


def _taken(host: str, port: int, prefix: str) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise SettingError(
            f"{prefix}PORT {port} on {prefix}HOST {host} cannot be taken: {reason}; set another {prefix}PORT"
        ) from error
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # uvloop sets it anyway, asyncio does not
    return listener


def server(app: ASGIApp) -> Server:
    """Make a server of an application."""
    logging.getLogger("uvicorn.error").addFilter(_worth_a_line)
    return Server(
        uvicorn.Config(
            app,
            lifespan="off",
            workers=1,
            http=Client,
            ws=Socket,
            ws_max_size=FRAME_BYTES,
            ws_per_message_deflate=False,
            ws_ping_interval=None,  # a heartbeat sees to it
            proxy_headers=False,
            server_header=False,
            access_log=False,
            log_config=None,
            timeout_graceful_shutdown=2,
        )
    )


def _worth_a_line(record: logging.LogRecord) -> bool:
    """Drop what uvicorn says of bad requests, refused upgrades, bad text: a stranger could fill the log with them."""
    message = record.getMessage()
    return not any(words in message for words in OF_STRANGERS)


async def serve(node: Node, listener: socket.socket, operators: socket.socket | None = None) -> None:
    """Serve until SIGTERM, SIGINT or `POST /drain`; then drain, then stop. A second signal ends the drain."""
    more_files()
    site = Site(node)
    told, hurried = asyncio.Event(), asyncio.Event()
    signals = 0

    def tell() -> None:
        nonlocal signals
        signals += 1
        (told if signals == 1 else hurried).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, tell)
    servers = {server(site.app): listener}
    metrics = Metrics(node, site.connections)
    if operators is not None:
        servers[server(admin(node, site, metrics, told))] = operators
    async with asyncio.TaskGroup() as tasks:
        serving = [tasks.create_task(one.serve([sock])) for one, sock in servers.items()]
        works = (site.heartbeat.run(HEARTBEAT_MS / 1000), site.guard(), metrics.watch())
        beside = [tasks.create_task(work) for work in works]
        waiting = tasks.create_task(told.wait())
        await asyncio.wait([*serving, waiting], return_when=asyncio.FIRST_COMPLETED)
        await drain(node, site, hurried)
        for one in servers:
            one.should_exit = True
        await asyncio.wait(serving)
        for task in (*beside, waiting):
            task.cancel()


async def drain(node: Node, site: Site, hurried: asyncio.Event) -> None:
    """Have clients and answers go on elsewhere; return when they do, or have had their time, or there is a hurry."""
    node.close()
    moved_s = site.send_away()
    draining = asyncio.create_task(node.drain())
    moving = asyncio.create_task(_at_most(moved_s, site.emptied()))
    answering = asyncio.create_task(_at_most(node.settings.drain_seconds, site.answered()))

    async def hurry() -> None:
        await hurried.wait()
        node.hurry()
        moving.cancel()
        answering.cancel()

    hurrying = asyncio.create_task(hurry())
    await asyncio.wait([draining, moving, answering])
    hurrying.cancel()
    site.leave()
    await draining


async def _at_most(seconds: float, work: Awaitable[None]) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(work, seconds)
