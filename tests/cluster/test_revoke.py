"""Revocation: within two seconds nobody who was signed out is served by any node, by socket or over HTTP."""

import asyncio
import sys
import time
from functools import partial
from typing import Any

import httpx
import pytest
import redis as redis_package

from app.core.errors import Revoked
from app.core.identity import Identity
from app.core.model import User
from app.core.protocol import Codec
from app.edge.export import exported
from tests.contract.test_signed_in import asking
from tests.contract.wire import dialled
from tests.people import JWT, bearer, operator, token
from tests.servers import ROOT, Script, Served, becomes, serving, two, until

WITHIN_SECONDS = 2.0


async def _revoke(served: Served, status: int = 204, **told: str) -> None:
    async with httpx.AsyncClient(base_url=served.http, headers=operator(), trust_env=False) as client:
        assert (await client.post("/api/revoke", json=told)).status_code == status


@pytest.mark.parametrize("told", [{"name": "ada"}, {"user": User.of("", "ada").key}, {"token": "t-1"}])
async def test_sockets_of_all_nodes_are_closed(redis_url: str, model: Script, told: dict[str, Any]) -> None:
    """By name, key or token id; other users, and what was issued to them later, stay."""
    async with two(redis_url, model, **JWT) as (a, b):
        async with (
            dialled(a, Codec.JSON, bearer("ada", jti="t-1")) as one,
            dialled(b, Codec.MSGPACK, bearer("ada", jti="t-1")) as two_,
            dialled(b, Codec.JSON, bearer("eve", jti="t-2")) as other,
        ):
            for wire in (one, two_, other):
                await wire.find("welcome")
            began = time.monotonic()
            await _revoke(a, **told)
            assert [(await wire.closed())[0] for wire in (one, two_)] == [4001, 4001]
            assert time.monotonic() - began < WITHIN_SECONDS
            assert await other.rest() == []
        async with httpx.AsyncClient(trust_env=False) as client:
            for served in (a, b):
                old = await client.get(f"{served.http}/api/me", headers=bearer("ada", jti="t-1", iat=1))
                assert old.status_code == 401
        async with dialled(b, Codec.JSON, bearer("ada", jti="t-1", iat=1)) as wire:
            assert (await wire.closed())[0] == 4500
        async with dialled(b, Codec.JSON, bearer("ada", jti="t-3", iat=int(time.time()) + 2)) as wire:
            assert (await wire.frame())["type"] in ("welcome", "error")


async def test_a_name_is_revoked_whoever_vouches_for_it(redis_url: str, model: Script) -> None:
    """Without `JWT_ISSUER`, tokens of any issuer count: by name all are meant that were seen, by issuer that one."""
    elsewhere = bearer("ada", iss="https://id.example")
    async with two(redis_url, model, **JWT) as (a, b), asking(a) as http:
        for headers in (elsewhere, bearer("ada", iss="https://other.example"), bearer("ada")):
            assert (await http.get("/api/me", headers=headers)).status_code == 200
        await _revoke(b, name="ada", issuer="https://other.example")
        assert (await http.get("/api/me", headers=elsewhere)).status_code == 200
        await _revoke(b, name="ada")
        await becomes(lambda: _refused(http, elsewhere))
        assert (await http.get("/api/me", headers=bearer("eve", iss="https://id.example"))).status_code == 200


async def _refused(http: httpx.AsyncClient, headers: dict[str, str]) -> bool:
    return (await http.get("/api/me", headers=headers)).status_code == 401


async def test_a_user_comes_back_with_what_was_issued_later(redis_url: str, model: Script) -> None:
    """A revocation signs out; it does not bar for good."""
    async with serving(redis_url, model, **JWT, jwt_leeway=5) as served:
        await _revoke(served, name="ada")
        async with dialled(served, Codec.JSON, bearer("ada", iat=int(time.time()) + 2)) as wire:
            assert (await wire.closed())[0] == 4500  # by a clock that is five seconds ahead, it was issued before
    async with serving(redis_url, model, **JWT) as served, httpx.AsyncClient(base_url=served.http) as client:

        async def is_back() -> bool:
            headers = bearer("ada", iat=int(time.time()))
            return (await client.get("/api/me", headers=headers)).status_code == 200

        await becomes(is_back)


async def test_a_node_that_starts_later_knows(redis_url: str, model: Script) -> None:
    """It reads what was revoked before it serves."""
    async with serving(redis_url, model, **JWT) as a:
        await _revoke(a, name="ada")
    async with serving(redis_url, model, "b", **JWT) as b, dialled(b, Codec.JSON, bearer("ada", iat=1)) as wire:
        assert (await wire.closed())[0] == 4500


async def test_what_is_known_stays_known_without_redis(
    redis_url: str, redis: redis_package.Redis, model: Script
) -> None:
    """A node goes on refusing when Redis has lost what was revoked in between, until it reads all of it again."""
    async with serving(redis_url, model, **JWT) as served:
        await _revoke(served, name="ada")
        redis.delete("{nodes}:revoked")
        await served.node.state.pulse.beat()
        async with dialled(served, Codec.JSON, bearer("ada", iat=1)) as wire:
            assert (await wire.closed())[0] == 4500


@pytest.mark.parametrize(
    "body", [{}, {"user": "x"}, {"name": "a", "token": "b"}, {"name": 7}, {"name": ""}, {"issuer": "x"}]
)
async def test_whom_to_revoke_must_be_said(redis_url: str, model: Script, body: dict[str, Any]) -> None:
    """Exactly one, and as text."""
    async with serving(redis_url, model, **JWT) as served:
        await _revoke(served, 400, **body)


async def _told(*arguments: str, redis_url: str, code: int = 0, auth: str = "jwt") -> str:
    """Run a command of the terminal."""
    environ = {"REDIS_URL": redis_url, "AUTH": auth, "PATH": "/usr/bin:/bin"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app", *arguments, cwd=ROOT, env=environ,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, errors = await process.communicate()
    assert process.returncode == code, errors.decode()
    return (out or errors).decode().strip()


async def test_from_a_terminal(redis_url: str, model: Script) -> None:
    """`invite` prints a link that signs in; `revoke` signs out; both are in the audit, and no secret is."""
    async with serving(redis_url, model, **JWT) as served:
        link = await _told("invite", "Ada L.", "--days", "1", "--url", served.http, redis_url=redis_url)
        assert link.startswith(f"{served.http}/sign-in#invite=")
        secret = link.partition("=")[2]
        async with httpx.AsyncClient(base_url=served.http, trust_env=False) as client:
            answer = await client.post("/api/sign-in", json={"invite": secret})
            assert (answer.status_code, answer.json()["name"]) == (200, "Ada L.")
            cookie = {"Cookie": f"chat_login={client.cookies['chat_login']}"}
            async with dialled(served, Codec.JSON, cookie) as wire:
                await wire.find("welcome")
                began = time.monotonic()
                await _told("revoke", "Ada L.", redis_url=redis_url)
                assert (await wire.closed())[0] == 4001
                assert time.monotonic() - began < WITHIN_SECONDS + 3  # the program's own start is in it
            assert (await client.get("/api/me")).status_code == 401
            shown = token(jti="t-9")
            await _told("revoke", "--token", shown, redis_url=redis_url)
            records = (await client.get("/api/audit", headers=operator())).json()["records"]
        assert [record["what"] for record in records] == ["revoked", "revoked", "signed_in", "invited"]
        assert secret not in str(records)
        assert shown not in str(records)


@pytest.mark.parametrize(
    ("arguments", "auth", "words"),
    [
        (("invite", " "), "jwt", "name"),
        (("invite", "ada"), "guest", "AUTH is guest"),
        (("invite", "ada", "--days", "0"), "jwt", "--days"),
        (("revoke",), "jwt", "revoke whom"),
        (("revoke", "ada", "--key", "x"), "jwt", "exactly one"),
        (("revoke", "--key", "x"), "jwt", "22"),
    ],
)
async def test_what_cannot_be_done_from_a_terminal(
    redis_url: str, arguments: tuple[str, ...], auth: str, words: str
) -> None:
    """One line, and the exit code of a wrong setting."""
    line = await _told(*arguments, redis_url=redis_url, code=2, auth=auth)
    assert words in line
    assert len(line.splitlines()) == 1


async def test_a_slow_reader_gets_nothing_more(redis_url: str, model: Script) -> None:
    """Of what a socket is owed that does not read, nothing is sent after the revocation; it is dropped in time."""
    model.answers.extend([["x" * 30_000]] * 40)
    async with two(redis_url, model, **JWT) as (a, b), asking(a) as http:
        for number in range(40):
            said = await http.post("/chat", json={"session_id": "s", "message": f"{number}"}, headers=bearer("ada"))
            assert said.status_code == 200
        async with dialled(b, Codec.JSON, bearer("ada")) as wire:
            await wire.find("welcome")
            wire.socket.transport.pause_reading()
            for _ in range(60):
                await wire.send({"type": "open", "session": "s"})
            (connection,) = b.site.connections
            await until(lambda: not connection.outbox.idle)
            began = time.monotonic()
            await _revoke(a, name="ada")
            await until(lambda: not b.site.connections)
            assert time.monotonic() - began < WITHIN_SECONDS
            assert connection.outbox.queued_bytes < 10_000  # errors, and no turn


@pytest.mark.parametrize("format", ["json", "markdown"])
async def test_a_download_ends(redis_url: str, model: Script, format: str) -> None:
    """With the session that is on its way, when who asked for it is signed out meanwhile."""
    async with serving(redis_url, model, **JWT) as served, asking(served) as http:
        for number in range(20):
            body = {"session_id": f"s{number}", "message": "x" * 30_000}
            assert (await http.post("/chat", json=body, headers=bearer("ada"))).status_code == 200
        parts = exported(served.node, User.of("", "ada"), None, format, partial(_allowed, served))
        assert await anext(parts)
        await _revoke(served, name="ada")
        with pytest.raises(Revoked):
            async for _ in parts:
                pass
        async with http.stream("GET", f"/api/export?format={format}", headers=bearer("ada", iat=1)) as answer:
            assert answer.status_code == 401


def _allowed(served: Served) -> None:
    served.site.access.authorise(Identity(User.of("", "ada")), "chat")


async def test_users_take_nothing_out_of_the_audit_of_operators(
    redis_url: str, redis: redis_package.Redis, model: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often they do what is noted; and what is not done is not noted."""
    monkeypatch.setattr("app.state.audit.AUDIT_ENTRIES", 20)
    async with serving(redis_url, model, **JWT) as served, asking(served, bearer("ada")) as http:
        await _revoke(served, name="eve")
        for number in range(200):
            assert (await http.delete(f"/api/sessions/none-{number}")).status_code == 204
        await served.node.aside.settle()
        (key,) = redis.keys("audit:*")
        assert redis.xlen(key) == 1
        for number in range(250):
            await served.node.state.audit.record("deleted", User.of("", "ada"), session=f"s{number}")
        records = (await http.get("/api/audit", headers=operator())).json()["records"]
        assert {record["what"] for record in records} == {"revoked", "deleted"}
        assert len(records) < 200
