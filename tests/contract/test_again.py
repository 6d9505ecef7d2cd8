"""To have a turn answered anew, to say it otherwise, and to rate an answer: in both codecs, and over HTTP."""

from typing import Any

import pytest

from app.client import connect
from app.core.errors import ChatError
from app.core.protocol import Codec, Frame
from tests.contract.test_own import asking
from tests.contract.wire import Wire, both_codecs, refused, wired
from tests.servers import Script, serving, two, until


def texts(turns: list[Frame]) -> list[str]:
    """What was said, in order."""
    return [turn["text"] for turn in turns]


async def entries_to(wire: Wire, run: str) -> list[Frame]:
    """All entries that come, up to a run's end."""
    came: list[Frame] = []
    while not (came and (came[-1]["kind"], came[-1].get("run")) == ("end", run)):
        came += (await wire.frame()).get("entries", ())
    return came


async def history(wire: Wire, **fields: Any) -> list[Frame]:
    """Turns of the session."""
    turns: list[Frame] = (await wire.ok("history", session="s", **fields))["turns"]
    return turns


@both_codecs
async def test_a_turn_is_answered_anew(redis_url: str, model: Script, codec: Codec) -> None:
    """In place of what followed it, by the same words, maybe by another model; what was replaced stays readable."""
    model.answers += [["One."], ["Two."], ["Another one."], ["A third."]]
    async with two(redis_url, model) as (a, b), wired(a, codec) as wire, wired(b, codec) as other:
        first = (await wire.said("m1", "A?"))["run"]
        second = (await wire.said("m2", "B?"))["run"]
        again = await other.ok("again", session="s", id="g1", turn="m1", model="script-2")
        cut, run, *_, end = await entries_to(other, again["run"])
        assert cut == {"kind": "cut", "turn": "m1", "keep": True, "replaced": [first, "m2", second]}
        assert (run["run"], run["turn"], run["model"], run["how"]) == (again["run"], "m1", "script-2", "new")
        assert end["state"] == "done"
        assert model.asked[-1][-1] == {"role": "user", "content": "A?"}
        assert not any("One." in str(message) for message in model.asked[-1])
        turns = await history(wire)
        assert texts(turns) == ["A?", "Another one."]
        assert turns[1]["replaced"] == [first, "m2", second]
        assert "replaced" not in turns[0]
        for one in (again["run"], first, "m2", second):
            assert texts(await history(other, turn=one)) == ["One.", "B?", "Two."]
        assert texts(await history(other, turn=again["run"], before=second, limit=1)) == ["B?"]
        assert await history(other, turn="m1") == []
        error = await other.ask("history", session="s", turn="never")
        refused(error, "not_found", error["ref"])
        twice = await wire.ok("again", session="s", id="g1", turn="m1", model="script-2")
        assert twice == again | {"ref": twice["ref"], "duplicate": True}
        error = await wire.ask("again", session="s", id="g1", turn="m1")
        refused(error, "id_reused", error["ref"])
        error = await wire.ask("say", session="s", id="g1", text="A?")
        refused(error, "id_reused", error["ref"])
        third = await wire.ok("again", session="s", id="g2", turn="m1")
        await entries_to(other, third["run"])
        assert texts(await history(other, turn=third["run"])) == ["Another one."]
        assert texts(await history(other, turn=again["run"])) == ["One.", "B?", "Two."]
        assert len(model.asked) == 4


@both_codecs
async def test_a_turn_is_said_otherwise(redis_url: str, model: Script, codec: Codec) -> None:
    """In its place, and in that of all that followed it."""
    async with serving(redis_url, model) as served, wired(served, codec) as wire:
        runs = [(await wire.said(f"m{index}", f"Text {index}."))["run"] for index in range(3)]
        edited = await wire.ok("edit", session="s", id="e1", turn="m1", text="Better.", context={"k": 1})
        cut, turn, run, *_ = await entries_to(wire, edited["run"])
        replaced = ["m1", runs[1], "m2", runs[2]]
        assert cut == {"kind": "cut", "turn": "m1", "keep": False, "replaced": replaced}
        assert turn == {"kind": "turn", "id": "e1", "text": "Better.", "run": edited["run"]}
        assert (run["turn"], edited["at"].partition("-")[2]) == ("e1", "15")
        turns = await history(wire)
        assert texts(turns) == ["Text 0.", "You said: Text 0.", "Better.", "You said: Better."]
        assert [turn.get("replaced") for turn in turns] == [None, None, replaced, None]
        assert [turn["id"] for turn in await history(wire, turn="e1")] == replaced
        snapshot = await snapshot_of(wire)
        assert snapshot["turns"] == turns
        for turn_id in ("m1", runs[0], "never"):
            error = await wire.ask("edit", session="s", id="e2", turn=turn_id, text="x")
            refused(error, "not_found", error["ref"], turn_id)
        error = await wire.ask("again", session="nobody", id="e2", turn="m0")
        refused(error, "not_found", error["ref"], "m0")


async def snapshot_of(wire: Wire) -> Frame:
    """The session as it stands."""
    await wire.ok("open", session="s")
    return await wire.find("snapshot")


@both_codecs
async def test_who_is_busy_is_interrupted(redis_url: str, model: Script, codec: Codec) -> None:
    """By default: what is under way stops, and then is cut; nothing is told before. `reject` is as in `say`."""
    model.answers.append(["one ", 60.0])
    async with two(redis_url, model) as (a, b), wired(a, codec) as wire, wired(b, codec) as other:
        await other.ok("open", session="s")
        run = (await wire.ok("say", session="s", id="m1", text="A?"))["run"]
        await until(lambda: a.node.state.runs.appends)
        error = await wire.ask("again", session="s", id="g0", turn="m1", when_busy="reject")
        refused(error, "busy", error["ref"])
        head = (await wire.ok("open", session="s"))["at"]
        again = await wire.ok("again", session="s", id="g1", turn="m1")
        assert (again["at"], again["duplicate"]) == (head, False)
        came = [entry for entry in await entries_to(other, again["run"]) if entry["kind"] != "delta"]
        assert [entry["kind"] for entry in came] == ["turn", "run", "end", "cut", "run", "end"]
        assert (came[2]["state"], came[3]["replaced"]) == ("stopped", [run])
        assert texts(await history(wire)) == ["A?", "You said: A?"]


@both_codecs
async def test_what_waits_shows_when_it_begins(redis_url: str, model: Script, codec: Codec) -> None:
    """Queued it is in no snapshot; stopped there it ends; and where its turn is gone by then it has failed."""
    async with (
        serving(redis_url, model) as served,
        wired(served, codec) as wire,
        connect(served.ws, user="ada") as chat,
    ):
        await wire.said("m0", "First?")
        model.answers.append(["one ", 60.0])
        run = (await wire.ok("say", session="s", id="m1", text="A?"))["run"]
        waits = [
            await wire.ok("edit", session="s", id=f"e{index}", turn="m0", text=f"E{index}?", when_busy="queue")
            for index in range(3)
        ]
        said = await chat.edit("s", "m1", "Never?")  # by default it interrupts, and goes first; the others are lost
        assert (await said.answer())["text"] == "You said: Never?"
        snapshot = await snapshot_of(wire)
        assert snapshot["queued"] == []
        ends = {entry["run"]: entry for entry in await entries_to(wire, waits[2]["run"]) if entry["kind"] == "end"}
        assert ends[run]["state"] == "stopped"
        assert [ends[one["run"]]["state"] for one in waits] == ["done", "failed", "failed"]
        assert ends[waits[1]["run"]] | {"code": "not_found", "length": 0} == ends[waits[1]["run"]]
        assert texts(await history(wire)) == ["E0?", "You said: E0?"]
        await chat.open("s")
        with pytest.raises(ChatError, match="no turn 'm1'"):
            await chat.again("s", "m1")
        assert chat.differs == 0


@both_codecs
async def test_an_answer_is_rated(redis_url: str, model: Script, codec: Codec) -> None:
    """Once at a time, told to all readers, kept with its turn, in the export too, and taken back."""
    async with two(redis_url, model) as (a, b), wired(a, codec) as wire, wired(b, codec) as other, asking(b) as http:
        run = (await wire.said("m1"))["run"]
        await other.ok("open", session="s")
        await other.rest()
        rated = await wire.ok("rate", session="s", turn=run, value="up", note="Right.")
        assert (await other.find("batch"))["entries"] == [
            {"kind": "rating", "turn": run, "value": "up", "note": "Right."}
        ]
        assert (await wire.ok("rate", session="s", turn=run, value="up", note="Right."))["at"] == rated["at"]
        assert (await history(wire))[1]["rating"] == {"value": "up", "note": "Right."}
        assert (await snapshot_of(other))["turns"][1]["rating"] == {"value": "up", "note": "Right."}
        await other.rest()
        url = f"/api/sessions/s/turns/{run}/rating"
        assert (await http.put(url, json={"value": "down"})).json()["turn"] == run
        assert (await other.find("batch"))["entries"] == [{"kind": "rating", "turn": run, "value": "down"}]
        [session] = (await http.get("/api/export")).json()["sessions"]
        assert session["turns"][1]["metadata"]["rating"] == {"value": "down"}
        assert "👎" in (await http.get("/api/export", params={"format": "markdown"})).text
        again = await wire.ok("again", session="s", id="g1", turn="m1")
        await entries_to(wire, again["run"])
        assert (await history(wire, turn=again["run"]))[0]["rating"] == {"value": "down"}
        assert (await http.put(f"/api/sessions/s/turns/{again['run']}/rating", json={"value": "up"})).is_success
        assert (await history(wire))[1]["rating"] == {"value": "up"}
        assert (await history(wire))[1]["replaced"] == [run]
        assert (await http.put(f"/api/sessions/s/turns/{again['run']}/rating", json={})).is_success
        assert "rating" not in (await history(wire))[1]
        for turn in ("m1", run, "never"):
            error = await wire.ask("rate", session="s", turn=turn, value="up")
            refused(error, "not_found", error["ref"], turn)


async def test_over_http(redis_url: str, model: Script) -> None:
    """The same: 202, and the line that was replaced; what cannot be is a typed problem."""
    async with serving(redis_url, model) as served, wired(served, Codec.JSON) as wire, asking(served) as client:
        run = (await wire.said("m1", "A?"))["run"]
        again = await client.post("/api/sessions/s/turns/m1/again", json={}, headers={"Idempotency-Key": "g1"})
        assert (again.status_code, again.json()["duplicate"]) == (202, False)
        await entries_to(wire, again.json()["run"])
        same = await client.post("/api/sessions/s/turns/m1/again", json={"id": "g1"})
        assert same.json() == again.json() | {"duplicate": True}
        kept = await client.get("/api/sessions/s/turns", params={"turn": again.json()["run"]})
        assert [turn["id"] for turn in kept.json()["turns"]] == [run]
        edited = await client.put("/api/sessions/s/turns/m1", json={"text": "B?", "id": "e1"})
        await entries_to(wire, edited.json()["run"])
        assert texts((await client.get("/api/sessions/s/turns")).json()["turns"]) == ["B?", "You said: B?"]
        session = (await client.get("/api/sessions/s/export")).json()["sessions"][0]
        replaced = [(one["metadata"]["id"], one["metadata"]["by"]) for one in session["replaced"]]
        assert replaced == [(run, again.json()["run"]), ("m1", "e1"), (again.json()["run"], "e1")]
        for method, url, status, code in (
            ("POST", "/api/sessions/s/turns/never/again", 404, "not_found"),
            ("PUT", "/api/sessions/s/turns/never", 404, "not_found"),
            ("PUT", "/api/sessions/s/turns/never/rating", 404, "not_found"),
        ):
            answer = await client.request(method, url, json={"text": "x"})
            assert (answer.status_code, answer.json()["code"]) == (status, code)
        missing = await client.put("/api/sessions/s/turns/e1", json={})
        assert (missing.status_code, missing.json()["detail"]) == (400, "edit: text is missing")
