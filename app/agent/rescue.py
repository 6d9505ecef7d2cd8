"""Looking for lost runs: whatever dies, the answer goes on.

A run whose lease has run out has lost its node. Every node looks: a quarter of the buckets every 0.2 s, so all within
0.8 s, and at once when the bell rings (a lease was given up) or when there was more than it took. What it finds it
claims, and the runner goes on under the same run id.

Rules: Redis's clock decides what has run out. A node that has just started, or has seen Redis fail or answer slowly,
waits one whole lease before it believes that others are dead, for they may only have been unable to renew; leases
that were given up it claims all the same. A node that drains claims nothing. A living writer whose lease has lapsed
loses nothing as long as nobody has claimed: its next append renews.
"""

import asyncio
import logging
import time
from typing import Final

from app.agent.runner import Runner
from app.core.errors import StateUnavailable
from app.core.model import BUCKETS
from app.state.sessions import Sessions

LOOK_SECONDS: Final = 0.2
PARTS: Final = 4
CLAIMS: Final = 16
SLOW_SECONDS: Final = 1.0

log = logging.getLogger(__name__)


class Rescue:
    """This node's search. Owned by `run`."""

    def __init__(self, sessions: Sessions, runner: Runner, *, lease_s: float) -> None:
        self.claimed = 0  # runs taken over by this node
        self.paused = False  # set when the node drains
        self._sessions = sessions
        self._runner = runner
        self._lease_s = lease_s
        self._bell = asyncio.Event()

    def ring(self) -> None:
        """Look at once: a lease was given up."""
        self._bell.set()

    async def run(self) -> None:
        """Look until cancelled."""
        trusted_at, part, wait = time.monotonic() + self._lease_s, 0, LOOK_SECONDS
        while True:
            rung = await self._rest(wait)
            if self.paused:
                continue
            buckets = range(BUCKETS) if rung else range(part, BUCKETS, PARTS)
            part = part if rung else (part + 1) % PARTS
            began_at = time.monotonic()
            try:
                found = await self._sessions.lapsed(buckets, given_up_only=began_at < trusted_at)
                for member in found[:CLAIMS]:
                    await self._claim(member)
            except StateUnavailable:
                trusted_at = time.monotonic() + self._lease_s
                found = []
            if time.monotonic() - began_at > SLOW_SECONDS:
                trusted_at = time.monotonic() + self._lease_s
            wait = LOOK_SECONDS if len(found) <= CLAIMS else 0.0

    async def _rest(self, seconds: float) -> bool:
        """Wait, and say whether the bell rang."""
        try:
            async with asyncio.timeout(seconds):
                await self._bell.wait()
        except TimeoutError:
            return False
        self._bell.clear()
        return True

    async def _claim(self, member: str) -> None:
        carry = await self._sessions.claim(member)
        if carry is not None:
            self.claimed += 1
            log.info("run %s: taken over, attempt %d", carry.writer.run, carry.attempt)
            self._runner.carry(carry)
