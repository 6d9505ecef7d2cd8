"""Nodes behind a proxy, with the files that we ship: what the page meets where people run it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from tests.faults.nodes import lasting_ports
from tests.faults.proxies import proxied_by
from tests.servers import Served
from tests.servers import serving as direct


@asynccontextmanager
async def serving(redis_url: str, model: Any, name: str = "a", **settings: Any) -> AsyncIterator[Served]:
    """Run one node behind nginx, which is where `http` leads."""
    async with (
        direct(redis_url, model, name, **{"allow_guests": 1} | settings) as node,
        proxied_by("nginx", [node.port] * 3) as port,
    ):
        yield replace(node, port=port)


@asynccontextmanager
async def two(redis_url: str, model: Any, **settings: Any) -> AsyncIterator[tuple[Served, Served]]:
    """Run nodes a and b on one Redis, each behind an nginx of its own."""
    async with serving(redis_url, model, "a", **settings) as a, serving(redis_url, model, "b", **settings) as b:
        yield a, b


@dataclass
class Cluster:
    """Three nodes behind one address."""

    http: str
    nodes: dict[str, Served]
    ends: dict[str, AsyncExitStack]

    async def end(self, name: str) -> None:
        """End a node: its sockets are cut, its port is nobody's."""
        del self.nodes[name]
        await self.ends.pop(name).aclose()

    async def kill(self, name: str) -> None:
        """End a node with no word to anyone: what it was answering stays as it is."""
        self.nodes[name].node.runner.abandon()
        await self.end(name)

    @property
    def differing(self) -> int:
        """How often a node that lives found another text at the end than it had told."""
        return sum(one.node.differing for one in self.nodes.values())


@asynccontextmanager
async def cluster(program: str, redis_url: str, model: Any, **settings: Any) -> AsyncIterator[Cluster]:
    """Run nodes a, b and c behind `program`."""
    ports = lasting_ports(3)
    async with proxied_by(program, ports) as port, AsyncExitStack() as everything:
        found = Cluster(f"http://127.0.0.1:{port}", {}, {})
        for name, own in zip("abc", ports, strict=True):
            found.ends[name] = await everything.enter_async_context(AsyncExitStack())
            node = direct(redis_url, model, name, port=own, allow_guests=1, lease_seconds=1, **settings)
            found.nodes[name] = await found.ends[name].enter_async_context(node)
        yield found
