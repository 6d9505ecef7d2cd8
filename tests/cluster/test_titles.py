"""Titles by the model: once, after the first answer that was said whole; a person's stands for good."""

import asyncio
import time

import httpx
import pytest
import redis as redis_package

from app.agent.flow import tokens_of
from app.agent.titles import cleaned
from app.aside import GIVE_UP_SECONDS
from app.client import Chat, connect
from app.core.errors import ModelUnavailable
from app.core.model import Session, User
from app.state.keys import session_keys, user_quota
from tests.servers import Script, serving, two, until

ADA = User.of("guest:name", "ada")


@pytest.fixture
def model() -> Script:
    """A model that makes titles."""
    return Script(titles=True)


async def titled(chat: Chat, title: str) -> None:
    """Return when the session has a title."""
    session = chat.sessions["s"]
    async with asyncio.timeout(5):
        await session.until(lambda: session.transcript.title == title)


async def answered(chat: Chat, text: str) -> None:
    """Say something, and have it answered."""
    await (await chat.say(text, session="s")).answer()


async def test_the_first_answer_gives_the_title(redis_url: str, redis: redis_package.Redis, model: Script) -> None:
    """Readers and lists of all nodes are told. The first words are it until then; no later answer gives another one."""
    model.answers += [["Trains are quick."], ['"Trains, and how quick they are"\n', "or so"], ["More."], ["Again."]]
    async with two(redis_url, model) as (a, b), connect(a.ws, user="ada") as chat, connect(b.ws, user="ada") as other:
        await other.watch()
        await other.open("s")
        said = await chat.say("How quick are trains?", session="s")
        await titled(other, "How quick are trains?")
        await said.answer()
        await titled(other, "Trains, and how quick they are")
        await until(lambda: other.listed.get("s", {}).get("title") == "Trains, and how quick they are")
        assert len(model.asked) == 2
        asked = model.asked[1][-1]["content"]
        assert "How quick are trains?" in asked
        assert "Trains are quick." in asked
        await answered(chat, "More?")
        await (await chat.again("s", chat.sessions["s"].transcript.turns[-2]["id"])).answer()
        assert len(model.asked) == 4
        await until(lambda: redis.hvals(user_quota(ADA)) == [str(4 + 5 + 4 + 4).encode()])


async def test_a_persons_title_stands(redis_url: str, model: Script) -> None:
    """Also where they are quicker than the model."""
    gate = asyncio.Event()
    model.answers += [["One."], [0.0, "Of the model"]]
    async with serving(redis_url, model) as served, connect(served.ws, user="ada") as chat:
        await answered(chat, "One?")
        model.gate = gate.wait
        await until(lambda: len(model.asked) == 2)
        await chat.rename("s", "Mine")
        gate.set()
        await until(lambda: model.closed == 2)
        await answered(chat, "Two?")
        assert (chat.sessions["s"].transcript.title, len(model.asked)) == ("Mine", 3)
        assert [
            entry.title for entry in (await served.node.state.users.sessions(ADA, query=None, before=None, limit=9))[0]
        ] == ["Mine"]


async def test_what_was_not_said_whole_gives_none(redis_url: str, model: Script) -> None:
    """A failed or a stopped answer does not; the first whole one after it does."""
    model.answers += [[ModelUnavailable("no")], ["one ", 60.0], ["Whole."], ["A title"]]
    async with serving(redis_url, model) as served, connect(served.ws, user="ada") as chat:
        await answered(chat, "One?")
        said = await chat.say("Two?", session="s")
        await until(lambda: served.node.state.runs.appends)
        await chat.stop("s", said.run)
        await said.answer()
        await answered(chat, "Three?")
        await titled(chat, "A title")


async def test_a_title_that_does_not_come(redis_url: str, redis: redis_package.Redis, model: Script) -> None:
    """Leaves the first words; after a minute the next answer may give one."""
    head = session_keys(Session(ADA, "s")).head
    model.answers += [["One."], [ModelUnavailable("no")], ["Two."], ["Three."], ["Made later."]]
    async with serving(redis_url, model) as served, connect(served.ws, user="ada") as chat:
        await answered(chat, "One?")
        await until(lambda: len(model.asked) == 2)
        await answered(chat, "Two?")
        assert (len(model.asked), chat.sessions["s"].transcript.title) == (3, "One?")
        ms, _, run = str(redis.hget(head, "titled"), "ascii").partition(" ")  # type: ignore[arg-type]
        redis.hset(head, "titled", f"{int(ms) - 60_000} {run}")
        await answered(chat, "Three?")
        await titled(chat, "Made later")


async def test_a_node_that_ends_waits_for_no_title(redis_url: str, model: Script) -> None:
    """Not for long: one that is being made is dropped, and the next answer, a minute later, may give one."""
    model.answers += [["One."], [60.0, "Too late"]]
    async with serving(redis_url, model) as served, connect(served.ws, user="ada") as chat:
        await answered(chat, "One?")
        await until(lambda: len(model.asked) == 2)
        ending = time.monotonic()
    assert time.monotonic() - ending < 2 * GIVE_UP_SECONDS
    assert model.closed == 2


async def test_a_title_that_goes_wrong(
    redis_url: str, redis: redis_package.Redis, model: Script, caplog: pytest.LogCaptureFixture
) -> None:
    """In whatever way: the node goes on."""
    model.answers += [["One."], [RuntimeError("of a kind that nobody knows")], ["Two."]]
    async with serving(redis_url, model) as served, connect(served.ws, user="ada") as chat:
        await answered(chat, "One?")
        await until(lambda: any("on the side failed" in record.message for record in caplog.records))
        await answered(chat, "Two?")
        assert (chat.connections, chat.sessions["s"].transcript.title) == (1, "One?")


@pytest.mark.parametrize(("told", "tokens"), [(7, 7), ("many", 2), (-1, 2), (None, 2), ([7], 2), (0, 0)])
def test_what_a_model_says_it_used(told: object, tokens: int) -> None:
    """A number is taken; for anything else, what there is is counted."""
    assert tokens_of({"total_tokens": told}, 8) == tokens


async def test_none_is_made_where_none_is_wanted(redis_url: str, model: Script) -> None:
    """`titles` of the model's abilities."""
    model.titles = False
    async with serving(redis_url, model) as served, connect(served.ws, user="ada") as chat:
        await answered(chat, "One?")
        await answered(chat, "Two?")
        assert len(model.asked) == 2


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ("Fine", "Fine"), ("\n\n **A title.**\nmore", "A title"), ("Title: „Züge“", "Züge"), ('"Quoted"', "Quoted"),
        ("", ""), (" \n--\n", "--"), ("x" * 161, ""), ("word " * 20, ("word " * 20)[:80].strip()),
    ],
)  # fmt: skip
def test_what_is_taken_for_a_title(said: str, title: str) -> None:
    """One line, without what stands around it; a text that goes on and on is none."""
    assert cleaned(said) == title


async def test_titles_are_told_over_http(redis_url: str, model: Script) -> None:
    """In the list."""
    model.answers += [["One."], ["A title"]]
    async with serving(redis_url, model) as served, connect(served.ws, user="ada") as chat:
        await answered(chat, "One?")
        await titled(chat, "A title")
        async with httpx.AsyncClient(headers={"X-User-Id": "ada"}, trust_env=False) as client:
            [listed] = (await client.get(f"{served.http}/api/sessions")).json()["sessions"]
            assert listed["title"] == "A title"
