"""Who a connection is: nobody at first, then one user, until that is over. It is asked at every frame."""

from app.core.commands import Hello
from app.core.errors import ChatError, Expired, Forbidden, RateLimited, TooMany, Unauthorized
from app.core.identity import NEVER, Identity
from app.core.model import User
from app.core.protocol import Close
from app.edge.access import Access

NOBODY = User("")


class Badge:
    """What one connection has to show."""

    def __init__(self, access: Access) -> None:
        self.identity: Identity | None = None
        self._access = access

    @property
    def user(self) -> User | None:
        """Whose it is, if anybody's."""
        return self.identity.user if self.identity else None

    @property
    def expires_at(self) -> int:
        """When it is over, in ms since 1970; `NEVER`, if it is not."""
        return self.identity.expires_at if self.identity else NEVER

    def authorise(self) -> User:
        """Say on whose behalf a frame is taken; raises as `core.identity.authorise`."""
        return self._access.authorise(self.identity, "chat")

    async def become(self, identity: Identity) -> None:
        """Be somebody from now on.

        Raises:
            Expired, Revoked, Forbidden: not here.
            RateLimited: not so many, or not so often.
        """
        await self._access.limits.connect(self._access.authorise(identity, "chat"))
        self.identity = identity

    async def introduce(self, hello: Hello) -> None:
        """Be who a `hello` says by a ticket or a token. One who is known already can only be so for longer.

        Raises:
            Unauthorized, Expired, Revoked, Forbidden, RateLimited, Unavailable: what it shows does not count here.
        """
        identity = await self._access.shown(ticket=hello.ticket, token=hello.token)
        if self.identity is None:
            await self.become(identity)
            return
        if identity.user != self.identity.user:
            raise Unauthorized("this vouches for another user; expected the one who is signed in here")
        self._access.authorise(identity, "chat")
        self.identity = identity

    def closes(self, error: ChatError) -> int | None:
        """The code to close with, after an error of `introduce`; None where the connection goes on as it was."""
        if not isinstance(error, Unauthorized | Forbidden | RateLimited):
            return None
        return None if self.identity is not None and isinstance(error, Expired) else closing(error)


def closing(error: ChatError) -> int:
    """The code to close with, where an error leaves nothing else to do."""
    match error:
        case Expired():
            return Close.SIGN_IN
        case TooMany():
            return Close.TOO_MANY
        case RateLimited():
            return Close.TOO_OFTEN
        case Forbidden():
            return Close.MAY_NOT
    return Close.NOT_YOU
