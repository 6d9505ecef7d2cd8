"""The real parts of a long run: a Redis, an upstream, three nodes, and a proxy on each way to and between them."""

import asyncio
import contextlib
import re
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from redis import Redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from tests.faults.nodes import Cluster, NodeProcess, lasting_ports, nodes
from tests.faults.proxy import Faults, Proxy, proxied
from tests.faults.talk import both_models, counting
from tests.servers import Upstream, redis_server

NAMES: Final = ("a", "b", "c")
STEADY: Final = "a"  # is never killed, and its memory is measured
SETTINGS: Final = {
    "LEASE_SECONDS": "1", "DRAIN_SECONDS": "1", "RUN_SECONDS": "45", "CONNECT_SECONDS": "2",
    "FIRST_TOKEN_SECONDS": "4", "NEXT_TOKEN_SECONDS": "4",
}  # fmt: skip
SAMPLE: Final = re.compile(r"^(chat_\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
PATIENT: Final = Retry(ConstantBackoff(0.1), retries=100)  # our own connections are killed, too
SECONDS: Final = 2.0
START_SECONDS: Final = 60.0


@dataclass
class World:
    """The parts, and what was read from the nodes' metrics."""

    redis: Redis
    server: dict[str, Any]  # what Redis says of itself
    upstream: Upstream
    cluster: Cluster
    to_redis: dict[str, Proxy]
    to_model: dict[str, Proxy]
    to_node: dict[str, Proxy]
    operators: dict[str, int]  # each node's port for them
    metrics: dict[str, dict[int, dict[str, float]]] = field(default_factory=lambda: defaultdict(dict))
    rss_kib: list[float] = field(default_factory=list)  # of the steady node

    @property
    def urls(self) -> list[str]:
        """Where clients find the nodes."""
        return [proxy.through(self.cluster[name].ws) for name, proxy in self.to_node.items()]

    async def start(self, node: NodeProcess) -> None:
        """Start a node that has died, until it stands, as a supervisor does: its Redis may be away."""
        async with asyncio.timeout(START_SECONDS):
            while not node.alive:
                with contextlib.suppress(AssertionError):
                    await node.start()
            while not await node.ready():  # noqa: ASYNC110 - it is another process
                await asyncio.sleep(0.1)

    def heal(self) -> None:
        """Have all that passes between the parts pass as it should."""
        for proxy in (*self.to_redis.values(), *self.to_model.values(), *self.to_node.values()):
            proxy.faults, proxy.refusing = Faults(), False

    async def look(self) -> None:
        """Read the metrics of all nodes that answer, and the steady one's memory."""
        for node in self.cluster:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                if node.alive and not node.frozen:
                    async with asyncio.timeout(SECONDS):
                        self.metrics[node.name][len(node.lives)] = await _metrics(self.operators[node.name])
        self.rss_kib.append(_rss_kib(self.cluster[STEADY].pid))

    def total(self, name: str) -> Counter[str]:
        """Add a counter up, over all nodes and their lives, by its labels."""
        found: Counter[str] = Counter()
        for lives in self.metrics.values():
            for life in lives.values():
                for sample, value in life.items():
                    if sample.partition("{")[0] == name:
                        found[sample.partition("{")[2]] += int(value)
        return found


async def _before(stack: AsyncExitStack, url: str) -> Proxy:
    """Put a proxy before a server."""
    at = urlsplit(url)
    return await stack.enter_async_context(proxied(str(at.hostname), int(at.port or 0)))


def _rss_kib(pid: int) -> float:
    return float(re.findall(r"VmRSS:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text())[0])


async def _metrics(port: int) -> dict[str, float]:
    """What a node tells operators."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.closing(writer):
        writer.write(f"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
        text = (await reader.read()).decode()
    return {f"{name}{{{labels}" if labels else name: float(value) for name, labels, value in SAMPLE.findall(text)}


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    """Run all parts."""
    async with AsyncExitStack() as stack:
        url = stack.enter_context(redis_server())
        redis = stack.enter_context(Redis.from_url(url, retry=PATIENT))
        upstream = await stack.enter_async_context(counting())
        to_redis = {name: await _before(stack, url) for name in NAMES}
        to_model = {name: await _before(stack, upstream.url) for name in NAMES}
        operators = dict(zip(NAMES, lasting_ports(len(NAMES)), strict=True))
        own: dict[str, dict[str, str]] = {}
        for name in NAMES:
            (folder / name).mkdir()
            own[name] = SETTINGS | {
                "REDIS_URL": to_redis[name].through(url),
                "MODELS": both_models(folder / name, to_model[name].through(upstream.url)),
                "ADMIN_PORT": str(operators[name]),
            }
        cluster = await stack.enter_async_context(nodes(url, upstream.url, own=own))
        to_node = {node.name: await _before(stack, node.http) for node in cluster}
        yield World(redis, redis.info("server"), upstream, cluster, to_redis, to_model, to_node, operators)
