"""Several nodes from one command: on ports of their own (`cluster`), or on one port (`serve --workers`).

Each node is a process of its own, with its own name and incarnation: one that is killed takes nothing along. The
workers of one port share a listening socket that this process holds, so that a connection waits rather than is
refused while one of them starts again.

A node that finds a setting wrong before it has ever served says so, and all stop: it is as wrong for the others. The
nodes are in sessions of their own, since a Ctrl+C that reached them beside our SIGTERM would be a second signal, and
a second signal cuts the drain short.
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
REFUSED: Final = 2  # a node's exit code: a setting is wrong
END_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Plan:
    """One node to run: its name, what it is told beside the environment, and a socket to serve on."""

    name: str
    environ: dict[str, str]
    listener: int | None = None


async def cluster(settings: Settings, count: int) -> int:
    """Run `count` nodes on ports from `PORT` on, until told to stop. One that ends is not started again.

    Returns the exit code: 0 when told to stop.
    """
    ports = range(settings.port, settings.port + count)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    nodes = ",".join(f"http://{host}:{port}" for port in ports)
    names = [chr(ord("a") + index) if count <= 26 else f"n{index}" for index in range(count)]
    plans = [
        Plan(name, {"PORT": str(port), "NODE": name, "NODES": nodes} | _admin_port(settings, index))
        for index, (name, port) in enumerate(zip(names, ports, strict=True))
    ]
    return await _run(plans, settings, restart=False)


async def workers(settings: Settings, count: int) -> int:
    """Run `count` nodes on one port, until told to stop. One that ends is started again.

    Returns the exit code: 0 when told to stop.

    Raises:
        SettingError: the port cannot be taken.
    """
    with listen(settings) as listener:
        plans = [
            Plan(
                f"{settings.node}-{index}",
                {"NODE": f"{settings.node}-{index}"} | _admin_port(settings, index - 1),
                listener.fileno(),
            )
            for index in range(1, count + 1)
        ]
        return await _run(plans, settings, restart=True)


def _admin_port(settings: Settings, index: int) -> dict[str, str]:
    """Each node's own port for operators, from `ADMIN_PORT` on, if there is to be one."""
    return {"ADMIN_PORT": str(settings.admin_port + index)} if settings.admin_port else {}


class Told:
    """That we are to stop: at the first signal, with a drain; at the second, without."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()

    def tell(self) -> None:
        """Take a signal."""
        (self.hurry if self.stop.is_set() else self.stop).set()


async def _run(plans: Sequence[Plan], settings: Settings, *, restart: bool) -> int:
    told = Told()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, told.tell)
    async with asyncio.TaskGroup() as tasks:
        kept = [tasks.create_task(_keep(plan, settings, told, restart=restart)) for plan in plans]
    codes = [task.result() for task in kept]
    return REFUSED if REFUSED in codes else 0 if told.stop.is_set() else max(codes)


async def _keep(plan: Plan, settings: Settings, told: Told, *, restart: bool) -> int:
    """Run one node, and again where that is wanted, until told to stop; return an exit code."""
    first = True
    while not told.stop.is_set():
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
            start_new_session=True,
        )
        ended, stop = asyncio.create_task(process.wait()), asyncio.create_task(told.stop.wait())
        await asyncio.wait([ended, stop], return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not ended.done():
            await _end(process, settings, told)
            return 0
        code = ended.result()
        if code == REFUSED and first:
            told.stop.set()
            return code
        print(f"chat: node {plan.name} (process {process.pid}) ended with {code}", flush=True)
        if not restart:
            return 0 if code == 0 else 1
        first = False
        with suppress(TimeoutError):
            await asyncio.wait_for(told.stop.wait(), RESTART_SECONDS)
    return 0


async def _end(process: asyncio.subprocess.Process, settings: Settings, told: Told) -> None:
    """Let a node drain, or not where we are in a hurry; make it end if it does not."""
    with suppress(ProcessLookupError):
        process.terminate()
    hurrying = asyncio.create_task(_hurry(process, told))
    try:
        await asyncio.wait_for(process.wait(), settings.drain_seconds + END_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
    finally:
        hurrying.cancel()


async def _hurry(process: asyncio.subprocess.Process, told: Told) -> None:
    await told.hurry.wait()
    with suppress(ProcessLookupError):
        process.terminate()
