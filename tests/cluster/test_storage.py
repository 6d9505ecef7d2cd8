"""What an agent remembers, on two nodes and one Redis: contexts, metadata, history, and what is kept of them."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
import redis as redis_package

from app.core.errors import BadFrame, Busy, Conflict, TooLong
from app.core.model import Session, User
from app.core.protocol import Codec
from app.state.keys import session_keys, user_context, user_stale
from app.state.storage import ConversationTurn
from tests.contract.wire import both_codecs, wired
from tests.servers import Script, becomes, serving, two, until

ADA = User.of("guest:name", "ada")
TALE = Session(ADA, "tale")
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


async def test_contexts_are_kept(redis_url: str, redis: redis_package.Redis, model: Script) -> None:
    """Values of every kind, changed one by one; they live 30 days; what nobody knows is empty."""
    async with two(redis_url, model) as (a, b):
        one, other = a.node.state.storage, b.node.state.storage
        assert await one.get_user_context(ADA) == {}
        values = {"expertise_level": "expert", "pi": 3.5, "list": [1, None, {"x": "é"}], "off": False, "map": {}}
        await one.update_user_context(ADA, values)
        assert await other.get_user_context(ADA) == values
        await other.update_user_context(ADA, {"pi": None, "off": True})
        await until(lambda: a.node.state.storage.misses + a.node.state.storage.hits >= 1)
        del values["pi"]
        assert await b.node.state.storage.get_user_context(ADA) == values | {"off": True}
        assert 29.9 * 86_400 < int(str(redis.ttl(user_context(ADA)))) <= 30 * 86_400


async def test_nobody_overwrites_what_they_have_not_seen(redis_url: str, model: Script) -> None:
    """Compare-and-set: of many who change the same version, one does; without a version, all changes count."""
    async with two(redis_url, model) as (a, b):
        contexts = (a.node.state.contexts, b.node.state.contexts)
        await contexts[0].change_user(ADA, {"count": 0})

        async def change(index: int) -> bool:
            try:
                await contexts[index % 2].change_user(ADA, {"count": index + 1}, 1)
            except Conflict:
                return False
            return True

        assert sum(await asyncio.gather(*(change(index) for index in range(50)))) == 1
        assert (await contexts[0].of_user(ADA)).version == 2
        await asyncio.gather(*(contexts[index % 2].change_user(ADA, {f"k{index}": index}) for index in range(50)))
        found = await contexts[1].of_user(ADA)
        assert found.version == 52
        assert {name: value for name, value in found.values.items() if name != "count"} == {
            f"k{index}": index for index in range(50)
        }


async def test_a_change_whose_answer_was_lost_may_be_made_again(redis_url: str, model: Script) -> None:
    """The same change with the same version finds itself."""
    async with serving(redis_url, model) as served:
        first = await served.node.state.contexts.change_user(ADA, {"x": 1}, 0)
        again = await served.node.state.contexts.change_user(ADA, {"x": 1}, 0)
        assert (first.version, again) == (1, first)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"a b": 1}, BadFrame), ({"": 1}, BadFrame), ({"x" * 65: 1}, BadFrame), ({"last_seen": 1}, BadFrame),
        ({"language": 5}, BadFrame), ({"language": "x" * 65}, BadFrame), ({"x": object()}, BadFrame),
        ({str(index): 1 for index in range(65)}, BadFrame), ({"x": "y" * 8200}, TooLong),
    ],
)  # fmt: skip
async def test_what_cannot_be_kept(redis_url: str, model: Script, given: dict[str, Any], error: type) -> None:
    """A typed error, and nothing is changed."""
    async with serving(redis_url, model) as served:
        await served.node.state.contexts.change_user(ADA, {"kept": 1})
        with pytest.raises(error):
            await served.node.state.contexts.change_user(ADA, {"new": 1} | given)
        assert (await served.node.state.contexts.of_user(ADA)).values == {"kept": 1}


@both_codecs
async def test_counts_are_exact(redis_url: str, redis: redis_package.Redis, model: Script, codec: Codec) -> None:
    """Two hundred says at once on two nodes, some of them repeated, count two hundred."""
    async with two(redis_url, model) as (a, b), wired(a, codec) as one, wired(b, codec) as other:
        for index in range(20):
            session = f"s{index}"
            frames = [
                {"type": "say", "ref": f"{session}-{m}", "session": session, "id": f"m{m}", "text": "x"}
                for m in range(10)
            ]
            await asyncio.gather(one.send(frames[:5]), other.send([*frames[5:], *frames[5:]]))
        counted = [Session(ADA, f"s{index}") for index in range(20)]

        async def all_counted() -> bool:
            found = [await a.node.state.storage.get_session_metadata(session) for session in counted]
            return [one.get("message_count") for one in found] == [10] * 20

        await becomes(all_counted, 30)
        await until(lambda: redis.hget(user_context(ADA), "times") == b"200")
        context = await b.node.state.contexts.of_user(ADA)
        assert context.times == 200
        metadata = await a.node.state.storage.get_session_metadata(counted[0])
        assert abs((datetime.now(UTC) - datetime.fromisoformat(metadata["last_activity"])).total_seconds()) < 60


async def test_damaged_values_are_left_out(redis_url: str, redis: redis_package.Redis, model: Script) -> None:
    """Reported, counted and skipped: neither a crash nor silence; what else is known stays known."""
    async with serving(redis_url, model) as served, wired(served, Codec.JSON) as wire:
        await wire.said("m1", session="tale")
        await wire.said("m2", session="tale")
        redis.hset(user_context(ADA), mapping={"v:bad": "{", "v:good": "1", "v:worse": b"\xff"})
        redis.lset(session_keys(TALE).turns, 1, "1-1 r-x {no msgpack")
        redis.hset(session_keys(TALE).head, "s:temperature", "{")
        assert (await served.node.state.contexts.of_user(ADA)).values == {"good": 1}
        history = await served.node.state.storage.get_conversation_history(TALE)
        assert [turn.metadata["id"] for turn in history if turn.role == "user"] == ["m1", "m2"]
        assert len(history) == 3
        await served.node.state.storage.get_session_metadata(TALE)
        snapshot = await wire.ok("open", session="tale")
        assert snapshot["type"] == "ok"
        await wire.said("m3", session="tale")
        damaged = served.node.state.damaged
        assert (damaged["context"] >= 2, damaged["turn"] >= 2, damaged["setting"] >= 1) == (True, True, True)
        assert damaged.keys() == {"context", "turn", "setting"}


async def test_turns_can_be_put(redis_url: str, model: Script) -> None:
    """They are in the history, in order, and in the log for its readers; once for each id; not during an answer."""
    async with two(redis_url, model) as (a, b), wired(b, Codec.JSON) as wire:
        await wire.ok("open", session="tale")
        question = ConversationTurn("user", "Hello?", NOW, {"id": "q1"})
        answer = ConversationTurn("assistant", "Hello! " * 3000, NOW, {"id": "a1"})
        for turn in (question, answer, question, answer):
            await a.node.state.storage.append_conversation_turn(TALE, turn)
        history = await b.node.state.storage.get_conversation_history(TALE)
        assert [(turn.role, turn.content) for turn in history] == [("user", "Hello?"), ("assistant", "Hello! " * 3000)]
        end = await wire.ended("a1")
        assert end["length"] == len("Hello! " * 3000)
        model.answers.append(["one ", 60.0])
        run = (await wire.ok("say", session="tale", id="m", text="x"))["run"]
        with pytest.raises(Busy):
            await a.node.state.storage.append_conversation_turn(TALE, ConversationTurn("user", "x", NOW))
        await wire.ok("stop", session="tale", run=run)
        for wrong in (ConversationTurn("tool", "x", NOW), ConversationTurn("user", "x", NOW, {"id": "a/b"})):
            with pytest.raises(BadFrame):
                await a.node.state.storage.append_conversation_turn(TALE, wrong)
        with pytest.raises(TooLong):
            await a.node.state.storage.append_conversation_turn(TALE, ConversationTurn("user", "x" * 40_000, NOW))


def test_a_turn_is_what_it_was() -> None:
    """As JSON, and back; a time without a zone is UTC."""
    turn = ConversationTurn("user", "é", NOW, {"id": "q"})
    assert ConversationTurn.from_dict(turn.to_dict()) == turn
    assert ConversationTurn.from_dict(turn.to_dict() | {"timestamp": "2026-11-26T12:00:00"}) == turn
    for wrong in ({"role": "tool"}, {"content": 5}, {"timestamp": "soon"}, {"timestamp": None}, {"metadata": [1]}):
        with pytest.raises(BadFrame):
            ConversationTurn.from_dict(turn.to_dict() | wrong)


async def test_what_is_kept_is_dropped_when_it_changes(redis_url: str, model: Script) -> None:
    """At another node too, through the user's channel; read again and again it asks Redis once."""
    async with two(redis_url, model) as (a, b):
        kept = b.node.state.storage
        await a.node.state.storage.update_user_context(ADA, {"x": 1})
        for _ in range(10):
            found = await kept.get_user_context(ADA)
            assert found == {"x": 1}
            found["x"] = "changed by who read it"
        assert (kept.hits, kept.misses) == (9, 1)
        await a.node.state.contexts.change_user(ADA, {"x": 2})

        async def new() -> bool:
            return await kept.get_user_context(ADA) == {"x": 2}

        await becomes(new)
        assert kept.misses == 2


async def test_what_changed_while_it_was_read_is_not_kept(redis_url: str, model: Script) -> None:
    """The read began before the change and ends after it: the next one asks anew."""
    async with serving(redis_url, model) as served:
        storage, contexts = served.node.state.storage, served.node.state.contexts
        await contexts.change_user(ADA, {"x": 1})
        read = contexts.of_user
        asked, slow = asyncio.Event(), asyncio.Event()

        async def late(user: User) -> Any:
            found = await read(user)
            asked.set()
            await slow.wait()
            return found

        contexts.of_user = late  # type: ignore[method-assign]
        reading = asyncio.create_task(storage.get_user_context(ADA))
        await asked.wait()
        await contexts.change_user(ADA, {"x": 2})
        await until(lambda: storage._kept[user_stale(ADA)].until == 0.0)
        slow.set()
        assert await reading == {"x": 1}
        assert await storage.get_user_context(ADA) == {"x": 2}


async def test_nothing_kept_is_used_while_the_bus_is_away(
    redis_url: str, redis: redis_package.Redis, model: Script
) -> None:
    """What it would have said is not known; and nothing is kept for longer than its time, nor of too many users."""
    async with serving(redis_url, model) as served:
        storage = served.node.state.storage
        await storage.update_user_context(ADA, {"x": 1})
        await storage.get_user_context(ADA)
        redis.config_set("maxclients", 1)  # it does not come back
        for client in redis.client_list(_type="pubsub"):
            redis.client_kill(client["addr"])
        await until(lambda: not served.node.state.bus.confirmed)
        redis.hset(user_context(ADA), "v:x", "2")  # nobody is told
        assert await storage.get_user_context(ADA) == {"x": 2}
        redis.config_set("maxclients", 10_000)
        await until(lambda: served.node.state.bus.confirmed)
        redis.hset(user_context(ADA), "v:x", "3")
        assert await storage.get_user_context(ADA) == {"x": 3}


async def test_an_invalidation_that_is_lost_is_made_up_for(
    redis_url: str, redis: redis_package.Redis, model: Script
) -> None:
    """In time: nothing is kept for longer; of too many users, those who were read longest ago go."""
    async with serving(redis_url, model) as served:
        storage = served.node.state.storage
        storage._seconds, storage._size = 0.3, 3
        await storage.update_user_context(ADA, {"x": 1})
        await storage.get_user_context(ADA)
        redis.hset(user_context(ADA), "v:x", "2")  # nobody is told
        assert await storage.get_user_context(ADA) == {"x": 1}

        async def new() -> bool:
            return await storage.get_user_context(ADA) == {"x": 2}

        await becomes(new)
        for index in range(5):
            await storage.get_user_context(User.of("test", str(index)))
        assert len(storage._kept) == 3
        assert user_stale(ADA) not in served.node.state.bus.channels
