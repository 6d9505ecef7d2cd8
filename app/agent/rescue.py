"""Looking for lost runs: whatever dies, the answer goes on.

A run whose lease has run out has lost its node. Every node looks: a quarter of the buckets every 0.2 s, so all within
0.8 s, and again at once where there was more than the 16 that it took. What it finds it claims, and the runner goes on
under the same run id. The bell names a run whose lease was given up: that one is claimed without a search.

Rules: Redis's clock decides what has run out. A node that has just started, or has seen Redis fail or answer slowly,
waits one whole lease before it believes that others are dead, for they may only have been unable to renew; leases
that were given up it claims all the same. A node that drains claims nothing. A living writer whose lease has lapsed
loses nothing as long as nobody has claimed: its next append renews.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from app.agent.runner import Runner
from app.core.errors import StateUnavailable
from app.core.model import BUCKETS
from app.state.runs import Runs

LOOK_SECONDS: Final = 0.2
PARTS: Final = 4
CLAIMS: Final = 16
SLOW_SECONDS: Final = 1.0

log = logging.getLogger(__name__)


class Rescue:
    """This node's search. Owned by `run`."""

    def __init__(
        self, runs: Runs, runner: Runner, *, can: Mapping[str, str], lease_s: float, paused: Callable[[], bool]
    ) -> None:
        self.claimed: Counter[str] = Counter()  # runs taken over by this node, by what is done with them
        self._can = can
        self._paused = paused
        self._runs = runs
        self._runner = runner
        self._lease_s = lease_s
        self._bell = asyncio.Event()
        self._rung: dict[str, None] = {}

    def ring(self, member: str) -> None:
        """Claim a run now: its lease was given up."""
        self._rung[member] = None
        self._bell.set()

    async def run(self) -> None:
        """Look until cancelled, or until the node drains."""
        looked_at, part, wait = time.monotonic(), 0, LOOK_SECONDS
        trusted_at = looked_at + self._lease_s
        while True:
            rung = await self._rest(wait)
            if self._paused():
                return
            for member in rung:
                await self._claim(member)
            began_at = time.monotonic()
            if began_at - looked_at > SLOW_SECONDS:
                trusted_at = began_at + self._lease_s  # it was this node that stood still
            try:
                found = await self._runs.lapsed(range(part, BUCKETS, PARTS), given_up_only=began_at < trusted_at)
            except StateUnavailable:
                found, trusted_at = [], time.monotonic() + self._lease_s
            looked_at = time.monotonic()
            if looked_at - began_at > SLOW_SECONDS:
                found, trusted_at = [], looked_at + self._lease_s
            for member in found[:CLAIMS]:
                await self._claim(member)
            if len(found) > CLAIMS:
                wait = 0.0  # at once, and in the same place
            else:
                part, wait = (part + 1) % PARTS, LOOK_SECONDS

    async def _rest(self, seconds: float) -> list[str]:
        """Wait, and return the runs for which the bell rang meanwhile."""
        try:
            async with asyncio.timeout(seconds):
                await self._bell.wait()
        except TimeoutError:
            return []
        self._bell.clear()
        rung, self._rung = list(self._rung), {}
        return rung

    async def _claim(self, member: str) -> None:
        """Claim one run. What is wrong with it must not keep this node from the others."""
        if self._runner.carries(member.partition(" ")[2]):
            return  # its own renewal decides: it was this node that was late
        try:
            carry = await self._runs.claim(member, self._can)
        except StateUnavailable as error:
            log.warning("%s: not claimed: %s", member, error)
        except Exception:
            log.exception("%s: cannot be claimed", member)
        else:
            if carry is not None:
                self.claimed[carry.how] += 1
                log.info("run %s: taken over, attempt %d: %s", carry.writer.run, carry.attempt, carry.how)
                self._runner.carry(carry)
