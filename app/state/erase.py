"""Taking away all that Redis has of one user.

All keys are looked through, a thousand at a time: where there are many that takes a while, and hinders nobody.
"""

from app.core.model import Session, User
from app.state.credentials import Credentials
from app.state.keys import rate, user_quota, user_stale, user_tag
from app.state.script import Scripts


class Eraser:
    """Takes it away. Every method raises StateUnavailable where Redis does not answer, and may be called again."""

    def __init__(self, scripts: Scripts, credentials: Credentials) -> None:
        self._scripts = scripts
        self._credentials = credentials

    async def sessions(self, user: User) -> list[Session]:
        """Find all sessions of a user's, also those that their list has let go."""
        return [
            Session(user, key.decode().partition("/")[2])
            async for keys in self._scripts.keys(f"*:head:{user.key}/*")
            for key in keys
        ]

    async def rest(self, user: User) -> list[str]:
        """Take away what is beside the sessions. Returns the sign-ins that there were, by their tokens.

        What counts against their limits stays (see `Rates.forget`): else whoever erases themselves could begin anew.
        """
        channel = self._scripts.channel(user_stale(user))
        limits = (rate(user_tag(user), "").encode(), user_quota(user).encode())
        async for keys in self._scripts.keys(f"{user_tag(user)}:*"):
            if gone := [key for key in keys if not key.startswith(limits)]:
                await self._scripts.command("erase", ("DEL", *gone))
        await self._scripts.command("stale", ("PUBLISH", channel, ""))
        ended: list[str] = []
        async for keys in self._scripts.keys("[ilt]*:*"):
            ended += await self._credentials.drop_of(user, keys)
        return ended
