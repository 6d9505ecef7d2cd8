"""What is one's own, over HTTP: sessions, turns, settings, the prompt that they make, and all of it to take along."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from app.core.protocol import Codec
from tests.contract.wire import both_codecs, refused, wired
from tests.servers import Script, Served, serving, two, until


@asynccontextmanager
async def asking(served: Served, user: str = "ada") -> AsyncIterator[httpx.AsyncClient]:
    """A program of this name."""
    headers = {"X-User-Id": user}
    async with httpx.AsyncClient(base_url=served.http, headers=headers, trust_env=False) as client:
        yield client


async def test_sessions_and_turns(redis_url: str, model: Script) -> None:
    """The same lists as over WebSocket, in pages; renamed, stopped and deleted at another node."""
    async with two(redis_url, model) as (a, b), wired(a, Codec.JSON) as wire, asking(b) as client:
        for index in range(3):
            await wire.said(f"m{index}", f"Text {index}.", session=f"s{index}")
        listed = (await client.get("/api/sessions")).json()
        assert listed == {name: value for name, value in (await wire.ok("sessions")).items() if name in listed}
        first = (await client.get("/api/sessions", params={"limit": 2})).json()
        rest = (await client.get("/api/sessions", params={"before": first["sessions"][-1]["id"]})).json()
        assert [one["id"] for one in first["sessions"] + rest["sessions"]] == ["s2", "s1", "s0"]
        turns = (await client.get("/api/sessions/s1/turns")).json()
        assert turns["turns"] == (await wire.ok("history", session="s1"))["turns"]
        assert turns["turns"][1]["prompt"]
        assert turns["turns"][1]["temperature"] == 0.1
        page = (await client.get("/api/sessions/s1/turns", params={"limit": 1})).json()
        assert (len(page["turns"]), page["more"]) == (1, True)
        assert (await client.patch("/api/sessions/s1", json={"title": " New "})).status_code == 200
        assert (await client.get("/api/sessions", params={"query": "new"})).json()["sessions"][0]["title"] == "New"
        model.answers.append(["one ", 60.0])
        run = (await wire.ok("say", session="s0", id="m9", text="x"))["run"]
        stopped = (await client.post(f"/api/sessions/s0/runs/{run}/stop")).json()
        assert (stopped["session"], stopped["run"]) == ("s0", run)
        assert (await wire.ended(run))["state"] == "stopped"
        assert (await client.delete("/api/sessions/s0")).status_code == 204
        assert (await client.get("/api/sessions/s0/turns")).json() == {"turns": [], "more": False}


@pytest.mark.parametrize(
    ("method", "url", "status", "code"),
    [
        ("GET", "/api/sessions?limit=0", 400, "bad_frame"), ("GET", "/api/sessions?limit=x", 400, "bad_frame"),
        ("GET", "/api/sessions?before=none", 404, "not_found"), ("GET", "/api/sessions/a%20b/turns", 400, "bad_frame"),
        ("GET", "/api/sessions/s/turns?before=none", 404, "not_found"),
        ("POST", "/api/sessions/s/runs/none/stop", 404, "not_found"),
        ("GET", "/api/export?format=pdf", 400, "bad_frame"),
        ("DELETE", "/api/sessions/.s", 400, "bad_frame"), ("GET", "/api/sessions/.s/prompt", 400, "bad_frame"),
    ],
)  # fmt: skip
async def test_what_cannot_be(redis_url: str, model: Script, method: str, url: str, status: int, code: str) -> None:
    """A typed problem."""
    async with serving(redis_url, model) as served, asking(served) as client:
        answer = await client.request(method, url)
        assert (answer.status_code, answer.json()["code"]) == (status, code)


@both_codecs
async def test_settings_of_a_session(redis_url: str, model: Script, codec: Codec) -> None:
    """Its model, temperature and prompt count at every node, are told to its readers, and can be taken back."""
    async with two(redis_url, model) as (a, b), wired(a, codec) as one, wired(b, codec) as other:
        await other.ok("open", session="s")
        await other.frame()
        await one.ok("set", session="s", model="script-2", temperature=1.5, prompt="You are a pirate.")
        batch = await other.frame()
        assert batch["entries"] == [
            {"kind": "meta", "model": "script-2", "temperature": 1.5, "prompt": "You are a pirate."}
        ]
        await other.said("m1", session="s")
        [_, turn] = (await one.ok("history", session="s"))["turns"]
        assert (turn["model"], turn["temperature"]) == ("script-2", 1.5)
        assert model.asked[0][0]["content"].startswith("You are a pirate.")
        await other.said("m2", session="s", model="script-1")
        at = (await one.ok("set", session="s", model="", temperature="", prompt=""))["at"]
        assert (await one.ok("set", session="s", prompt=""))["at"] == at
        await other.said("m3", session="s")
        turns = (await one.ok("history", session="s"))["turns"]
        assert [turn["model"] for turn in turns[1::2]] == ["script-2", "script-1", "script-1"]
        assert turns[-1]["temperature"] == 0.1
        assert model.asked[2][0]["content"].startswith("You are a helpful")
        for wrong in ({"model": "none"}, {"temperature": 2.1}, {"temperature": "hot"}):
            error = await one.ask("set", session="s", **wrong)
            refused(error, "bad_frame", error["ref"], "set")
        error = await one.ask("set", session="s", prompt="x" * 9000)
        refused(error, "too_long", error["ref"])


@both_codecs
async def test_contexts_over_the_wire(redis_url: str, model: Script, codec: Codec) -> None:
    """The same over WebSocket and HTTP; a version that was seen protects what was not; it shapes the next answer."""
    async with two(redis_url, model) as (a, b), wired(a, codec) as wire, asking(b) as client:
        assert (await wire.ok("context"))["context"] == {}
        said = await wire.ok("context", set={"preferred_style": "concise", "x": [1, {"y": None}]})
        assert (said["context"], said["version"]) == ({"preferred_style": "concise", "x": [1, {"y": None}]}, 1)
        read = await client.get("/api/context")
        assert (read.json(), read.headers["etag"]) == ({"context": said["context"], "version": 1}, '"1"')
        changed = await client.patch("/api/context", json={"x": None}, headers={"If-Match": '"1"'})
        assert changed.json() == {"context": {"preferred_style": "concise"}, "version": 2}
        again = await client.patch("/api/context", json={"x": 5}, headers={"If-Match": '"1"'})
        assert (again.status_code, again.json()["code"]) == (409, "conflict")
        error = await wire.ask("context", set={"x": 5}, version=1)
        refused(error, "conflict", error["ref"], "version 2")
        for wrong in ("1", '"x"', "*", 'W/"1"'):
            assert (await client.patch("/api/context", json={}, headers={"If-Match": wrong})).status_code == 400
        await wire.said("m1")
        assert "Keep responses brief" in model.asked[0][0]["content"]
        shown = (await client.get("/api/sessions/s/prompt", params={"text": "And now?"})).json()
        assert (shown["model"], shown["temperature"]) == ("script-1", 0.1)
        assert [message["role"] for message in shown["messages"]] == ["system", "user", "assistant", "user"]
        await wire.said("m2", "And now?")
        assert shown["messages"] == model.asked[1]
        turns = (await wire.ok("history", session="s"))["turns"]
        assert turns[-1]["prompt"] == shown["prompt"]


async def test_all_to_take_along(redis_url: str, model: Script) -> None:
    """As JSON and as Markdown: every session with its turns and settings, and what is known; nothing of others."""
    async with serving(redis_url, model) as served, wired(served, Codec.JSON) as wire, asking(served) as client:
        async with wired(served, Codec.JSON, "eve") as eve:
            await eve.said("m", "Eve's.", session="s1")
        for index in range(3):
            await wire.said("m", f"Text {index}.", session=f"s{index}")
        await wire.ok("set", session="s0", prompt="Be brief.")
        await wire.ok("context", set={"language": "en"})
        await until(lambda: served.node.runner.running == 0)
        answer = await client.get("/api/export")
        assert answer.headers["content-disposition"] == 'attachment; filename="chat.json"'
        told = answer.json()
        assert (told["context"], [one["id"] for one in told["sessions"]]) == ({"language": "en"}, ["s2", "s1", "s0"])
        turns = told["sessions"][2]["turns"]
        assert [turn["content"] for turn in turns] == ["Text 0.", "You said: Text 0."]
        assert turns[1]["metadata"]["model"] == "script-1"
        assert told["sessions"][2]["metadata"]["prompt"] == "Be brief."
        assert told["sessions"][2]["metadata"]["message_count"] == 1
        assert "Eve" not in answer.text
        one = (await client.get("/api/sessions/s1/export")).json()
        assert [session["id"] for session in one["sessions"]] == ["s1"]
        markdown = (await client.get("/api/export", params={"format": "markdown"})).text
        assert markdown.count("# Text") == 3
        assert "**Assistant** (" in markdown
        assert "You said: Text 2." in markdown
        async with asking(served, "nobody") as stranger:
            assert (await stranger.get("/api/export")).json()["sessions"] == []


async def test_many_read_and_write_at_once(redis_url: str, model: Script) -> None:
    """Changes of different values by fifty requests on two nodes all count."""
    async with two(redis_url, model) as (a, b), asking(a) as one, asking(b) as other:
        clients = (one, other)
        await asyncio.gather(
            *(clients[index % 2].patch("/api/context", json={f"k{index}": index}) for index in range(50))
        )
        assert (await one.get("/api/context")).json() == {
            "context": {f"k{index}": index for index in range(50)}, "version": 50,
        }  # fmt: skip
