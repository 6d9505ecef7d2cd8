"""Commands on what is there: stop, history, the list of sessions, watch, rename, delete, differs."""

import asyncio

from redis import Redis

from app.core.model import Cursor
from app.core.protocol import Codec, Frame
from tests.contract.wire import Wire, both_codecs, refused, wired
from tests.servers import Script, serving, two, until


@both_codecs
async def test_stop(redis_url: str, model: Script, codec: Codec) -> None:
    """`ok {at}`, at once and again after the end; the stopping itself is `end`; an unknown run is `not_found`."""
    model.answers.append([60.0])
    async with serving(redis_url, model) as served, wired(served, codec) as wire:
        run = (await wire.ok("say", session="s", id="m", text="Think."))["run"]
        for session, unknown in (("s", "r-none"), ("s", "m"), ("other", run)):
            error = await wire.ask("stop", session=session, run=unknown)
            refused(error, "not_found", error["ref"], repr(unknown))
        await until(lambda: model.asked)
        await wire.ok("stop", session="s", run=run)
        await wire.ok("stop", session="s", run=run)
        end = await wire.ended(run)
        assert (end["state"], end["length"]) == ("stopped", 0)
        assert "code" not in end
        head = (await wire.ok("open", session="s"))["at"]
        assert [head] * 2 == [(await wire.ok("stop", session="s", run=run))["at"] for _ in range(2)]


@both_codecs
async def test_stop_what_waits(redis_url: str, model: Script, codec: Codec) -> None:
    """It leaves the queue with `end {stopped, length: 0}`, and its turn never enters the history; idempotent."""
    model.answers.append([60.0])
    async with serving(redis_url, model) as served, wired(served, codec) as wire:
        first = await wire.ok("say", session="s", id="m1", text="Think.")
        second = await wire.ok("say", session="s", id="m2", text="And then?")
        at = (await wire.ok("stop", session="s", run=second["run"]))["at"]
        end = await wire.ended(second["run"])
        assert (end["state"], end["length"]) == ("stopped", 0)
        assert at == (await wire.ok("stop", session="s", run=second["run"]))["at"]
        await wire.ok("open", session="s")
        snapshot = await wire.find("snapshot")
        assert ([], first["run"], at) == (snapshot["queued"], snapshot["run"]["id"], snapshot["at"])
        await wire.ok("stop", session="s", run=first["run"])
        await wire.ended(first["run"])
        turns = (await wire.ok("history", session="s"))["turns"]
        assert ["m1", first["run"]] == [turn["id"] for turn in turns]
        assert turns[1]["state"] == "stopped"
        assert len(model.asked) == 1


@both_codecs
async def test_history(redis_url: str, model: Script, codec: Codec) -> None:
    """Pages of turns, oldest first, from the newest back; before an unknown one `not_found`."""
    async with serving(redis_url, model) as served, wired(served, codec) as wire:
        runs = [(await wire.said(f"m{number}", f"{number}"))["run"] for number in range(4)]
        ids = [id for number, run in enumerate(runs) for id in (f"m{number}", run)]
        whole = await wire.ok("history", session="s")
        assert (ids, False) == ([turn["id"] for turn in whole["turns"]], whole["more"])
        assert [turn["role"] for turn in whole["turns"]] == ["user", "assistant"] * 4
        cursors = [Cursor.parse(turn["at"]) for turn in whole["turns"]]
        assert sorted(cursors) == cursors
        seen: list[Frame] = []
        before: Frame = {}
        while True:
            page = await wire.ok("history", session="s", limit=3, **before)
            seen = page["turns"] + seen
            assert len(page["turns"]) == (3 if page["more"] else 2)
            if not page["more"]:
                break
            before = {"before": page["turns"][0]["id"]}
        assert whole["turns"] == seen
        first = await wire.ok("history", session="s", before="m0")
        assert (first["turns"], first["more"]) == ([], False)
        error = await wire.ask("history", session="s", before="none")
        refused(error, "not_found", error["ref"], "'none'")


async def _list(wire: Wire, **fields: object) -> tuple[list[str], bool]:
    found = await wire.ok("sessions", **fields)
    return [one["id"] for one in found["sessions"]], found["more"]


@both_codecs
async def test_sessions(redis_url: str, model: Script, codec: Codec) -> None:
    """One's sessions, latest first, in pages, or those whose title has a text; before an unknown `not_found`."""
    async with serving(redis_url, model) as served, wired(served, codec) as wire:
        assert await _list(wire) == ([], False)
        for number in range(5):
            await wire.said("m", f"Tell me about Straße {number}", session=f"s{number}")
            await wire.ok("sessions")
        await wire.said("m2", session="s1")
        latest = ["s1", "s4", "s3", "s2", "s0"]
        assert (latest, False) == await _list(wire)
        assert (latest[:2], True) == await _list(wire, limit=2)
        assert (latest[2:4], True) == await _list(wire, limit=2, before="s4")
        assert (latest[4:], False) == await _list(wire, limit=2, before="s2")
        assert await _list(wire, before="s0") == ([], False)
        assert await _list(wire, query="straße 3") == (["s3"], False)
        assert await _list(wire, query="ABOUT", limit=2) == (["s1", "s4"], True)
        assert await _list(wire, query="ABOUT", limit=2, before="s3") == (["s2", "s0"], False)
        assert await _list(wire, query="nothing") == ([], False)
        error = await wire.ask("sessions", before="none")
        refused(error, "not_found", error["ref"], "'none'")
        (one,) = (await wire.ok("sessions", limit=1))["sessions"]
        at = (await wire.ok("open", session="s1"))["at"]
        assert {"id": "s1", "title": "Tell me about Straße 1", "state": "idle", "at": at} == one
        await wire.ok("delete", session="s4")
        assert await _list(wire) == (["s1", "s3", "s2", "s0"], False)


@both_codecs
async def test_an_expired_session_hides_no_other(redis_url: str, redis: Redis, model: Script, codec: Codec) -> None:
    """A session whose keys have expired is not listed, and the page is whole all the same."""
    async with serving(redis_url, model) as served, wired(served, codec) as wire:
        for number in range(4):
            await wire.said("m", session=f"s{number}")
            await wire.ok("sessions")
        redis.delete(*(key for key in redis.scan_iter("*") if key.endswith(b"/s2")))
        assert await _list(wire, limit=2) == (["s3", "s1"], True)
        assert await _list(wire, limit=1) == (["s3"], True)
        assert await _list(wire, limit=1, before="s3") == (["s1"], True)


async def _hint(wire: Wire, state: str) -> Frame:
    """The next `session` frame with this state: hints may be fewer than changes, never wrong at the end."""
    return await wire.find("session", state=state)


@both_codecs
async def test_watch(redis_url: str, model: Script, codec: Codec) -> None:
    """From another node: `session` frames when one is spoken in, ends, is renamed, is deleted; nothing of others'."""
    step = asyncio.Semaphore(0)
    model.gate = step.acquire
    async with (
        two(redis_url, model) as (a, b),
        wired(a, codec) as wire,
        wired(b, codec) as list_,
        wired(b, codec, "eve") as eve,
    ):
        for watcher in (list_, list_, eve):
            assert await watcher.ok("watch") | {"ref": "x"} == {"type": "ok", "ref": "x"}
        run = (await wire.ok("say", session="s", id="m", text="Hello."))["run"]
        said = await _hint(list_, "running")
        assert (said["id"], said["title"]) == ("s", "Hello.")
        assert Cursor.parse(said["at"]).seq == 2
        step.release()
        await wire.ended(run)
        idle = await _hint(list_, "idle")
        assert (idle["id"], idle["title"], Cursor.parse(idle["at"]).seq) == ("s", "Hello.", 4)
        await wire.ok("rename", session="s", title="New")
        renamed = await list_.find("session", title="New")
        assert {"type": "session", "id": "s", "title": "New", "state": "idle"}.items() <= renamed.items()
        await wire.ok("delete", session="s")
        assert (await _hint(list_, "gone"))["id"] == "s"
        assert [frame for frame in await list_.rest() if frame["state"] != "gone"] == []
        assert await eve.rest() == []


@both_codecs
async def test_rename(redis_url: str, model: Script, codec: Codec) -> None:
    """The title, without blanks around it, is in the log and in snapshots; of an unknown session `not_found`."""
    async with serving(redis_url, model) as served, wired(served, codec) as wire:
        error = await wire.ask("rename", session="s", title="New")
        refused(error, "not_found", error["ref"], "'s'")
        assert (await wire.ok("open", session="s"))["at"] == "0-0"
        await wire.said("m", "The  first\nline is the title.")
        await wire.rest()
        await wire.ok("rename", session="s", title=" Né w ")
        assert (await wire.find("batch"))["entries"] == [{"kind": "meta", "title": "Né w"}]
        await wire.ok("open", session="s")
        assert (await wire.find("snapshot"))["title"] == "Né w"
        await wire.said("m2")
        assert (await wire.ok("sessions"))["sessions"][0]["title"] == "Né w"


@both_codecs
async def test_delete(redis_url: str, redis: Redis, model: Script, codec: Codec) -> None:
    """`gone` is published, a run ends without `end`, no key is left. A new `say` begins a new one; a late one not."""
    model.answers.append([60.0])
    async with two(redis_url, model) as (a, b), wired(a, codec) as wire, wired(b, codec) as reader:
        await wire.ok("say", session="s", id="m", text="Think.")
        await wire.ok("say", session="s", id="m2", text="And then?")
        await until(lambda: model.asked)
        await reader.ok("open", session="s")
        snapshot = await reader.find("snapshot")
        assert await reader.rest() == []
        await wire.ok("delete", session="s")
        batch = await reader.find("batch")
        assert (snapshot["at"], [{"kind": "gone"}]) == (batch["after"], batch["entries"])
        await until(lambda: model.closed == 1)
        assert [key for key in redis.scan_iter("*") if b"/s" in key] == []
        assert (await wire.ok("sessions"))["sessions"] == []
        await wire.ok("delete", session="s")
        error = await wire.ask("history", session="s", before="m")
        refused(error, "not_found", error["ref"])
        for id, text in (("m", "Think."), ("m2", "And then?")):
            late = await wire.ask("say", session="s", id=id, text=text)
            refused(late, "not_found", late["ref"])
        again = await wire.ok("say", session="s", id="m", text="Hello.")
        assert (again["duplicate"], Cursor.parse(again["at"]).seq) == (False, 2)
        assert (await reader.find("reset")) == {"type": "reset", "session": "s", "why": "expired"}
        assert [turn["text"] for turn in (await reader.find("snapshot"))["turns"]][:1] == ["Hello."]
        assert "end" not in [entry["kind"] for frame in reader.inbox for entry in frame.get("entries", ())]


@both_codecs
async def test_differs(redis_url: str, model: Script, codec: Codec) -> None:
    """`ok`, `reset differs`, `snapshot`, and it is counted; once a run: later only `ok`. An unknown run `not_found`."""
    async with serving(redis_url, model) as served, wired(served, codec) as wire:
        first, second = [(await wire.said(id))["run"] for id in ("m1", "m2")]
        await wire.rest()
        for run, anew, count in ((first, True, 1), (first, False, 1), (second, True, 2), (second, False, 2)):
            await _reports(wire, run, anew=anew)
            assert count == served.node.differing
        error = await wire.ask("differs", session="s", run="r-none", sha256="0" * 64)
        refused(error, "not_found", error["ref"])
        await wire.ok("rename", session="s", title="Live")
        assert (await wire.find("batch"))["entries"] == [{"kind": "meta", "title": "Live"}]


@both_codecs
async def test_differs_once_a_run_whatever_came_between(redis_url: str, model: Script, codec: Codec) -> None:
    """A run that was reported is not given anew, also after another's report and after another `open`."""
    async with serving(redis_url, model) as served, wired(served, codec) as wire:
        first, second = [(await wire.said(id))["run"] for id in ("m1", "m2")]
        await wire.rest()
        await _reports(wire, first, anew=True)
        await _reports(wire, second, anew=True)
        await _reports(wire, first, anew=False)
        await wire.ok("open", session="s")
        await wire.rest()
        await _reports(wire, second, anew=False)
        assert served.node.differing == 2


async def _reports(wire: Wire, run: str, *, anew: bool) -> None:
    await wire.ok("differs", session="s", run=run, sha256="0" * 64)
    came = await wire.rest()
    if not anew:
        assert came == []
        return
    assert came[0] == {"type": "reset", "session": "s", "why": "differs"}
    assert [frame["type"] for frame in came[1:]] == ["snapshot"]
    assert len(came[1]["turns"]) == 4
