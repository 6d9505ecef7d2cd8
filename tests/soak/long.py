"""A long run: conversations on three nodes, while one thing after the other breaks; and what came of it."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from app.client import Chat, connect
from app.client.link import LinkLost
from app.core.protocol import Codec
from tests.soak import episodes
from tests.soak.readers import USER, Reader
from tests.soak.talks import Conversation
from tests.soak.tally import Tally
from tests.soak.world import World, world

CONVERSATIONS: Final = 14  # at a time
READERS: Final = 44  # cheap ones
ALONG: Final = 18  # of these read a conversation from its beginning,
LATE: Final = 2  # and so many may come later
LOOK_SECONDS: Final = 2.0
PROBE_SECONDS: Final = 4.0
DELETED: Final = 0.15  # of all conversations


@dataclass(frozen=True, slots=True)
class Ran:
    """A run that is over."""

    seed: int
    seconds: float
    tally: Tally
    world: World

    @property
    def memory_mib(self) -> tuple[float, float]:
        """The steady node's memory at the end of the first quarter, and at the end."""
        samples = self.world.rss_kib
        few = max(1, len(samples) // 20)
        quarter = samples[len(samples) // 4 :][:few]
        return median(quarter) / 1024, median(samples[-few:]) / 1024


async def soak(folder: Path, seconds: float, seed: int) -> Ran:
    """Break things for so many seconds; then wait until all that was asked is answered and held to the laws."""
    asyncio.get_running_loop().set_debug(False)  # it would take half of the machine
    random.seed(seed)
    tally, over, began = Tally(), asyncio.Event(), time.monotonic()
    async with world(folder) as parts, AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        readers = [Reader(f"reader {index}", parts.urls, tally) for index in range(READERS)]
        chats = [await stack.enter_async_context(_chat(parts.urls)) for _ in range(CONVERSATIONS)]
        beside = [tasks.create_task(reader.live()) for reader in readers]
        beside += [tasks.create_task(_probe(chat)) for chat in chats]
        beside += [tasks.create_task(_look(parts))]
        talks = [tasks.create_task(_talk(chat, readers, tally, parts, over)) for chat in chats]
        until = time.monotonic() + seconds
        drawn = episodes.tracks(parts, readers, chats, tally, seed)
        await asyncio.gather(*(episodes.run(track, chance, tally, until) for track, chance in drawn))
        over.set()
        await asyncio.wait(talks)
        await parts.look()
        for task in beside:
            task.cancel()
    for chat in chats:
        if chat.differs:
            tally.fault("diverged", f"a client found {chat.differs} texts that differ")
    return Ran(seed, time.monotonic() - began, tally, parts)


@asynccontextmanager
async def _chat(urls: Sequence[str]) -> AsyncIterator[Chat]:
    async with connect(urls, user=USER, codec=random.choice(list(Codec))) as chat:
        yield chat


async def _probe(chat: Chat) -> None:
    """Drop a connection that does not answer, as somebody does who reloads a page."""
    while True:
        await asyncio.sleep(PROBE_SECONDS)
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await chat.ping()
        except TimeoutError:
            chat.drop()
        except LinkLost:
            pass


async def _look(parts: World) -> None:
    while True:
        await parts.look()
        await asyncio.sleep(LOOK_SECONDS)


async def _talk(chat: Chat, readers: Sequence[Reader], tally: Tally, parts: World, over: asyncio.Event) -> None:
    """Have one conversation after the other."""
    while not over.is_set():
        some = random.sample(readers, ALONG + LATE)
        conversation = Conversation(chat, some[:ALONG], some[ALONG:], tally)
        await conversation.live(parts.redis, over, deleted=random.random() < DELETED)
