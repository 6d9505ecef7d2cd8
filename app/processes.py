"""Several nodes from one command: on ports of their own (`cluster`), or on one port (`serve --workers`).

Each node is a process of its own, with its own name and incarnation: one that is killed takes nothing along. The
workers of one port share a listening socket that this process holds, so that a connection waits rather than is
refused while one of them starts again.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from app.config import Settings, environ
from app.edge.serve import listen

RESTART_SECONDS: Final = 1.0
REFUSED: Final = 2  # a setting is wrong: starting again would not help
END_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Plan:
    """One node to run: its name, what it is told beside the environment, and a socket to serve on."""

    name: str
    environ: dict[str, str]
    listener: int | None = None


async def cluster(settings: Settings, count: int) -> None:
    """Run `count` nodes on ports from `PORT` on, until told to stop. One that ends is not started again."""
    ports = range(settings.port, settings.port + count)
    nodes = ",".join(f"http://{settings.host}:{port}" for port in ports)
    names = [chr(ord("a") + index) if count <= 26 else f"n{index}" for index in range(count)]
    plans = [
        Plan(name, {"PORT": str(port), "NODE": name, "NODES": nodes}) for name, port in zip(names, ports, strict=True)
    ]
    await _run(plans, settings, restart=False)


async def workers(settings: Settings, count: int) -> None:
    """Run `count` nodes on one port, until told to stop. One that ends is started again.

    Raises:
        SettingError: the port cannot be taken.
    """
    with listen(settings) as listener:
        plans = [
            Plan(f"{settings.node}-{index}", {"NODE": f"{settings.node}-{index}"}, listener.fileno())
            for index in range(1, count + 1)
        ]
        await _run(plans, settings, restart=True)


async def _run(plans: Sequence[Plan], settings: Settings, *, restart: bool) -> None:
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    async with asyncio.TaskGroup() as tasks:
        for plan in plans:
            tasks.create_task(_keep(plan, settings, told, restart=restart))


async def _keep(plan: Plan, settings: Settings, told: asyncio.Event, *, restart: bool) -> None:
    """Run one node, and again where that is wanted, until told to stop."""
    while not told.is_set():
        given = [] if plan.listener is None else [plan.listener]
        flags = [f"--listener={number}" for number in given]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "app",
            "serve",
            *flags,
            env=os.environ | environ(settings) | plan.environ,
            pass_fds=given,
        )
        ended, stop = asyncio.create_task(process.wait()), asyncio.create_task(told.wait())
        await asyncio.wait([ended, stop], return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if told.is_set():
            await _end(process, settings)
            return
        code = await ended
        print(f"chat: node {plan.name} (process {process.pid}) ended with {code}", flush=True)
        if not restart or code == REFUSED:
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(told.wait(), RESTART_SECONDS)


async def _end(process: asyncio.subprocess.Process, settings: Settings) -> None:
    """Let a node drain; make it end if it does not."""
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), settings.drain_seconds + END_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
