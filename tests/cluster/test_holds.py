"""People in the loop: a run waits for them with nothing in memory, and goes on at any node under the same id."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from app.agent.flow import Piece
from app.agent.tools import StatelessTool
from app.core.model import Session, Takeover, User
from app.state.keys import SessionKeys
from tests.cluster.test_tools import Counted, asked_at, followed, of, said_at, table, text
from tests.reader import reading
from tests.servers import Script, becomes, call, serving, until

S = Session(User.of("guest:name", "ada"), "s")
SOON = 0.3 / 86_400  # days
PAY: list[Sequence[str | float | Exception | Piece]] = [["Shall I?", call("pay", {"euros": 5})], ["Paid."]]


async def test_a_call_waits_for_a_person_and_nothing_is_in_memory(redis_url: str, redis: Any, model: Script) -> None:
    """No node carries the run and its lease is over; whoever allows the call, anywhere, has it go on."""
    counted = Counted()
    model.answers.extend(list(PAY))
    async with table(redis_url, model, counted.tools) as (a, b, reader):
        run = (await said_at(a))["run"]
        entries = await followed(reader, run, "hold")
        [ask], [hold] = of(entries, "ask"), of(entries, "hold")
        until_ms = ask.pop("until")
        assert ask == {"kind": "ask", "call": "call-1", "name": "pay", "arguments": {"euros": 5}}
        assert hold == {"kind": "hold", "why": "approval", "until": until_ms}
        await until(lambda: a.node.runner.running + b.node.runner.running == 0)
        assert redis.zscore(SessionKeys(S).leases, f"{S.name} {run}") == until_ms
        assert redis.pttl(SessionKeys(S).log) > until_ms - int(redis.time()[0]) * 1000
        assert counted.calls == []
        snapshot = (await reader.ask(type="open", session="s")) and await reader.next("snapshot")
        assert (snapshot["run"]["state"], snapshot["run"]["asks"]) == (
            "held", [{"call": "call-1", "name": "pay", "arguments": {"euros": 5}, "until": until_ms}],
        )  # fmt: skip
        listed = (await reader.ask(type="sessions", limit=5))["sessions"]
        assert listed[0]["state"] == "held"
        async with reading(a.ws) as other:
            decided = await other.ask(type="answer", session="s", run=run, call="call-1", decision="allow")
        assert (decided["decision"], decided["by"]) == ("allow", S.user.key)
        entries = await followed(reader, run, "end")
        assert [entry["decision"] for entry in of(entries, "answer")] == ["allow"]
        assert [(entry["how"], entry["attempt"]) for entry in of(entries, "run")] == [("continue", 1)]
        assert of(entries, "tool") == [
            {"kind": "tool", "call": "call-1", "name": "pay", "arguments": {"euros": 5}},
            {"kind": "tool", "call": "call-1", "result": "paid 5"},
        ]
        assert (entries[-1]["state"], len(counted.calls)) == ("done", 1)
        turn = (await reader.ask(type="history", session="s", limit=1))["turns"][0]
        assert (turn["text"], turn["usage"]["total_tokens"]) == ("Shall I?\n\nPaid.", 9)


async def test_it_waits_through_the_end_of_all_nodes(redis_url: str, model: Script) -> None:
    """Those that asked are gone; new ones go on."""
    counted = Counted()
    model.answers.extend(list(PAY))
    async with table(redis_url, model, counted.tools) as (a, _, reader):
        run = (await said_at(a))["run"]
        await followed(reader, run, "hold")
    async with serving(redis_url, model, "c", tools=counted.tools) as a, reading(a.ws) as reader:
        await reader.ask(type="open", session="s")
        await asked_at(a, "answer", run=run, call="call-1", decision="allow")
        assert (await followed(reader, run, "end"))[-1]["state"] == "done"
        assert len(counted.calls) == 1


class Late:
    """A source whose tools come when they are let in."""

    def __init__(self, tools: Sequence[StatelessTool]) -> None:
        self.came, self.awaited = asyncio.Event(), asyncio.Event()
        self._tools = tools

    @property
    def tools(self) -> Sequence[StatelessTool]:
        """None, or all."""
        return self._tools if self.came.is_set() else ()

    async def come(self, name: str) -> None:
        """Wait for `pay`."""
        if name == "pay":
            self.awaited.set()
            await self.came.wait()

    async def run(self) -> None:
        """Have nothing to do."""


async def test_what_is_allowed_waits_for_its_tool(redis_url: str, model: Script) -> None:
    """A node that began just now does not have it yet: a server's tools are there when that is reached."""
    counted = Counted()
    model.answers.extend(list(PAY))
    first, second = Late(counted.tools), Late(counted.tools)
    first.came.set()
    async with serving(redis_url, model, "a", sources=[first]) as a, reading(a.ws) as reader:
        await reader.ask(type="open", session="s", cursor="0-0")
        run = (await said_at(a))["run"]
        await followed(reader, run, "hold")
    async with serving(redis_url, model, "b", sources=[second]) as b, reading(b.ws) as reader:
        await reader.ask(type="open", session="s", cursor="0-0")
        await asked_at(b, "answer", run=run, call="call-1", decision="allow")
        await second.awaited.wait()
        second.came.set()
        entries = await followed(reader, run, "end")
        assert (of(entries, "tool")[-1]["result"], entries[-1]["state"], len(counted.calls)) == ("paid 5", "done", 1)


async def test_a_tool_that_does_not_come_is_not_waited_for_without_end(
    redis_url: str, model: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is told, and the answer goes on."""
    monkeypatch.setattr("app.agent.tools.toolbox.COME_SECONDS", 0.05)
    model.answers.extend(list(PAY))
    source = Late(Counted().tools)
    source.came.set()
    async with serving(redis_url, model, "a", sources=[source]) as a, reading(a.ws) as reader:
        await reader.ask(type="open", session="s", cursor="0-0")
        run = (await said_at(a))["run"]
        await followed(reader, run, "hold")
        source.came.clear()
        await asked_at(a, "answer", run=run, call="call-1", decision="allow")
        entries = await followed(reader, run, "end")
        assert of(entries, "tool")[-1]["error"] == "there is no tool 'pay' at this node"
        assert entries[-1]["state"] == "done"


@pytest.mark.parametrize(
    ("answer", "result", "made"),
    [
        ({"decision": "deny", "reason": "too much"}, {"error": "not allowed: too much"}, 0),
        ({"decision": "deny"}, {"error": "not allowed"}, 0),
        ({"decision": "edit", "arguments": {"euros": 3}}, {"result": "paid 3"}, 1),
    ],
    ids=["deny", "deny without a reason", "edit"],
)
async def test_what_a_person_decides_is_done(
    redis_url: str, model: Script, answer: dict[str, Any], result: dict[str, Any], made: int
) -> None:
    """A denied call is not made, and the model is told why; an edited one is made as the person wants it."""
    counted = Counted()
    model.answers.extend(list(PAY))
    async with table(redis_url, model, counted.tools) as (a, _, reader):
        run = (await said_at(a))["run"]
        await followed(reader, run, "hold")
        await asked_at(a, "answer", run=run, call="call-1", **answer)
        await followed(reader, run, "end")
        turn = (await reader.ask(type="history", session="s", limit=1))["turns"][0]
        arguments = answer.get("arguments", {"euros": 5})
        assert turn["calls"] == [{"call": "call-1", "name": "pay", "arguments": arguments} | result]
        assert len(counted.calls) == made
        assert next(iter(result.values())) in model.asked[1][-1]["content"]


async def test_the_first_answer_wins(redis_url: str, model: Script) -> None:
    """Two people decide at once, at two nodes: both are told what stands, and the call is made once or never."""
    counted = Counted()
    model.answers.extend(list(PAY))
    async with table(redis_url, model, counted.tools) as (a, b, reader):
        run = (await said_at(a))["run"]
        await followed(reader, run, "hold")
        async with reading(a.ws) as one, reading(b.ws) as other:
            stands = await asyncio.gather(
                one.ask(type="answer", session="s", run=run, call="call-1", decision="allow"),
                other.ask(type="answer", session="s", run=run, call="call-1", decision="deny"),
            )
        decisions = {reply["decision"] for reply in stands}
        assert len(decisions) == 1
        entries = await followed(reader, run, "end")
        assert [entry["decision"] for entry in of(entries, "answer")] == [*decisions]
        assert len(counted.calls) == (1 if decisions == {"allow"} else 0)


async def test_two_calls_are_both_waited_for(redis_url: str, model: Script) -> None:
    """The run goes on when the last is decided; a call that asks nobody is made meanwhile."""
    counted = Counted()
    wanted = [
        call("pay", {"euros": 1}, "c1"),
        call("add", {"one": 1, "other": 1}, "c2"),
        call("pay", {"euros": 2}, "c3"),
    ]
    model.answers.extend([wanted, ["Done."]])
    async with table(redis_url, model, counted.tools) as (a, _, reader):
        run = (await said_at(a))["run"]
        entries = await followed(reader, run, "hold")
        assert [entry["call"] for entry in of(entries, "ask")] == ["c1", "c3"]
        assert [entry["result"] for entry in of(entries, "tool") if "result" in entry] == [2]
        await asked_at(a, "answer", run=run, call="c3", decision="allow")
        assert [name for name, _ in counted.calls] == ["add"]
        await asked_at(a, "answer", run=run, call="c1", decision="deny")
        entries = await followed(reader, run, "end")
        assert [name for name, _ in counted.calls] == ["add", "pay"]
        assert entries[-1]["state"] == "done"


async def test_an_answer_while_other_calls_run_is_heard(redis_url: str, model: Script) -> None:
    """The run is not even held then."""
    counted = Counted()
    counted.gate.clear()
    model.answers.extend([[call("pay", {"euros": 1}, "c1"), call("book", {"what": "it"}, "c2")], ["Done."]])
    async with table(redis_url, model, counted.tools) as (a, _, reader):
        run = (await said_at(a))["run"]
        await followed(reader, run, "ask")
        await until(lambda: counted.calls)
        await asked_at(a, "answer", run=run, call="c1", decision="allow")
        counted.gate.set()
        entries = await followed(reader, run, "end")
        assert (of(entries, "hold"), of(entries, "run")) == ([], [])
        assert [name for name, _ in counted.calls] == ["book", "pay"]


async def test_nobody_decides_in_time_and_that_is_said(redis_url: str, model: Script) -> None:
    """The call is denied by `expiry`, and the model goes on with that."""
    counted = Counted()
    model.answers.extend(list(PAY))
    async with table(redis_url, model, counted.tools, hold_days=SOON) as (a, _, reader):
        run = (await said_at(a))["run"]
        entries = await followed(reader, run, "end")
        assert [(entry["decision"], entry["by"]) for entry in of(entries, "answer")] == [("deny", "expiry")]
        assert "nobody decided in time" in model.asked[1][-1]["content"]
        assert (entries[-1]["state"], counted.calls) == ("done", [])


async def test_who_says_something_else_ends_what_waits(redis_url: str, model: Script) -> None:
    """It is stopped, its open calls are denied, and what was said is answered; `reject` leaves it alone."""
    model.answers.extend([PAY[0], ["Fine."]])
    async with table(redis_url, model, Counted().tools) as (a, _, reader):
        run = (await said_at(a))["run"]
        await followed(reader, run, "hold")
        assert (await said_at(a, id="m1", when_busy="reject"))["code"] == "busy"
        said = await said_at(a, id="m2", text="Never mind.")
        entries = await followed(reader, said["run"], "end")
        assert [entry["kind"] for entry in entries] == ["answer", "end", "turn", "run", "delta", "end"]
        assert (entries[0]["decision"], entries[0]["by"], entries[1]["state"]) == ("deny", "say", "stopped")
        turns = (await reader.ask(type="history", session="s", limit=9))["turns"]
        assert [(turn["text"], turn.get("state")) for turn in turns] == [
            ("Well?", None), ("Shall I?", "stopped"), ("Never mind.", None), ("Fine.", None),
        ]  # fmt: skip
        assert (await asked_at(a, "answer", run=run, call="call-1", decision="allow"))["code"] == "run_over"


async def test_who_waited_in_the_queue_comes_first(redis_url: str, model: Script) -> None:
    """What was said before the run was held is answered before what ends it."""
    gate = asyncio.Event()
    model.gate = gate.wait
    model.answers.extend([PAY[0], ["One."], ["Two."]])
    async with table(redis_url, model, Counted().tools) as (a, b, reader):
        run = (await said_at(a))["run"]
        await said_at(a, id="m1", text="First.")
        gate.set()
        entries = await followed(reader, run, "hold")
        last = (await said_at(b, id="m2", text="Second."))["run"]
        await followed(reader, last, "end")
        turns = (await reader.ask(type="history", session="s", limit=9))["turns"]
        assert [turn["text"] for turn in turns] == ["Well?", "Shall I?", "First.", "One.", "Second.", "Two."]
        assert len(entries) > 0


async def test_a_stop_ends_what_waits_and_begins_what_waits_behind_it(redis_url: str, model: Script) -> None:
    """No node needs to claim it for that."""
    gate = asyncio.Event()
    model.gate = gate.wait
    model.answers.extend([PAY[0], ["One."]])
    async with table(redis_url, model, Counted().tools) as (a, _, reader):
        run = (await said_at(a))["run"]
        queued = (await said_at(a, id="m1", text="First."))["run"]
        gate.set()
        await followed(reader, run, "hold")
        await asked_at(a, "stop", run=run)
        entries = await followed(reader, queued, "end")
        assert [entry["by"] for entry in of(entries, "answer")] == ["stop"]
        assert [entry["state"] for entry in of(entries, "end")] == ["stopped", "done"]
        assert (await asked_at(a, "stop", run=run))["type"] == "ok"


@pytest.mark.parametrize(
    ("takeover", "how", "second", "whole"),
    [
        ("restart", "restart", ["One two."], "One two."),
        ("continue", "continue", ["two."], "One two."),
    ],
)  # fmt: skip
async def test_a_pause_holds_a_run_in_mid_answer(
    redis_url: str, model: Script, takeover: Takeover, how: str, second: list[str], whole: str
) -> None:
    """And `resume`, at any node, has it go on as its model can."""
    model.takeover = takeover
    model.answers.extend([["One ", 60.0], second])
    async with table(redis_url, model, ()) as (a, b, reader):
        run = (await said_at(a))["run"]
        early = await followed(reader, run, "delta")
        assert text(early) == "One "
        async with reading(b.ws) as other:
            assert (await other.ask(type="pause", session="s", run=run))["type"] == "ok"
            entries = await followed(reader, run, "hold")
            assert [entry["why"] for entry in of(entries, "hold")] == ["pause"]
            await until(lambda: a.node.runner.running + b.node.runner.running == 0)
            assert (await other.ask(type="pause", session="s", run=run))["type"] == "ok"
            assert (await other.ask(type="resume", session="s", run=run))["type"] == "ok"
        entries = await followed(reader, run, "end")
        assert [entry["how"] for entry in of(entries, "run")] == [how]
        turn = (await reader.ask(type="history", session="s", limit=1))["turns"][0]
        assert (turn["text"], entries[-1]["length"]) == (whole, len(whole))
        assert (await asked_at(a, "resume", run=run))["code"] == "run_over"


async def test_a_pause_between_two_steps_loses_nothing(redis_url: str, model: Script) -> None:
    """Calls under way settle first; then the run is held, and goes on after them."""
    counted = Counted()
    counted.gate.clear()
    model.takeover = "fail"
    model.answers.extend([["Well.", call("book", {"what": "it"})], ["Booked."]])
    async with table(redis_url, model, counted.tools) as (a, _, reader):
        run = (await said_at(a))["run"]
        await until(lambda: counted.calls)
        await asked_at(a, "pause", run=run)
        counted.gate.set()
        await followed(reader, run, "hold")
        await asked_at(a, "resume", run=run)
        entries = await followed(reader, run, "end")
        assert [entry["how"] for entry in of(entries, "run")] == ["continue"]
        assert (text(entries), entries[-1]["state"], len(counted.calls)) == ("\n\nBooked.", "done", 1)


@pytest.mark.parametrize("when", ["while it waits", "before it waits"])
async def test_what_is_paused_makes_no_call_that_is_allowed(redis_url: str, model: Script, when: str) -> None:
    """Whoever allows it: it is made once the pause is over; a pause that is taken back is none."""
    counted = Counted()
    counted.gate.clear()
    wanted = [call("book", {"what": "it"}, "c1"), call("pay", {"euros": 5}, "c2")]
    model.answers.extend([wanted if when == "before it waits" else wanted[1:], ["Paid."]])
    async with table(redis_url, model, counted.tools) as (a, b, reader):
        run = (await said_at(a))["run"]
        if when == "before it waits":
            await until(lambda: counted.calls)
            assert (await asked_at(b, "pause", run=run))["type"] == "ok"
        counted.gate.set()
        entries = await followed(reader, run, "hold")
        for type in ("pause", "resume", "pause"):
            assert (await asked_at(b, type, run=run))["type"] == "ok"
        made = len(counted.calls)
        assert (await asked_at(b, "answer", run=run, call="c2", decision="allow"))["decision"] == "allow"
        entries = await followed(reader, run, "hold")
        assert [entry["why"] for entry in of(entries, "hold")] == ["pause"]
        assert len(counted.calls) == made
        assert (await asked_at(a, "resume", run=run))["type"] == "ok"
        entries = await followed(reader, run, "end")
        assert (entries[-1]["state"], text(entries)[-5:], len(counted.calls)) == ("done", "Paid.", made + 1)


async def test_a_pause_that_is_taken_back_in_time_holds_nothing(redis_url: str, model: Script) -> None:
    """The run has not noticed it yet."""
    counted = Counted()
    counted.gate.clear()
    model.answers.extend([[call("book", {"what": "it"})], ["Booked."]])
    async with table(redis_url, model, counted.tools) as (a, _, reader):
        run = (await said_at(a))["run"]
        await until(lambda: counted.calls)
        await asked_at(a, "pause", run=run)
        await asked_at(a, "resume", run=run)
        counted.gate.set()
        entries = await followed(reader, run, "end")
        assert (of(entries, "hold"), entries[-1]["state"]) == ([], "done")


async def test_a_pause_that_nobody_ends_ends_as_stopped(redis_url: str, model: Script) -> None:
    """Its time passes; the text stands."""
    model.answers.append(["One ", 60.0])
    async with table(redis_url, model, (), hold_days=SOON) as (a, _, reader):
        run = (await said_at(a))["run"]
        await followed(reader, run, "delta")
        await asked_at(a, "pause", run=run)
        entries = await followed(reader, run, "end")
        assert (entries[-1]["state"], entries[-1]["length"]) == ("stopped", 4)
        assert len(model.asked) == 1


async def test_what_cannot_be_decided_is_said(redis_url: str, model: Script) -> None:
    """Runs and calls that are not there, wrong arguments, a pause of what waits in the queue."""
    counted = Counted()
    model.answers.append(PAY[0])
    async with table(redis_url, model, counted.tools) as (a, _, reader):
        run = (await said_at(a))["run"]
        await followed(reader, run, "hold")
        asked = {"type": "answer", "session": "s", "run": run, "call": "call-1", "decision": "allow"}
        wrongs: list[tuple[dict[str, Any], str]] = [
            ({"run": "r-none"}, "not_found"), ({"call": "c9"}, "not_found"), ({"session": "other"}, "not_found"),
            ({"decision": "edit"}, "bad_frame"), ({"arguments": {"euros": 1}}, "bad_frame"),
            ({"decision": "edit", "arguments": {"euros": "five"}}, "bad_frame"),
            ({"decision": "edit", "arguments": {"euros": 1, "to": "eve"}}, "bad_frame"),
            ({"decision": "deny", "reason": "x" * 20_000}, "too_long"), ({"decision": "maybe"}, "bad_frame"),
        ]  # fmt: skip
        for wrong, code in wrongs:
            assert (await reader.ask(**(asked | wrong)))["code"] == code, wrong
        for type in ("pause", "resume"):
            assert (await asked_at(a, type, run="r-none"))["code"] == "not_found"
        assert (await asked_at(a, "resume", run=run))["code"] == "conflict"
        assert counted.calls == []


async def test_what_waits_in_the_queue_cannot_be_paused(redis_url: str, model: Script) -> None:
    """It has not begun."""
    model.answers.append(["One ", 60.0])
    async with table(redis_url, model, ()) as (a, _, _):
        await said_at(a)
        queued = (await said_at(a, id="m1", text="First."))["run"]
        assert (await asked_at(a, "pause", run=queued))["code"] == "conflict"


async def test_a_run_that_waits_takes_no_place(redis_url: str, model: Script) -> None:
    """With one answer of a user's allowed at a time, another session is answered meanwhile."""
    model.answers.extend([PAY[0], ["Fine."]])
    limits: dict[str, Any] = {"limits": "on", "max_runs_per_user": 1}
    async with table(redis_url, model, Counted().tools, **limits) as (a, _, reader):
        run = (await said_at(a))["run"]
        await followed(reader, run, "hold")

        async def another() -> bool:
            return bool((await said_at(a, session="t", id="m"))["type"] == "ok")

        await becomes(another)  # the place is given up a moment later
