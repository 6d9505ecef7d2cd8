"""What breaks in a long run: episodes of faults, drawn by chance, on several tracks at once.

A track is what breaks: nodes, networks, Redis, clients. On each, one episode follows the other, so that episodes of
different tracks meet. Each has its own chance, so that a seed draws the same episodes again, though not at the same
moments. An episode heals what it broke before it ends, and says what it was.
"""

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol

from app.client import Chat
from tests.faults.nodes import NodeProcess
from tests.faults.proxy import Direction, Faults, Proxy
from tests.soak.readers import Reader
from tests.soak.tally import Death, Tally
from tests.soak.world import STEADY, World

Episode = Callable[[], Awaitable[str]]
WAYS: Final[tuple[Direction | None, ...]] = (None, "up", "down")


class Track(Protocol):
    """What breaks, how, and how often each."""

    rest_s: float  # at most, between two episodes
    kinds: Mapping[Episode, int]


async def run(track: Track, chance: random.Random, tally: Tally, until: float) -> None:
    """Have episodes of a track until it is time."""
    while time.monotonic() < until:
        await asyncio.sleep(chance.uniform(0, track.rest_s))
        [episode] = chance.choices([*track.kinds], [*track.kinds.values()])
        tally.episodes[await episode()] += 1


def tracks(
    world: World, readers: Sequence[Reader], chats: Sequence[Chat], tally: Tally, seed: int
) -> list[tuple[Track, random.Random]]:
    """All tracks, each with its chance."""
    chances = [random.Random(f"{seed} {index}") for index in range(5)]
    nodes, first, second, redis, clients = chances
    return [
        (Nodes(world, tally, nodes), nodes),
        (Networks(world, first), first),
        (Networks(world, second), second),
        (Stores(world, redis), redis),
        (Clients(readers, chats, clients), clients),
    ]


class Nodes:
    """A node is killed, stands still past its lease, or is told to stop; one at a time."""

    rest_s = 1.5

    def __init__(self, world: World, tally: Tally, chance: random.Random) -> None:
        self._world = world
        self._tally = tally
        self._chance = chance
        self.kinds: Mapping[Episode, int] = {self._kill: 4, self._freeze: 4, self._drain: 3}

    async def _kill(self) -> str:
        node = self._lost("killed", self._mortal())
        node.kill()
        await asyncio.sleep(self._chance.uniform(0, 2))
        await self._world.start(node)
        return "node: `kill -9`, and started again"

    async def _freeze(self) -> str:
        node = self._lost("stopped past its lease", self._chance.choice([*self._world.cluster]))
        node.freeze()
        try:
            await asyncio.sleep(self._chance.uniform(1.2, 4))
        finally:
            node.thaw()
        return "node: SIGSTOP past its lease, SIGCONT"

    async def _drain(self) -> str:
        node = self._lost("told to stop", self._mortal())
        node.terminate()
        if (code := await node.ended()) != 0:
            self._tally.fault("stuck", f"{node.name} ended with {code}: {node.log[-2000:]}")
        await self._world.start(node)
        return "node: SIGTERM (it drains), and started again"

    def _mortal(self) -> NodeProcess:
        return self._chance.choice(self._world.cluster.others(STEADY))

    def _lost(self, cause: str, node: NodeProcess) -> NodeProcess:
        self._tally.deaths.append(Death(node.name, time.time() * 1000, cause))
        return node


class Networks:
    """Something befalls a way from clients to a node, or from a node to Redis or its model."""

    rest_s = 0.7

    def __init__(self, world: World, chance: random.Random) -> None:
        self._chance = chance
        self._ways: Mapping[str, Mapping[str, Proxy]] = {
            "clients to a node": world.to_node,
            "a node to Redis": world.to_redis,
            "a node to its model": world.to_model,
        }
        self.kinds: Mapping[Episode, int] = {
            self._late: 3, self._slow: 2, self._hole: 3, self._cut: 2, self._reset: 2, self._half_close: 2,
            self._vanish: 1, self._refuse: 1,
        }  # fmt: skip

    def _draw(self) -> tuple[str, Proxy]:
        way = self._chance.choice([*self._ways])
        return way, self._chance.choice([*self._ways[way].values()])

    async def _befall(self, words: str, faults: Faults) -> str:
        way, proxy = self._draw()
        proxy.faults = faults
        await asyncio.sleep(self._chance.uniform(0.3, 3))
        proxy.faults = Faults()
        return f"network, {way}: {words}"

    async def _late(self) -> str:
        late_s, jitter_s, only = (
            self._chance.uniform(0.02, 0.3),
            self._chance.uniform(0, 0.3),
            self._chance.choice(WAYS),
        )
        return await self._befall("late", Faults(latency_s=late_s, jitter_s=jitter_s, only=only))

    async def _slow(self) -> str:
        return await self._befall("slow", Faults(bytes_per_s=self._chance.uniform(2_000, 20_000)))

    async def _hole(self) -> str:
        return await self._befall("a black hole", Faults(hole=True, only=self._chance.choice(WAYS)))

    async def _cut(self) -> str:
        way, proxy = self._draw()
        proxy.cut()
        return f"network, {way}: closed"

    async def _reset(self) -> str:
        way, proxy = self._draw()
        proxy.reset()
        return f"network, {way}: reset"

    async def _half_close(self) -> str:
        way, proxy = self._draw()
        proxy.half_close(self._chance.choice(("up", "down")))
        return f"network, {way}: closed one way"

    async def _vanish(self) -> str:
        way, proxy = self._draw()
        proxy.vanish()
        return f"network, {way}: gone without a word"

    async def _refuse(self) -> str:
        way, proxy = self._draw()
        proxy.refusing = True
        proxy.cut()
        await asyncio.sleep(self._chance.uniform(0.3, 2))
        proxy.refusing = False
        return f"network, {way}: refused"


class Stores:
    """Redis throws connections out, pauses, or stands still."""

    rest_s = 3.0

    def __init__(self, world: World, chance: random.Random) -> None:
        self._redis = world.redis
        self._pid = int(world.server["process_id"])
        self._chance = chance
        self.kinds: Mapping[Episode, int] = {self._kill: 3, self._kill_ears: 3, self._pause: 2, self._freeze: 2}

    async def _kill(self) -> str:
        await asyncio.to_thread(self._redis.client_kill_filter, _type="normal", skipme=True)
        return "Redis: CLIENT KILL TYPE normal"

    async def _kill_ears(self) -> str:
        await asyncio.to_thread(self._redis.client_kill_filter, _type="pubsub")
        return "Redis: CLIENT KILL TYPE pubsub"

    async def _pause(self) -> str:
        seconds, everything = self._chance.uniform(0.2, 2.5), self._chance.random() < 1 / 2
        await asyncio.to_thread(self._redis.client_pause, round(seconds * 1000), all=everything)
        await asyncio.sleep(seconds)
        return f"Redis: CLIENT PAUSE {'ALL' if everything else 'WRITE'}"

    async def _freeze(self) -> str:
        os.kill(self._pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(self._chance.uniform(1, 3))
        finally:
            os.kill(self._pid, signal.SIGCONT)
        return "Redis: SIGSTOP, SIGCONT"


class Clients:
    """Readers and speakers lose their connections and come back anywhere; readers take nothing for a while."""

    rest_s = 1.0

    def __init__(self, readers: Sequence[Reader], chats: Sequence[Chat], chance: random.Random) -> None:
        self._readers = readers
        self._chats = chats
        self._chance = chance
        self.kinds: Mapping[Episode, int] = {self._drop: 3, self._drop_speaker: 2, self._rest: 2}

    async def _drop(self) -> str:
        for reader in self._some():
            reader.drop()
        return "clients: readers drop, and come back anywhere"

    async def _drop_speaker(self) -> str:
        self._chance.choice(self._chats).drop()
        return "clients: a speaker drops, and comes back"

    async def _rest(self) -> str:
        await asyncio.gather(*(reader.rest(self._chance.uniform(1, 8)) for reader in self._some()))
        return "clients: readers take nothing for a while"

    def _some(self) -> Sequence[Reader]:
        return self._chance.sample(self._readers, self._chance.randint(1, len(self._readers) // 3))
