"""What a user and an address may do how often: what each thing costs, and what happens when Redis cannot count.

`say` is closed then: what cannot be counted is not begun. All else is open, since reading harms nobody but the reader.
What this machine's own programs do is counted by user only.
"""

import logging
from typing import Final

from app.config import Settings
from app.core.errors import RateLimited, StateUnavailable
from app.core.model import Session, User
from app.edge.origins import HERE
from app.state.keys import address_tag, user_tag
from app.state.rates import Cost, Rate, Rates

TURNS: Final = "turns"

log = logging.getLogger(__name__)


class Limits:
    """The limits of a node's clients, as its settings have them."""

    def __init__(self, settings: Settings, rates: Rates) -> None:
        on = settings.limits == "on"
        self.sockets = settings.max_sockets if on else 0
        self._per_user = settings.max_sockets_per_user if on else 0
        self._running = settings.max_runs_per_user if on else 0
        self._tokens = settings.rate_tokens if on else 0
        a_minute = {
            TURNS: settings.rate_turns, "frames": settings.rate_frames, "bytes": settings.rate_bytes,
            "connects": settings.rate_connects,
        }  # fmt: skip
        self._of_user = {what: Rate(what, most) for what, most in a_minute.items() if on and most}
        times = settings.rate_address
        self._of_address = {what: Rate(what, one.a_minute * times) for what, one in self._of_user.items() if times}
        self._rates = rates

    async def message(self, user: User | None, address: str, *, frames: int, size: int) -> None:
        """Count frames, or a request, of so many bytes.

        Raises:
            RateLimited
        """
        costs = {"frames": frames, "bytes": size}
        try:
            await self._charge(user, address, costs)
        except StateUnavailable:
            log.debug("frames were not counted: Redis does not answer")

    async def sign_in(self, user: User, size: int) -> None:
        """Count a sign-in, a request of so many bytes: each is kept, so they are as rare as connections.

        Raises:
            RateLimited
        """
        try:
            await self._charge(user, HERE, {"frames": 1, "bytes": size, "connects": 1})
        except StateUnavailable:
            log.debug("a sign-in was not counted: Redis does not answer")

    async def turn(self, session: Session, address: str) -> None:
        """Count a turn, and have a place for its answer.

        Raises:
            RateLimited, QuotaExceeded
            StateUnavailable: Redis does not answer, so nothing is said.
        """
        costs = [(one, 1) for what, one in self._of_user.items() if what == TURNS]
        await self._charge(None, address, {TURNS: 1})
        if costs or self._running or self._tokens:
            await self._rates.turn(session, costs, running=self._running, tokens=self._tokens)

    async def place(self, session: Session) -> None:
        """Have a place for an answer that was held, and is to go on.

        Raises:
            RateLimited: others have all places.
            StateUnavailable
        """
        if self._running:
            await self._rates.turn(session, [], running=self._running, tokens=0)

    async def knock(self, address: str) -> None:
        """Count a connection of an address, whoever it is.

        Raises:
            RateLimited
        """
        try:
            await self._charge(None, address, {"connects": 1})
        except StateUnavailable:
            log.debug("a connection was not counted: Redis does not answer")

    async def connect(self, user: User) -> None:
        """Count a socket that a user has here from now on, until `disconnect`.

        Raises:
            RateLimited: there are too many, or they come too fast.
        """
        try:
            await self._charge(user, HERE, {"connects": 1})
            if self._per_user:
                await self._rates.connect(user, self._per_user)
        except StateUnavailable:
            log.debug("a socket was not counted: Redis does not answer")

    async def disconnect(self, user: User) -> None:
        """Count a socket less; raises StateUnavailable where nobody counts."""
        if self._per_user:
            await self._rates.disconnect(user)

    async def _charge(self, user: User | None, address: str, costs: dict[str, int]) -> None:
        """Take from the limits of an address, then from those of a user."""
        if address != HERE and (taken := _taken(self._of_address, costs)):
            await self._rates.charge(address_tag(address), taken)
        if user is not None and (taken := _taken(self._of_user, costs)):
            await self._rates.charge(user_tag(user), taken)


def _taken(limits: dict[str, Rate], costs: dict[str, int]) -> list[Cost]:
    return [(limits[what], cost) for what, cost in costs.items() if what in limits and cost]


def slowed(error: RateLimited) -> float:
    """Seconds until what was refused may be tried again."""
    return (error.after_ms or 0) / 1000
