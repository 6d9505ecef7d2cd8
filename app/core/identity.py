"""Who somebody is, until when, and what that lets them do.

Every command and every request passes `authorise`, each time: a connection that was right when it was made is not
right for ever. There are two roles, and neither contains the other: a user chats, in sessions of their own (the user is
part of every key, so there is no other session to name); an operator sees to nodes, and never to chats.
"""

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from app.core.errors import Expired, Forbidden, Revoked, Unauthorized
from app.core.model import User

Role = Literal["user", "operator"]
Right = Literal["chat", "operate"]

NEVER: Final = 2**53
NEEDS: Final[dict[Right, Role]] = {"chat": "user", "operate": "operator"}
NOBODY: Final = "nobody is signed in here; expected a cookie of ours, or a header that says who you are"


class Identity(NamedTuple):
    """Somebody for whom a cookie, a token, an invitation or a name has vouched. Times are ms since 1970.

    `tokens` are digests of what vouched (a token's id, a sign-in), by each of which alone it can be revoked.
    """

    user: User
    role: Role = "user"
    issued_at: int = 0
    expires_at: int = NEVER
    tokens: tuple[str, ...] = ()


def authorise(identity: Identity | None, right: Right, now: int, revoked: Callable[[Identity], bool]) -> User:
    """Say on whose behalf something may be done.

    Raises:
        Unauthorized: nobody is there.
        Expired: somebody was, until their time was over.
        Revoked: an operator has signed them out.
        Forbidden: they are known, and may not.
    """
    if identity is None:
        raise Unauthorized(NOBODY)
    if now >= identity.expires_at:
        raise Expired("this sign-in has expired; sign in again")
    if revoked(identity):
        raise Revoked("this sign-in has been revoked; sign in again")
    if identity.role != NEEDS[right]:
        raise Forbidden(f"this is for {NEEDS[right]}s, and you are {_a(identity.role)}")
    return identity.user


def _a(role: Role) -> str:
    return "an operator" if role == "operator" else "a user"
