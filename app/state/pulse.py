"""This node's sign of life, once a second, and what every node must know within that time: who was revoked.

The sorted set in Redis is the truth, and each node has a copy, so that asking it costs nothing and goes on when Redis
does not answer. What is new comes with each beat, and all of it once a minute.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from itertools import count
from typing import Final

from app.core.errors import StateUnavailable
from app.core.identity import Identity
from app.core.model import User
from app.state.bounds import DEAD_SECONDS, ENDED_SECONDS, REVOKED_DAYS
from app.state.keys import ALIVE, ENDED, ISSUERS, REVOKED
from app.state.script import Scripts

BEAT_SECONDS: Final = 1.0
WHOLE: Final = 60  # beats, after which all is read again
OVERLAP_MS: Final = 5000  # a clock may be set back, and a failover forget

KEPT_MS: Final = 86_400_000  # a failover may forget what this node has heard

log = logging.getLogger(__name__)


class Pulse:
    """The beat of one node, or (`incarnation` is empty) the ear of who is none. `told` is called at what is new."""

    def __init__(self, scripts: Scripts, incarnation: str) -> None:
        self.told: Callable[[], None] = lambda: None
        self._scripts = scripts
        self._incarnation = incarnation
        self._revoked: dict[str, int] = {}
        self._since = 0
        self._now, self._at = 0, 0.0

    @property
    def now(self) -> int:
        """Redis's clock, in ms: exact at a beat, and as this machine counts in between."""
        return self._now + round((time.monotonic() - self._at) * 1000)

    def revoked(self, identity: Identity) -> bool:
        """Say whether what vouched for somebody counts no more."""
        revoked = self._revoked
        if not revoked:
            return False
        by_token = any(f"{how}{token}" in revoked for how in "te" for token in identity.tokens)
        return by_token or revoked.get(f"u{identity.user.key}", -1) >= identity.issued_at

    async def run(self) -> None:
        """Beat until cancelled."""
        for beat in count(1):
            await asyncio.sleep(BEAT_SECONDS)
            try:
                await self.beat(whole=beat % WHOLE == 0)
            except StateUnavailable:
                log.info("no sign of life could be given; what is known to be revoked stays so")

    async def beat(self, *, whole: bool = False) -> None:
        """Give a sign of life, and hear what was revoked: since the last beat, or all that there is.

        Raises:
            StateUnavailable
        """
        since = 0 if whole else max(0, self._since - OVERLAP_MS)
        dead_ms = int(DEAD_SECONDS * 1000)
        now, pairs = await self._scripts.run("pulse", (ALIVE, REVOKED, ENDED), self._incarnation, dead_ms, since)
        self._now, self._at = int(now), time.monotonic()
        found = {member.decode(): int(float(at)) for member, at in zip(pairs[::2], pairs[1::2], strict=True)}
        self._since = max([self._since, *found.values()])
        if whole:
            kept = {member: at for member, at in self._revoked.items() if at > self._now - _kept_ms(member)}
            known, self._revoked = self._revoked, kept | found
        else:
            known, self._revoked = self._revoked, self._revoked | found
        if not found.items() <= known.items():
            self.told()

    async def revoke(self, user: User) -> None:
        """Sign a user out everywhere: what was issued until now vouches for them no more.

        Other nodes hear of it within a second.

        Raises:
            StateUnavailable
        """
        await self._revoke(REVOKED, f"u{user.key}", REVOKED_DAYS * 86_400)

    async def revoke_token(self, token: str) -> None:
        """Have one token (its digest) vouch for nobody; raises, and is heard of, as `revoke`."""
        await self._revoke(REVOKED, f"t{token}", REVOKED_DAYS * 86_400)

    async def end(self, token: str) -> None:
        """Have the connections end that one sign-in has; what vouched for it is gone already. Raises as `revoke`."""
        await self._revoke(ENDED, f"e{token}", ENDED_SECONDS)

    async def _revoke(self, key: str, member: str, seconds: float) -> None:
        await self._scripts.run("revoke", (key,), member, int(seconds * 1000))
        await self.beat()

    async def note(self, issuer: str) -> None:
        """Note that somebody of this issuer's was here; raises as `revoke`."""
        await self._scripts.command("note", ("SADD", ISSUERS, issuer))

    async def issuers(self) -> set[str]:
        """Read of whose tokens any counted; raises as `revoke`."""
        found: list[bytes] = await self._scripts.command("issuers", ("SMEMBERS", ISSUERS))
        return {issuer.decode() for issuer in found}

    async def alive(self) -> set[str]:
        """Read which nodes gave a sign of life lately, by their incarnations.

        Raises:
            StateUnavailable
        """
        found: list[bytes] = await self._scripts.command("alive", ("ZRANGE", ALIVE, 0, -1))
        return {incarnation.decode() for incarnation in found}


def _kept_ms(member: str) -> int:
    """How long a node remembers what Redis has no more: of a sign-in that ended nothing could come back."""
    return ENDED_SECONDS * 1000 if member.startswith("e") else KEPT_MS
