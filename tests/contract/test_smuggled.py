"""What looks like one thing to whoever lets it through, and like another to whoever reads it: cookies, headers, tokens.

Each is sent as the browser or the program of an attacker would. What it says never counts, and the answer is typed.
"""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import redis as redis_package
from websockets.exceptions import InvalidStatus

from app.core.model import User
from app.core.protocol import Codec
from tests.contract.wire import both_codecs, dialled, refused
from tests.people import JWT, SECRET, bearer, claims, token
from tests.servers import Script, Served, serving

TLS = {"X-Forwarded-Proto": "https", "Host": "chat.example"}
GUESTS: dict[str, Any] = {"allow_guests": 1, "trusted_proxies": "127.0.0.0/8"}
PLANTED = "A" * 22
CHAT = {"session_id": "s", "message": "x"}

# How a sibling domain, which cannot set `__Host-NAME`, could have it read: by what parts cookies for a loose reader.
PLANTING = ("x=1 {0}", "x=1\t{0}", "x=1,{0}", 'x="1" {0}', "$Version=1; x=1 {0}", "\xa0{0}", "\x85{0}", "x {0}",
            "={0}")  # fmt: skip


@asynccontextmanager
async def _client(served: Served, headers: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=served.http, headers=headers, trust_env=False) as client:
        yield client


def _secret(answer: httpx.Response) -> str:
    """What a cookie was set to."""
    return answer.headers["set-cookie"].partition("=")[2].partition(";")[0]


@both_codecs
async def test_a_cookie_within_a_cookie(
    redis_url: str, redis: redis_package.Redis, model: Script, codec: Codec
) -> None:
    """`__Host-` keeps siblings out, however they write it: the victim does not chat as somebody whom they know."""
    async with serving(redis_url, model, **GUESTS) as served, _client(served, TLS) as client:
        for planting in PLANTING:
            cookie = planting.format(f"__Host-chat_guest={PLANTED}").encode("latin-1")
            answer = await client.post("/chat", json=CHAT, headers={b"Cookie": cookie})
            assert (planting, answer.status_code) == (planting, 401)
            page = await client.get("/", headers={b"Cookie": cookie})
            assert page.headers["set-cookie"].startswith("__Host-chat_guest=")
            assert _secret(page) != PLANTED
        for planting in filter(str.isprintable, filter(str.isascii, PLANTING)):
            headers = {"X-Forwarded-Proto": "https", "Cookie": planting.format(f"__Host-chat_guest={PLANTED}")}
            async with dialled(served, codec, headers) as wire:
                error = await wire.ask("say", session="s", id="m", text="x")
                refused(error, "unauthorized", error["ref"])
        assert (redis.keys("{[bu]*"), model.asked) == ([], [])


async def test_a_planted_sign_in(redis_url: str, model: Script) -> None:
    """Who has signed in stays who they are, beside somebody else's sign-in that is real, before it or behind it."""
    ada = User.of("", "ada").key
    async with (
        serving(redis_url, model, trusted_proxies="127.0.0.0/8", **JWT) as served,
        _client(served, TLS) as client,
    ):
        mine, evil = [_secret(await client.post("/api/sign-in", json={"token": token(who)})) for who in ("ada", "eve")]
        client.cookies.clear()
        own = f"__Host-chat_login={mine}"
        for planting in PLANTING:
            planted = planting.format(f"__Host-chat_login={evil}")
            for cookie, user in ((planted, None), (f"{own}; {planted}", ada), (f"{planted}; {own}", ada)):
                answer = await client.get("/api/me", headers={b"Cookie": cookie.encode("latin-1")})
                assert (cookie, user) == (cookie, answer.json().get("user"))


async def test_strangers_cookies_hide_none(redis_url: str, model: Script) -> None:
    """Cookies of other servers of this host, whatever they say, neither sign anybody out nor in."""
    async with serving(redis_url, model) as served, _client(served, {}) as client:
        own = f"chat_guest={_secret(await client.get('/'))}"
        client.cookies.clear()
        user = (await client.get("/api/me", headers={"Cookie": own})).json()["user"]
        for other in ('j={"a":1}', 'x="', "x=[1]", "@[]=1", "novalue", "=", "x=a b", "s%3A=1", 'q="a\\"b"'):
            for cookie in (f"{other}; {own}", f"{own}; {other}"):
                answer = await client.get("/api/me", headers={"Cookie": cookie})
                assert answer.json().get("user") == user, cookie
                assert "set-cookie" not in (await client.get("/", headers={"Cookie": cookie})).headers


async def test_a_cookie_that_says_two_things(redis_url: str, redis: redis_package.Redis, model: Script) -> None:
    """Without TLS a sibling can plant one of ours: beside the victim's own neither counts; the page gets another."""
    both = f"chat_guest={PLANTED}; chat_guest={'B' * 22}"
    async with serving(redis_url, model) as served, _client(served, {"Cookie": both}) as client:
        answer = await client.post("/chat", json=CHAT)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
        assert _secret(await client.get("/")) not in (PLANTED, "B" * 22)
        assert (redis.keys("{[bu]*"), model.asked) == ([], [])


async def test_signing_in_keeps_no_cookie(redis_url: str, redis: redis_package.Redis, model: Script) -> None:
    """Session fixation: what the victim's browser had before is not what vouches for them afterwards."""
    planted = "chat_login=" + "F" * 43
    async with serving(redis_url, model, **JWT) as served, _client(served, {"Cookie": planted}) as client:
        answer = await client.post("/api/sign-in", json={"token": token()})
        assert (answer.status_code, _secret(answer) == "F" * 43) == (200, False)
        client.cookies.clear()
        assert (await client.get("/api/me", headers={"Cookie": planted})).status_code == 401
        assert len(redis.keys("login:*")) == 1


TWICE = [
    ("X-User-Id: ada\r\nX-User-Id: eve", {}),
    (f"Cookie: chat_guest={PLANTED}\r\nCookie: chat_guest={'B' * 22}", {}),
    ("X-User-Id: ada\r\nContent-Type: text/plain", {}),
    (f"Authorization: {bearer('ada')['Authorization']}\r\nAuthorization: {bearer('eve')['Authorization']}", JWT),
    (f"Authorization: {bearer('ada')['Authorization']}\r\nAuthorization: Bearer x", JWT),
]


@pytest.mark.parametrize(("headers", "settings"), TWICE)
async def test_headers_that_say_two_things(
    redis_url: str, redis: redis_package.Redis, model: Script, headers: str, settings: dict[str, str]
) -> None:
    """A proxy may have looked at the other one."""
    body = json.dumps(CHAT)
    async with serving(redis_url, model, **settings) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(
            f"POST /chat HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nConnection: close\r\n"
            f"{headers}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        head, _, problem = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        assert (head[:12], json.loads(problem)["code"]) == (b"HTTP/1.1 400", "bad_frame")
        assert (redis.keys("{[bu]*"), model.asked) == ([], [])


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@both_codecs
async def test_a_page_that_says_no_origin(
    redis_url: str, redis: redis_package.Redis, model: Script, codec: Codec, site: str
) -> None:
    """The victim's cookie does not count where a browser says that another site asks; who follows a link may."""
    cookie = {"Cookie": f"chat_guest={PLANTED}", "Sec-Fetch-Site": site}
    async with serving(redis_url, model) as served, _client(served, cookie) as client:
        for door in served.site.doors:
            if door.method != "GET":
                answer = await client.request(door.method, door.path.replace("{id}", "s"), json=CHAT | {"text": "x"})
                assert (door.path, answer.status_code, answer.json()["code"]) == (door.path, 403, "forbidden")
        with pytest.raises(InvalidStatus, match="403"):
            async with dialled(served, codec, cookie):
                pass
        assert (await client.get("/")).status_code == 200
        assert (redis.keys("[^{]*"), redis.keys("{[bu]*"), model.asked) == ([], [], [])


def _signed(header: str, said: object) -> str:
    """A token as no library makes it, well signed."""
    parts = [header.encode(), json.dumps(said).encode()]
    text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    mac = hmac.new(SECRET.encode(), text, hashlib.sha256).digest()
    return (text + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()


HEADERS = ["{}", '{"typ":"JWT"}', '{"alg":null}', '{"alg":[]}', '{"alg":{}}', '{"alg":""}', '{"alg":"none"}',
           '{"alg":"HS256","kid":[]}', '{"alg":"HS256","crit":["x"],"x":1}', '{"alg":"hs256"}', "[]", "0",
           '{"alg":"HS256","alg":"none"}']  # fmt: skip


@both_codecs
async def test_tokens_that_no_library_makes(
    redis_url: str, redis: redis_package.Redis, model: Script, codec: Codec
) -> None:
    """401, or 4500 where it is a socket, in the upgrade and in `hello`: never an error of ours."""
    async with serving(redis_url, model, **JWT) as served, _client(served, {}) as client:
        for shown in (_signed(header, claims()) for header in HEADERS):
            headers = {"Authorization": f"Bearer {shown}"}
            answer = await client.post("/chat", json=CHAT, headers=headers)
            assert (shown, answer.status_code, answer.json()["code"]) == (shown, 401, "unauthorized")
            answer = await client.post("/api/sign-in", json={"token": shown})
            assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)
            async with dialled(served, codec, headers) as wire:
                code, came = await wire.closed()
                refused(came[-1], "unauthorized")
                assert code == 4500
            async with dialled(served, codec) as wire:
                await wire.send({"type": "hello", "ref": "h", "token": shown})
                code, came = await wire.closed()
                refused(came[-1], "unauthorized", "h")
                assert code == 4500
        assert redis.keys("*") == [b"{nodes}:alive"]


@pytest.mark.parametrize("expires", [1e30, 10**400])
async def test_a_token_for_ever(redis_url: str, model: Script, expires: float) -> None:
    """A time that no clock reaches is as long as there is, and no error of ours."""
    shown = _signed('{"alg":"HS256"}', claims() | {"exp": expires})
    async with serving(redis_url, model, **JWT) as served, _client(served, {}) as client:
        assert (await client.post("/api/sign-in", json={"token": shown})).status_code == 200
        assert (await client.get("/api/me")).status_code == 200
