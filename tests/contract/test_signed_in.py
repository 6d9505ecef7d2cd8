"""`AUTH=jwt`: programs by their tokens, pages by their cookies, other origins by tickets; each until it is over."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import redis as redis_package
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from app.core.protocol import Codec
from app.edge.sign_in import invite, invited
from tests.contract.wire import Wire, both_codecs, dialled, refused
from tests.people import JWT, OTHER, bearer, operator, token
from tests.servers import Script, Served, serving, two, until

COOKIE = "chat_login"
CHAT = {"session_id": "s", "message": "Hello."}


@asynccontextmanager
async def asking(served: Served, headers: dict[str, str] | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client that keeps cookies."""
    async with httpx.AsyncClient(base_url=served.http, headers=headers, trust_env=False) as client:
        yield client


@asynccontextmanager
async def known(served: Served, codec: Codec, **claims: Any) -> AsyncIterator[Wire]:
    """Connect as a program with a token, and take the welcome."""
    async with dialled(served, codec, bearer(**claims)) as wire:
        assert (await wire.frame())["type"] == "welcome"
        yield wire


async def _upgrade(served: Served, headers: dict[str, str]) -> int:
    """The status of an upgrade."""
    try:
        async with connect(
            served.ws, subprotocols=[Subprotocol(Codec.JSON)], additional_headers=headers, proxy=None, close_timeout=1
        ):
            return 101
    except InvalidStatus as error:
        return error.response.status_code


@both_codecs
async def test_a_program_with_a_token(redis_url: str, model: Script, codec: Codec) -> None:
    """It is greeted, speaks, and is the same user at another node and over HTTP; another subject is not."""
    async with two(redis_url, model, **JWT) as (a, b), known(a, codec) as ada, known(b, codec) as again:
        await ada.said("m")
        assert len((await again.ok("history", session="s"))["turns"]) == 2
        async with known(b, codec, subject="eve") as eve, asking(b, bearer()) as client:
            assert (await eve.ok("history", session="s"))["turns"] == []
            answer = await client.post("/chat", json=CHAT | {"message_id": "m"})
            assert (answer.status_code, answer.json()["response"]) == (200, "You said: Hello.")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        (bearer(seconds=-1), 4001),
        (bearer(secret=OTHER), 4500),
        ({"Authorization": "Bearer x"}, 4500),
        ({"Authorization": "Basic YTpi"}, 4500),
        ({"Cookie": f"{COOKIE}=short"}, 4500),
        ({"Cookie": f"{COOKIE}={'a' * 43}"}, 4001),
        (operator(), 4507),
    ],
)
@both_codecs
async def test_a_bad_identity(redis_url: str, model: Script, codec: Codec, headers: dict[str, str], code: int) -> None:
    """The upgrade succeeds, and then it is said why not; over HTTP it is 401, or 403 for who may not."""
    async with serving(redis_url, model, **JWT) as served, dialled(served, codec, headers) as wire:
        closed, came = await wire.closed()
        refused(came[-1], "forbidden" if code == 4507 else "unauthorized")
        assert (code, 1) == (closed, len(came))
        async with asking(served, headers) as client:
            for path, body in (("/chat", CHAT), ("/api/sessions/s/turns", {"text": "x"}), ("/api/ticket", {})):
                answer = await client.post(path, json=body)
                assert answer.status_code == (403 if code == 4507 else 401), path
        assert model.asked == []


@both_codecs
async def test_nobody_names_themselves(redis_url: str, model: Script, codec: Codec) -> None:
    """`X-User-Id` and `user_id` are refused, with a good token too."""
    async with serving(redis_url, model, **JWT) as served, asking(served) as client:
        for headers in ({}, bearer()):
            named = {"X-User-Id": "ada"} | headers
            assert await _upgrade(served, named) == 403
            assert (await client.post("/chat", json=CHAT, headers=named)).status_code == 403
            assert (await client.post("/chat", json=CHAT | {"user_id": "ada"}, headers=headers)).status_code == 403
        assert model.asked == []


@both_codecs
async def test_it_is_over_on_a_living_connection(redis_url: str, model: Script, codec: Codec) -> None:
    """When the token's time is over, the connection is told and closed with 4001, though it says nothing."""
    async with serving(redis_url, model, **JWT) as served, known(served, codec, seconds=2) as wire:
        began = time.monotonic()
        code, came = await wire.closed()
        refused(came[-1], "unauthorized")
        assert (code, time.monotonic() - began < 4.5) == (4001, True)
        assert len(served.site.expiry) == 0


@both_codecs
async def test_every_frame_is_asked(redis_url: str, model: Script, codec: Codec) -> None:
    """A frame that comes after the end of one's time does nothing, also before anything has closed the connection."""
    async with serving(redis_url, model, **JWT) as served, known(served, codec, seconds=1) as wire:
        served.site.expiry.remove(next(iter(served.site.connections)))  # nobody looks
        await until(lambda: time.time() > next(iter(served.site.connections))._badge.expires_at / 1000)
        await wire.send({"type": "say", "ref": "r", "session": "s", "id": "m", "text": "Hello."})
        code, came = await wire.closed()
        refused(came[-1], "unauthorized", "r")
        assert (code, model.asked) == (4001, [])


@both_codecs
async def test_a_token_in_time(redis_url: str, model: Script, codec: Codec) -> None:
    """`hello {token}` of the same user: the connection lives on; one that has expired changes nothing."""
    async with serving(redis_url, model, **JWT) as served, known(served, codec, seconds=2) as wire:
        error = await wire.ask("hello", token=token(seconds=-5))
        refused(error, "unauthorized", error["ref"])
        await wire.send({"type": "hello", "ref": "renewed", "token": token(seconds=600)})
        await wire.find("welcome", ref="renewed")
        (connection,) = served.site.connections
        assert connection._badge.expires_at > (time.time() + 500) * 1000
        await asyncio.sleep(0)
        served.site.expiry.pass_to(round((time.time() + 100) * 1000))
        assert await wire.rest() == []


@pytest.mark.parametrize(
    ("shown", "code"),
    [({"subject": "eve"}, 4500), ({"secret": OTHER}, 4500), ({"role": "operator"}, 4507)],
)
@both_codecs
async def test_anothers_token(redis_url: str, model: Script, codec: Codec, shown: dict[str, str], code: int) -> None:
    """One who is known does not become another: the error, then the close."""
    async with serving(redis_url, model, **JWT) as served, known(served, codec) as wire:
        await wire.send({"type": "hello", "ref": "r", "token": token(**shown)})
        closed, came = await wire.closed()
        refused(came[-1], "forbidden" if code == 4507 else "unauthorized", "r")
        assert code == closed


@both_codecs
async def test_who_one_is_in_the_first_hello(redis_url: str, model: Script, codec: Codec) -> None:
    """A connection without an identity says it by a token, and resumes in the same round trip."""
    async with serving(redis_url, model, **JWT) as served, dialled(served, codec) as wire:
        error = await wire.ask("ping")
        refused(error, "unauthorized", error["ref"])
        resume = [{"session": "s", "cursor": "0-0"}]
        await wire.send({"type": "hello", "ref": "h", "token": token(), "resume": resume})
        welcome = await wire.find("welcome", ref="h")
        assert welcome["features"] == ["again", "hold", "sign_in"]
        assert (await wire.find("ok", ref="h"))["at"] == "0-0"
        await wire.said("m")


@both_codecs
async def test_a_bad_token_in_the_first_hello(redis_url: str, model: Script, codec: Codec) -> None:
    """It is told with the ref, and closed: 4001 for one that has expired, else 4500."""
    async with serving(redis_url, model, **JWT) as served:
        for shown, code in ((token(seconds=-1), 4001), (token(secret=OTHER), 4500), ("x", 4500)):
            async with dialled(served, codec) as wire:
                await wire.send({"type": "hello", "ref": "r", "token": shown})
                closed, came = await wire.closed()
                refused(came[-1], "unauthorized", "r")
                assert code == closed


@both_codecs
async def test_a_ticket(redis_url: str, redis: redis_package.Redis, model: Script, codec: Codec) -> None:
    """It counts once, at any node, for thirty seconds, for the user who asked for it, until their own time is over."""
    async with two(redis_url, model, **JWT) as (a, b), asking(a, bearer(seconds=100)) as client:
        answer = await client.post("/api/ticket")
        ticket = answer.json()["ticket"]
        assert (answer.status_code, answer.json()["seconds"]) == (201, 30.0)
        (key,) = redis.keys("ticket:*")
        assert ticket.encode() not in key
        assert 28_000 < redis.pttl(key) <= 30_000
        async with dialled(b, codec) as wire:
            await wire.send({"type": "hello", "ref": "h", "ticket": ticket})
            await wire.find("welcome", ref="h")
            (connection,) = b.site.connections
            assert connection._badge.expires_at < (time.time() + 101) * 1000
        async with dialled(b, codec) as wire:
            await wire.send({"type": "hello", "ref": "h", "ticket": ticket})
            code, came = await wire.closed()
            refused(came[-1], "unauthorized", "h")
            assert code == 4500


async def test_pages_of_other_origins(redis_url: str, model: Script) -> None:
    """An allowed origin may fetch a ticket with a token (CORS, without cookies), and connect; another may not."""
    mine, evil = {"Origin": "https://app.example"}, {"Origin": "https://evil.example"}
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    async with serving(redis_url, model, allowed_origins="https://app.example", **JWT) as served, asking(served) as web:
        allowed = await web.options("/api/ticket", headers=mine | ask)
        assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, "https://app.example")
        assert "access-control-allow-credentials" not in allowed.headers
        for door in served.site.doors:
            way = mine | ask | {"Access-Control-Request-Method": door.method}
            assert (await web.options(door.path, headers=way)).status_code == 200, door
        answer = await web.post("/api/ticket", headers=mine | bearer())
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (201, "https://app.example")
        assert (await web.options("/api/ticket", headers=evil | ask)).status_code == 403
        assert (await web.post("/api/ticket", headers=evil | bearer())).status_code == 403
        assert (await _upgrade(served, mine), await _upgrade(served, evil | bearer())) == (101, 403)


@both_codecs
async def test_a_page_signs_in(redis_url: str, redis: redis_package.Redis, model: Script, codec: Codec) -> None:
    """A token is exchanged for a cookie that lasts as long as it does; in Redis lies its digest only."""
    async with serving(redis_url, model, **JWT) as served, asking(served) as client:
        first = await client.get("/")
        assert (first.status_code, first.headers["location"]) == (303, "/sign-in")
        assert (await client.get("/sign-in")).status_code == 200
        answer = await client.post("/api/sign-in", json={"token": token(seconds=100)})
        (header,) = answer.headers.get_list("set-cookie")
        parts = {part.strip().casefold() for part in header.split(";")}
        assert {"httponly", "path=/", "samesite=lax", "max-age=100"} <= parts
        assert "secure" not in parts
        secret = client.cookies[COOKIE]
        (key,) = redis.keys("login:*")
        assert secret.encode() not in key
        assert 95_000 < redis.pttl(key) <= 100_000
        assert (await client.get("/")).status_code == 200
        assert (await client.get("/api/me")).json()["user"] == answer.json()["user"]
        async with dialled(served, codec, {"Cookie": f"{COOKIE}={secret}", "Origin": served.http}) as wire:
            assert (await wire.frame())["user"] == answer.json()["user"]
            await wire.said("m")
        by_header = await client.post("/api/sign-in", json={}, headers=bearer())
        assert (by_header.status_code, by_header.json()["user"]) == (200, answer.json()["user"])


async def test_behind_tls(redis_url: str, model: Script) -> None:
    """Where a trusted proxy says that it was TLS, the cookie is `__Host-` and Secure, and no other name counts. What
    anybody else says of it counts for nothing.
    """
    tls = {"X-Forwarded-Proto": "https", "Host": "chat.example"}
    async with (
        serving(redis_url, model, trusted_proxies="127.0.0.0/8", **JWT) as behind,
        serving(redis_url, model, "b", **JWT) as direct,
        asking(behind, tls) as client,
        asking(direct, tls) as other,
    ):
        answer = await client.post("/api/sign-in", json={"token": token()})
        assert answer.headers["set-cookie"].startswith(f"__Host-{COOKIE}=")
        assert "secure" in answer.headers["set-cookie"].lower()
        secret = answer.headers["set-cookie"].partition("=")[2].partition(";")[0]
        for name, status in ((f"__Host-{COOKIE}", 200), (COOKIE, 401)):
            client.cookies.clear()
            assert (await client.get("/api/me", headers={"Cookie": f"{name}={secret}"})).status_code == status
        for origin, status in (("https://chat.example", 200), ("http://chat.example", 403)):
            headers = {"Cookie": f"__Host-{COOKIE}={secret}", "Origin": origin}
            assert (await client.get("/api/me", headers=headers)).status_code == status
        plain = await other.post("/api/sign-in", json={"token": token()})
        assert plain.headers["set-cookie"].startswith(f"{COOKIE}=")


@both_codecs
async def test_signing_out(redis_url: str, model: Script, codec: Codec) -> None:
    """The cookie counts no more, its connections are closed at every node, and only its own."""
    async with two(redis_url, model, **JWT) as (a, b), asking(a) as client, asking(a) as elsewhere:
        shown = token()
        for one in (client, elsewhere):
            await one.post("/api/sign-in", json={"token": shown})
        cookies = [{"Cookie": f"{COOKIE}={one.cookies[COOKIE]}"} for one in (client, elsewhere)]
        async with dialled(b, codec, cookies[0]) as mine, dialled(b, codec, cookies[1]) as others:
            assert [(await one.frame())["type"] for one in (mine, others)] == ["welcome", "welcome"]
            assert (await client.delete("/api/sign-in")).status_code == 204
            began = time.monotonic()
            assert (await mine.closed())[0] == 4001
            assert time.monotonic() - began < 2.0
            assert await others.rest() == []
        assert COOKIE not in client.cookies
        assert (await elsewhere.get("/api/me")).status_code == 200
        assert (await client.get("/api/me", headers=cookies[0])).status_code == 401


async def _invited(served: Served, name: str = "ada", seconds: float = 100.0) -> str:
    node = served.node
    return await invite(node.state.credentials, node.state.pulse, name, seconds=seconds)


async def test_an_invitation(redis_url: str, redis: redis_package.Redis, model: Script) -> None:
    """It signs in once, whoever is called that is one user, and it lasts as long as `SIGN_IN_DAYS`."""
    async with two(redis_url, model, **JWT, sign_in_days=2) as (a, b), asking(a) as first, asking(b) as second:
        secrets = [await _invited(a), await _invited(b)]
        answers = [
            await client.post("/api/sign-in", json={"invite": secret})
            for client, secret in zip((first, second), secrets, strict=True)
        ]
        assert [answer.json()["name"] for answer in answers] == ["ada", "ada"]
        assert {answer.json()["user"] for answer in answers} == {invited("ada").key}
        assert abs(answers[0].json()["expires_at"] / 1000 - time.time() - 2 * 86_400) < 5
        for secret in (*secrets, "x", "a" * 43):
            again = await second.post("/api/sign-in", json={"invite": secret})
            assert (again.status_code, again.json()["code"]) == (401, "unauthorized")
        assert not any(secret.encode() in key for secret in secrets for key in redis.keys("*"))


async def test_an_invitation_that_is_taken_back(redis_url: str, model: Script) -> None:
    """Who is revoked cannot use what they were sent before; a new one counts."""
    async with serving(redis_url, model, **JWT) as served, asking(served) as client:
        secret = await _invited(served)
        await served.node.state.pulse.revoke(invited("ada"))
        assert (await client.post("/api/sign-in", json={"invite": secret})).status_code == 401
        await served.node.state.pulse.beat()
        await until(lambda: served.node.state.pulse.now > max(served.node.state.pulse._revoked.values()))
        answer = await client.post("/api/sign-in", json={"invite": await _invited(served)})
        assert answer.status_code == 200
        assert (await client.get("/api/me")).status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"token": 7}, 400),
        ({"invite": ["x"]}, 400),
        ({"token": "x"}, 401),
        ({"token": token(seconds=-1)}, 401),
    ],
)
async def test_what_signs_nobody_in(redis_url: str, model: Script, body: dict[str, Any], status: int) -> None:
    """A problem, and no cookie."""
    async with serving(redis_url, model, **JWT) as served, asking(served) as client:
        answer = await client.post("/api/sign-in", json=body)
        assert (answer.status_code, "set-cookie" in answer.headers) == (status, False)
        assert answer.headers["content-type"] == "application/problem+json"


async def test_guests_need_no_sign_in(redis_url: str, model: Script) -> None:
    """In guest mode there is nothing to sign in with, and the page has no use for it; programs may have tickets."""
    async with serving(redis_url, model) as served, asking(served) as client:
        assert (await client.post("/api/sign-in", json={"token": token()})).status_code == 403
        assert (await client.get("/sign-in")).headers["location"] == "/"
        answer = await client.post("/api/ticket", headers={"X-User-Id": "ada"})
        async with dialled(served, Codec.JSON) as wire:
            await wire.send({"type": "hello", "ref": "h", "ticket": answer.json()["ticket"]})
            await wire.find("welcome", ref="h")


async def test_signing_in_has_its_limits(redis_url: str, redis: redis_package.Redis, model: Script) -> None:
    """As rare as connections, for each user, and no longer than `SIGN_IN_DAYS`; what ended is soon forgotten."""
    limits: dict[str, Any] = {"limits": "on", "rate_connects": 5, "sign_in_days": 2, "rate_address": 0}
    async with serving(redis_url, model, **JWT, **limits) as served, asking(served) as client:
        answers = [await client.post("/api/sign-in", json={"token": token(seconds=10**9)}) for _ in range(8)]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 3
        assert answers[-1].json()["code"] == "rate_limited"
        assert abs(answers[0].json()["expires_at"] / 1000 - time.time() - 2 * 86_400) < 60
        assert len(redis.keys("login:*")) == 5
        assert max(redis.ttl(key) for key in redis.keys("login:*")) <= 2 * 86_400
        assert (await client.post("/api/sign-in", json={"token": token("eve")})).status_code == 200
        assert (await client.delete("/api/sign-in")).status_code == 204
        pulse = served.node.state.pulse
        assert len(pulse._revoked) == 1
        redis.delete(*redis.keys("*ended*"))
        await pulse.beat(whole=True)
        assert len(pulse._revoked) == 1
        (member,) = pulse._revoked
        pulse._revoked[member] -= 600_000
        await pulse.beat(whole=True)
        assert not pulse._revoked


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/sign-in"), ("GET", "/openapi.json"), ("DELETE", "/api/sign-in")]
)
async def test_what_is_open_to_anybody_has_limits_too(redis_url: str, model: Script, method: str, path: str) -> None:
    """By address; and whether a node lives and is ready is told whatever else was asked."""
    limits: dict[str, Any] = {"limits": "on", "rate_frames": 3, "rate_address": 1, "trusted_proxies": "127.0.0.1"}
    headers = {"X-Forwarded-For": "203.0.113.7"}
    async with serving(redis_url, model, **JWT, **limits) as served, asking(served, headers) as client:
        codes = [(await client.request(method, path)).status_code for _ in range(5)]
        assert codes[3:] == [429, 429]
        assert 429 not in codes[:3]
        for probe in ("/live", "/health", "/ready"):
            assert (await client.get(probe)).status_code == 200
