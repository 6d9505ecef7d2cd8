"""What is measured: ours and its peers, all behind one small interface.

A system is two nodes, A and B, on one Redis. An answer is begun at one of them, and read by clients at any.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import ClassVar, Final

from bench.machine import Cores, Place, Process, cpu_s, free_port, place
from bench.sockets import Connection
from bench.tokens import Answer, Ask

NODES: Final = ("A", "B")


class Reader(ABC):
    """One client that follows one session, over as many connections as it takes."""

    def __init__(self, session: str, answer: Answer | None = None) -> None:
        self.session = session
        self.answer = answer
        self.socket: Connection
        self.following: asyncio.Future[None]

    @abstractmethod
    async def connect(self, port: int) -> None:
        """Connect to a node, and follow nothing; raises as `follow` does."""

    @abstractmethod
    async def follow(self, port: int) -> None:
        """Connect to a node, and follow the session from where `answer` stands; return when the node says that it does.

        Raises:
            Refused, OSError, TimeoutError
        """

    def drop(self) -> None:
        """Cut the connection as a network would."""
        self.socket.drop()


class System(ABC):
    """One way to build it."""

    name: ClassVar[str]
    title: ClassVar[str]
    parses: ClassVar[bool] = True  # whether its tokens come as a stream over HTTP, or are made in its own process
    variant: ClassVar[bool] = False  # whether it is another system, with other clients
    about: ClassVar[int] = 25  # a guess at how many sessions one core carries, at which to begin to look
    begins_first: ClassVar[bool] = False  # whether a session can be followed only once its answer has begun

    def missing(self) -> str | None:
        """What this machine lacks to run it, in words."""
        return None

    @abstractmethod
    def node(self, name: str, port: int, around: Place, redis: Process, upstream: Process) -> "Command":
        """What starts a node."""

    @abstractmethod
    async def say(self, port: int, session: str, ask: Ask) -> None:
        """Have an answer begin at a node; return when it has taken the question."""

    @abstractmethod
    def reader(self, session: str, answer: Answer | None = None) -> Reader:
        """Make a client."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command line, and its environment."""

    line: list[str]
    environ: dict[str, str]


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds of each process of a system."""

    seconds: dict[str, float]

    @property
    def total(self) -> float:
        """Of all."""
        return sum(self.seconds.values())

    def since(self, before: "Cost") -> "Cost":
        """What came since."""
        return Cost({name: now - before.seconds[name] for name, now in self.seconds.items()})


@dataclass(frozen=True, slots=True)
class Running:
    """A system that runs: its processes, by name, and its upstream."""

    system: System
    nodes: dict[str, Process]
    redis: Process
    upstream: Process
    cores: Cores

    @property
    def a(self) -> int:
        """The port of the node that produces."""
        return self.nodes["A"].port

    @property
    def b(self) -> int:
        """The port of the node that serves the readers."""
        return self.nodes["B"].port

    def measured(self) -> Iterator[Process]:
        """All whose cost counts."""
        yield from self.nodes.values()
        yield self.redis

    def cost(self) -> Cost:
        """What they cost so far."""
        return Cost({process.name: cpu_s(process.pid) for process in self.measured()})


@asynccontextmanager
async def running(system: System, cores: Cores) -> AsyncIterator[Running]:
    """Run a system, on a Redis and an upstream of its own."""
    async with place(cores) as around:
        redis, upstream = await asyncio.gather(around.redis(), around.upstream())

        async def start(name: str) -> Process:
            port = free_port()
            command = system.node(name, port, around, redis, upstream)
            return await around.start(name, command.line, port, core=cores.nodes, environ=command.environ)

        nodes = await asyncio.gather(*(start(name) for name in NODES))
        yield Running(system, dict(zip(NODES, nodes, strict=True)), redis, upstream, cores)
