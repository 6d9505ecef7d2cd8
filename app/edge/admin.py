"""What operators ask of a node, on a port of its own (`ADMIN_PORT`): its metrics, and to drain.

Pages have no business here, whatever they are: a request with an `Origin`, or for a name that is not an address, which
somebody could have rebound to this one (DNS rebinding), is refused. From this machine no login is needed. From
elsewhere it takes an operator's token with `AUTH=jwt`; in guest mode whoever reaches the port operates.
"""

import asyncio

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from app.core.errors import ChatError, Forbidden
from app.edge.app import HANDLERS, Site
from app.edge.bodies import problem
from app.edge.metrics import Metrics
from app.edge.origins import HERE, counted, forwarded, is_address, single
from app.node import Node


class OperatorsOnly:
    """Refuse whoever is none."""

    def __init__(self, app: ASGIApp, site: Site, *, guests: bool) -> None:
        self._app = app
        self._site = site
        self._guests = guests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        try:
            await self._check(scope)
        except ChatError as error:
            if scope["type"] == "websocket":
                await WebSocket(scope, receive, send).send_denial_response(problem(error))
            else:
                await problem(error)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _check(self, scope: Scope) -> None:
        headers, access = Headers(scope=scope), self._site.access
        host = single(headers, "host")
        of_a_page = "origin" in headers or headers.get("sec-fetch-site", "none") != "none"
        if scope["type"] != "http" or of_a_page or not is_address(host):
            raise Forbidden(
                f"this port is not for pages; expected no Origin, and an address as Host, not {host[:80]!r}"
            )
        straight = counted(scope["client"][0]) == HERE and not any(map(forwarded, headers))
        if not straight and not self._guests:  # who came through a proxy is not here, whatever it says
            access.authorise(await access.auth.identify(access.origins.visitor(scope)), "operate")


def admin(node: Node, site: Site, metrics: Metrics, told: asyncio.Event) -> ASGIApp:
    """Make the application; `told` is set by a drain that is asked for."""

    async def measured(request: Request) -> Response:
        """`GET /metrics`: for Prometheus."""
        return Response(metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def drain(request: Request) -> Response:
        """`POST /drain`: as SIGTERM does; the process ends when the drain does. Asked again, it only tells."""
        if not told.is_set():
            told.set()
            await node.state.audit.record("drained", None)
        left = {"status": "draining", "runs": node.runner.running, "sockets": len(site.connections)}
        return JSONResponse(left, 202)

    served = [Route("/metrics", measured), Route("/drain", drain, methods=["POST"])]
    app = Starlette(routes=served, exception_handlers=HANDLERS)
    return OperatorsOnly(app, site, guests=node.settings.auth == "guest")
