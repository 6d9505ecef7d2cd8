"""The same message id in a session never makes two runs."""

import asyncio
from typing import Any

import pytest

from app.core.protocol import Codec
from tests.reader import reading
from tests.servers import Script, two, until


async def test_three_says_at_once_to_two_nodes_make_one_run(redis_url: str, model: Script) -> None:
    """One run, asked of the model once; the other two are duplicates with the same run and `at`."""
    async with two(redis_url, model) as (a, b), reading(a.ws) as one, reading(b.ws) as other, reading(b.ws) as third:
        say = {"type": "say", "session": "s", "id": "m", "text": "Hello."}
        replies = await asyncio.gather(*(reader.ask(**say) for reader in (one, other, third)))
        assert len({(reply["run"], reply["at"]) for reply in replies}) == 1
        assert sorted(reply["duplicate"] for reply in replies) == [False, True, True]
        assert "end" in await _kinds_until_end(one)
    assert len(model.asked) == 1


@pytest.mark.parametrize(
    "other",
    [{"text": "Bye."}, {"context": {"a": 1}}, {"model": "script-2"}],
    ids=["text", "context", "model"],
)
async def test_other_content_under_the_same_id_is_refused(redis_url: str, model: Script, other: dict[str, Any]) -> None:
    """The first run stands; the second request is `id_reused`, from another node and codec too."""
    async with two(redis_url, model) as (a, b), reading(a.ws, Codec.JSON) as one, reading(b.ws, Codec.MSGPACK) as two_:
        say = {"type": "say", "session": "s", "id": "m", "text": "Hello."}
        first = await one.ask(**say)
        refused = await two_.ask(**(say | other))
        assert (refused["type"], refused["code"], refused["retry"]) == ("error", "id_reused", "no")
        again = await two_.ask(**say)
        assert (first["run"], first["at"], True) == (again["run"], again["at"], again["duplicate"])


async def test_the_fingerprint_is_the_same_from_both_codecs(redis_url: str, model: Script) -> None:
    """Context maps in another order, from another codec, are the same request."""
    async with two(redis_url, model) as (a, b), reading(a.ws, Codec.JSON) as one, reading(b.ws, Codec.MSGPACK) as two_:
        say = {"type": "say", "session": "s", "id": "m", "text": "Hé 😀"}
        first = await one.ask(**say, context={"a": 1, "b": [1.5, None, True]})
        again = await two_.ask(**say, context={"b": [1.5, None, True], "a": 1})
        assert (first["run"], True) == (again["run"], again["duplicate"])


async def test_a_reply_that_was_lost_is_given_again_after_the_end(redis_url: str, redis: Any, model: Script) -> None:
    """The socket dies before the reply; the same `say` after the run's end names the same run, made once."""
    async with two(redis_url, model) as (a, b):
        async with reading(a.ws) as one:
            await one.send(type="say", session="s", id="m", text="Hello.")
            await until(lambda: redis.keys("*head*"))
            one.abort()
        await until(lambda: model.closed == 1 and a.node.runner.running == 0)
        async with reading(b.ws) as other:
            again = await other.ask(type="say", session="s", id="m", text="Hello.")
            assert again["duplicate"] is True
            kinds = await _kinds_until_end(other)
    assert kinds == ["turn", "run", "delta", "end"]
    assert len(model.asked) == 1


async def test_a_say_without_a_session_names_it_after_the_message(redis_url: str, model: Script) -> None:
    """So that a retry finds it."""
    async with two(redis_url, model) as (a, b), reading(a.ws) as one, reading(b.ws) as other:
        first = await one.ask(type="say", id="m1", text="Hello.")
        again = await other.ask(type="say", id="m1", text="Hello.")
        assert ("m1", first["run"], True) == (again["session"], again["run"], again["duplicate"])


async def _kinds_until_end(reader: Any) -> list[str]:
    kinds: list[str] = []
    while "end" not in kinds:
        kinds += [entry["kind"] for entry in (await reader.next("batch"))["entries"]]
    return kinds
