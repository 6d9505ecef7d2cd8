"""What operators ask of a node, on a port of its own (`ADMIN_PORT`): its metrics, and to drain."""

import asyncio

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.edge.app import HANDLERS, Site
from app.edge.metrics import Metrics
from app.node import Node


def admin(node: Node, site: Site, metrics: Metrics, told: asyncio.Event) -> Starlette:
    """Make the application; `told` is set by a drain that is asked for."""

    async def measured(request: Request) -> Response:
        """`GET /metrics`: for Prometheus."""
        return Response(metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def drain(request: Request) -> Response:
        """`POST /drain`: as SIGTERM does; the process ends when the drain does. Asked again, it only tells."""
        told.set()
        left = {"status": "draining", "runs": node.runner.running, "sockets": len(site.connections)}
        return JSONResponse(left, 202)

    routes = [Route("/metrics", measured), Route("/drain", drain, methods=["POST"])]
    return Starlette(routes=routes, exception_handlers=HANDLERS)
