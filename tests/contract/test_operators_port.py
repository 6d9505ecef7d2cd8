"""`ADMIN_PORT` attacked on its own socket: pages of any site, rebound names, proxies, and who comes from elsewhere.

Whatever is refused is a typed error, tells no number, drains no node, and touches nothing in Redis.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import redis as redis_package
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from app.edge.admin import admin
from app.edge.metrics import Metrics
from app.edge.serve import listen_to_operators, server
from tests.people import JWT, bearer, operator
from tests.servers import Script, free_port, serving, until

EVIL = "http://evil.example"
MODES = pytest.mark.parametrize("mode", [{}, JWT], ids=["guest", "jwt"])
PATHS = (("GET", "/metrics"), ("POST", "/drain"), ("POST", "/metrics"), ("GET", "/nothing"))
FORMS = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json")


@dataclass
class Port:
    """The operators' port of a node, and whether somebody has had it drain."""

    number: int
    told: asyncio.Event
    client: httpx.AsyncClient

    async def refuses(self, status: int, headers: dict[str, str], content: bytes = b"") -> None:
        """Hold each path to this status, as a problem."""
        for method, path in PATHS:
            answer = await self.client.request(method, path, headers=headers, content=content)
            assert (path, headers, status) == (path, headers, answer.status_code), answer.text
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["code"] == ("unauthorized" if status == 401 else "forbidden")


@asynccontextmanager
async def operated(redis_url: str, redis: redis_package.Redis, model: Script, **settings: Any) -> AsyncIterator[Port]:
    """Serve operators on a port, and see afterwards that nothing was done."""
    number, told = free_port(), asyncio.Event()
    async with serving(redis_url, model, admin_port=number, **settings) as served:
        listener = listen_to_operators(served.node.settings)
        assert listener is not None
        app = admin(served.node, served.site, Metrics(served.node, served.site.connections), told)
        operators = server(app)
        task = asyncio.create_task(operators.serve([listener]))
        await until(lambda: operators.started)
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{number}", trust_env=False) as client:
                yield Port(number, told, client)
            assert (told.is_set(), served.node.draining, model.asked) == (False, False, [])
            assert set(redis.keys("*")) <= {b"{nodes}:alive", b"{nodes}:issuers"}
        finally:
            operators.should_exit = operators.force_exit = True
            await task
            listener.close()


@MODES
async def test_a_rebound_name(redis_url: str, redis: redis_package.Redis, model: Script, mode: dict[str, str]) -> None:
    """Its page is of the same origin as the port, to the browser: it reads what it may, and its Host is not ours."""
    async with operated(redis_url, redis, model, **mode) as port:
        for name in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "localhost.", "x.localhost"):
            host = f"{name}:{port.number}"
            for more in ({}, {"Origin": f"http://{host}"}, {"Sec-Fetch-Site": "same-origin"}):
                await port.refuses(403, {"Host": host} | more)
                await port.refuses(403, {"Host": host} | more | operator())


@MODES
async def test_another_sites_page(
    redis_url: str, redis: redis_package.Redis, model: Script, mode: dict[str, str]
) -> None:
    """A form, or a fetch that needs no preflight: with an Origin, or (as old browsers do) with none, but with what else
    a browser says of it.
    """
    async with operated(redis_url, redis, model, **mode) as port:
        own = f"http://127.0.0.1:{port.number}"
        marks: tuple[dict[str, str], ...] = (
            {"Origin": EVIL}, {"Origin": "null"}, {"Origin": ""}, {"Origin": own}, {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        )  # fmt: skip
        for mark in marks:
            for kind in FORMS:
                await port.refuses(403, mark | {"Content-Type": kind}, b'{"a":"="}')
        ask = {"Origin": EVIL, "Access-Control-Request-Method": "POST"}
        answer = await port.client.options("/drain", headers=ask)
        assert (answer.status_code, "access-control-allow-origin" in answer.headers) == (403, False)


@MODES
async def test_a_socket_is_not_served(
    redis_url: str, redis: redis_package.Redis, model: Script, mode: dict[str, str]
) -> None:
    """Of a page or of a program."""
    async with operated(redis_url, redis, model, **mode) as port:
        for headers in ({}, {"Origin": EVIL}, {"Origin": f"http://127.0.0.1:{port.number}"}):
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"ws://127.0.0.1:{port.number}/metrics", additional_headers=headers, proxy=None)
            assert refused.value.response.status_code == 403
            assert refused.value.response.headers["content-type"] == "application/problem+json"


async def test_who_comes_through_a_proxy_is_not_here(redis_url: str, redis: redis_package.Redis, model: Script) -> None:
    """Whatever it says of an address, trusted or not: no login is for who connects from this machine, and no other."""
    async with operated(redis_url, redis, model, trusted_proxies="127.0.0.0/8", **JWT) as port:
        for said in ("127.0.0.1", "::1", "::ffff:127.0.0.1", "", "9.9.9.9,", "9.9.9.9, 127.0.0.1", "9.9.9.9"):
            for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "Via"):
                await port.refuses(401, {name: said})
        await port.refuses(403, {"X-Forwarded-For": "127.0.0.1"} | bearer("ada"))
        assert (await port.client.get("/metrics", headers={"X-Forwarded-For": ""} | operator())).status_code == 200


async def test_a_host_that_comes_twice(redis_url: str, redis: redis_package.Redis, model: Script) -> None:
    """The one that is looked at is not another than the one that counts."""
    async with operated(redis_url, redis, model) as port:
        for hosts in (("127.0.0.1", "evil.example"), ("evil.example", "127.0.0.1")):
            reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
            head = "".join(f"Host: {host}\r\n" for host in hosts)
            writer.write(f"POST /drain HTTP/1.1\r\n{head}Connection: close\r\nContent-Length: 0\r\n\r\n".encode())
            assert (await reader.read())[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 403")
            writer.close()
