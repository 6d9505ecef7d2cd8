"""The ASGI application: a gate in front of every route, the routes, and the page."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from app.core.errors import (
    BadFrame,
    ChatError,
    Internal,
    NotFound,
    RateLimited,
    Unauthorized,
    Unavailable,
)
from app.core.protocol import Codec, encode, error_frame
from app.edge import openapi
from app.edge.access import Access, visitor_of
from app.edge.badge import closing
from app.edge.bodies import problem
from app.edge.carried import Carried
from app.edge.expiry import Expiry
from app.edge.files import Files
from app.edge.heartbeat import Heartbeat
from app.edge.http import Api
from app.edge.operators import Operators
from app.edge.own import Own
from app.edge.routes import Guarded, Open, routes
from app.edge.sign_in import SignIn
from app.edge.websocket import Connection
from app.node import Node

STATIC: Final = Path(__file__).parents[2] / "static"
CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' ws: wss:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
SAFE: Final = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}

IDS: Final = ("Idempotency-Key", "If-Match", "Last-Event-ID")
SPREAD_SECONDS: Final = 0.01  # for each client that is sent elsewhere
MOVE_SECONDS: Final = 1.0  # what moving takes

log = logging.getLogger(__name__)


class Gate:
    """Refuse what may not come in, before any route sees it; and say the safe headers with every response.

    Sockets go straight to where they are served: what lies between, each of them would keep as long as it lives.
    """

    def __init__(self, app: ASGIApp, socket: Callable[[WebSocket], Awaitable[None]], access: Access) -> None:
        self._app = app
        self._socket = socket
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "websocket":
            await self._upgrade(WebSocket(scope, receive, send))
        else:
            await self._request(scope, receive, send)

    async def _upgrade(self, socket: WebSocket) -> None:
        try:
            self._access.admit(socket.scope)
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
            self._access.admit(scope)
        except ChatError as error:
            await problem(error)(scope, receive, safely)
        else:
            await self._app(scope, receive, safely)


class Site:
    """What one node serves: its sockets, routes and page."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.access = access = Access(node)
        self.connections: set[Connection] = set()
        self._arriving = 0  # sockets that are neither refused nor among those yet
        self.heartbeat = Heartbeat()
        self.expiry = Expiry()
        self._files = files = Files(STATIC)
        self._api = api = Api(node, access)
        sign_in, operators = SignIn(node, access), Operators(node)
        self.doors: list[Open | Guarded] = [
            Open("GET", "/", self.page),
            Open("GET", "/sign-in", self.sign_in_page),
            Open("GET", "/openapi.json", self.openapi),
            Guarded("POST", "/chat", "chat", api.chat, api.whom),
            Guarded("POST", "/api/sessions/{id}/turns", "chat", api.turns),
            Guarded("POST", "/api/sessions/{id}/turns/{turn}/again", "chat", api.turns),
            Guarded("PUT", "/api/sessions/{id}/turns/{turn}", "chat", api.turns),
            Open("POST", "/api/sign-in", sign_in.sign_in),
            Open("DELETE", "/api/sign-in", sign_in.sign_out),
            Guarded("GET", "/api/me", "chat", sign_in.me),
            Guarded("DELETE", "/api/me", "chat", sign_in.erase),
            Guarded("POST", "/api/ticket", "chat", sign_in.ticket),
            *Own(node, access).doors,
            *Carried(node, access).doors,
            Guarded("POST", "/api/revoke", "operate", operators.revoke),
            Guarded("GET", "/api/audit", "operate", operators.audit),
            Open("GET", "/health", api.health, counts=False),
            Open("GET", "/live", api.live, counts=False),
            Open("GET", "/ready", api.ready, counts=False),
        ]
        served = [*routes(self.doors, access), Mount("/static", files)]
        app = CORSMiddleware(
            Starlette(routes=served, exception_handlers=HANDLERS), allow_origins=sorted(access.origins.allowed),
            allow_methods=sorted({door.method for door in self.doors}),
            allow_headers=["Authorization", "Content-Type", "If-Match", *IDS],
            expose_headers=["ETag", "Retry-After"],
        )  # fmt: skip
        self.app: ASGIApp = Gate(app, self.socket, access)
        node.state.pulse.told = self.sweep

    async def guard(self) -> None:
        """Close connections whose identity has expired, each within a second, until cancelled."""
        while True:
            await asyncio.sleep(1.0)
            self.expiry.pass_to(round(time.time() * 1000))

    def sweep(self) -> None:
        """Close connections whose identity was revoked."""
        for connection in list(self.connections):
            connection.check()

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
        try:
            connection = await self._connection(socket)
        except ChatError as error:
            await _deny(socket, error)
            return
        if connection is None:
            return
        self.connections.add(connection)
        self.heartbeat.add(connection)
        try:
            await connection.run()
        finally:
            self.connections.discard(connection)
            self.heartbeat.remove(connection)
            self.expiry.remove(connection)

    async def _connection(self, socket: WebSocket) -> Connection | None:
        """Take an upgrade; None where it was taken only to say why not, since a browser cannot see that otherwise.

        Raises:
            ChatError: it is refused.
        """
        codec = next((Codec(name) for name in socket.scope["subprotocols"] if name in list(Codec)), None)
        if codec is None:
            raise BadFrame(f"no known subprotocol offered; expected {' or '.join(Codec)}")
        if self._node.draining:
            raise Unavailable("this node drains; another one serves you", code="unavailable", after_ms=1000)
        if 0 < self.access.limits.sockets <= len(self.connections) + self._arriving:
            raise Unavailable("this node has as many sockets as it takes", code="overloaded", after_ms=1000)
        self._arriving += 1
        try:
            await self.access.limits.knock(visitor_of(socket).address)
            identity = await self.access.identify(socket)
        except (RateLimited, Unauthorized) as error:
            await socket.accept(codec)
            message = encode(error_frame(error), codec)
            await socket.send({"type": "websocket.send", "text" if isinstance(message, str) else "bytes": message})
            await socket.close(closing(error))
            return None
        finally:
            self._arriving -= 1
        await socket.accept(codec)
        return Connection(socket, codec, self._node, self.access, self.expiry, identity)

    async def page(self, request: Request) -> Response:
        """`GET /`: the chat page. A browser that has no cookie of ours gets one, or is asked to sign in."""
        response = self._files.response("index.html", request)
        try:
            known = await self.access.auth.greet(visitor_of(request), response)
        except Unauthorized:
            known = False
        except Unavailable:
            known = True  # its socket finds out
        return response if known else RedirectResponse("/sign-in", 303)

    async def openapi(self, request: Request) -> Response:
        """`GET /openapi.json`: these routes, for programs."""
        return JSONResponse(openapi.document(self.doors, self._node.model.names))

    async def sign_in_page(self, request: Request) -> Response:
        """`GET /sign-in`: where invitations lead to."""
        if self._node.settings.auth == "guest":
            return RedirectResponse("/", 303)
        return self._files.response("sign-in.html", request)


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
