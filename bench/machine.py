"""Processes on cores, and what they cost.

A process's CPU time is read from the kernel's own clock of it: user and system time of all its threads, exact to the
nanosecond, where `/proc/PID/stat` counts the same in steps of 10 ms.
"""

import asyncio
import contextlib
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
READY_SECONDS: Final = 30.0
END_SECONDS: Final = 10.0
FILES: Final = 20_000


class Unmeasurable(Exception):
    """What was measured would not be right; the message says why."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Where the measured run, and where the load."""

    nodes: int
    load: int

    @classmethod
    def of_this_machine(cls) -> "Cores":
        """Take the first two that this process may use.

        Raises:
            Unmeasurable: there is only one.
        """
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            raise Unmeasurable("there is one core; expected one for the nodes, and one for the load")
        return cls(cores[0], cores[1])


@contextmanager
def load_core(cores: Cores, *, nice: int = 0) -> Iterator[None]:
    """Be the load: run on its core, with as many files as may be; what is started meanwhile is as `nice`."""
    before, polite = os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, most) if most > 0 else FILES, most))
    os.sched_setaffinity(0, {cores.load})
    os.setpriority(os.PRIO_PROCESS, 0, nice)
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, polite)
        os.sched_setaffinity(0, before)


def cpu_s(pid: int) -> float:
    """CPU time of a process so far, in seconds: user and system, all threads."""
    return time.clock_gettime((~pid << 3) | 2)


def rss_bytes(pid: int) -> int:
    """Memory of a process that is in use, in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def busy_s(core: int) -> float:
    """How long a core has been busy since the machine started, in seconds, whoever used it."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *counts = line.split()
        if name == f"cpu{core}":
            user, nice, system, _, _, irq, softirq, steal, *_ = map(int, counts)
            return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    raise Unmeasurable(f"/proc/stat has no core {core}")


def free_port() -> int:
    """A port that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


@dataclass(slots=True)
class Process:
    """One process of a system, on a port of its own."""

    name: str
    port: int
    popen: "subprocess.Popen[bytes]"
    log: Path

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.popen.pid

    async def ready(self) -> None:
        """Return when it takes connections.

        Raises:
            Unmeasurable: it does not.
        """
        until = time.monotonic() + READY_SECONDS
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                return
            if self.popen.poll() is not None or time.monotonic() > until:
                raise Unmeasurable(f"{self.name} did not start: {self.log.read_text()[-2000:]}")
            await asyncio.sleep(0.02)

    def pin(self, core: int) -> None:
        """Have it run on one core, with all its threads; those that it begins later, too."""
        seen: set[str] = set()
        while left := {task.name for task in Path(f"/proc/{self.pid}/task").iterdir()} - seen:
            for task in left:
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setaffinity(int(task), {core})
            seen |= left

    def end(self) -> None:
        """End it, softly where that works."""
        self.popen.send_signal(signal.SIGTERM)
        try:
            self.popen.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()


@dataclass(slots=True)
class Place:
    """A folder, and the processes that live in it; all are gone when it is left."""

    cores: Cores
    folder: Path
    processes: list[Process] = field(default_factory=list)

    async def start(
        self, name: str, command: Sequence[str], port: int, *, core: int, environ: Mapping[str, str] | None = None
    ) -> Process:
        """Start a process, with an environment of its own only; return when it takes connections, and is on its core.

        It may start on both cores, so that several start in less time.
        """
        told = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "PYTHONPATH": str(ROOT)} | dict(environ or {})
        log = self.folder / f"{len(self.processes)}-{name}.log"
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {self.cores.nodes, self.cores.load})
        try:
            with log.open("wb") as out:
                popen = subprocess.Popen(  # noqa: ASYNC220, S603 - it takes a moment; the commands are our own
                    command, cwd=self.folder, env=told, stdin=subprocess.DEVNULL, stdout=out, stderr=out
                )
        finally:
            os.sched_setaffinity(0, before)
        process = Process(name, port, popen, log)
        self.processes.append(process)
        await process.ready()
        process.pin(core)
        return process

    async def redis(self) -> Process:
        """Start a Redis of this place's own, in memory, without an append-only file, beside the nodes."""
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        if program is None:
            raise Unmeasurable("redis-server is not on PATH")
        port = free_port()
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)]
        return await self.start(
            "Redis", [*command, "--maxmemory-policy", "noeviction"], port, core=self.cores.nodes
        )  # fmt: skip

    async def upstream(self) -> Process:
        """Start the fake upstream, beside the load."""
        port = free_port()
        return await self.start(
            "upstream", [sys.executable, "-m", "bench.upstream", str(port)], port, core=self.cores.load
        )


@asynccontextmanager
async def place(cores: Cores) -> AsyncIterator[Place]:
    """Have a place; end what was started in it."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        made = Place(cores, Path(folder))
        try:
            yield made
        finally:
            for process in reversed(made.processes):
                process.end()
