"""As whom a client connects: a name, a cookie or a token, as headers of each connection."""

from collections.abc import Callable
from dataclasses import dataclass

Token = str | Callable[[], str]


@dataclass(frozen=True, slots=True)
class Who:
    """What a client shows. A `token` that is a function is asked for one at each connection."""

    user: str | None = None
    cookie: str | None = None
    token: Token | None = None

    @property
    def renews(self) -> bool:
        """Whether the next connection may show something else."""
        return callable(self.token)

    def headers(self) -> dict[str, str]:
        """What the next connection shows."""
        token = self.token() if callable(self.token) else self.token
        shown = {"X-User-Id": self.user, "Cookie": self.cookie, "Authorization": f"Bearer {token}" if token else None}
        return {name: value for name, value in shown.items() if value is not None}
