"""Nodes as processes: several on one Redis, each of which a test may kill, freeze, starve, and start again.

    async with nodes(redis_url, up.url, count=3, FLUSH_MS="20") as cluster:
        cluster["a"].kill()
        await cluster["a"].start()  # under the same name, on the same port, ready to serve

Each is `python -m app serve` with an environment of its own only, in a temporary folder. To start one costs more than
a second of CPU: use one cluster for many rounds. Leaving ends all with SIGTERM, which must end them well.
"""

import asyncio
import contextlib
import random
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.test_start import Box, Started, box

TOLD: Final = {"MODEL_NAME": "up-1", "LEASE_SECONDS": "1", "DRAIN_SECONDS": "0.2", "LIMITS": "off", "TITLES": "0"}
PORTS: Final = range(10_000, 32_000)  # no connection that goes out takes one of these while its node is dead
READY_SECONDS: Final = 30.0


@dataclass
class NodeProcess:
    """One node: its place, and its lives so far."""

    name: str
    port: int
    machine: Box
    environ: dict[str, str]
    prefix: Sequence[str] = ()
    lives: list[Started] = field(default_factory=list)
    frozen: bool = False

    @property
    def ws(self) -> str:
        """Where its WebSocket is."""
        return f"ws://127.0.0.1:{self.port}/ws"

    @property
    def http(self) -> str:
        """Where its HTTP is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process, in this life."""
        return self.lives[-1].process.pid

    @property
    def alive(self) -> bool:
        """Whether its process is there, frozen or not."""
        return bool(self.lives) and self.lives[-1].process.poll() is None

    @property
    def log(self) -> str:
        """What it wrote on stderr, in all its lives."""
        return "".join(life.errors.read_text() for life in self.lives)

    async def start(self) -> None:
        """Start it, and return when it is ready to serve."""
        assert not self.alive, f"node {self.name} lives"
        command = [*self.prefix, sys.executable, "-m", "app", "serve"]
        self.lives.append(self.machine.run(command, **self.environ))
        await self.lives[-1].serves()
        async with asyncio.timeout(READY_SECONDS):
            assert await self.ready(), self.log

    async def ready(self) -> bool:
        """Ask `/ready` once; wait for what it says."""
        return (await self.get("/ready"))[0] == 200

    async def get(self, path: str) -> tuple[int, str]:
        """GET, on a connection of its own; return status and body."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        with contextlib.closing(writer):
            writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nConnection: close\r\n\r\n".encode())
            head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
        return int(head.split(" ", 2)[1]), body

    def kill(self) -> None:
        """End it as the kernel would, when memory is short; return when it is gone."""
        self.lives[-1].kill()
        self.frozen = False

    def freeze(self) -> None:
        """Stop it where it is: all of its threads, in the middle of whatever they do."""
        self.lives[-1].process.send_signal(signal.SIGSTOP)
        self.frozen = True

    def thaw(self) -> None:
        """Let it go on."""
        self.lives[-1].process.send_signal(signal.SIGCONT)
        self.frozen = False

    def terminate(self) -> None:
        """Tell it to drain and to stop."""
        self.lives[-1].process.terminate()

    async def ended(self) -> int:
        """Wait for its end and return its exit code."""
        return await self.lives[-1].ended()


@dataclass
class Cluster:
    """Nodes on one Redis, by their names: a, b, c."""

    nodes: dict[str, NodeProcess]

    def __getitem__(self, name: str) -> NodeProcess:
        return self.nodes[name]

    def __iter__(self) -> Iterator[NodeProcess]:
        return iter(self.nodes.values())

    def others(self, name: str) -> list[NodeProcess]:
        """All nodes but one."""
        return [node for node in self if node.name != name]


@asynccontextmanager
async def nodes(
    redis_url: str,
    upstream_url: str,
    count: int = 3,
    *,
    prefix: Mapping[str, Sequence[str]] | None = None,
    own: Mapping[str, Mapping[str, str]] | None = None,
    **environ: str,
) -> AsyncIterator[Cluster]:
    """Run `count` nodes, each ready to serve; what dies meanwhile stays dead until it is started again.

    `environ` are settings of all of them, `own` those of some, by name; `prefix` is what stands before a node's
    command, also by name: a program that becomes the node, such as `prlimit`, so that its process stays the same.
    """
    with tempfile.TemporaryDirectory() as folder, box(Path(folder)) as machine:
        taken = lasting_ports(count)
        names = [chr(ord("a") + index) for index in range(count)]
        addresses = ",".join(f"http://127.0.0.1:{port}" for port in taken)
        told = TOLD | {"REDIS_URL": redis_url, "OPENAI_BASE_URL": upstream_url, "NODES": addresses} | environ
        cluster = Cluster({
            name: NodeProcess(
                name, port, machine, told | {"NODE": name, "PORT": str(port)} | dict((own or {}).get(name, {})),
                (prefix or {}).get(name, ()),
            )
            for name, port in zip(names, taken, strict=True)
        })  # fmt: skip
        await asyncio.gather(*(node.start() for node in cluster))
        yield cluster
        await asyncio.gather(*(_end(node) for node in cluster))


async def _end(node: NodeProcess) -> None:
    if node.alive:
        if node.frozen:
            node.thaw()
        node.terminate()
        assert await node.ended() == 0, node.log


def lasting_ports(count: int) -> list[int]:
    """So many ports that nobody has, each of which stays its node's while that is dead."""
    found: list[int] = []
    while len(found) < count:
        port = random.choice(PORTS)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found += [port] if port not in found else []
    return found
