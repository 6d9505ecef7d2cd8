"""Secrets that vouch for somebody: a page's sign-in, an invitation, a ticket. In Redis lie their digests only."""

import secrets
from typing import Any, Final, Literal

import msgpack

from app.core.identity import Identity
from app.core.model import User
from app.state.keys import credential
from app.state.script import Scripts

Kind = Literal["login", "invite", "ticket"]
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
        return _read(await self._scripts.command("look", ("GET", credential(kind, secret))))

    async def take(self, kind: Kind, secret: str) -> tuple[Identity, str] | None:
        """The same, once: it counts no more."""
        return _read(await self._scripts.run("take", (credential(kind, secret),), secrets.token_hex(8)))

    async def drop(self, kind: Kind, secret: str) -> None:
        """Have a secret count no more."""
        await self._scripts.command("drop", ("DEL", credential(kind, secret)))


def _read(value: Any) -> tuple[Identity, str] | None:
    if not value:
        return None
    key, role, issued_at, expires_at, tokens, name = msgpack.unpackb(value)
    return Identity(User(key), role, issued_at, expires_at, tuple(tokens)), name
