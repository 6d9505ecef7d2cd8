"""Signing in and out: a page's cookie for a token or an invitation, and tickets for sockets from other origins.

An invitation is a link to `/sign-in`, whose secret stands behind the `#`: it reaches no server's log, and following the
link uses nothing up, since programs that look at links before people do would. The page asks, and then sends it.
"""

import math
import secrets
import time
import unicodedata
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.core.errors import BadFrame, Expired, Forbidden, Unauthorized
from app.core.identity import NEVER, Identity
from app.core.model import User
from app.core.protocol import kind_of
from app.edge.access import TICKET_SECONDS, Access, visitor_of
from app.edge.auth import GUEST, LOGIN, SECRET, cookie_of, has_token, set_cookie
from app.edge.bodies import body_of
from app.edge.routes import size_of
from app.node import Node
from app.state.credentials import Credentials
from app.state.pulse import Pulse

INVITED: Final = "chat:invite"
NAME_LENGTH: Final = 128
DAY: Final = 86_400


class SignIn:
    """The routes of one node."""

    def __init__(self, node: Node, access: Access) -> None:
        self._node = node
        self._access = access
        self._seconds = node.settings.sign_in_days * DAY

    async def sign_in(self, request: Request) -> Response:
        """`POST /api/sign-in`: exchange a token (`Authorization: Bearer`, or `token`) or an `invite` for the cookie."""
        visitor = visitor_of(request)
        if self._node.settings.auth == "guest":
            raise Forbidden("guests need no sign-in: AUTH is guest")
        body = await body_of(request)
        identity, name = await self._vouched(request, body)
        self._access.authorise(identity, "operate" if identity.role == "operator" else "chat")
        await self._access.limits.sign_in(identity.user, size_of(request))
        now = round(time.time() * 1000)
        identity = identity._replace(expires_at=min(identity.expires_at, now + round(self._seconds * 1000)))
        left_s = (identity.expires_at - now) / 1000
        secret = await self._node.state.credentials.issue("login", identity, seconds=left_s, name=name)
        await self._node.state.audit.record("signed_in", identity.user, name=name, role=identity.role)
        response = JSONResponse(_who(identity, name))
        set_cookie(response, visitor, LOGIN, secret, math.ceil(left_s))
        return response

    async def sign_out(self, request: Request) -> Response:
        """`DELETE /api/sign-in`: the cookie counts no more, and its connections are closed."""
        visitor = visitor_of(request)
        secret = cookie_of(visitor, LOGIN)
        if secret is not None and SECRET.match(secret):
            known = await self._node.state.credentials.look("login", secret)
            if known is not None:  # first: what is dropped cannot be found again
                await self._node.state.pulse.end(known[0].tokens[-1])
            await self._node.state.credentials.drop("login", secret)
            if known is not None:
                await self._node.state.audit.record("signed_out", known[0].user, name=known[1])
        response = Response(status_code=204)
        set_cookie(response, visitor, LOGIN, "", 0)
        return response

    async def me(self, request: Request, user: User) -> Response:
        """`GET /api/me`: who one is."""
        return JSONResponse(_who(request.state.identity, ""))

    async def erase(self, request: Request, user: User) -> Response:
        """`DELETE /api/me`: all that there is of oneself is gone, and one is signed out."""
        await self._node.erase(user)
        response = Response(status_code=204)
        for cookie in (LOGIN, GUEST):
            set_cookie(response, visitor_of(request), cookie, "", 0)
        return response

    async def ticket(self, request: Request, user: User) -> Response:
        """`POST /api/ticket`: one `hello` from wherever one is."""
        ticket = await self._access.ticket(request.state.identity)
        return JSONResponse({"ticket": ticket, "seconds": TICKET_SECONDS}, 201)

    async def _vouched(self, request: Request, body: dict[str, Any]) -> tuple[Identity, str]:
        """Say for whom what was sent vouches, and what people call them."""
        for name in ("token", "invite"):
            if body.get(name) is not None and not isinstance(body[name], str):
                raise BadFrame(f"{name}: expected text, got {kind_of(body[name])}")
        login = secrets.token_hex(16)
        if has_token(request.headers) or body.get("token") is not None:
            if has_token(request.headers):
                identity = await self._access.identify(request)
            else:
                identity = await self._access.auth.token(body["token"])
            if identity is None:
                raise Unauthorized("the Authorization header names nobody")
            return identity._replace(tokens=(*identity.tokens, login)), ""
        if not body.get("invite"):
            raise BadFrame("expected Authorization: Bearer, or a token, or an invite")
        taken = await self._node.state.credentials.take("invite", body["invite"])
        if taken is None or self._node.state.pulse.revoked(taken[0]):
            raise Expired("this invitation is not one of ours, or was used, or is too old; ask for another")
        expires_at = self._node.state.pulse.now + int(self._seconds * 1000)  # and issued when the invitation was:
        return taken[0]._replace(expires_at=expires_at, tokens=(login,)), taken[1]  # a revocation may be on its way


def invited(name: str) -> User:
    """Say who somebody is who was invited by a name, however its accents are written (Unicode's form NFC).

    Raises:
        BadFrame: it can be nobody's.
    """
    if not 1 <= len(name) <= NAME_LENGTH or not name.isprintable() or name != name.strip():
        raise BadFrame(f"a name is 1 to {NAME_LENGTH} characters that can be seen, not {name[:80]!r}")
    return User.of(INVITED, unicodedata.normalize("NFC", name))


async def invite(credentials: Credentials, pulse: Pulse, name: str, *, seconds: float) -> str:
    """Make the secret of an invitation, to be used once, within so many seconds; raises as `invited`."""
    identity = Identity(invited(name), issued_at=pulse.now)
    return await credentials.issue("invite", identity, seconds=seconds, name=name)


def _who(identity: Identity, name: str) -> dict[str, Any]:
    """Show somebody."""
    shown: dict[str, Any] = {"user": identity.user.key, "role": identity.role}
    if name:
        shown["name"] = name
    if identity.expires_at != NEVER:
        shown["expires_at"] = identity.expires_at
    return shown
