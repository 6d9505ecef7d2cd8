"""The routes, each with the right that it needs: nothing is served that does not say which.

A request passes the door first (`edge.app.Gate`), then, here, the limits of its address, `authorise`, and the limits of
its user. A route without a right serves anybody, and nothing that is somebody's. Probes are served whatever the limits:
a node must not be thought dead because somebody else sent too much.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.core.identity import Identity, Right
from app.core.model import User
from app.core.protocol import MESSAGE_BYTES
from app.edge.access import Access, visitor_of
from app.edge.origins import HERE


@dataclass(frozen=True, slots=True)
class Open:
    """A route for anybody; `counts`: towards the limits of their address."""

    method: str
    path: str
    serve: Callable[[Request], Awaitable[Response]]
    counts: bool = True


@dataclass(frozen=True, slots=True)
class Guarded:
    """A route for who has a right; `whom` says who asks, where that is not the request's own headers alone."""

    method: str
    path: str
    right: Right
    serve: Callable[[Request, User], Awaitable[Response]]
    whom: Callable[[Request], Awaitable[Identity | None]] | None = None


def routes(doors: list[Open | Guarded], access: Access) -> list[Route]:
    """Make them."""
    return [
        Route(
            door.path, _open(door, access) if isinstance(door, Open) else _guarded(door, access), methods=[door.method]
        )
        for door in doors
    ]


def _open(door: Open, access: Access) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        await access.limits.message(None, visitor_of(request).address, frames=1, size=size_of(request))
        return await door.serve(request)

    return serve if door.counts else door.serve


def _guarded(door: Guarded, access: Access) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        size = size_of(request)
        await access.limits.message(None, visitor_of(request).address, frames=1, size=size)
        identity = await (door.whom or access.identify)(request)
        user = access.authorise(identity, door.right)
        await access.limits.message(user, HERE, frames=1, size=size)
        request.state.identity = identity
        return await door.serve(request, user)

    return serve


def size_of(request: Request) -> int:
    """The bytes that a request says to have; of one that does not say (it is chunked), as many as are read."""
    if "transfer-encoding" in request.headers:
        return MESSAGE_BYTES
    said = request.headers.get("content-length", "0")
    return int(said) if said.isdecimal() and len(said) < 10 else 0
