"""Idle sockets: what each takes of memory, how fast they come, and what they cost while nothing is said.

All are at node B, each following a session of its own, or none. Connects are made 50 at a time. The window in which
nothing is said is one heartbeat long, so that each socket has exactly one.
"""

import asyncio
import time
from functools import partial
from typing import Final

from bench.drive import all_of, steady, window
from bench.machine import Cores, rss_bytes
from bench.numbers import Figures
from bench.scenarios import Case
from bench.systems import Running, System, running
from bench.tokens import WRAP, Ask

SOCKETS: Final = (2_000, 10_000)
HEARTBEAT_SECONDS: Final = 25.0
BARE_SECONDS: Final = 1.0
SETTLE_SECONDS: Final = 2.0
WARM: Final = 50  # sockets that come and go first, so that what a process takes only once is not counted


def cases(seconds: float = HEARTBEAT_SECONDS) -> list[Case]:
    """Sockets that follow a session, and, for memory only, some that do not."""
    following = [
        Case("idle", f"{count} sockets", partial(measure, sockets=count, opens=True, seconds=seconds))
        for count in SOCKETS
    ]
    bare = partial(measure, sockets=SOCKETS[-1], opens=False, seconds=BARE_SECONDS)
    return [*following, Case("idle", f"{SOCKETS[-1]} sockets without a session", bare)]


async def measure(system: System, cores: Cores, *, sockets: int, opens: bool, seconds: float) -> Figures:
    """Measure once; raises as `rest` does."""
    async with running(system, cores) as run:
        return await rest(run, sockets=sockets, opens=opens, seconds=seconds)


async def rest(run: Running, *, sockets: int, opens: bool, seconds: float) -> Figures:
    """Have sockets come to B, and then be silent for a while; what A costs meanwhile, where nobody is, is not counted.

    Raises:
        Unmeasurable: the load could not keep up.
    """
    node, system = run.nodes["B"], run.system
    if system.begins_first:
        await system.say(run.a, "idle", Ask(WRAP, 1))
    names = ["idle"] * sockets if system.begins_first else [f"idle-{index}" for index in range(sockets)]
    warm = [system.reader(name) for name in names[:WARM]]
    await all_of(warm, lambda reader: reader.follow(run.b))
    for reader in warm:
        reader.drop()
    await asyncio.sleep(SETTLE_SECONDS)
    readers = [system.reader(name) for name in names]
    memory, cost, since = rss_bytes(node.pid), run.cost(), time.monotonic()
    with steady():
        await all_of(readers, lambda reader: reader.follow(run.b) if opens else reader.connect(run.b))
        took, spent = time.monotonic() - since, run.cost().since(cost)
        await asyncio.sleep(SETTLE_SECONDS)
        taken = rss_bytes(node.pid) - memory
        seen = await window(run, seconds)
    lost = sum(reader.socket.lost for reader in readers)
    for reader in readers:
        reader.drop()
    seen.must_count(delays=False)
    return {
        "KiB per socket": taken / 1024 / sockets,
        "connects/s": sockets / took,
        "µs per connect": spent.total * 1e6 / sockets,
        "idle % of a core": (seen.cost.total - seen.cost.seconds["A"]) * 100 / seen.seconds,
        "lost": lost,
        **seen.figures,
    }
