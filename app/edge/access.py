"""The door of a node: who comes in, who they are, and what they may; asked at every request and every frame."""

import time

from starlette.requests import HTTPConnection
from starlette.types import Scope

from app.core.errors import Expired, Unauthorized
from app.core.identity import Identity, Right, authorise
from app.core.model import User
from app.edge.auth import Auth, Guests, Members
from app.edge.limits import Limits
from app.edge.origins import Origins, Visitor
from app.node import Node

TICKET_SECONDS = 30.0
VISITOR = "chat.visitor"


class Access:
    """What one node asks of whoever wants something."""

    def __init__(self, node: Node) -> None:
        self.origins = Origins(node.settings)
        self.limits = Limits(node.settings, node.state.rates)
        self.auth: Auth = (
            Guests(node.settings)
            if node.settings.auth == "guest"
            else Members(node.settings, node.state.credentials, node.state.pulse)
        )
        self._node = node

    def admit(self, scope: Scope) -> None:
        """Let a request in, whoever it is from; what was seen of them is kept with it.

        Raises:
            Forbidden
        """
        scope[VISITOR] = self.origins.admit(scope)

    async def identify(self, request: HTTPConnection) -> Identity | None:
        """Say who sends a request; see `Auth`."""
        return await self.auth.identify(visitor_of(request))

    def authorise(self, identity: Identity | None, right: Right) -> User:
        """Say on whose behalf something may be done; see `core.identity.authorise`."""
        return authorise(identity, right, round(time.time() * 1000), self._node.state.pulse.revoked)

    async def ticket(self, identity: Identity) -> str:
        """Give somebody a ticket: for one `hello`, soon."""
        return await self._node.state.credentials.issue("ticket", identity, seconds=TICKET_SECONDS)

    async def shown(self, *, ticket: str | None, token: str | None) -> Identity:
        """Say for whom what a `hello` shows vouches.

        Raises:
            Expired, Unauthorized, Unavailable, StateUnavailable
        """
        if ticket is None:
            return await self.auth.token(token or "")
        taken = await self._node.state.credentials.take("ticket", ticket)
        if taken is None:
            raise Unauthorized("this ticket is not one of ours, or was used, or is too old")
        if self._node.state.pulse.revoked(taken[0]):
            raise Expired("this sign-in is over; sign in again")
        return taken[0]


def visitor_of(request: HTTPConnection) -> Visitor:
    """Whom the door saw."""
    visitor: Visitor = request.scope[VISITOR]
    return visitor
