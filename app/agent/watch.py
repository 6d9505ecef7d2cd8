"""What a run looks out for while it works or waits: its lease, its deadline, and what others want of it."""

import math
import time

from app.agent.bell import Bell
from app.agent.writing import Writing


class Watch:
    """One run's. Owned by it."""

    def __init__(self, writing: Writing, *, deadline: float, renew_s: float) -> None:
        self.bell = Bell()  # there is something to write, or to ask
        self.given_up = False  # what is left is for another node
        self._writing = writing
        self._deadline = deadline
        self._renew_s = renew_s
        self._look = False

    @property
    def called_off(self) -> bool:
        """Whether the run is not to go on here."""
        return self._writing.stop or self.given_up

    @property
    def late(self) -> bool:
        """Whether the run's time is over."""
        return time.monotonic() >= self._deadline

    def look(self) -> None:
        """Ask Redis now what is wanted of the run."""
        self._look = True
        self.bell.ring()

    def give_up(self) -> None:
        """Leave the run to another node."""
        self.given_up = True
        self.bell.ring()

    async def renewed(self) -> bool:
        """Renew the lease, if it is time, or somebody has said to look; say whether that was done.

        Raises:
            FencedOut
        """
        if not (self._look or time.monotonic() >= self._writing.renewed_at + self._renew_s):
            return False
        self._look = False
        await self._writing.renew()
        return True

    async def rest(self, seconds: float = math.inf) -> None:
        """Wait for the bell; but not longer than lease and deadline allow."""
        until = min(self._writing.renewed_at + self._renew_s, self._deadline)
        await self.bell.heard(min(seconds, until - time.monotonic()))
