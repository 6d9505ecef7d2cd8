"""Every command and every route × everybody who may not: enumerated from the code, so that none is forgotten.

Somebody else's session, run or turn is answered exactly as one that never was: the same bytes, and the same kinds and
numbers of Redis commands. Who is nobody, or no more, or an operator, is refused; and in Redis nothing was touched.
"""

import json
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import httpx
import pytest
import redis as redis_package
from websockets.exceptions import ConnectionClosed

from app.core.commands import COMMANDS
from app.core.model import User
from app.core.protocol import Codec, Frame
from app.edge.app import Site
from app.edge.routes import Guarded, Open
from tests.contract.wire import Wire, both_codecs, dialled
from tests.people import JWT, bearer, operator
from tests.servers import Script, Served, serving, until

SESSION, MESSAGE, NEVER = "private", "m-private", "never-was"


@dataclass(frozen=True)
class Theirs:
    """What ada has, that eve must not find: a session, a run, a turn."""

    session: str
    run: str
    turn: str


def commands(theirs: Theirs) -> dict[str, dict[str, Any]]:
    """A frame of each command that names what is ada's."""
    session = {"session": theirs.session}
    return {
        "hello": {"resume": [session | {"cursor": "1-1"}]},
        "open": session,
        "close": session,
        "say": session | {"id": "m-new", "text": "Hello."},
        "again": session | {"id": "m-again", "turn": theirs.turn},
        "edit": session | {"id": "m-edit", "turn": theirs.turn, "text": "Hello."},
        "rate": session | {"turn": theirs.run, "value": "up"},
        "stop": session | {"run": theirs.run},
        "answer": session | {"run": theirs.run, "call": "call-1", "decision": "allow"},
        "pause": session | {"run": theirs.run},
        "resume": session | {"run": theirs.run},
        "history": session | {"before": theirs.turn},
        "sessions": {},
        "watch": {},
        "rename": session | {"title": "Mine"},
        "delete": session,
        "differs": session | {"run": theirs.run, "sha256": "0" * 64},
        "set": session | {"prompt": "Be mine."},
        "context": {},
        "ping": {},
    }


def requests(theirs: Theirs) -> dict[tuple[str, str], dict[str, Any]]:
    """A request of each guarded route that names what is ada's."""
    return {
        ("POST", "/chat"): {"json": {"session_id": theirs.session, "message": "Hello.", "message_id": "m-http"}},
        ("POST", "/api/sessions/{id}/turns"): {"json": {"text": "Hello.", "id": "m-http-2"}},
        ("POST", "/api/sessions/{id}/turns/{turn}/again"): {"json": {"id": "m-http-3"}},
        ("PUT", "/api/sessions/{id}/turns/{turn}"): {"json": {"text": "Hello.", "id": "m-http-4"}},
        ("PUT", "/api/sessions/{id}/turns/{turn}/rating"): {"json": {"value": "up"}},
        ("GET", "/api/me"): {},
        ("DELETE", "/api/me"): {},
        ("GET", "/api/usage"): {},
        ("GET", "/api/context"): {},
        ("GET", "/api/sessions"): {},
        ("PATCH", "/api/sessions/{id}"): {"json": {"prompt": "Be mine."}},
        ("DELETE", "/api/sessions/{id}"): {},
        ("GET", "/api/sessions/{id}/turns"): {"params": {"before": theirs.turn}},
        ("GET", "/api/sessions/{id}/prompt"): {"params": {"text": "x"}},
        ("GET", "/api/sessions/{id}/export"): {},
        ("POST", "/api/sessions/{id}/runs/{run}/stop"): {},
        ("POST", "/api/sessions/{id}/runs/{run}/pause"): {},
        ("POST", "/api/sessions/{id}/runs/{run}/resume"): {},
        ("POST", "/api/sessions/{id}/runs/{run}/calls/{call}"): {"json": {"decision": "allow"}},
        ("GET", "/api/export"): {},
        ("PATCH", "/api/context"): {"json": {"language": "en"}},
        ("POST", "/api/ticket"): {},
        ("POST", "/api/revoke"): {"json": {"name": "ada"}},
        ("GET", "/api/audit"): {},
    }


def _guarded(site: Site) -> list[Guarded]:
    return [door for door in site.doors if isinstance(door, Guarded)]


@asynccontextmanager
async def _with_ada(redis_url: str, model: Script) -> AsyncIterator[tuple[Served, Theirs]]:
    """A node, and on it a session of ada's with an answer under way."""
    model.answers.append(["one ", 60.0])
    async with serving(redis_url, model, **JWT) as served, dialled(served, Codec.JSON, bearer("ada")) as ada:
        await ada.find("welcome")
        run = (await ada.ok("say", session=SESSION, id=MESSAGE, text="A secret."))["run"]
        await until(lambda: served.node.state.runs.appends > 0)  # what is said of it, before its long pause
        yield served, Theirs(SESSION, run, MESSAGE)


def _state(redis: redis_package.Redis, *, but: tuple[str, ...] = ()) -> dict[bytes, Any]:
    """All that is in Redis, but for what goes on by itself."""
    apart: tuple[bytes, ...] = (b"{nodes}:alive", b"{nodes}:issuers", b"audit:", *(name.encode() for name in but))
    read: dict[bytes, Callable[[bytes], Any]] = {
        b"string": redis.get, b"hash": redis.hgetall, b"list": lambda key: redis.lrange(key, 0, -1),
        b"zset": lambda key: redis.zrange(key, 0, -1), b"stream": redis.xlen,
    }  # fmt: skip
    keys = [key for key in cast("list[bytes]", redis.keys("*")) if not key.startswith(apart)]
    return {key: read[cast("bytes", redis.type(key))](key) for key in keys}


def test_each_command_is_in_the_table() -> None:
    """None is forgotten."""
    assert set(COMMANDS) == set(commands(Theirs("s", "r", "t")))


async def test_each_route_says_its_right(redis_url: str, model: Script) -> None:
    """Each guarded route is in the table; those for anybody are these."""
    async with serving(redis_url, model, **JWT) as served:
        assert {(door.method, door.path) for door in _guarded(served.site)} == set(requests(Theirs("s", "r", "t")))
        anybody = {(door.method, door.path) for door in served.site.doors if isinstance(door, Open)}
        assert anybody == {
            ("GET", "/"), ("GET", "/sign-in"), ("POST", "/api/sign-in"), ("DELETE", "/api/sign-in"), ("GET", "/health"),
            ("GET", "/live"), ("GET", "/ready"), ("GET", "/openapi.json"),
        }  # fmt: skip


async def _answers(wire: Wire, type: str, fields: dict[str, Any]) -> list[Frame]:
    """What a command brings, up to the reply of a ping behind it."""
    await wire.send([{"type": type, "ref": "r"} | fields, {"type": "ping", "ref": "last"}])
    came: list[Frame] = []
    while (frame := await wire.frame()).get("ref") != "last":
        came.append(frame)
    return came


def _masked(value: Any, theirs: Theirs) -> bytes:
    """Bytes that do not depend on what was named, nor on when."""
    text = json.dumps(value, sort_keys=True)
    for said, word in ((theirs.session, "SESSION"), (theirs.run, "RUN"), (theirs.turn, "TURN")):
        text = text.replace(said, word)
    return text.encode()


@both_codecs
@pytest.mark.parametrize("type", sorted(COMMANDS))
async def test_anothers_is_as_if_it_never_was(
    redis_url: str, redis: redis_package.Redis, model: Script, codec: Codec, type: str
) -> None:
    """Byte for byte, and in what Redis is asked."""
    async with _with_ada(redis_url, model) as (served, theirs):
        never = Theirs(NEVER, "r-" + "0" * (len(theirs.run) - 2), "m-never-was")
        before = {key: value for key, value in _state(redis).items() if SESSION.encode() in key}
        said: list[bytes] = []
        asked: list[list[str]] = []
        for named, user in ((never, "adam"), (theirs, "eve"), (never, "eva")):  # the first loads scripts
            async with dialled(served, codec, bearer(user)) as wire:
                await wire.find("welcome")
                with redis.monitor() as monitor:
                    came = await _answers(wire, type, commands(named)[type])
                    redis.echo("enough")
                    asked.append(_seen(monitor, User.of("", user)))
                said.append(_masked([_plain(frame) for frame in came], named))
        assert said[1] == said[2]
        if type != "say":  # which is eve's own, and goes on by itself while this looks
            assert asked[1] == asked[2]
        after = {key: value for key, value in _state(redis).items() if SESSION.encode() in key}
        mine = {key: value for key, value in after.items() if User.of("", "ada").key.encode() in key}
        assert {
            key: value for key, value in before.items() if b":log:" in key or b":turns:" in key
        }.items() <= mine.items()
        await until(lambda: len(model.asked) == (4 if type == "say" else 1))


async def test_anothers_over_http_is_as_if_it_never_was(
    redis_url: str, redis: redis_package.Redis, model: Script
) -> None:
    """Each route that names something: the same status and the same bytes; and of ada's nothing is touched."""
    async with _with_ada(redis_url, model) as (served, theirs), httpx.AsyncClient(trust_env=False) as client:
        never = Theirs(NEVER, "r-" + "0" * (len(theirs.run) - 2), "m-never-was")
        before = {key: value for key, value in _state(redis).items() if SESSION.encode() in key}
        named = [door for door in _guarded(served.site) if "{" in door.path and not door.path.endswith("/turns")]
        named += [door for door in _guarded(served.site) if (door.method, door.path[-6:]) == ("GET", "/turns")]
        for door in named:
            said = []
            for one, user in ((theirs, "eve"), (never, "eva")):
                url = served.http + door.path.replace("{id}", one.session).replace("{run}", one.run).replace(
                    "{turn}", one.turn
                )
                told = requests(one)[door.method, door.path]
                answer = await client.request(door.method, url, headers=bearer(user), **told)
                assert "secret" not in answer.text
                text = re.sub(r'"(at|exported_at|user)":"[^"]*"', "", answer.text)
                said.append((answer.status_code, _masked(text, one)))
            assert said[0] == said[1], door.path
        after = {key: value for key, value in _state(redis).items() if SESSION.encode() in key}
        ada = User.of("", "ada").key.encode()
        assert {key for key in before if ada in key} <= after.keys()
        assert _changed(before, {key: value for key, value in after.items() if ada in key}) == set()
        assert len(model.asked) == 1


def _plain(frame: Frame) -> Frame:
    """A frame without what is different each time: ids and times of one's own."""
    shown = {name: value for name, value in frame.items() if name not in ("at", "after", "user")}
    if frame["type"] == "ok" and "run" in frame:
        shown["run"] = ""
    if frame["type"] == "batch":
        return {"type": "batch", "session": frame["session"]}
    return shown


def _seen(monitor: Any, user: User) -> list[str]:
    """The commands that named a user's keys, as words, in order, up to the mark."""
    found: list[str] = []
    for seen in iter(monitor.next_command, None):
        words = seen["command"].split(" ")
        if words[0].upper() == "ECHO":
            return found
        if user.key in seen["command"]:
            found.append(" ".join(words[:2]) if words[0].upper() == "EVALSHA" else words[0])
    return found


REFUSED: dict[str, tuple[Callable[[], dict[str, str]], int]] = {
    "nobody": (dict, 401),
    "expired": (lambda: bearer("eve", seconds=-1), 401),
    "revoked": (lambda: bearer("mallory", iat=int(time.time()) - 100), 401),
    "another's signature": (lambda: bearer("ada", secret="x" * 64), 401),
    "operator": (operator, 403),
}


@pytest.mark.parametrize("who", REFUSED)
async def test_routes_refuse(redis_url: str, redis: redis_package.Redis, model: Script, who: str) -> None:
    """Each guarded route, with the status of who asks, and nothing is touched; an operator may operate, a user not."""
    headers, status = REFUSED[who]
    async with _with_ada(redis_url, model) as (served, theirs), httpx.AsyncClient(trust_env=False) as client:
        await served.node.state.pulse.revoke(User.of("", "mallory"))
        before = _state(redis)
        for door in _guarded(served.site):
            if who == "operator" and door.right == "operate":
                continue
            url = served.http + door.path.replace("{id}", theirs.session).replace("{run}", theirs.run).replace(
                "{turn}", theirs.turn
            )
            told = requests(theirs)[door.method, door.path]
            answer = await client.request(door.method, url, headers=headers(), **told)
            assert (door.path, status) == (door.path, answer.status_code)
            assert answer.json()["code"] == ("forbidden" if status == 403 else "unauthorized")
        assert _changed(before, _state(redis)) == set()
        assert len(model.asked) == 1


async def test_users_do_not_operate(redis_url: str, redis: redis_package.Redis, model: Script) -> None:
    """What is for operators is 403 for a user, and nothing is touched."""
    async with _with_ada(redis_url, model) as (served, theirs), httpx.AsyncClient(trust_env=False) as client:
        before = _state(redis)
        for door in _guarded(served.site):
            if door.right == "operate":
                told = requests(theirs)[door.method, door.path]
                answer = await client.request(door.method, served.http + door.path, headers=bearer("eve"), **told)
                assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        assert _changed(before, _state(redis)) == set()


@pytest.mark.parametrize("who", ["nobody", "expired", "revoked", "operator"])
@both_codecs
async def test_commands_refuse(
    redis_url: str, redis: redis_package.Redis, model: Script, codec: Codec, who: str
) -> None:
    """Each command, before and at the close of the connection, and nothing is touched."""
    headers, _ = REFUSED[who]
    closed = {"expired": (4001, ["unauthorized"]), "operator": (4507, ["forbidden"])}.get(who, (4500, ["unauthorized"]))
    async with _with_ada(redis_url, model) as (served, theirs):
        await served.node.state.pulse.revoke(User.of("", "mallory"))
        before = _state(redis)
        for type, fields in commands(theirs).items():
            async with dialled(served, codec, headers()) as wire:
                try:
                    error = await wire.ask(type, **fields)
                    assert (type, error["type"], error["code"]) == (type, "error", "unauthorized")
                except ConnectionClosed:
                    code, came = await wire.closed()
                    assert (code, [frame["code"] for frame in came]) == closed
        assert _changed(before, _state(redis)) == set()
        assert len(model.asked) == 1


def _changed(before: dict[bytes, Any], after: dict[bytes, Any]) -> set[bytes]:
    """Keys that are not as they were, but for the lease that ada's node renews, and what it writes of her answer."""
    ours = {key for key in after if b":leases" in key or (b":head:" in key and SESSION.encode() in key)}
    return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)} - ours
