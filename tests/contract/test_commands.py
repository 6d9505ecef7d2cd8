"""What each command brings about, and what it is answered: sessions that are opened, left, spoken in."""

import asyncio

from app.core.model import Cursor
from app.core.protocol import Codec, Frame
from tests.contract.wire import both_codecs, refused, wired
from tests.servers import Script, serving, two, until


@both_codecs
async def test_ping(redis_url: str, model: Script, codec: Codec) -> None:
    """`ok`, with the ref that was given and no more; any text may be one."""
    async with serving(redis_url, model) as served, wired(served, codec) as wire:
        for ref in ("", "x" * 1000, "é\n\x00", "0"):
            await wire.send({"type": "ping", "ref": ref})
            assert {"type": "ok", "ref": ref} == await wire.frame()
        await wire.send({"type": "ping"})
        assert await wire.frame() == {"type": "ok"}


@both_codecs
async def test_open_a_session_that_was_never_used(redis_url: str, model: Script, codec: Codec) -> None:
    """An id that was never used is an empty session at `0-0`; a cursor of `0-0` is its head."""
    async with serving(redis_url, model) as served, wired(served, codec) as wire:
        await wire.send({"type": "open", "ref": "r", "session": "s"})
        assert await wire.frame() == {"type": "ok", "ref": "r", "session": "s", "at": "0-0"}
        assert await wire.frame() == {
            "type": "snapshot", "session": "s", "at": "0-0", "title": "", "turns": [], "more": False, "queued": [],
        }  # fmt: skip
        await wire.send({"type": "open", "ref": "r", "session": "s", "cursor": "0-0"})
        assert await wire.frame() == {"type": "ok", "ref": "r", "session": "s", "at": "0-0"}
        assert await wire.frame() == {"type": "batch", "session": "s", "after": "0-0", "at": "0-0", "entries": []}
        assert await wire.rest() == []


@both_codecs
async def test_open_in_the_middle(redis_url: str, model: Script, codec: Codec) -> None:
    """A snapshot shows the newest turns, what runs with its text so far, and what waits; then it is live."""
    model.answers += [["Yes."], ["one ", 30.0]]
    async with serving(redis_url, model) as served, wired(served, codec) as wire, wired(served, codec) as other:
        done = await wire.said("m1", "Is it?")
        running = await wire.ok("say", session="s", id="m2", text="Count.")
        waiting = await wire.ok("say", session="s", id="m3", text="And then?")
        while not any(entry["kind"] == "delta" for entry in (await wire.find("batch")).get("entries", ())):
            pass
        await other.ok("open", session="s", turns=2)
        snapshot = await other.frame()
        assert (snapshot["session"], snapshot["title"], snapshot["more"]) == ("s", "Is it?", True)
        answer, question = snapshot["turns"]
        assert (done["run"], "assistant", "Yes.", done["run"]) == tuple(
            answer[key] for key in ("id", "role", "text", "run")
        )
        assert ("m2", "user", "Count.", running["run"]) == tuple(question[key] for key in ("id", "role", "text", "run"))
        assert Cursor.parse(answer["at"]) < Cursor.parse(question["at"]) <= Cursor.parse(snapshot["at"])
        assert [{"id": "m3", "text": "And then?", "run": waiting["run"]}] == snapshot["queued"]
        assert {
            "id": running["run"], "turn": "m2", "state": "running", "attempt": 1, "how": "new", "node": "a",
            "model": "script-1", "text": "one ", "reasoning": "", "tools": [], "asks": [],
        } == snapshot["run"]  # fmt: skip
        await wire.ok("stop", session="s", run=running["run"])
        batch = await other.find("batch")
        assert snapshot["at"] == batch["after"]
        assert (batch["entries"][0]["kind"], batch["entries"][0]["state"]) == ("end", "stopped")


@both_codecs
async def test_open_again_moves_the_follower(redis_url: str, model: Script, codec: Codec) -> None:
    """Back to a cursor: what follows it comes once more, and what is new comes once."""
    async with serving(redis_url, model) as served, wired(served, codec) as wire:
        await wire.said("m1")
        await wire.rest()
        for cursor in ("0-0", None, "0-0"):
            ok = await wire.ok("open", session="s", **({"cursor": cursor} if cursor else {}))
            frame = await wire.frame()
            assert ("batch" if cursor else "snapshot", ok["at"]) == (frame["type"], frame["at"])
            assert cursor == frame.get("after")
        assert await wire.rest() == []
        await wire.ok("rename", session="s", title="New")
        batch = await wire.find("batch")
        assert (ok["at"], ["meta"]) == (batch["after"], [entry["kind"] for entry in batch["entries"]])
        assert await wire.rest() == []


@both_codecs
async def test_close(redis_url: str, model: Script, codec: Codec) -> None:
    """Nothing of a session comes after its `close`; closing what is not open is no error; it may be opened again."""
    async with serving(redis_url, model) as served, wired(served, codec) as wire, wired(served, codec) as other:
        await wire.said("m1")
        await wire.rest()
        for _ in range(2):
            assert (await wire.ok("close", session="s"))["type"] == "ok"
        await other.said("m2")
        assert await wire.rest() == []
        await wire.ok("open", session="s")
        assert len((await wire.find("snapshot"))["turns"]) == 4


@both_codecs
async def test_close_at_once(redis_url: str, model: Script, codec: Codec) -> None:
    """A session that is closed as soon as it is open, or before, leaves the connection able to speak."""
    async with serving(redis_url, model) as served, wired(served, codec) as wire:
        await wire.said("m")
        await wire.ok("close", session="s")
        await wire.rest()
        for _ in range(10):
            await wire.send([{"type": "open", "session": "s"}, {"type": "close", "session": "s"}])
            assert [frame["type"] for frame in await wire.rest()] == ["ok", "snapshot", "ok"]
        for _ in range(10):
            await wire.ok("open", session="s")
            await wire.ok("close", session="s")
            assert [frame["type"] for frame in await wire.rest()] == ["snapshot"]


@both_codecs
async def test_no_more_than_fifty(redis_url: str, model: Script, codec: Codec) -> None:
    """The 51st session is refused, be it opened or spoken in, and nothing is said there; closing one makes room."""
    async with serving(redis_url, model) as served, wired(served, codec) as wire:
        await wire.send([{"type": "open", "session": f"s{number}"} for number in range(50)])
        assert [frame["type"] for frame in await wire.rest()] == ["ok", "snapshot"] * 50
        for type, fields in (("open", {}), ("open", {"cursor": "0-0"})):
            error = await wire.ask(type, session="more", **fields)
            refused(error, "rate_limited", error["ref"], "50")
        await wire.ok("open", session="s0")  # moves, and is no new one
        await wire.ok("close", session="s1")
        await wire.ok("open", session="more")
        assert len([frame for frame in await wire.rest() if frame["type"] == "snapshot"]) == 2


@both_codecs
async def test_a_say_that_cannot_be_followed(redis_url: str, model: Script, codec: Codec) -> None:
    """A `say` in a 51st session is refused as a whole: what answers `error` was not said."""
    async with serving(redis_url, model) as served, wired(served, codec) as wire:
        await wire.send([{"type": "open", "session": f"s{number}"} for number in range(50)])
        await wire.rest()
        error = await wire.ask("say", session="more", id="m", text="Hello.")
        refused(error, "rate_limited", error["ref"], "50")
        assert (await wire.ok("history", session="more"))["turns"] == []
        assert model.asked == []


@both_codecs
async def test_say_opens(redis_url: str, model: Script, codec: Codec) -> None:
    """`ok`, then, without a snapshot, everything from just before what was said to the end."""
    async with serving(redis_url, model) as served, wired(served, codec) as wire:
        await wire.send({"type": "say", "ref": "r", "id": "m", "text": "Hello."})
        ok = await wire.frame()
        assert {"type": "ok", "ref": "r", "session": "m", "run": ok["run"], "at": ok["at"], "duplicate": False} == ok
        cursor = "0-0"
        entries: list[Frame] = []
        while not any(entry["kind"] == "end" for entry in entries):
            batch = await wire.frame()
            assert ("batch", "m", cursor) == (batch["type"], batch["session"], batch["after"])
            cursor = batch["at"]
            entries += batch["entries"]
        assert [entry["kind"] for entry in entries] == ["turn", "run", "delta", "end"]
        assert {"kind": "turn", "id": "m", "text": "Hello.", "run": ok["run"]} == entries[0]
        assert tuple(entries[1][key] for key in ("turn", "attempt", "how", "node", "model")) == (
            "m",
            1,
            "new",
            "a",
            "script-1",
        )
        assert (entries[3]["state"], entries[3]["length"]) == ("done", 16)
        assert Cursor.parse(ok["at"]).seq == 2  # its last entry, not the head


@both_codecs
async def test_say_again(redis_url: str, model: Script, codec: Codec) -> None:
    """The same id is the same run with the same `at`, running or ended, on any node; a new reader hears it all."""
    step = asyncio.Semaphore(0)
    model.gate = step.acquire
    async with two(redis_url, model) as (a, b), wired(a, codec) as wire, wired(b, codec) as other:
        frame = {"session": "s", "id": "m", "text": "Hello.", "model": "script-1", "context": {"a": [1.5, None, "é"]}}
        first = await wire.ok("say", **frame)
        assert first["duplicate"] is False
        for again in (wire, other, wire):
            assert first | {"duplicate": True, "ref": "x"} == await again.ok("say", **frame) | {"ref": "x"}
        for change in ({"text": "Else."}, {"context": {"a": [1.5, None]}}, {"model": "script-2"}):
            error = await other.ask("say", **(frame | change))
            refused(error, "id_reused", error["ref"], "'m'")
        step.release()
        await wire.ended(first["run"])
        async with wired(b, codec) as late:
            assert first["at"] == (await late.ok("say", **(frame | {"when_busy": "reject"})))["at"]
            batch = await late.frame()
            assert (
                batch["after"], [entry["kind"] for entry in batch["entries"]],
            ) == ("0-0", ["turn", "run", "delta", "end"])  # fmt: skip
        assert len(model.asked) == 1


@both_codecs
async def test_say_while_busy(redis_url: str, model: Script, codec: Codec) -> None:
    """`reject` is `busy`, ten wait, the eleventh is `queue_full`; an `interrupt` among them goes first."""
    model.answers.append([60.0])
    async with serving(redis_url, model) as served, wired(served, codec) as wire:
        await wire.ok("say", session="s", id="m", text="Think.")
        await until(lambda: model.asked)
        error = await wire.ask("say", session="s", id="n", text="Hello.", when_busy="reject")
        refused(error, "busy", error["ref"])
        assert error["retry"] == "later"
        for number in range(9):
            ok = await wire.ok("say", session="s", id=f"q{number}", text=f"{number}")
        assert (await wire.find("batch", at=ok["at"]))["entries"][-1]["queued"] is True
        await wire.ok("say", session="s", id="q9", text="9")
        for way in ("queue", "interrupt"):
            error = await wire.ask("say", session="s", id="n", text="Hello.", when_busy=way)
            refused(error, "queue_full", error["ref"], "10")
        await wire.ok("stop", session="s", run=ok["run"])
        last = await wire.ok("say", session="s", id="now", text="Now.", when_busy="interrupt")
        assert (await wire.ended(last["run"]))["state"] == "done"
        assert [asked[-1]["content"] for asked in model.asked[:2]] == ["Think.", "Now."]
