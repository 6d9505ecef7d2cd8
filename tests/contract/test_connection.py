"""A connection from its upgrade to its close: who may speak which subprotocol, who one is, the heartbeat."""

import asyncio
import time
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from app.core.protocol import Codec
from tests.contract.wire import Wire, both_codecs, dialled, refused, wired
from tests.servers import Script, Served, serving, two

COOKIE = "chat_guest"
LIMITS = {"message_bytes": 65_536, "text_bytes": 32_768, "context_bytes": 8_192, "sessions": 50, "queued": 10}


async def _upgraded(served: Served, offered: list[str] | None, **options: Any) -> str | None:
    """Connect offering these subprotocols, and return the one that was chosen."""
    names = [Subprotocol(name) for name in offered] if offered is not None else None
    async with connect(served.ws, subprotocols=names, proxy=None, close_timeout=1, **options) as socket:
        return socket.subprotocol


async def test_no_known_subprotocol(redis_url: str, model: Script) -> None:
    """HTTP 400 before the upgrade, as a problem that names what is known."""
    async with serving(redis_url, model) as served:
        for offered in (None, ["chat.v2.json"], ["chat.v1"], ["CHAT.V1.JSON"], ["chat.v1.json.x", "soap"]):
            with pytest.raises(InvalidStatus) as caught:
                await _upgraded(served, offered)
            response = caught.value.response
            assert (response.status_code, response.headers["content-type"]) == (400, "application/problem+json")
            for word in (b"bad_frame", b"chat.v1.json", b"chat.v1.msgpack"):
                assert word in response.body


async def test_the_first_known_subprotocol(redis_url: str, model: Script) -> None:
    """Of those offered, the first that is known is chosen."""
    json, msgpack = "chat.v1.json", "chat.v1.msgpack"
    async with serving(redis_url, model) as served:
        assert json == await _upgraded(served, [json, msgpack])
        assert msgpack == await _upgraded(served, [msgpack, json])
        assert json == await _upgraded(served, ["chat.v2.json", "soap", json, msgpack])


@both_codecs
async def test_no_compression(redis_url: str, model: Script, codec: Codec) -> None:
    """A client that offers compression of messages is served without."""
    async with (
        serving(redis_url, model) as served,
        connect(served.ws, subprotocols=[Subprotocol(codec)], compression="deflate", proxy=None) as socket,
    ):
        assert socket.request is not None
        assert "permessage-deflate" in socket.request.headers["Sec-WebSocket-Extensions"]
        assert socket.response is not None
        assert "Sec-WebSocket-Extensions" not in socket.response.headers


@both_codecs
async def test_welcome_at_once(redis_url: str, model: Script, codec: Codec) -> None:
    """With an identity `welcome` is the first frame, unasked, and announces what holds here."""
    nodes = "http://127.0.0.1:1,https://b.example"
    async with (
        serving(redis_url, model, name="n", nodes=nodes) as served,
        dialled(served, codec, {"X-User-Id": "ada"}) as wire,
        wired(served, codec, "eve") as other,
    ):
        welcome = await wire.frame()
        user = welcome.pop("user")
        expected = {
            "type": "welcome", "version": "chat.v1", "node": "n",
            "nodes": ["http://127.0.0.1:1", "https://b.example"], "heartbeat_ms": 25_000, "limits": LIMITS,
            "history_days": 7.0, "features": ["again", "hold"], "models": ["script-1", "script-2"],
        }  # fmt: skip
        assert expected == welcome
        assert await wire.rest() == []
        assert expected | {"user": user, "ref": "hello"} == await wire.hello()
        assert user != (await other.hello())["user"]
        assert "ada" not in user


async def test_no_identity(redis_url: str, model: Script) -> None:
    """Nothing comes; every command is `unauthorized`, also a bare `hello`; after 5 s it is closed with 4002."""
    bearer = {"Authorization": "Bearer abc"}  # ignored
    async with (
        serving(redis_url, model) as served,
        dialled(served, Codec.MSGPACK, bearer) as first,
        dialled(served, Codec.JSON) as second,
    ):
        began = time.monotonic()
        for wire in (first, second):
            for type, fields in (("ping", {}), ("hello", {}), ("open", {"session": "s"}), ("sessions", {}),
                                 ("watch", {}), ("say", {"session": "s", "id": "m", "text": "Hello."})):  # fmt: skip
                error = await wire.ask(type, **fields)
                refused(error, "unauthorized", error["ref"])
                assert error["retry"] == "sign_in"
        served.site.heartbeat.once()
        for wire in (first, second):
            assert await wire.closed() == (4002, [])
        assert 4.5 < time.monotonic() - began < 7
        assert model.asked == []


@pytest.mark.parametrize("known", [True, False])
@both_codecs
async def test_an_unknown_ticket(redis_url: str, model: Script, codec: Codec, known: bool) -> None:
    """A ticket that is not ours: an error with the ref, then 4500."""
    headers = {"X-User-Id": "ada"} if known else {}
    async with serving(redis_url, model) as served, dialled(served, codec, headers) as wire:
        await wire.send({"type": "hello", "ref": "r", "ticket": "t"})
        code, came = await wire.closed()
        assert (4500, ["welcome"] * known) == (code, [frame["type"] for frame in came[:-1]])
        refused(came[-1], "unauthorized", "r", "ticket")


@both_codecs
async def test_a_bad_identity(redis_url: str, model: Script, codec: Codec) -> None:
    """A cookie or a name that cannot be one: accepted, told so, and closed with 4500; over HTTP it is a 401."""
    cookies = [{"Cookie": f"{COOKIE}={value}"} for value in ("short", "", "x" * 23, "/" * 22)]
    names = [{"X-User-Id": value} for value in ("", "a b", "x" * 129)]
    async with serving(redis_url, model) as served, httpx.AsyncClient(trust_env=False) as client:
        for headers in cookies + names:
            async with dialled(served, codec, headers) as wire:
                code, came = await wire.closed()
                assert (code, len(came)) == (4500, 1), headers
                refused(came[0], "unauthorized")
            said = await client.post(f"{served.http}/api/sessions/s/turns", json={"text": "Hello."}, headers=headers)
            assert (said.status_code, said.json()["code"]) == (401, "unauthorized"), headers


@both_codecs
async def test_hello_resumes(redis_url: str, model: Script, codec: Codec) -> None:
    """One `hello` to another node: `welcome`, then of each session what `open` would bring; a bad one names itself."""
    async with two(redis_url, model) as (a, b):
        async with wired(a, codec) as wire:
            first, second = await wire.said("m1", session="one"), await wire.said("m2", session="two")
        async with wired(b, codec) as wire:
            cursors = {"one": first["at"], "bad/id": "0-0", "worse": "x", "none": "7-7", "two": second["at"]}
            resume = [{"session": session, "cursor": cursor} for session, cursor in cursors.items()]
            await wire.send({"type": "hello", "ref": "r", "resume": resume})
            welcome = await wire.frame()
            assert (welcome["type"], welcome["ref"]) == ("welcome", "r")
            await _resumed(wire, "one", first["at"], ["delta", "end"])
            for session, code in (("bad/id", "bad_frame"), ("worse", "bad_cursor")):
                error = await wire.frame()
                refused(error, code, "r")
                assert session == error["session"]
            assert await wire.frame() == {"type": "ok", "ref": "r", "session": "none", "at": "0-0"}
            assert await wire.frame() == {"type": "reset", "session": "none", "why": "expired"}
            assert ((snapshot := await wire.frame())["type"], snapshot["session"]) == ("snapshot", "none")
            await _resumed(wire, "two", second["at"], ["delta", "end"])
            assert await wire.rest() == []
            await wire.ok("rename", session="two", title="Live")
            assert (await wire.find("batch", session="two"))["entries"][0]["title"] == "Live"


async def _resumed(wire: Wire, session: str, cursor: str, kinds: list[str]) -> None:
    ok, batch = await wire.frame(), await wire.frame()
    assert {"type": "ok", "ref": "r", "session": session, "at": batch["at"]} == ok
    assert ("batch", session, cursor, kinds) == (
        batch["type"], batch["session"], batch["after"], [entry["kind"] for entry in batch["entries"]],
    )  # fmt: skip


@both_codecs
async def test_the_heartbeat(redis_url: str, model: Script, codec: Codec) -> None:
    """`ping` with the head of each followed session, which is the cursor of what is on this socket already."""
    step = asyncio.Semaphore(0)
    model.gate = step.acquire
    async with serving(redis_url, model) as served, wired(served, codec) as wire, wired(served, codec, "eve") as other:
        served.site.heartbeat.once()
        assert await wire.frame() == {"type": "ping", "heads": {}}
        model.answers.append(["one ", "two ", "three"])
        await wire.ok("open", session="quiet")
        await wire.ok("say", session="s", id="m", text="Count.")
        cursor, ended = "0-0", False
        await wire.find("snapshot", session="quiet")
        while not ended:
            step.release()
            batch = await wire.find("batch")
            assert cursor == batch["after"]
            cursor = batch["at"]
            ended = any(entry["kind"] == "end" for entry in batch["entries"])
            served.site.heartbeat.once()
            heads = (await wire.find("ping"))["heads"]
            late = [frame for frame in wire.inbox if frame["type"] == "batch"]  # sent meanwhile, before the ping
            assert {"quiet": "0-0", "s": late[-1]["at"] if late else cursor} == heads
        await wire.ok("close", session="s")
        served.site.heartbeat.once()
        assert await wire.find("ping") == {"type": "ping", "heads": {"quiet": "0-0"}}
        assert {frame["type"] for frame in await other.rest()} == {"ping"}
