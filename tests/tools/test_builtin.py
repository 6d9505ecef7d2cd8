"""The tools that come along: the time, arithmetic, and one's own chats."""

import math
import time
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from app.agent.tools import ToolError
from app.agent.tools.builtin import builtins
from app.agent.tools.calculator import LENGTH, calculated, calculator
from app.agent.tools.clock import clock
from app.agent.tools.declared import WrongTools
from app.agent.tools.fetch import Fetch
from app.agent.tools.own import EXCERPT, HITS, OwnSessions, excerpt, hits_in
from app.core.model import Cursor, Session, Turn, User
from app.node import Node
from app.state.outcomes import Listed
from tests.servers import Script, serving
from tests.tools import asked, called

ADA, EVE = User.of("guest:name", "ada"), User.of("guest:name", "eve")


async def test_the_time() -> None:
    """In UTC, in the user's own zone, or in the one that is asked for."""
    own = asked(time_zone="Asia/Tokyo")
    for request, given, zone, offset in (
        (asked(), {}, "UTC", timedelta(0)),
        (own, {}, "Asia/Tokyo", timedelta(hours=9)),
        (own, {"zone": "America/Phoenix"}, "America/Phoenix", timedelta(hours=-7)),
    ):
        told = await called(clock, request, **given)
        at = datetime.fromisoformat(told["time"])
        assert abs(at - datetime.now(UTC)) < timedelta(seconds=5)
        assert (at.utcoffset(), told["zone"], told["weekday"]) == (offset, zone, at.strftime("%A"))


@pytest.mark.parametrize(
    "zone", ["Mars/Phobos", "Europe", "../../etc/passwd", "/etc/passwd", "UTC\0", "\ud800", "x" * 64]
)
async def test_zones_that_are_none(zone: str) -> None:
    """They are told as such; no file is looked at."""
    with pytest.raises(ToolError, match="unknown time zone"):
        await called(clock, zone=zone)


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("1 + 2 * 3", 7), (" (1 + 2) * 3 ", 9), ("-2 ** 2", -4), ("7 // 2 + 7 % 2", 4), ("1 / 8", 0.125),
        ("2 ** 100", str(2**100)), ("2 ** -1", 0.5), ("sqrt(16) + abs(-1)", 5.0), ("round(pi, 2)", 3.14),
        ("round(2.5)", 2), ("round(1234, -2)", 1200), ("max(1, 2, min(4, 3))", 3), ("log(e)", 1.0),
        ("log(8, 2)", 3.0), ("sin(pi / 2)", 1.0), ("factorial(5)", 120), ("1e3 + 1_000", 2000.0), ("gcd(12, 18)", 6),
        ("1 ** 10 ** 9", 1), ("(-1) ** 10 ** 9", 1), ("floor(2.7) + ceil(2.1)", 5), ("pow(2, 10)", 1024),
        ("+".join(["1"] * 250), 250), ("0x10 + 0b11", 19),
    ],
)  # fmt: skip
async def test_arithmetic(expression: str, result: object) -> None:
    """What anybody would calculate."""
    assert await called(calculator, expression=expression) == result


HARMFUL = [
    "9**9**9", "10**10**10", "9.0**9**9", "'a'*10**9", "'a'", "[1]*10**9", "(1,)*9", "factorial(10**9)",
    "factorial(factorial(factorial(9)))", "round(5, -10**9)", "round(5, 10**9)", "2**4096*2**4096", "1e308*10", "1e999",
    "-1e999", "1e308**2", "(" * 250 + "1" + ")" * 249, "(" * 500, "-" * 499 + "1", "2**" * 166 + "2", "~1",
    "1 << 10**9", "1+\n1", "2^10", "1 if 2 else 3", "1 < 2", "1 and 2", "not 1", "True", "None", "1j", "(-8) ** 0.5",
    "sqrt(-1)", "1/0", "1%0", "0 ** -1", "log(0)", "x", "sin", "sin + 1",
    "max(sin, cos)", "max()", "min(5)", "sin()", "sin(1, 2)", "sin(x=1)",
    "pi.real", "(1).__class__", "().__class__.__bases__[0]", "__import__('os').system('x')", "open('/etc/passwd')",
    "[x for x in (1, 2)]", "{1: 2}", "(lambda: 1)()", "f'{1}'", "a := 1", "a = 1", "1; 2", "1\n2", "import os", "*1",
    "max(*[1, 2])", "max(**{})", "1[0]", "...", "", "   ", "1 +", "1 1", "\0", "\ud800", "1" * 500 + "**2", "e**710",
    "exp(1000)", "cosh(1e9)", "hypot(1.5e308, 1.5e308)", "lcm(" + ",".join(f"{n}**99" for n in range(900, 940)) + ")",
    "rand()", "int('9'*10**6)", "str(1)", "factorial(2.5)", "gcd(1.5, 2)", "1__0", "09",
]  # fmt: skip


@pytest.mark.parametrize("expression", HARMFUL)
async def test_arithmetic_within_bounds(expression: str) -> None:
    """Whatever else is written there is an error that says so, at once, and takes no memory."""
    tracemalloc.start()
    begun = time.monotonic()
    try:
        with pytest.raises(ToolError) as caught:
            await called(calculator, expression=expression)
        assert time.monotonic() - begun < 0.5
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    assert str(caught.value) != "it failed"
    assert "0x" not in str(caught.value)


async def test_a_long_expression_is_not_read() -> None:
    """Its length has a bound."""
    long = "1+" * LENGTH + "1"
    with pytest.raises(ToolError, match=r"wrong arguments: \$\.expression"):
        await called(calculator, expression=long)
    with pytest.raises(ToolError, match="at most 500 characters, not 1001"):
        calculated(long)
    assert await called(calculator, expression="tau") == math.tau


async def _said(node: Node, user: User, session: str, *texts: str, title: str | None = None) -> None:
    """Have said something, alternately, in a session."""
    here = Session(user, session)
    for index, text in enumerate(texts):
        role = "assistant" if index % 2 else "user"
        await node.state.sessions.put(
            here, Turn(id=f"{session}-{index}", role=role, text=text, run=f"{session}-{index}")
        )
    if title is not None:
        await node.state.sessions.rename(here, title)
    await node.state.users.changed(here, "here")


@asynccontextmanager
async def _searching(redis_url: str, model: Script) -> AsyncIterator[tuple[Node, OwnSessions]]:
    async with serving(redis_url, model) as served:
        yield served.node, OwnSessions(served.node.state.users, served.node.state.sessions)


async def test_own_chats_are_found(redis_url: str, model: Script) -> None:
    """By all of the words, in turns and titles, whatever their case; the newest first; not in the one that asks."""
    async with _searching(redis_url, model) as (node, search):
        await _said(node, ADA, "soup", "How do I cook a POTATO soup?", "Cut the potatoes; die Straße ist lang.")
        await _said(node, ADA, "trip", "Where is the sea?", "In the north.", title="Potato holidays")
        await _said(node, ADA, "now", "potato soup, again?")
        request = asked(ADA.key, "now")
        hits = (await called(search, request, query="soup potato"))["hits"]
        at = datetime.fromisoformat(hits[0].pop("at"))
        assert abs(at - datetime.now(UTC)) < timedelta(minutes=1)
        title = "How do I cook a POTATO soup?"
        assert hits == [{"session": "soup", "title": title, "turn": "soup-0", "role": "user", "excerpt": title}]
        found = (await called(search, request, query="pOtAtO"))["hits"]
        assert [(hit["session"], hit["turn"], hit["role"]) for hit in found] == [
            ("trip", None, None), ("soup", "soup-1", "assistant"), ("soup", "soup-0", "user"),
        ]  # fmt: skip
        assert [hit["turn"] for hit in (await called(search, request, query="STRASSE"))["hits"]] == ["soup-1"]
        assert (await called(search, request, query="potato sea"))["hits"] == []


async def test_nobody_finds_anothers_chats(redis_url: str, model: Script) -> None:
    """Whose chats are searched is in the request; nothing that a model writes changes it."""
    async with _searching(redis_url, model) as (node, search):
        await _said(node, ADA, "diary", "my secret word is xylophone", "noted: xylophone", title="xylophone")
        await _said(node, EVE, "diary", "hello")
        eve = asked(EVE.key, "now", user_id=ADA.key)
        for query in (
            "xylophone",
            ADA.key,
            f"user:{ADA.key} xylophone",
            "*",
            "diary",
            f"{ADA.key}/diary",
            "secret",
            "",
        ):
            if query:
                assert (await called(search, eve, query=query))["hits"] == []
                assert (await search.execute(eve, {"query": query, "user_id": ADA.key}))["hits"] == []
        for more in ({"user_id": ADA.key}, {"user": ADA.key}, {"session": "diary"}, {"context": {"user_id": ADA.key}}):
            with pytest.raises(ToolError, match="wrong arguments"):
                await called(search, eve, query="xylophone", **more)
        assert len((await called(search, asked(ADA.key, "now"), query="xylophone"))["hits"]) == 2


async def test_a_search_is_bounded(redis_url: str, model: Script) -> None:
    """The newest 50 sessions but one's own, at most 10 hits; a deleted session is not missed."""
    async with _searching(redis_url, model) as (node, search):
        await _said(node, ADA, "oldest", "turnip, long ago")
        for index in range(49):
            await _said(node, ADA, f"s{index}", "nothing" if index > 2 else "beet beet")
        await _said(node, ADA, "now", "turnip?")
        request = asked(ADA.key, "now")
        assert [hit["session"] for hit in (await called(search, request, query="turnip"))["hits"]] == ["oldest"]
        await _said(node, ADA, "newest", *["carrot"] * 12)
        assert (await called(search, request, query="turnip"))["hits"] == []
        hits = (await called(search, request, query="carrot"))["hits"]
        assert [hit["turn"] for hit in hits] == [f"newest-{index}" for index in range(11, 1, -1)]
        assert len(hits) == HITS
        assert {hit["session"] for hit in (await called(search, request, query="beet"))["hits"]} == {"s0", "s1", "s2"}
        await node.state.sessions.delete(Session(ADA, "s1"))
        assert {hit["session"] for hit in (await called(search, request, query="beet"))["hits"]} == {"s0", "s2"}


async def test_a_search_for_nothing(redis_url: str, model: Script) -> None:
    """There must be a word."""
    async with _searching(redis_url, model) as (_, search):
        for query in ("", " ", "\n\t ", "x" * 201):
            with pytest.raises(ToolError):
                await called(search, asked(ADA.key), query=query)


def test_excerpts() -> None:
    """At most 300 characters, with the hit, also where folding changes lengths."""
    text = "ß" * 1000 + " the NEEDLE is here " + "İ" * 1000
    listed = Listed("s", "t", "idle", Cursor(1, 1))
    (hit,) = hits_in(listed, [Turn(id="a", role="user", text=text, run="r", at="1-1")], ["needle"])
    assert "NEEDLE" in hit["excerpt"]
    assert len(hit["excerpt"]) <= EXCERPT
    assert hit["excerpt"].startswith("…")
    assert hit["excerpt"].endswith("…")
    assert excerpt("a \n b", 0) == "a b"


async def test_those_that_are_named(redis_url: str, model: Script) -> None:
    """Each once, in the order in which they are named; a name that is none is told with those that are."""
    async with serving(redis_url, model) as served:
        users, sessions = served.node.state.users, served.node.state.sessions
        made = builtins(["fetch", "time", "search_chats", "calculator", "time"], users, sessions)
        names = [tool.get_tool_schema()["name"] for tool in made]
        assert names == ["fetch", "time", "search_chats", "calculator"]
        assert isinstance(made[0], Fetch)
        assert all(tool.idempotent and not tool.approval for tool in made)
        assert builtins([], users, sessions) == []
        with pytest.raises(WrongTools, match=r"'shell'.*time, calculator, search_chats, fetch"):
            builtins(["time", "shell"], users, sessions)
