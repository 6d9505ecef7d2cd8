"""Guest mode: who is let in, by which name, and that nobody meets another's sessions."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from app.core.protocol import Codec
from app.edge.origins import counted
from tests.contract.wire import Wire, both_codecs, dialled, refused, wired
from tests.servers import Script, Served, serving

COOKIE = "chat_guest"
FRESH = httpx.Limits(max_keepalive_connections=0)  # a socket a request, since most are refused
ROUTES = (
    ("GET", "/"),
    ("GET", "/static/js/connection.js"),
    ("POST", "/chat"),
    ("POST", "/api/sessions/x/turns"),
    ("GET", "/health"),
    ("GET", "/live"),
    ("GET", "/ready"),
    ("GET", "/ws"),
    ("GET", "/nothing"),
)
FOREIGN = (
    {"Host": "evil.example"},
    {"Host": "localhost.evil.example:8000"},
    {"Host": "127.0.0.1.evil.example"},
    {"Host": "192.168.1.5"},
    {"Origin": "https://evil.example"},
    {"Origin": "http://localhost:1"},
    {"Origin": "null"},
    {"Origin": ""},
    {"X-Forwarded-For": "127.0.0.1"},
    {"X-Forwarded-Host": "localhost"},
    {"X-Forwarded-Proto": "http"},
    {"Forwarded": "for=127.0.0.1"},
    {"X-Real-IP": "127.0.0.1"},
    *({name: "127.0.0.1"} for name in ("Via", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP", "CDN-Loop")),
    {"X-Envoy-External-Address": "127.0.0.1"},
    {"Host": "evil@127.0.0.1"},
    {"Host": "127.999.0.1"},
)
SAY = {"session_id": "s", "message": "Hello.", "text": "Hello."}


@asynccontextmanager
async def _client(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=served.http, trust_env=False, limits=FRESH) as client:
        yield client


async def _upgraded(served: Served, headers: dict[str, str], name: str = "127.0.0.1") -> int:
    """The status of an upgrade with these headers, at this name of the machine."""
    try:
        async with connect(
            f"ws://{name}:{served.port}/ws", subprotocols=[Subprotocol(Codec.JSON)], additional_headers=headers,
            host="127.0.0.1", port=served.port, proxy=None, close_timeout=1,
        ):  # fmt: skip
            return 101
    except InvalidStatus as error:
        return error.response.status_code


async def test_no_route_serves_a_stranger(redis_url: str, model: Script) -> None:
    """A foreign Host or Origin, or the trace of a proxy: 403 `forbidden` on every route, and nothing is done."""
    async with serving(redis_url, model) as served, _client(served) as client:
        for headers in FOREIGN:
            for method, path in ROUTES:
                body = SAY if method == "POST" else None
                answer = await client.request(method, path, json=body, headers=headers | {"X-User-Id": "ada"})
                assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), (path, headers)
                assert answer.headers["content-type"] == "application/problem+json"
                assert "set-cookie" not in answer.headers
            if "Host" not in headers:
                assert await _upgraded(served, headers) == 403, headers
        assert model.asked == []


async def test_a_proxy_that_shows_itself_by_its_version_only(redis_url: str, model: Script) -> None:
    """An nginx on this machine with nothing but `proxy_pass` speaks HTTP/1.0, and says that it is this machine."""
    async with serving(redis_url, model) as served:
        for version, expected in ((b"1.0", b"403"), (b"1.1", b"200")):
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            host = b"127.0.0.1:%d" % served.port
            writer.write(
                b"GET /api/me HTTP/%b\r\nHost: %b\r\nX-User-Id: ada\r\nConnection: close\r\n\r\n" % (version, host)
            )
            assert (await reader.read()).split(b" ")[1] == expected
            writer.close()


@pytest.mark.parametrize(
    ("said", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("[2001:db8::1]:4711", "2001:db8::/64"),
        ("2001:db8::1", "2001:db8::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("127.0.0.1:9", ""),
        ("fe80::1%eth0", "fe80::/64"),
        ("rubbish", "rubbish"),
    ],
)
def test_by_which_address_limits_count(said: str, address: str) -> None:
    """One for each of IPv4 and each household of IPv6, however a proxy writes it."""
    assert counted(said) == address


async def test_a_foreign_host_is_not_upgraded(redis_url: str, model: Script) -> None:
    """A rebound name comes to this machine, and is refused before the upgrade."""
    async with serving(redis_url, model) as served:
        for name, status in (("evil.example", 403), ("localhost", 101), ("127.0.0.1", 101)):
            assert status == await _upgraded(served, {}, name), name


async def test_own_and_named_origins(redis_url: str, model: Script) -> None:
    """The page's own origin may connect, and those of `NODES` and `ALLOWED_ORIGINS`, exactly."""
    settings = {
        "nodes": "https://b.example:8443/",
        "allowed_origins": "https://app.example,http://127.0.0.1:3000",
    }
    async with serving(redis_url, model, **settings) as served, _client(served) as client:
        for origin, status in (
            (served.http, 101),
            ("https://b.example:8443", 101),
            ("https://app.example", 101),
            ("http://127.0.0.1:3000", 101),
            ("http://127.0.0.1:3001", 403),
            ("https://b.example", 403),
            ("http://b.example:8443", 403),
            ("https://app.example.evil.example", 403),
            ("https://xapp.example", 403),
            ("http://app.example", 403),
        ):
            assert status == await _upgraded(served, {"Origin": origin}), origin
            answer = await client.get("/live", headers={"Origin": origin})
            assert answer.status_code == (200 if status == 101 else 403), origin


async def test_the_origin_of_a_node_with_a_path(redis_url: str, model: Script) -> None:
    """A URL of `NODES` allows its origin, whatever its path."""
    async with serving(redis_url, model, nodes="http://c.example/base") as served:
        assert await _upgraded(served, {"Origin": "http://c.example"}) == 101


@pytest.mark.parametrize("mark", ["Origin", "Sec-Fetch-Site"])
async def test_a_page_names_nobody(redis_url: str, model: Script, mark: str) -> None:
    """`X-User-Id` is for programs: with a header that browsers send it is refused."""
    async with serving(redis_url, model) as served, _client(served) as client:
        for site in [served.http] if mark == "Origin" else ["same-origin", "none", "cross-site"]:
            headers = {"X-User-Id": "ada", mark: site}
            for path in ("/chat", "/api/sessions/s/turns"):
                answer = await client.post(path, json=SAY, headers=headers)
                assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
            assert await _upgraded(served, headers) == 403
            named = await client.post("/chat", json=SAY | {"user_id": "ada"}, headers={mark: site})
            assert (named.status_code, named.json()["code"]) == (403, "forbidden")
        assert model.asked == []


async def test_a_bearer_is_nobody(redis_url: str, model: Script) -> None:
    """In guest mode a token is ignored: it names nobody, and spoils nobody's name."""
    bearer = {"Authorization": "Bearer abc"}
    async with serving(redis_url, model) as served, _client(served) as client:
        assert (await client.post("/chat", json=SAY, headers=bearer)).status_code == 401
        assert (await client.post("/chat", json=SAY, headers=bearer | {"X-User-Id": "ada"})).status_code == 200
        async with dialled(served, Codec.JSON, bearer | {"X-User-Id": "ada"}) as wire, wired(served, Codec.JSON) as ada:
            assert (await wire.frame())["user"] == (await ada.hello())["user"]


async def _cookie(served: Served) -> str:
    async with _client(served) as client:
        return (await client.get("/")).cookies[COOKIE]


async def test_the_page_sets_a_cookie_once(redis_url: str, model: Script) -> None:
    """HttpOnly and SameSite, another for each visitor; who has one keeps it; a bad one is renewed."""
    async with serving(redis_url, model) as served, _client(served) as client:
        first = await client.get("/")
        (header,) = first.headers.get_list("set-cookie")
        parts = [part.strip().casefold() for part in header.split(";")]
        assert {"httponly", "path=/"} <= set(parts)
        assert {"samesite=lax", "samesite=strict"} & set(parts)
        assert "set-cookie" not in (await client.get("/")).headers
        assert first.cookies[COOKIE] != await _cookie(served)
        client.cookies.clear()
        assert "set-cookie" in (await client.get("/", headers={"Cookie": f"{COOKIE}=short"})).headers
        for path in ("/live", "/health", "/static/js/connection.js"):
            assert "set-cookie" not in (await client.get(path)).headers


@both_codecs
async def test_a_cookie_and_a_name_of_the_same_text(redis_url: str, model: Script, codec: Codec) -> None:
    """A page's guest and a program that names itself so are two users."""
    async with serving(redis_url, model) as served:
        cookie = await _cookie(served)
        async with (
            dialled(served, codec, {"Cookie": f"{COOKIE}={cookie}", "Origin": served.http}) as page,
            wired(served, codec, cookie) as program,
        ):
            assert (await page.frame())["type"] == "welcome"
            await page.said("m")
            await _sees_nothing(program, "s")
            assert (await page.hello())["user"] != (await program.hello())["user"]


async def _sees_nothing(wire: Wire, session: str) -> None:
    ok = await wire.ok("open", session=session)
    snapshot = await wire.find("snapshot")
    assert (ok["at"], snapshot["at"], snapshot["turns"], snapshot["title"]) == ("0-0", "0-0", [], "")


@both_codecs
async def test_anothers_session(redis_url: str, model: Script, codec: Codec) -> None:
    """Under the same id another user finds an empty session, and cannot read, stop, rename or remove the first one."""
    model.answers.append(["one ", 30.0])
    async with serving(redis_url, model) as served, wired(served, codec) as ada, wired(served, codec, "eve") as eve:
        run = (await ada.ok("say", session="s", id="m", text="Count."))["run"]
        await _sees_nothing(eve, "s")
        assert (await eve.ok("history", session="s"))["turns"] == []
        assert (await eve.ok("sessions"))["sessions"] == []
        for type, fields in (
            ("stop", {"run": run}),
            ("history", {"before": "m"}),
            ("rename", {"title": "Mine"}),
            ("differs", {"run": run, "sha256": "0" * 64}),
        ):
            error = await eve.ask(type, session="s", **fields)
            refused(error, "not_found", error["ref"])
        await eve.ok("delete", session="s")
        assert [frame["type"] for frame in await eve.rest()] == []
        await ada.ok("open", session="s")
        snapshot = await ada.find("snapshot")
        assert ("Count.", run, "running") == (snapshot["title"], snapshot["run"]["id"], snapshot["run"]["state"])
        assert (await eve.said("m", "Mine."))["run"] != run
        assert [turn["text"] for turn in (await ada.ok("history", session="s"))["turns"]] == ["Count."]


@both_codecs
async def test_guests_from_elsewhere(redis_url: str, model: Script, codec: Codec) -> None:
    """With `ALLOW_GUESTS` any Host and proxy may come, nobody names themselves, and the cookie counts."""
    elsewhere = {"Host": "chat.example", "X-Forwarded-For": "9.9.9.9"}
    async with serving(redis_url, model, allow_guests=1) as served, _client(served) as client:
        for headers, body in (({"X-User-Id": "ada"}, SAY), ({}, SAY | {"user_id": "ada"})):
            answer = await client.post("/chat", json=body, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        assert await _upgraded(served, {"X-User-Id": "ada"}) == 403
        page = await client.get("/", headers=elsewhere)
        assert page.status_code == 200
        cookie = {"Cookie": f"{COOKIE}={page.cookies[COOKIE]}"}
        for origin, status in (("https://chat.example", 200), ("https://evil.example", 403), ("null", 403)):
            said = await client.post("/chat", json=SAY, headers=elsewhere | cookie | {"Origin": origin})
            assert status == said.status_code, origin
        assert (await client.post("/chat", json=SAY | {"user_id": "ada"}, headers=cookie)).status_code == 403
        async with dialled(served, codec, cookie) as wire:
            assert (await wire.frame())["type"] == "welcome"
            assert len((await wire.ok("history", session="s"))["turns"]) == 2
