"""What hostile pages, proxies and headers try on a node that serves guests of this machine, and on its operators' port.

Each attack is made as a browser or a program would make it; nothing may come of it, in Redis or at the model.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx
import pytest
import redis as redis_package
from websockets.exceptions import InvalidStatus

from app.core.protocol import Codec
from app.edge.admin import admin
from app.edge.metrics import Metrics
from tests.contract.wire import both_codecs, dialled
from tests.people import JWT, bearer, operator
from tests.servers import Script, Served, serving

EVIL = "http://evil.example"
BODIES: dict[str, Any] = {
    "/chat": {"session_id": "s", "message": "x", "message_id": "m"},
    "/api/sessions/{id}/turns": {"text": "x", "id": "m"},
    "/api/revoke": {"name": "ada"},
}


@asynccontextmanager
async def attacked(
    redis_url: str, redis: redis_package.Redis, model: Script, **settings: Any
) -> AsyncIterator[tuple[Served, httpx.AsyncClient]]:
    """A node, and a client; afterwards nothing was said, and nobody is somebody."""
    async with (
        serving(redis_url, model, **settings) as served,
        httpx.AsyncClient(base_url=served.http, trust_env=False) as client,
    ):
        yield served, client
        assert model.asked == []
        keys = cast("list[bytes]", redis.keys("*"))
        assert [key for key in keys if b"{b" in key or b"{u" in key or key.startswith(b"ticket")] == []


def _refused(answer: httpx.Response, *statuses: int) -> None:
    assert answer.status_code in statuses, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert "access-control-allow-origin" not in answer.headers


async def _upgrade(served: Served, codec: Codec, headers: list[tuple[str, str]] | dict[str, str]) -> int:
    """Try to connect; return the status of the refusal."""
    with pytest.raises(InvalidStatus) as caught:
        async with dialled(served, codec, dict(headers)):
            pass
    return caught.value.response.status_code


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil",
             "2130706433", "0x7f.1", "[::ffff:8.8.8.8]", "", "10.0.0.1"],
)  # fmt: skip
@both_codecs
async def test_dns_rebinding(
    redis_url: str, redis: redis_package.Redis, model: Script, codec: Codec, host: str
) -> None:
    """A name that leads here for a moment: its pages have its own origin, and send its name as Host."""
    async with attacked(redis_url, redis, model) as (served, client):
        own = {"Host": host, "Origin": f"http://{host}"}
        for door in served.site.doors:
            url = door.path.replace("{id}", "s").replace("{run}", "r")
            answer = await client.request(
                door.method, url, headers=own | {"X-User-Id": "ada"}, json=BODIES.get(door.path)
            )
            assert answer.status_code in (400, 403), (door.path, answer.text)
        assert await _upgrade(served, codec, own) in (400, 403)


ORIGINS = ["null", EVIL, "https://evil.example", "http://127.0.0.1.evil.example", "http://127.0.0.1:1", "file://",
           "http://localhost:{port}@evil.example", "http://127.0.0.1:{port}.evil.example", "ftp://127.0.0.1:{port}",
           "http://127.0.0.1:{port}/", "HTTP://127.0.0.1:{port}", "http://[::1]:{port}", ""]  # fmt: skip


@pytest.mark.parametrize("origin", ORIGINS)
@both_codecs
async def test_cross_site_websocket(
    redis_url: str, redis: redis_package.Redis, model: Script, codec: Codec, origin: str
) -> None:
    """Of any page but our own, with the victim's cookie."""
    async with attacked(redis_url, redis, model) as (served, client):
        cookie = (await client.get("/")).headers["set-cookie"].partition(";")[0]
        headers = {"Origin": origin.format(port=served.port), "Cookie": cookie}
        assert await _upgrade(served, codec, headers) == 403


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "text/json"]
)
async def test_cross_site_forms(redis_url: str, redis: redis_package.Redis, model: Script, kind: str) -> None:
    """What a form can send without being asked, to each door that changes something; also where no Origin is told."""
    async with attacked(redis_url, redis, model) as (served, client):
        cookie = (await client.get("/")).headers["set-cookie"].partition(";")[0]
        for door in served.site.doors:
            if door.method != "POST":
                continue
            for origin in ({"Origin": EVIL}, {"Origin": "null"}, {}):
                headers = {"Content-Type": kind, "Cookie": cookie} | origin
                content = b'{"session_id":"s","message":"x","text":"x","name":"ada","invite":"x","pad":"="}'
                answer = await client.post(
                    door.path.replace("{id}", "s").replace("{run}", "r"), headers=headers, content=content
                )
                if door.path == "/api/ticket" and not origin:
                    assert answer.status_code == 201  # nobody reads it: no page of another origin may
                    redis.delete(*redis.keys("ticket:*"))
                else:
                    _refused(answer, 400, 401, 403, *([] if origin else [404]))


async def test_cross_site_signing_in_and_out(redis_url: str, redis: redis_package.Redis, model: Script) -> None:
    """Nobody is signed in as somebody else by another page, nor out."""
    async with attacked(redis_url, redis, model, **JWT) as (_, client):
        token = bearer("mallory")["Authorization"].removeprefix("Bearer ")
        for origin in (EVIL, "null"):
            _refused(await client.post("/api/sign-in", json={"token": token}, headers={"Origin": origin}), 403)
            _refused(await client.delete("/api/sign-in", headers={"Origin": origin}), 403)
        assert "set-cookie" not in (await client.post("/api/sign-in", content=b'{"token":"x"}')).headers
        answer = await client.options("/chat", headers={"Origin": EVIL, "Access-Control-Request-Method": "POST"})
        assert "access-control-allow-origin" not in answer.headers


FORWARDED = [
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Server",
    "X-Real-IP",
    "Via",
]


@pytest.mark.parametrize("name", FORWARDED)
@both_codecs
async def test_a_proxy_of_this_machine(
    redis_url: str, redis: redis_package.Redis, model: Script, codec: Codec, name: str
) -> None:
    """It speaks for strangers, from 127.0.0.1 and with a Host of ours: whatever it adds gives it away."""
    async with attacked(redis_url, redis, model) as (served, client):
        trace = {name: "for=8.8.8.8" if name == "Forwarded" else "8.8.8.8"}
        for door in served.site.doors:
            answer = await client.request(
                door.method, door.path.replace("{id}", "s").replace("{run}", "r"), headers=trace | {"X-User-Id": "ada"}
            )
            _refused(answer, 403)
        assert await _upgrade(served, codec, trace | {"X-User-Id": "ada"}) == 403


@pytest.mark.parametrize("name", ["X-User-Id", "x-user-id", "X-USER-ID"])
async def test_names_from_afar(redis_url: str, redis: redis_package.Redis, model: Script, name: str) -> None:
    """With `ALLOW_GUESTS` nobody names themselves, however they write it; nor in the body."""
    async with attacked(redis_url, redis, model, allow_guests=1) as (_, client):
        _refused(await client.post("/chat", headers={name: "ada"}, json=BODIES["/chat"]), 403)
        _refused(await client.post("/chat", json=BODIES["/chat"] | {"user_id": "ada"}), 403)


async def test_headers_that_come_twice(redis_url: str, redis: redis_package.Redis, model: Script) -> None:
    """The one that is looked at is not another than the one that counts."""
    async with attacked(redis_url, redis, model) as (served, client):
        own = f"http://127.0.0.1:{served.port}"
        for headers in (
            [("Origin", own), ("Origin", EVIL)],
            [("Origin", EVIL), ("Origin", own)],
            [("X-User-Id", "ada"), ("Origin", own)],
            [("X-User-Id", "ada"), ("Sec-Fetch-Site", "same-origin")],
        ):
            _refused(await client.post("/chat", headers=headers, json=BODIES["/chat"]), 403)
        answer = await _raw(served, b"Host: 127.0.0.1\r\nHost: evil.example\r\n")
        assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 403")), answer


async def _raw(served: Served, head: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    try:
        body = b'{"session_id":"s","message":"x"}'
        writer.write(
            b"POST /chat HTTP/1.1\r\n" + head + b"X-User-Id: ada\r\nContent-Type: application/json\r\n"
            b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        return await reader.read()
    finally:
        writer.close()


@both_codecs
async def test_a_planted_cookie(redis_url: str, redis: redis_package.Redis, model: Script, codec: Codec) -> None:
    """Behind TLS a cookie that a sibling domain or plain HTTP could have set counts for nobody."""
    settings = {"allow_guests": 1, "trusted_proxies": "127.0.0.1"}
    async with attacked(redis_url, redis, model, **settings) as (_, client):
        tls = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "8.8.8.8"}
        planted = {"Cookie": "chat_guest=AAAAAAAAAAAAAAAAAAAAAA"}
        _refused(await client.post("/chat", headers=tls | planted, json=BODIES["/chat"]), 401)
        page = await client.get("/", headers=tls | planted)
        given = page.headers["set-cookie"]
        assert given.startswith("__Host-chat_guest=")
        assert "AAAAAAAAAAAAAAAAAAAAAA" not in given
        assert all(word in given for word in ("Secure", "HttpOnly", "SameSite=lax", "Path=/"))


ADMIN = [("GET", "/metrics"), ("POST", "/drain")]


@asynccontextmanager
async def operated(served: Served, peer: str) -> AsyncIterator[tuple[httpx.AsyncClient, asyncio.Event]]:
    """The operators' port, as `peer` reaches it; and whether a drain was asked for."""
    told = asyncio.Event()
    app = admin(served.node, served.site, Metrics(served.node, served.site.connections), told)
    transport = httpx.ASGITransport(app=app, client=(peer, 5000))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:9000") as client:
        yield client, told


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"}, {"Host": "localhost.evil.example:9000"}, {"Origin": EVIL}, {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9000"}, {"Origin": "http://127.0.0.1:8000"}, {"Host": "a" * 300},
    ],
)  # fmt: skip
@pytest.mark.parametrize("mode", [{}, JWT], ids=["guest", "jwt"])
async def test_pages_at_the_operators_port(
    redis_url: str, redis: redis_package.Redis, model: Script, headers: dict[str, str], mode: dict[str, str]
) -> None:
    """Rebound names, and forms of any page: nothing is told, and no node drains."""
    async with (
        attacked(redis_url, redis, model, **mode) as (served, _),
        operated(served, "127.0.0.1") as (client, told),
    ):
        for method, path in ADMIN:
            _refused(await client.request(method, path, headers=headers), 403)
        assert not told.is_set()


@pytest.mark.parametrize("peer", ["10.0.0.5", "2001:db8::1"])
async def test_the_operators_port_from_afar(
    redis_url: str, redis: redis_package.Redis, model: Script, peer: str
) -> None:
    """With `AUTH=jwt`, an operator's token, and no other; a forwarded address does not make anybody local."""
    async with attacked(redis_url, redis, model, **JWT) as (served, _), operated(served, peer) as (client, told):
        for method, path in ADMIN:
            for headers, status in (
                ({}, 401), (bearer("ada"), 403), (operator() | {"Origin": EVIL}, 403),
                ({"X-Forwarded-For": "127.0.0.1"}, 401), ({"X-Real-IP": "127.0.0.1"}, 401),
            ):  # fmt: skip
                _refused(await client.request(method, path, headers=headers), status)
        assert not told.is_set()
        assert (await client.get("/metrics", headers=operator())).status_code == 200
        assert (await client.post("/drain", headers=operator())).status_code == 202
        assert told.is_set()
