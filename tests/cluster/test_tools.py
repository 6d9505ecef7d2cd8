"""Tools: what the model wants called is called, everybody sees it, and it is done once, whatever dies."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

import pytest

from app.agent.calls import CALLS
from app.agent.flow import Piece
from app.agent.tools import AgentRequest, StatelessTool, ToolError, tool
from app.core.protocol import Frame
from tests.reader import Reader, reading
from tests.servers import Script, Served, call, serving, two, until

LEASE = 1.0

T = TypeVar("T")


class Counted:
    """Tools that note how often they were called, and wait where they are told to."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []  # what, and for whom
        self.gate = asyncio.Event()
        self.gate.set()

    @property
    def tools(self) -> list[StatelessTool]:
        """`add` may be called again, `book` may not, `pay` asks first, `fail` fails."""

        @tool(idempotent=True)
        async def add(request: AgentRequest, one: int, other: int) -> int:
            """Add."""
            return await self._call("add", request, one + other)

        @tool
        async def book(request: AgentRequest, what: str) -> dict[str, str]:
            """Book something."""
            return await self._call("book", request, {"booked": what})

        @tool(approval=True)
        async def pay(request: AgentRequest, euros: float) -> str:
            """Pay."""
            return await self._call("pay", request, f"paid {euros:g}")

        @tool
        async def fail(request: AgentRequest) -> None:
            """Fail."""
            raise ToolError("it is out of order")

        return [add, book, pay, fail]

    async def _call(self, name: str, request: AgentRequest, result: T) -> T:
        self.calls.append((name, request.user_id))
        await self.gate.wait()
        return result


async def followed(reader: Reader, run: str, *kinds: str) -> list[Frame]:
    """Follow a session's log until an entry of one of these kinds comes; return all entries till then."""
    entries: list[Frame] = []
    while not any(entry["kind"] in kinds and entry.get("run") == run for entry in entries):
        entries += (await reader.next("batch"))["entries"]
    return entries


def of(entries: list[Frame], *kinds: str) -> list[Frame]:
    """The entries of some kinds, without their run."""
    return [{key: value for key, value in entry.items() if key != "run"} for entry in entries if entry["kind"] in kinds]


def text(entries: list[Frame]) -> str:
    """What was said."""
    return "".join(entry["text"] for entry in entries if entry["kind"] == "delta")


@asynccontextmanager
async def table(
    redis_url: str, model: Script, tools: Any, **settings: Any
) -> AsyncIterator[tuple[Served, Served, Reader]]:
    """Two nodes with tools, and a reader of session `s` at b."""
    async with two(redis_url, model, tools=tools, **settings) as (a, b), reading(b.ws) as reader:
        await reader.ask(type="open", session="s", cursor="0-0")
        yield a, b, reader


async def asked_at(node: Served, type: str, **fields: Any) -> Frame:
    """Ask something of a node, over a connection of its own: whoever follows the session misses nothing."""
    async with reading(node.ws) as speaker:
        return await speaker.ask(**({"type": type, "session": "s"} | fields))


async def said_at(node: Served, **more: Any) -> Frame:
    """Say something at a node."""
    return await asked_at(node, **({"type": "say", "id": "m", "text": "Well?"} | more))


async def test_a_call_is_made_and_the_model_goes_on_with_its_result(redis_url: str, model: Script) -> None:
    """Call and result are entries that everybody sees; the model is shown both; text before and after is one answer."""
    counted = Counted()
    model.answers.extend([["Let me see.", call("add", {"one": 2, "other": 3})], ["It is five."]])
    async with table(redis_url, model, counted.tools) as (a, _, reader):
        run = (await said_at(a))["run"]
        entries = await followed(reader, run, "end")
        assert of(entries, "tool") == [
            {"kind": "tool", "call": "call-1", "name": "add", "arguments": {"one": 2, "other": 3}},
            {"kind": "tool", "call": "call-1", "result": 5},
        ]
        assert text(entries) == "Let me see.\n\nIt is five."
        assert entries[-1]["usage"] == {"prompt_tokens": 6, "completion_tokens": 3, "total_tokens": 9}
        told = model.asked[1][-2:]
        assert told[0]["content"] == "Let me see."
        assert told[0]["tool_calls"][0]["function"] == {"name": "add", "arguments": '{"one":2,"other":3}'}
        assert told[1] == {"role": "tool", "tool_call_id": "call-1", "content": '{"data":5}'}
        history = await reader.ask(type="history", session="s", limit=10)
        assert history["turns"][-1]["calls"] == [
            {"call": "call-1", "name": "add", "arguments": {"one": 2, "other": 3}, "result": 5}
        ]


async def test_calls_of_one_step_are_made_at_once(redis_url: str, model: Script) -> None:
    """Three are under way before one has settled; each has its own result."""
    counted = Counted()
    counted.gate.clear()
    wanted = [call("add", {"one": n, "other": n}, f"c{n}") for n in (1, 2, 3)]
    model.answers.extend([[*wanted], ["Done."]])
    async with table(redis_url, model, counted.tools) as (a, _, reader):
        run = (await said_at(a))["run"]
        await until(lambda: len(counted.calls) == 3)
        counted.gate.set()
        results = {
            entry["call"]: entry["result"]
            for entry in of(await followed(reader, run, "end"), "tool")
            if "result" in entry
        }
        assert results == {"c1": 2, "c2": 4, "c3": 6}


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        (call("fly", {}), "there is no tool 'fly'"),
        (call("add", {"one": 1}), "wrong arguments: $: 'other' is a required property"),
        (call("add", {"one": 1, "other": 2, "user": "eve"}), "unexpected"),
        (call("add", '{"one": 1, '), "wrong arguments: not JSON"),
        (call("fail", {}), "it is out of order"),
    ],
    ids=["unknown", "missing", "surplus", "cut", "fails"],
)  # fmt: skip
async def test_what_is_wrong_with_a_call_the_model_is_told(
    redis_url: str, model: Script, wanted: Piece, error: str
) -> None:
    """It fails as a call, with a reason, and the answer goes on."""
    model.answers.extend([[wanted], ["I see."]])
    async with table(redis_url, model, Counted().tools) as (a, _, reader):
        run = (await said_at(a))["run"]
        entries = await followed(reader, run, "end")
        [settled] = [entry for entry in of(entries, "tool") if "error" in entry]
        assert error in settled["error"]
        assert error.split("'")[0] in model.asked[1][-1]["content"]
        assert (entries[-1]["state"], text(entries)) == ("done", "I see.")


async def test_a_tool_changes_nothing_of_what_is_asked_next(redis_url: str, model: Script) -> None:
    """What it is given of the question is its own."""

    @tool
    async def spoil(request: AgentRequest) -> None:
        """Write into all that it is given."""
        request.session_context["prompt"] = "evil"
        request.user_context["instructions"] = "evil"
        request.additional_context["evil"] = "evil"
        request.conversation_history.clear()

    model.answers.extend([["Yes."], [call("spoil", {})], ["I see."]])
    async with table(redis_url, model, [spoil]) as (a, _, reader):
        for id in ("m1", "m2"):
            await followed(reader, (await said_at(a, id=id))["run"], "end")
        before, after = model.asked[1:]
        assert after[: len(before)] == before


async def test_of_many_calls_the_first_are_made(redis_url: str, model: Script) -> None:
    """Of the others the model is told that they were not, and the answer goes on."""
    counted = Counted()
    many = [call("add", {"one": number, "other": 0}, f"c-{number}") for number in range(CALLS + 2)]
    model.answers.extend([many, ["I see."]])
    async with table(redis_url, model, counted.tools) as (a, _, reader):
        entries = await followed(reader, (await said_at(a))["run"], "end")
        assert len(counted.calls) == CALLS
        errors = [(entry["call"], entry["error"]) for entry in of(entries, "tool") if "error" in entry]
        assert errors == [(f"c-{CALLS + more}", f"at most {CALLS} calls are made of one answer") for more in (0, 1)]
        assert (entries[-1]["state"], text(entries)) == ("done", "I see.")


async def test_no_tool_ends_a_node(redis_url: str, model: Script) -> None:
    """Nor the node that takes its run over: what it raises is a failure of the call, and the answer goes on."""

    class Panic(BaseException):
        pass

    @tool(idempotent=True)
    async def panics() -> None:
        """Raise what is meant for a process."""
        raise Panic

    model.answers.extend([[call("panics", {})], ["I see."]])
    async with table(redis_url, model, [panics]) as (a, _, reader):
        entries = await followed(reader, (await said_at(a))["run"], "end")
        assert [entry["error"] for entry in of(entries, "tool") if "error" in entry] == ["it failed"]
        assert (entries[-1]["state"], text(entries), len(model.asked)) == ("done", "I see.", 2)


async def test_a_stop_ends_a_run_whose_tool_does_not_end(
    redis_url: str, model: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends, and what is said next is answered; the tool is left to itself."""
    monkeypatch.setattr("app.agent.tools.toolbox.LEAVE_SECONDS", 0.1)
    leave, begun = asyncio.Event(), asyncio.Event()

    @tool
    async def stubborn() -> None:
        """Take no for an answer."""
        begun.set()
        while not leave.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await leave.wait()

    model.answers.extend([[call("stubborn", {})], ["Yes?"]])
    async with table(redis_url, model, [stubborn]) as (a, _, reader):
        run = (await said_at(a))["run"]
        await begun.wait()
        await reader.ask(type="stop", session="s", run=run)
        assert (await followed(reader, run, "end"))[-1]["state"] == "stopped"
        assert (await followed(reader, (await said_at(a, id="m2"))["run"], "end"))[-1]["state"] == "done"
        leave.set()


async def test_a_model_may_only_call_so_often(redis_url: str, model: Script) -> None:
    """In its last step it is told to speak; what it wants called then is not."""
    counted = Counted()
    wanted = [call("add", {"one": 1, "other": 1})]
    model.answers.extend([list(wanted) for _ in range(3)])
    async with table(redis_url, model, counted.tools, tool_steps=3) as (a, _, reader):
        run = (await said_at(a))["run"]
        entries = await followed(reader, run, "end")
        assert (len(counted.calls), entries[-1]["state"]) == (2, "done")
        assert [prompt.may_call for prompt in model.prompts] == [True, True, False]
        assert len({entry["call"] for entry in of(entries, "tool")}) == 2  # though the model names them all the same


async def test_a_stop_ends_calls_too(redis_url: str, model: Script) -> None:
    """They are left, and the turn shows that nothing came of them."""
    counted = Counted()
    counted.gate.clear()
    model.answers.append(["Well.", call("book", {"what": "a table"})])
    async with table(redis_url, model, counted.tools) as (a, _, reader):
        run = (await said_at(a))["run"]
        await until(lambda: counted.calls)
        await reader.ask(type="stop", session="s", run=run)
        await until(lambda: a.node.runner.running == 0)
        turn = (await reader.ask(type="history", session="s", limit=1))["turns"][0]
        assert (turn["state"], turn["text"]) == ("stopped", "Well.")
        assert turn["calls"] == [{"call": "call-1", "name": "book", "arguments": {"what": "a table"}}]


async def test_later_questions_know_what_was_called(redis_url: str, model: Script) -> None:
    """A turn's calls and their results are shown to the model with it."""
    model.answers.extend([[call("add", {"one": 2, "other": 3})], ["Five."], ["Yes."]])
    async with table(redis_url, model, Counted().tools) as (a, _, reader):
        await followed(reader, (await said_at(a))["run"], "end")
        await followed(reader, (await said_at(a, id="m2", text="Sure?"))["run"], "end")
        assert [message["role"] for message in model.asked[2]] == [
            "system", "user", "assistant", "tool", "assistant", "user",
        ]  # fmt: skip


@pytest.mark.parametrize(("name", "again"), [("add", True), ("book", False)])
async def test_a_call_under_way_is_made_again_only_if_it_may_be(
    redis_url: str, model: Script, name: str, again: bool
) -> None:
    """Its node dies: an idempotent call is made once more; for another nobody knows, and the answer has failed."""
    counted = Counted()
    counted.gate.clear()
    arguments = {"one": 1, "other": 2} if name == "add" else {"what": "a table"}
    model.answers.extend([["Well.", call(name, arguments)], ["So."]])
    async with AsyncExitStack() as stack:
        life = await stack.enter_async_context(AsyncExitStack())
        a = await life.enter_async_context(serving(redis_url, model, "a", lease_seconds=LEASE, tools=counted.tools))
        b = await stack.enter_async_context(serving(redis_url, model, "b", lease_seconds=LEASE, tools=counted.tools))
        reader = await stack.enter_async_context(reading(b.ws))
        await reader.ask(type="open", session="s", cursor="0-0")
        run = (await said_at(a))["run"]
        await until(lambda: counted.calls)
        a.node.runner.abandon()
        counted.gate.set()
        entries = await followed(reader, run, "end")
        assert len(counted.calls) == (2 if again else 1)
        assert [entry["how"] for entry in of(entries, "run")] == (["new", "continue"] if again else ["new"])
        end = entries[-1]
        assert (end["state"], end.get("code")) == (("done", None) if again else ("failed", "unavailable"))
        assert text(entries) == ("Well.\n\nSo." if again else "Well.")
        assert len(model.asked) == (2 if again else 1)


async def test_what_has_settled_is_never_called_again(redis_url: str, model: Script) -> None:
    """Its node dies while the model speaks on: the text since the call is dropped, and nothing before it."""
    counted = Counted()
    model.answers.extend([["Well.", call("book", {"what": "a table"})], ["It is bo", 60.0], ["It is booked."]])
    async with AsyncExitStack() as stack:
        life = await stack.enter_async_context(AsyncExitStack())
        a = await life.enter_async_context(serving(redis_url, model, "a", lease_seconds=LEASE, tools=counted.tools))
        b = await stack.enter_async_context(serving(redis_url, model, "b", lease_seconds=LEASE, tools=counted.tools))
        reader = await stack.enter_async_context(reading(b.ws))
        await reader.ask(type="open", session="s", cursor="0-0")
        run = (await said_at(a))["run"]
        early: list[Frame] = []
        while "It is bo" not in text(early):
            early += (await reader.next("batch"))["entries"]
        a.node.runner.abandon()
        entries = early + await followed(reader, run, "end")
        assert [entry["how"] for entry in of(entries, "run")] == ["new", "restart"]
        assert [name for name, _ in counted.calls] == ["book"]
        turn = (await reader.ask(type="history", session="s", limit=1))["turns"][0]
        assert turn["text"] == "Well.\n\nIt is booked."
        assert (turn["calls"][0]["result"], entries[-1]["length"]) == ({"booked": "a table"}, len(turn["text"]))
        fresh = model.asked[2]
        assert fresh == model.asked[1]  # the same was asked


async def test_a_draining_node_waits_for_what_may_not_be_called_twice(redis_url: str, model: Script) -> None:
    """Its call settles there; another node goes on."""
    counted = Counted()
    counted.gate.clear()
    model.answers.extend([[call("book", {"what": "a table"})], ["Booked."]])
    async with table(redis_url, model, counted.tools, lease_seconds=LEASE) as (a, _, reader):
        run = (await said_at(a))["run"]
        await until(lambda: counted.calls)
        a.node.close()
        a.node.runner.give_up()
        counted.gate.set()
        entries = await followed(reader, run, "end")
        assert (len(counted.calls), text(entries), entries[-1]["state"]) == (1, "Booked.", "done")


async def test_thinking_is_an_entry_and_stays_with_the_turn(redis_url: str, model: Script) -> None:
    """It comes before the text, and is no part of it."""
    model.answers.append([Piece(reasoning="Hm, "), Piece(reasoning="so."), "Yes."])
    async with table(redis_url, model, ()) as (a, _, reader):
        run = (await said_at(a))["run"]
        entries = await followed(reader, run, "end")
        assert "".join(entry["text"] for entry in of(entries, "reasoning")) == "Hm, so."
        turn = (await reader.ask(type="history", session="s", limit=1))["turns"][0]
        assert (turn["reasoning"], turn["text"], entries[-1]["length"]) == ("Hm, so.", "Yes.", 4)
