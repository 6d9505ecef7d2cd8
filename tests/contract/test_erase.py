"""`DELETE /api/me`: of who asks nothing is left in Redis, and of others all is. And what one has used, by day."""

import time
from collections.abc import Callable, Iterable
from typing import Any, cast

import httpx
import redis as redis_package

from app.core.model import Session, User
from app.core.protocol import Codec
from app.edge import sign_in
from tests.contract.test_signed_in import asking
from tests.contract.wire import dialled, wired
from tests.people import JWT, bearer
from tests.servers import Script, Served, serving, two, until

SECRET = "a word that nobody else says"


def _texts(value: Any) -> Iterable[bytes]:
    match value:
        case bytes():
            yield value
        case str():
            yield value.encode()
        case dict():
            for pair in value.items():
                yield from _texts(list(pair))
        case list() | tuple() | set():
            for part in value:
                yield from _texts(part)


def traces(redis: redis_package.Redis, *words: str) -> list[bytes]:
    """Keys in whose name or value a word stands."""
    found = []
    for key in cast("list[bytes]", redis.keys("*")):
        kind = cast("bytes", redis.type(key))
        read: dict[bytes, Callable[[bytes], Any]] = {
            b"string": redis.get, b"hash": redis.hgetall, b"list": lambda k: redis.lrange(k, 0, -1),
            b"zset": lambda k: redis.zrange(k, 0, -1), b"stream": redis.xrange, b"set": redis.smembers,
        }  # fmt: skip
        value = read[kind](key)
        if any(word.encode() in text for word in words for text in _texts([key, value])):
            found.append(key)
    return found


async def _spoken(served: Served, name: str, word: str) -> None:
    """Leave all kinds of traces: answered, replaced, rated, named, set, counted, deleted, queued."""
    async with dialled(served, Codec.JSON, bearer(name)) as wire:
        await wire.find("welcome")
        for index in range(2):
            await wire.said(f"m{index}", f"{word} {index}", session=f"s{index}")
        run = (await wire.ok("again", session="s0", id="g", turn="m0"))["run"]
        await wire.ended(run)
        await wire.ok("rate", session="s0", turn=run, value="up", note=word)
        await wire.ok("rename", session="s1", title=word)
        await wire.ok("set", session="s1", prompt=word)
        await wire.ok("context", set={"language": word})
        await wire.said("m9", word, session="s9")
        await wire.ok("delete", session="s9")


async def test_nothing_is_left_of_who_asks(redis_url: str, redis: redis_package.Redis, model: Script) -> None:
    """At any node, with an answer under way at the other; signed in by a cookie, which counts no more."""
    async with two(redis_url, model, **JWT) as (a, b), httpx.AsyncClient(trust_env=False) as client:
        ada, eve = User.of("", "ada").key, User.of("", "eve").key
        for name in ("ada", "eve"):
            await _spoken(a, name, f"{SECRET} of {name}")
        await b.node.state.storage.get_user_context(User(ada))
        await b.node.state.storage.update_session_metadata((await _one(b, ada)), {"k": SECRET})
        signed = await client.post(f"{a.http}/api/sign-in", headers=bearer("ada"), json={})
        cookie = {"Cookie": f"chat_login={signed.cookies['chat_login']}", "Origin": a.http}
        await client.post(f"{a.http}/api/ticket", headers=bearer("ada"))
        model.answers.append(["one ", 60.0])
        async with dialled(b, Codec.JSON, bearer("ada")) as wire, dialled(a, Codec.JSON, cookie) as page:
            await wire.find("welcome")
            await page.find("welcome")
            await wire.ok("say", session="s0", id="long", text=SECRET)
            await wire.ok("say", session="s0", id="waits", text=SECRET)
            await until(lambda: b.node.runner.running == 1)
            assert len(traces(redis, ada)) > 10
            left = await client.delete(f"{a.http}/api/me", headers=cookie)
            assert left.status_code == 204
            assert 'chat_login=""' in left.headers["set-cookie"]
            kinds = [entry["kind"] for entry in (await wire.find("batch", session="s0"))["entries"]]
            while "gone" not in kinds:
                kinds = [entry["kind"] for entry in (await wire.find("batch", session="s0"))["entries"]]
            assert (await page.closed())[0] == 4001
        await until(lambda: not b.node.runner.running and not a.site.connections and not b.site.connections)
        await b.node.aside.settle()
        assert traces(redis, ada, f"{SECRET} of ada") == []
        assert len(traces(redis, eve)) > 10
        assert (await client.get(f"{a.http}/api/me", headers=cookie)).status_code == 401
        context = await client.get(f"{b.http}/api/context", headers=bearer("ada"))
        assert context.json() == {"context": {}, "version": 0}
        assert (await client.get(f"{b.http}/api/export", headers=bearer("ada"))).json()["sessions"] == []


async def test_limits_are_not_reset(redis_url: str, redis: redis_package.Redis, model: Script) -> None:
    """Whoever has used up the day's tokens, or is too fast, is not served anew for that; soon it is forgotten."""
    limits: dict[str, Any] = {"limits": "on", "rate_tokens": 4}
    async with serving(redis_url, model, **JWT, **limits) as served, asking(served, bearer("ada")) as web:
        key = User.of("", "ada").key
        assert (await web.post("/chat", json={"session_id": "s", "message": "Hello."})).status_code == 200
        await served.node.aside.settle()
        redis.hset(f"{{u{key}}}:quota", "19000", 7)
        assert (await web.delete("/api/me")).status_code == 204
        again = await web.post("/chat", json={"session_id": "s", "message": "Hello."}, headers=bearer("ada"))
        assert (again.status_code, again.json()["code"]) == (429, "quota_exceeded")
        today = int(time.time() // 86_400)
        assert redis.hgetall(f"{{u{key}}}:quota") == {str(today).encode(): b"4"}
        assert redis.expiretime(f"{{u{key}}}:quota") == (today + 1) * 86_400
        assert -1 not in [redis.ttl(left) for left in redis.keys(f"*{key}*")]


async def _one(served: Served, key: str) -> Session:
    [listed, *_], _ = await served.node.state.users.sessions(User(key), query=None, before=None, limit=9)
    return Session(User(key), listed.id)


async def test_an_invitation_goes_too(redis_url: str, redis: redis_package.Redis, model: Script) -> None:
    """One that was not used, of the same person."""
    async with serving(redis_url, model, **JWT) as served, httpx.AsyncClient(trust_env=False) as client:
        for _ in range(2):
            link = await sign_in.invite(served.node.state.credentials, served.node.state.pulse, "bo", seconds=600)
        signed = await client.post(f"{served.http}/api/sign-in", json={"invite": link}, headers={"Origin": served.http})
        cookie = {"Cookie": f"chat_login={signed.cookies['chat_login']}", "Origin": served.http}
        assert (await client.delete(f"{served.http}/api/me", headers=cookie)).status_code == 204
        assert traces(redis, signed.json()["user"]) == []
        assert redis.keys("invite:*") == []


async def test_what_one_has_used(redis_url: str, model: Script) -> None:
    """By day, and how much it may be; in the export too."""
    headers = {"X-User-Id": "ada"}
    async with (
        serving(redis_url, model, limits="on", rate_tokens=1000) as served,
        wired(served, Codec.JSON) as wire,
        httpx.AsyncClient(base_url=served.http, headers=headers, trust_env=False) as client,
    ):
        assert (await client.get("/api/usage")).json() == {"days": [], "tokens_a_day": 1000}
        await wire.said("m1")
        await wire.said("m2")
        await served.node.aside.settle()
        today = time.strftime("%Y-%m-%d", time.gmtime())
        assert (await client.get("/api/usage")).json()["days"] == [{"day": today, "tokens": 8}]
        assert (await client.get("/api/export")).json()["tokens"] == {today: 8}
