"""The ASGI application: a gate in front of every route, the routes, and the page."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from app.core.errors import BadFrame, ChatError, Forbidden, Internal, NotFound, Unauthorized, Unavailable
from app.core.protocol import Close, Codec, encode, error_frame
from app.edge.auth import COOKIE, COOKIE_SECONDS, Guests, new_guest
from app.edge.heartbeat import Heartbeat
from app.edge.http import Api, problem
from app.edge.websocket import Connection
from app.node import Node

STATIC: Final = Path(__file__).parents[2] / "static"
CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' ws: wss:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SAFE: Final = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}

SPREAD_SECONDS: Final = 0.01  # for each client that is sent elsewhere
MOVE_SECONDS: Final = 1.0  # what moving takes

log = logging.getLogger(__name__)


class Gate:
    """Refuse what may not come in, before any route sees it; and say the safe headers with every response.

    Sockets go straight to where they are served: what lies between, each of them would keep as long as it lives.
    """

    def __init__(self, app: ASGIApp, socket: Callable[[WebSocket], Awaitable[None]], guests: Guests) -> None:
        self._app = app
        self._socket = socket
        self._guests = guests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "websocket":
            await self._upgrade(WebSocket(scope, receive, send))
        else:
            await self._request(scope, receive, send)

    async def _upgrade(self, socket: WebSocket) -> None:
        try:
            self._guests.admit(socket.headers)
            if socket.url.path != "/ws":
                raise NotFound(f"no WebSocket is at {socket.url.path[:80]!r}; it is at /ws")
        except ChatError as error:
            await _deny(socket, error)
        else:
            await self._socket(socket)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                safe = [(name.lower().encode(), value.encode()) for name, value in SAFE.items()]
                message["headers"] = [*message["headers"], *(pair for pair in safe if pair[0] not in given)]
            await send(message)

        try:
            self._guests.admit(Headers(scope=scope))
        except Forbidden as error:
            await problem(error)(scope, receive, safely)
        else:
            await self._app(scope, receive, safely)


class Site:
    """What one node serves: its sockets, routes and page."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._guests = Guests(node.settings)
        self.connections: set[Connection] = set()
        self.heartbeat = Heartbeat()
        self._api = api = Api(node, self._guests)
        routes = [
            Route("/", self.page),
            Route("/chat", api.chat, methods=["POST"]),
            Route("/api/sessions/{id}/turns", api.turns, methods=["POST"]),
            Route("/health", api.health),
            Route("/live", api.live),
            Route("/ready", api.ready),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]
        self.app: ASGIApp = Gate(Starlette(routes=routes, exception_handlers=HANDLERS), self.socket, self._guests)

    def send_away(self) -> float:
        """Send every client elsewhere, each at a time of its own; return the seconds after which all should be gone."""
        drain_s = self._node.settings.drain_seconds
        spread_s = min(len(self.connections) * SPREAD_SECONDS, drain_s / 4)
        for connection in self.connections:
            connection.send_away(random.uniform(0.0, spread_s))
        return min(spread_s + MOVE_SECONDS, drain_s)

    async def emptied(self) -> None:
        """Return when no client is connected."""
        while self.connections:
            await asyncio.wait([connection.gone for connection in self.connections])

    async def answered(self) -> None:
        """Return when no request waits for an answer."""
        await self._api.answered()

    def leave(self) -> None:
        """Have requests that still wait for an answer look for it elsewhere."""
        self._api.leave()

    async def socket(self, socket: WebSocket) -> None:
        """`GET /ws`, upgraded."""
        offered = [Codec(name) for name in socket.scope["subprotocols"] if name in list(Codec)]
        if not offered:
            names = " or ".join(Codec)
            await _deny(socket, BadFrame(f"no known subprotocol offered; expected {names}"))
            return
        codec = offered[0]
        if self._node.draining:
            draining = Unavailable("this node drains; another one serves you", code="unavailable", after_ms=1000)
            await _deny(socket, draining)
            return
        try:
            user = self._guests.identify(socket.headers)
        except Forbidden as error:
            await _deny(socket, error)
            return
        except Unauthorized as error:
            await socket.accept(codec)
            message = encode(error_frame(error), codec)
            await socket.send({"type": "websocket.send", "text" if isinstance(message, str) else "bytes": message})
            await socket.close(Close.NOT_YOU)
            return
        await socket.accept(codec)
        connection = Connection(socket, codec, self._node, user)
        self.connections.add(connection)
        self.heartbeat.add(connection)
        try:
            await connection.run()
        finally:
            self.connections.discard(connection)
            self.heartbeat.remove(connection)

    async def page(self, request: Request) -> Response:
        """`GET /`: the chat page. A browser that has no cookie of ours gets one."""
        response = FileResponse(STATIC / "index.html")
        if not self._guests.known(request.headers):
            response.set_cookie(
                COOKIE, new_guest(), max_age=COOKIE_SECONDS, httponly=True, samesite="lax",
                secure=request.url.scheme == "https",
            )  # fmt: skip
        return response


async def _deny(socket: WebSocket, error: ChatError) -> None:
    """Refuse an upgrade."""
    response = problem(error)
    response.headers.update(SAFE)
    await socket.send_denial_response(response)


def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, ChatError)
    return problem(error)


def _not_served(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return problem(NotFound(f"nothing is at {request.url.path[:80]!r}"))
    body = {"type": "about:blank", "title": error.detail, "status": error.status_code, "code": "bad_frame",
            "detail": f"{request.method} is not for {request.url.path[:80]!r}", "retry": "no"}  # fmt: skip
    return JSONResponse(body, error.status_code, error.headers, "application/problem+json")


def _broken(request: Request, error: Exception) -> Response:
    log.error("a request failed in a way that we do not know", exc_info=error)
    return problem(Internal("something failed here; it has been logged"))


HANDLERS: Final[dict[type[Exception] | int, Callable[[Request, Exception], Response]]] = {
    ChatError: _failed,
    HTTPException: _not_served,
    Exception: _broken,
}
