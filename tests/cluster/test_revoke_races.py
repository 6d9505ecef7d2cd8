"""Revocation while something is under way: what was begun before it ends with it, whichever node hears of it later."""

import asyncio
import base64
import json
import time
from pathlib import Path

import httpx
import pytest
import redis as redis_package

from app.core.errors import StateUnavailable
from app.core.model import User
from app.core.protocol import Codec
from app.edge import websocket
from app.edge.operators import shown
from app.edge.sign_in import invite, invited
from tests.contract.wire import dialled
from tests.people import JWT, Signer, bearer, operator, token
from tests.servers import Script, serving, two, until

P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # the order of its group


async def test_an_invitation_that_is_used_before_its_node_hears(redis_url: str, model: Script) -> None:
    """Revoked at one node, an invitation may still count at another for a second; who came in by it does not stay."""
    async with two(redis_url, model, **JWT) as (a, b), httpx.AsyncClient(base_url=b.http, trust_env=False) as client:
        secret = await invite(a.node.state.credentials, a.node.state.pulse, "ada", seconds=100)
        await until(lambda: a.node.state.pulse.now > 0)
        await a.node.state.pulse.revoke(invited("ada"))
        await client.post("/api/sign-in", json={"invite": secret})
        for node in (a.node, b.node):
            await node.state.pulse.beat()
        assert (await client.get("/api/me")).status_code == 401


async def test_who_waits_for_an_answer(redis_url: str, model: Script) -> None:
    """A `/chat` that began before is not answered after."""
    model.answers.append(["secret ", 0.3, "text"])
    async with (
        serving(redis_url, model, **JWT) as served,
        httpx.AsyncClient(base_url=served.http, timeout=10) as client,
    ):
        headers = bearer("ada", iat=int(time.time()) - 9)
        body = {"session_id": "s", "message": "x"}
        asking = asyncio.create_task(client.post("/chat", json=body, headers=headers))
        await until(lambda: bool(model.asked))
        await served.node.state.pulse.revoke(User.of("", "ada"))
        answer = await asking
        assert (answer.status_code, "secret" in answer.text) == (401, False)


async def test_signing_out_again(redis_url: str, model: Script) -> None:
    """Where Redis was away for half of it, the same again does the whole: the sign-in's sockets are closed."""
    async with serving(redis_url, model, **JWT) as served, httpx.AsyncClient(base_url=served.http) as client:
        await client.post("/api/sign-in", json={"token": token()})
        cookie = {"Cookie": f"chat_login={client.cookies['chat_login']}"}
        async with dialled(served, Codec.JSON, cookie) as wire:
            await wire.find("welcome")
            end = served.node.state.pulse.end

            async def away(token: str) -> None:
                served.node.state.pulse.end = end  # type: ignore[method-assign]
                raise StateUnavailable("Redis is away")

            served.node.state.pulse.end = away  # type: ignore[method-assign]
            assert (await client.delete("/api/sign-in", headers=cookie)).status_code == 503
            assert (await client.delete("/api/sign-in", headers=cookie)).status_code == 204
            assert (await wire.closed())[0] == 4001


async def test_another_signature_of_what_was_revoked(redis_url: str, model: Script, tmp_path: Path) -> None:
    """A token without an id is known by what was signed: anybody can make a second signature of ECDSA's first."""
    signer, keys = Signer("ES256", "k"), tmp_path / "keys.json"
    keys.write_text(json.dumps({"keys": [signer.public]}))
    for more in ({}, {"jti": ""}):
        first = signer.token(**more)
        text, _, signature = first.rpartition(".")
        raw = base64.urlsafe_b64decode(signature + "==")
        other = raw[:32] + (P256 - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
        second = f"{text}.{base64.urlsafe_b64encode(other).rstrip(b'=').decode()}"
        async with (
            serving(redis_url, model, auth="jwt", jwks_url=keys) as served,
            httpx.AsyncClient(base_url=served.http, trust_env=False) as client,
        ):
            told = [{"Authorization": f"Bearer {one}"} for one in (first, second)]
            assert [(await client.get("/api/me", headers=headers)).status_code for headers in told] == [200, 200]
            await served.node.state.pulse.revoke_token(shown(first))
            assert [(await client.get("/api/me", headers=headers)).status_code for headers in told] == [401, 401]


async def test_a_redis_that_forgets(redis_url: str, redis: redis_package.Redis, model: Script) -> None:
    """After a failover that lost it, a node that had heard of a revocation keeps it, having read all again, too."""
    async with serving(redis_url, model, **JWT) as served, httpx.AsyncClient(base_url=served.http) as client:
        await served.node.state.pulse.revoke(User.of("", "ada"))
        redis.delete("{nodes}:revoked")
        await served.node.state.pulse.beat(whole=True)
        assert (await client.get("/api/me", headers=bearer("ada", iat=1))).status_code == 401


async def test_a_name_however_it_is_typed(redis_url: str, model: Script) -> None:
    """An accent is one character or two: who was invited by the one is revoked by the other."""
    async with serving(redis_url, model, **JWT) as served, httpx.AsyncClient(base_url=served.http) as client:
        secret = await invite(served.node.state.credentials, served.node.state.pulse, "Jose\u0301", seconds=100)
        assert (await client.post("/api/sign-in", json={"invite": secret})).status_code == 200
        said = await client.post("/api/revoke", json={"name": "Jos\u00e9"}, headers=operator())
        assert said.status_code == 204
        assert (await client.get("/api/me")).status_code == 401


async def test_a_place_that_was_never_taken(
    redis_url: str, redis: redis_package.Redis, model: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket that is given up while Redis stalls is not counted for ever."""
    monkeypatch.setattr(websocket, "HELLO_SECONDS", 0.3)
    async with serving(redis_url, model, limits="on", max_sockets_per_user=1) as served:
        held = served.node.state.rates._held

        async def stalled(user: User, most: int) -> set[str] | None:
            served.node.state.rates._held = held  # type: ignore[method-assign]
            redis.execute_command("CLIENT", "PAUSE", 700, "ALL")
            return await held(user, most)

        served.node.state.rates._held = stalled  # type: ignore[method-assign]
        async with dialled(served, Codec.JSON, {"X-User-Id": "ada"}) as wire:
            assert (await wire.closed())[0] == 4002
        redis.ping()
        async with dialled(served, Codec.JSON, {"X-User-Id": "ada"}) as wire:
            assert (await wire.frame())["type"] == "welcome"
