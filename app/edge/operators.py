"""What operators ask of all nodes: that somebody is signed out, and what was done. Never a chat."""

import unicodedata
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.config import Settings
from app.core.errors import BadFrame
from app.core.model import User
from app.core.protocol import kind_of
from app.edge.bodies import body_of
from app.edge.sign_in import INVITED
from app.edge.tokens import digest, id_of
from app.node import Node
from app.state.audit import PAGE
from app.state.pulse import Pulse

KEY_LENGTH: Final = 22
TEXT_LENGTH: Final = 8192
GUEST_ISSUER: Final = "guest:name"


class Operators:
    """The routes of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def revoke(self, request: Request, user: User) -> Response:
        """`POST /api/revoke`: sign a user out everywhere, by `user` (a key) or `name`; or a `token`, by its id."""
        body = await body_of(request)
        told = {name: body[name] for name in ("user", "name", "issuer", "token") if body.get(name) is not None}
        for name, value in told.items():
            if not isinstance(value, str) or not 1 <= len(value) <= TEXT_LENGTH:
                raise BadFrame(f"{name}: expected text of 1 to {TEXT_LENGTH} characters, got {kind_of(value)}")
        if len(told.keys() - {"issuer"}) != 1:
            raise BadFrame("expected exactly one of user, name and token")
        await revoke(self._node.state.pulse, self._node.settings, **told)
        if "token" in told:
            told["token"] = shown(told["token"])
        await self._node.state.audit.record("revoked", user, **told)
        return Response(status_code=204)

    async def audit(self, request: Request, user: User) -> Response:
        """`GET /api/audit`: the newest records of all nodes, newest first."""
        said = request.query_params.get("limit", str(PAGE))
        if not (said.isdecimal() and len(said) <= len(str(PAGE)) and 1 <= int(said) <= PAGE):
            raise BadFrame(f"limit: expected 1 to {PAGE}, got {said[:40]!r}")
        records: list[dict[str, Any]] = await self._node.state.audit.newest(int(said))
        return JSONResponse({"records": records})


async def revoke(
    pulse: Pulse, settings: Settings, *, user: str = "", name: str = "", issuer: str = "", token: str = ""
) -> None:
    """Sign out a user by key; everybody who is called `name`, by invitation, as a guest, or by `issuer` (if none is
    named: by any whose tokens counted here); or whomever a token vouches for, which may be given by its id.

    Raises:
        BadFrame: no user has such a key.
        StateUnavailable
    """
    if user:
        if len(user) != KEY_LENGTH:
            raise BadFrame(f"user: expected a key of {KEY_LENGTH} characters, as in welcome, got {user[:80]!r}")
        await pulse.revoke(User(user))
    if name:
        await pulse.revoke(User.of(INVITED, unicodedata.normalize("NFC", name.strip())))
        vouched = {issuer} if issuer else {settings.jwt_issuer or "", *await pulse.issuers()}
        for vouching in (*sorted(vouched), GUEST_ISSUER):
            await pulse.revoke(User.of(vouching, name))
    if token:
        await pulse.revoke_token(shown(token))


def shown(token: str) -> str:
    """What a token is called in what is revoked, and in the audit."""
    return digest(id_of(token))
