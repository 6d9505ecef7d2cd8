"""Limits are exact over nodes, on Redis's clock; `say` is closed where nobody counts, and reading open."""

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any, cast

import httpx
import pytest
import redis as redis_package
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.core.errors import QuotaExceeded, RateLimited, StateUnavailable, TooMany
from app.core.model import Session, User
from app.core.protocol import Codec
from app.core.questions import Say
from app.state.keys import user_quota, user_running, user_sockets, user_tag
from app.state.rates import Rate
from tests.cluster.test_tools import Counted
from tests.contract.wire import both_codecs, dialled, refused, wired
from tests.servers import Script, Served, call, serving, two, until

ADA = User.of("guest:name", "ada")
QUICK: dict[str, Any] = {"limits": "on", "rate_turns": 0, "rate_frames": 0, "rate_bytes": 0, "rate_connects": 0}


async def test_a_burst_is_exact_over_nodes(redis_url: str, model: Script) -> None:
    """Of a hundred at once from two nodes, as many pass as may; the next passes when its interval is over."""
    limit = Rate("tests", 1200)
    few = Rate("tests", 10)
    async with two(redis_url, model) as (a, b):
        rates = [a.node.state.rates, b.node.state.rates]

        async def charge(index: int) -> None:
            await rates[index % 2].charge(user_tag(ADA), [(few, 1)])

        seen = await asyncio.gather(*(charge(index) for index in range(100)), return_exceptions=True)
        refusals = [error for error in seen if isinstance(error, RateLimited)]
        assert (seen.count(None), len(refusals)) == (10, 90)
        assert all(0 < (error.after_ms or 0) <= 6000 for error in refusals)
        await rates[0].charge("{other}", [(limit, 1200)])
        with pytest.raises(RateLimited) as caught:
            await rates[1].charge("{other}", [(limit, 1)])
        wait_s = (caught.value.after_ms or 0) / 1000
        assert 0 < wait_s <= 0.05
        await asyncio.sleep(wait_s)
        await rates[1].charge("{other}", [(limit, 1)])


async def test_all_or_nothing(redis_url: str, redis: redis_package.Redis, model: Script) -> None:
    """What one of several limits refuses is taken from none; a cost over the burst counts as the burst."""
    wide, narrow = Rate("wide", 100), Rate("narrow", 1)
    async with serving(redis_url, model) as served:
        rates = served.node.state.rates
        await rates.charge(user_tag(ADA), [(narrow, 5)])
        before = redis.get(f"{user_tag(ADA)}:rate:wide")
        with pytest.raises(RateLimited, match="narrow"):
            await rates.charge(user_tag(ADA), [(wide, 10), (narrow, 1)])
        assert before == redis.get(f"{user_tag(ADA)}:rate:wide")
        assert served.node.state.rates.refused == Counter({"narrow": 1})
        assert 0 < redis.pttl(f"{user_tag(ADA)}:rate:narrow") <= 60_000


@both_codecs
async def test_turns(redis_url: str, model: Script, codec: Codec) -> None:
    """Over sockets of two nodes and HTTP together; the refused one is not said, and is told when to come."""
    async with (
        two(redis_url, model, **QUICK | {"rate_turns": 3}) as (a, b),
        wired(a, codec) as one,
        wired(b, codec) as other,
        httpx.AsyncClient(base_url=b.http, headers={"X-User-Id": "ada"}, trust_env=False) as client,
    ):
        await one.said("m1")
        await other.said("m2")
        assert (await client.post("/chat", json={"session_id": "s", "message": "x"})).status_code == 200
        error = await one.ask("say", session="s", id="m4", text="x")
        refused(error, "rate_limited", error["ref"], "3 turns")
        assert (error["retry"], 0 < error["after_ms"] <= 20_000) == ("later", True)
        answer = await client.post("/api/sessions/s/turns", json={"text": "x"})
        assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
        assert int(answer.headers["retry-after"]) >= answer.json()["after_ms"] / 1000
        assert len((await one.ok("history", session="s"))["turns"]) == 6
        async with wired(a, codec, "eve") as eve:
            await eve.said("m")


@both_codecs
async def test_running_answers(redis_url: str, redis: redis_package.Redis, model: Script, codec: Codec) -> None:
    """Three of a user over two nodes; a session that runs takes more, which wait; an end makes room."""
    for _ in range(3):
        model.answers.append(["one ", 60.0])
    async with two(redis_url, model, **QUICK) as (a, b), wired(a, codec) as one, wired(b, codec) as other:
        runs = [
            (await (one, other)[index % 2].ok("say", session=f"s{index}", id="m", text="x"))["run"]
            for index in range(3)
        ]
        error = await other.ask("say", session="s9", id="m", text="x")
        refused(error, "rate_limited", error["ref"], "3 of your answers")
        await other.ok("say", session="s0", id="m2", text="x")
        await other.ok("stop", session="s1", run=runs[1])
        await other.ended(runs[1])
        await until(lambda: redis.hlen(user_running(ADA)) == 2)
        await other.ok("say", session="s9", id="m", text="x")
        await one.ok("delete", session="s2")
        await until(lambda: not redis.hexists(user_running(ADA), "s2"))


async def test_a_hundred_at_once_get_three_places(redis_url: str, model: Script) -> None:
    """Over two nodes, each in a session of its own."""
    async with two(redis_url, model) as (a, b):

        async def turn(index: int) -> bool:
            try:
                await (a, b)[index % 2].node.state.rates.turn(Session(ADA, f"s{index}"), [], running=3, tokens=0)
            except TooMany:
                return False
            return True

        assert sum(await asyncio.gather(*(turn(index) for index in range(100)))) == 3


async def test_a_place_that_was_never_given_up(redis_url: str, redis: redis_package.Redis, model: Script) -> None:
    """A node that died left places behind: where all seem taken, the sessions themselves are asked."""
    async with serving(redis_url, model) as served:
        old = served.node.state.pulse.now - 60_000
        redis.hset(user_running(ADA), mapping={"s1": old, "s2": old, "s3": served.node.state.pulse.now})
        await served.node.state.rates.turn(Session(ADA, "s4"), [], running=3, tokens=0)
        assert {b"s3", b"s4"} == set(redis.hkeys(user_running(ADA)))


@both_codecs
async def test_tokens_of_a_day(redis_url: str, redis: redis_package.Redis, model: Script, codec: Codec) -> None:
    """What the model says it used is counted when the answer ends; then it is `quota_exceeded`, until midnight."""
    async with serving(redis_url, model, **QUICK | {"rate_tokens": 4}) as served, wired(served, codec) as wire:
        await wire.said("m1")
        await until(lambda: redis.exists(user_quota(ADA)))
        error = await wire.ask("say", session="s", id="m2", text="x")
        refused(error, "quota_exceeded", error["ref"])
        with pytest.raises(QuotaExceeded) as caught:
            await served.node.state.rates.turn(Session(ADA, "s"), [], running=0, tokens=4)
        left_s = 86_400 - time.time() % 86_400
        assert abs((caught.value.after_ms or 0) / 1000 - left_s) < 5


async def test_what_was_stopped_is_counted(redis_url: str, redis: redis_package.Redis, model: Script) -> None:
    """What was asked has cost something, though the model could not say how much."""
    model.answers.append(["one ", 60.0])
    async with serving(redis_url, model, **QUICK | {"rate_tokens": 4000}) as served, wired(served, Codec.JSON) as wire:
        ok = await wire.ok("say", session="s", id="m", text="x" * 20_000)
        await until(lambda: model.asked)
        await wire.ok("stop", session="s", run=ok["run"])
        await until(lambda: redis.exists(user_quota(ADA)))
        assert 5_000 < int(redis.hvals(user_quota(ADA))[0]) < 6_000
        error = await wire.ask("say", session="s", id="m2", text="x")
        refused(error, "quota_exceeded", error["ref"])


async def test_what_a_node_used_last_is_counted(redis_url: str, redis: redis_package.Redis, model: Script) -> None:
    """A node that ends does first what it does on the side; what comes too late is refused, and waits for nothing."""
    model.answers.append(["one ", 0.1, "two"])
    async with serving(redis_url, model, drain_seconds=5) as served:
        said = await served.node.say(Session(ADA, "s"), Say(ref="r", session="s", id="m", text="Count."))
        ending = time.monotonic()
    assert time.monotonic() - ending < 2
    assert redis.hvals(user_quota(ADA)) == [b"6"], said
    with pytest.raises(StateUnavailable):
        await served.node.state.sessions.ping()


@both_codecs
async def test_sockets_of_a_user(redis_url: str, redis: redis_package.Redis, model: Script, codec: Codec) -> None:
    """Ten over two nodes; the eleventh is told and closed with 4003; when one goes, another may come."""
    async with two(redis_url, model, **QUICK) as (a, b), AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(wired((a, b)[index % 2], codec)) for index in range(10)]
        for served in (a, b):
            async with dialled(served, codec, {"X-User-Id": "ada"}) as wire:
                code, came = await wire.closed()
                refused(came[-1], "rate_limited", None, "10 connections")
                assert code == 4003
        async with wired(b, codec, "eve"):
            pass
        await wires[0].socket.close()
        await until(lambda: sum(map(int, cast("list[bytes]", redis.hvals(user_sockets(ADA))))) == 9)
        async with dialled(b, codec, {"X-User-Id": "ada"}) as wire:
            assert (await wire.frame())["type"] == "welcome"


async def test_sockets_of_a_node_that_died(redis_url: str, redis: redis_package.Redis, model: Script) -> None:
    """They count no more."""
    async with serving(redis_url, model, **QUICK) as served:
        redis.hset(user_sockets(ADA), "dead", 10)
        async with wired(served, Codec.JSON):
            assert redis.hgetall(user_sockets(ADA)) == {served.node.incarnation.encode(): b"1"}
        await until(lambda: not redis.exists(user_sockets(ADA)))


async def test_sockets_of_a_node(redis_url: str, model: Script) -> None:
    """One more than `MAX_SOCKETS` is refused before the upgrade, so that a proxy asks another node."""
    from websockets.exceptions import InvalidStatus

    async with serving(redis_url, model, **QUICK | {"max_sockets": 1}) as served, wired(served, Codec.JSON):
        with pytest.raises(InvalidStatus) as caught:
            async with dialled(served, Codec.JSON, {"X-User-Id": "eve"}):
                pass
        assert (caught.value.response.status_code, b"overloaded" in caught.value.response.body) == (503, True)


@both_codecs
async def test_frames(redis_url: str, model: Script, codec: Codec) -> None:
    """Past the limit each message is refused with the time to wait, at each node; who goes on is closed with 4029."""
    async with (
        two(redis_url, model, **QUICK | {"rate_frames": 20}) as (a, b),
        wired(a, codec) as one,
        wired(b, codec) as other,
    ):
        replies = [await one.ask("ping") for _ in range(20)]
        assert {reply["type"] for reply in replies} == {"ok"}
        for wire in (one, other):
            await wire.send([{"type": "ping", "ref": "r"}] * 5)
            error = await wire.find("error")
            refused(error, "rate_limited")
            assert 0 < error["after_ms"] <= 15_000
        for _ in range(110):
            try:
                await one.send({"type": "ping"})
            except ConnectionClosed:
                break
        assert (await one.closed())[0] == 4029


@both_codecs
async def test_bytes(redis_url: str, model: Script, codec: Codec) -> None:
    """Bytes count, also of what cannot be decoded."""
    async with serving(redis_url, model, **QUICK | {"rate_bytes": 100_000}) as served, wired(served, codec) as wire:
        junk = b"\xc1" * 60_000 if codec is Codec.MSGPACK else "{" * 60_000
        await wire.raw(junk)
        refused(await wire.find("error"), "bad_frame")
        await wire.raw(junk)
        refused(await wire.find("error"), "rate_limited", None, "bytes")


@both_codecs
async def test_connects(redis_url: str, model: Script, codec: Codec) -> None:
    """Of a user: told, and closed with 4029."""
    async with two(redis_url, model, **QUICK | {"rate_connects": 3}) as (a, b):
        for served in (a, b, a):
            async with wired(served, codec):
                pass
        async with dialled(b, codec, {"X-User-Id": "ada"}) as wire:
            code, came = await wire.closed()
            refused(came[-1], "rate_limited", None, "connects")
            assert code == 4029


def _from(address: str, user: str) -> dict[str, str]:
    return {"X-Forwarded-For": address, "Cookie": f"chat_guest={user:_<22}"}


async def test_addresses(redis_url: str, model: Script) -> None:
    """Guests of one address, as the trusted proxy tells it, share its limits, and so does a /64 of IPv6."""
    settings = QUICK | {"rate_turns": 1, "rate_address": 3, "allow_guests": 1, "trusted_proxies": "127.0.0.1"}
    async with (
        serving(redis_url, model, **settings) as served,
        httpx.AsyncClient(base_url=served.http, trust_env=False) as client,
    ):

        async def said(address: str, user: str) -> int:
            body = {"text": "x"}
            return (await client.post("/api/sessions/s/turns", json=body, headers=_from(address, user))).status_code

        assert [await said("9.9.9.9", f"u{index}") for index in range(4)] == [202, 202, 202, 429]
        assert [await said("8.8.8.8, 9.9.9.9", "u5"), await said("8.8.8.8", "u6")] == [429, 202]
        six = ("2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:0:1::", "2001:db8:0:0:2::", "2001:db8:0:1::")
        assert [await said(address, f"v{index}") for index, address in enumerate(six)] == [202, 202, 202, 429, 202]


@both_codecs
async def test_without_redis(redis: redis_package.Redis, redis_url: str, model: Script, codec: Codec) -> None:
    """Where nobody can count, `say` is refused, and frames that ask Redis for nothing are answered."""
    async with serving(redis_url, model, limits="on") as served, wired(served, codec) as wire:
        await _away(redis, served)
        assert (await wire.ask("ping"))["type"] == "ok"
        error = await wire.ask("say", session="s", id="m", text="x")
        refused(error, "unavailable", error["ref"])
        assert model.asked == []
        redis.config_set("maxclients", 10_000)


async def _away(redis: redis_package.Redis, served: Served) -> None:
    """Have Redis refuse this node from now on."""
    redis.config_set("maxclients", 1)
    for client in redis.client_list():
        if client["name"] == "chat":
            redis.client_kill(client["addr"])
    await until(lambda: served.node.state.pipe.breaker.state != "closed")


async def test_sockets_of_a_node_that_come_at_once(redis_url: str, model: Script) -> None:
    """No more than it takes, though all ask before any is there."""
    async with serving(redis_url, model, **QUICK | {"max_sockets": 5, "max_sockets_per_user": 0}) as served:

        async def comes() -> bool:
            try:
                async with dialled(served, Codec.JSON, {"X-User-Id": "ada"}):
                    await until(lambda: done)
                    return True
            except InvalidStatus:
                return False

        done: list[int] = []
        coming = [asyncio.create_task(comes()) for _ in range(30)]
        await until(lambda: sum(task.done() for task in coming) == 25)
        done.append(1)
        assert sum(await asyncio.gather(*coming)) == 5


async def test_bytes_are_bytes(redis_url: str, model: Script) -> None:
    """Of UTF-8, however few characters they are."""
    settings = QUICK | {"limits": "on", "rate_bytes": 60_000}
    async with serving(redis_url, model, **settings) as served, wired(served, Codec.JSON) as wire:
        large = {"type": "rename", "session": "s", "title": "\U0001f600" * 12_000}
        codes = []
        for _ in range(2):
            await wire.send(large)
            codes.append((await wire.find("error"))["code"])
        assert codes == ["bad_frame", "rate_limited"]


async def test_what_is_held_takes_a_place_when_it_goes_on(redis_url: str, model: Script) -> None:
    """As what is said does: so no more are under way than may be, in whatever order. A denial is always taken."""
    counted = Counted()
    pays: list[Any] = [call("pay", {"euros": 5})]
    waits: list[Any] = ["One ", 60.0]
    model.answers.extend([pays, pays, waits, waits, waits, ["So."], ["So."], ["So."]])
    settings = QUICK | {"max_runs_per_user": 2}
    async with serving(redis_url, model, tools=counted.tools, **settings) as served, wired(served, Codec.JSON) as wire:
        runs: list[str] = []
        for number in range(5):
            runs.append((await wire.ok("say", session=f"s{number}", id="m", text="x"))["run"])
            if number == 2:
                await until(lambda: served.node.runner.running == 1 and len(model.asked) == 3)
                await wire.ok("pause", session="s2", run=runs[2])
            await until(lambda: served.node.runner.running == max(0, len(runs) - 3))
            await served.node.aside.settle()
        refused(reply := await wire.ask("resume", session="s2", run=runs[2]), "rate_limited", reply["ref"])
        decision = {"session": "s0", "run": runs[0], "call": "call-1", "decision": "allow"}
        refused(reply := await wire.ask("answer", **decision), "rate_limited", reply["ref"])
        assert not counted.calls
        await wire.ok("answer", **decision | {"session": "s1", "run": runs[1], "decision": "deny"})
        await wire.ended(runs[1])
        await wire.ok("stop", session="s3", run=runs[3])
        await until(lambda: served.node.runner.running == 1)
        await served.node.aside.settle()
        await wire.ok("answer", **decision)
        await until(lambda: counted.calls)
