"""Secrets that vouch for somebody: a page's sign-in, an invitation, a ticket. In Redis lie their digests only."""

import secrets
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgpack

from app.core.identity import Identity
from app.core.model import User
from app.state.keys import credential
from app.state.script import Scripts

Kind = Literal["login", "invite", "ticket"]
TAKEN: Final = b"taken "
KINDS: Final = (b"login:", b"invite:", b"ticket:")
SECRET_BYTES: Final = 32


class Credentials:
    """All of them. Every method raises StateUnavailable where Redis does not answer."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def issue(self, kind: Kind, identity: Identity, *, seconds: float, name: str = "") -> str:
        """Make a secret that vouches for `identity`, for so long. `name` is what people call them, if anything."""
        secret = secrets.token_urlsafe(SECRET_BYTES)
        value = [identity.user.key, *identity[1:], name]
        lifetime = ("PX", max(1, int(seconds * 1000)))
        await self._scripts.command("issue", ("SET", credential(kind, secret), msgpack.packb(value), *lifetime))
        return secret

    async def look(self, kind: Kind, secret: str) -> tuple[Identity, str] | None:
        """Say for whom a secret vouches, and what people call them."""
        found = await self._scripts.command("look", ("GET", credential(kind, secret)))
        return None if found and found.startswith(TAKEN) else _read(found)

    async def take(self, kind: Kind, secret: str) -> tuple[Identity, str] | None:
        """The same, once: it counts no more."""
        return _read(await self._scripts.run("take", (credential(kind, secret),), secrets.token_hex(8)))

    async def drop(self, kind: Kind, secret: str) -> None:
        """Have a secret count no more."""
        await self._scripts.command("drop", ("DEL", credential(kind, secret)))

    async def drop_of(self, user: User, keys: Sequence[bytes]) -> list[str]:
        """Of these keys, have those count no more that vouch for a user; return the sign-ins that end, by token."""
        ours = [key for key in keys if key.startswith(KINDS)]
        found = [_read(value) for value in await self._scripts.look([("GET", key) for key in ours])]
        theirs = {key: one[0] for key, one in zip(ours, found, strict=True) if one is not None and one[0].user == user}
        if theirs:
            await self._scripts.command("drop", ("DEL", *theirs))
        return [identity.tokens[-1] for key, identity in theirs.items() if key.startswith(b"login:")]


def _read(value: Any) -> tuple[Identity, str] | None:
    if not value:
        return None
    if value.startswith(TAKEN):  # and by whom; see `take.lua`
        value = value.split(b" ", 2)[2]
    key, role, issued_at, expires_at, tokens, name = msgpack.unpackb(value)
    return Identity(User(key), role, issued_at, expires_at, tuple(tokens)), name
