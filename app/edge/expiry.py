"""Which connections are over when, because of who they are: one look a second, and no timer for each."""

from typing import Protocol

from app.core.identity import NEVER


class Expiring(Protocol):
    """Somebody whose time ends."""

    def check(self) -> None:
        """See whether it has."""


class Expiry:
    """The ends of many, by the second."""

    def __init__(self) -> None:
        self._at: dict[int, set[Expiring]] = {}
        self._second_of: dict[Expiring, int] = {}

    def __len__(self) -> int:
        return len(self._second_of)

    def add(self, one: Expiring, at: int) -> None:
        """Have one checked once `at` (ms since 1970) has passed, and not at the time that was said before."""
        self.remove(one)
        if at == NEVER:
            return
        second = self._second_of[one] = -(-at // 1000)
        self._at.setdefault(second, set()).add(one)

    def remove(self, one: Expiring) -> None:
        """Have one checked no more."""
        second = self._second_of.pop(one, None)
        if second is not None:
            self._at[second].remove(one)
            if not self._at[second]:
                del self._at[second]

    def pass_to(self, now: int) -> None:
        """Have all checked whose time (ms) has come."""
        for second in [second for second in self._at if second * 1000 <= now]:
            for one in list(self._at[second]):
                self.remove(one)
                one.check()
