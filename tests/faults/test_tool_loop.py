"""A run that calls tools and asks people survives kill -9 of its node between any two steps, and within each.

All is played once for the module: two nodes, three kills, each of many runs. Then each session is held to the laws.
"""

import asyncio
import contextlib
import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from redis import Redis

from app.client import connect
from app.core.protocol import Frame
from app.core.transcript import Transcript
from tests.faults.nodes import nodes
from tests.faults.scripted import FIRST, STEPS, TOOLS, USAGE, call_id, text, thoughts
from tests.faults.standing import Point, Scene, played
from tests.faults.talk import HOWS
from tests.faults.tools_for_nodes import DONE, gate, outcome
from tests.servers import becomes, redis_server
from tests.test_origin import llmock

LEASE_SECONDS: Final = 1.0
FAULTS: Final = {"malformed_arguments": "wrong arguments: not JSON", "unknown_tool": "there is no tool"}  # of llmock
HELD: Final = ("new", "continue", "continue")  # the kill is after the hold
ANEW: Final = ("new", "as it can", "continue")  # it is before it, and the model is asked again
GOES: Final = ("new", "continue", "continue")  # it is before it, and no model is asked again at first

POINTS: Final = (
    Point("before the first token", ANEW, "1.first"),
    Point("while it thinks", ANEW, "1.thought"),
    Point("in the first text", ANEW, "1.text"),
    Point("while pieces of calls come", ANEW, "1.pieces"),
    Point("while both calls are made", ("new",), waits=FIRST, fails=1),
    Point("while the idempotent call is made", GOES, waits=("map",)),
    Point("while the other call is made", ("new",), waits=("table",), fails=1),
    Point("when both calls have settled", ANEW, "2.first"),
    Point("in the second thought", ANEW, "2.thought"),
    Point("in the second text", ANEW, "2.text"),
    Point("while pieces of the second call come", ANEW, "2.pieces"),
    Point("when a person is asked while a call is made", GOES, waits=("weather",), second=("bill", "weather")),
    Point("when they have answered meanwhile", GOES[:2], waits=("weather",), second=("bill", "weather"), early=True),
    Point("when it is held", HELD[:2], kill="held"),
    Point("when a person has just answered", HELD[:2], second=("wine",), kill="answered"),
    Point("when they have just answered at the last node", HELD[:2], second=("wine",), kill="alone"),
    Point("while the approved call is made", HELD[:2], waits=("bill",), lost=2, fails=2),
    Point("while an approved idempotent call is made", HELD, waits=("wine",), second=("wine",), lost=2),
    Point("when the approved call has settled", (*HELD[:2], "as it can"), "3.first", lost=2),
    Point("in the last text", (*HELD[:2], "as it can"), "3.text", lost=2),
)  # fmt: skip


@pytest.fixture(scope="module")
def scenes() -> Iterator[dict[tuple[str, str], Scene]]:
    """What became of every session, by point and takeover; on a Redis of its own."""
    with redis_server() as url, Redis.from_url(url) as redis, tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(played(POINTS, url, redis, Path(folder)))
        yield {(scene.point.name, scene.takeover): scene for scene in found}


@pytest.fixture(params=[(point, how) for point in POINTS for how in HOWS], ids=lambda one: f"{one[0].name}, {one[1]}")
def scene(request: pytest.FixtureRequest, scenes: dict[tuple[str, str], Scene]) -> Scene:
    """One of them."""
    point, how = request.param
    return scenes[point.name, how]


def _of(scene: Scene, *kinds: str) -> list[Frame]:
    """The entries of some kinds in a session's log."""
    return [entry for _, entry in scene.log if entry["kind"] in kinds]


def _said(scene: Scene) -> str:
    """The whole text that its answer has in the end."""
    return "\n\n".join(text(step) for step in STEPS[: scene.point.fails or None])


def _made(scene: Scene) -> list[tuple[int, str]]:
    """The calls that its answer has in the end, each with its step."""
    steps = STEPS[: scene.point.fails or None]
    return [(step, what) for step in steps for what in scene.play.calls(step)]


def test_the_run_goes_on_as_itself(scene: Scene) -> None:
    """One turn, one run id, one end; the attempts and how each began are what the point allows."""
    point = scene.point
    assert scene.stood
    assert [turn["run"] for turn in _of(scene, "turn")] == [scene.run]
    assert {entry["run"] for _, entry in scene.log} == {scene.run}
    assert [(end["state"], end.get("code")) for end in _of(scene, "end")] == [
        ("failed", "unavailable") if point.fails else ("done", None)
    ]
    runs = _of(scene, "run")
    hows = [scene.takeover if how == "as it can" else how for how in point.hows]
    if point.mark.endswith("thought") and scene.takeover == "continue":  # nobody can go on with a thought
        hows.insert(2, "restart")
    attempts = [1] * point.lost + [2] * (len(hows) - point.lost)
    if point.kill != "carrier":  # the node that has just died may have claimed it, and even made the call
        assert [run["how"] for run in runs[:2]] == hows
        assert [run["attempt"] for run in runs] == [1, 1, 2, 2][: len(runs)]
        assert {run["how"] for run in runs[2:]} <= {"continue", "restart"}
    else:
        assert ([run["how"] for run in runs], [run["attempt"] for run in runs]) == (hows, attempts)
        assert scene.killed == runs[point.lost - 1]["node"]


def test_they_go_on_within_a_lease_and_a_second(scenes: dict[tuple[str, str], Scene]) -> None:
    """From the kill to the next `run` entry, or to the end of a run that may not go on."""
    carried = [scene for scene in scenes.values() if scene.point.kill == "carrier" and scene.stood]
    taken_s = sorted(scene.taken_s for scene in carried)
    print("seconds to take over:", " ".join(f"{seconds:.2f}" for seconds in taken_s))
    assert len(taken_s) == len([point for point in POINTS if point.kill == "carrier"]) * len(HOWS)
    assert taken_s[-1] <= LEASE_SECONDS + 1


def test_every_reader_has_all_of_it_once(scene: Scene) -> None:
    """Raw readers, the Python client, the history, and a fold of the log: one text, the same thoughts and calls."""
    said, steps = _said(scene), STEPS[: scene.point.fails or None]
    calls = {
        call_id(step, what): {"call": call_id(step, what), "name": TOOLS[what], "arguments": {"what": what}}
        | ({} if scene.point.fails and what in scene.point.waits else {"result": outcome(TOOLS[what], what)})
        for step, what in _made(scene)
    }
    log = Transcript(scene.play.session)
    batch = {"type": "batch", "after": "0-0", "at": f"1-{len(scene.log)}", "entries": [one for _, one in scene.log]}
    assert log.apply(batch) == "applied"
    shown = [eye.transcript.answered.get(scene.run) for eye in scene.eyes]
    for turn in (log.answered[scene.run], scene.client, scene.remembered[-1], *shown):
        assert turn is not None
        assert (turn["text"], turn["reasoning"]) == (said, "".join("".join(thoughts(step)) for step in steps))
        assert {call["call"]: call for call in turn["calls"]} == calls
    [end] = _of(scene, "end")
    assert (end["length"], len(scene.remembered)) == (len(said), 2)
    assert ([eye.wrong for eye in scene.eyes], scene.differs) == ([[], []], 0)


def test_no_call_is_made_twice_that_may_not_be(scene: Scene) -> None:
    """What has settled was made once. Of what had not, only an idempotent call is made again, at another node."""
    point = scene.point
    wanted: Counter[tuple[str, str]] = Counter()
    for _, what in _made(scene):
        waits = what in point.waits
        wanted[what, "before"] = 2 if waits and not point.fails else 1
        wanted[what, "after"] = 0 if waits and point.fails else 1
    made = Counter((what, when) for what, when, _ in scene.done)
    if point.kill in ("answered", "alone"):  # the node that has just died may have begun it, and ended it
        assert made["wine", "before"] in (1, 2)
        assert 1 <= made["wine", "after"] <= made["wine", "before"]
        del made["wine", "before"], made["wine", "after"], wanted["wine", "before"], wanted["wine", "after"]
    assert made == wanted
    for what in () if point.fails else point.waits:
        one, other = (node for of, when, node in scene.done if (of, when) == (what, "before"))
        assert (one, other) == (scene.killed, "b" if scene.killed == "a" else "a")
    settled = [entry["call"] for entry in _of(scene, "tool") if "result" in entry or "error" in entry]
    assert len(settled) == len(set(settled))


def test_nobody_is_asked_twice(scene: Scene) -> None:
    """One question, one decision, which outlives the node that took it."""
    asked, answered = _of(scene, "ask"), _of(scene, "answer")
    once = [] if scene.point.fails == 1 else [scene.asks]
    assert ([entry["call"] for entry in asked], [entry["call"] for entry in answered]) == (once, once)
    assert all(entry["decision"] == "allow" for entry in answered)
    assert len(_of(scene, "hold")) == (0 if scene.point.early else len(once))


def test_the_model_is_told_what_came_of_its_calls(scene: Scene) -> None:
    """Whoever asks it, and however often: the same question, the same results; and the usage of all steps counts."""
    for step in STEPS[: scene.point.fails or None]:
        asked = [body["messages"] for body in scene.play.asked if _step(body) == step]
        assert len(asked) >= 1
        for messages in asked:
            told: list[Any] = [message for message in messages if message["role"] == "tool"]
            came = [result for before in range(1, step) for result in scene.play.results(before)]
            assert sorted(told, key=_call) == sorted(came, key=_call)  # a call that was allowed comes after the others
            assert messages[: len(asked[0])] == asked[0]  # after it a prefix, if any
    [end] = _of(scene, "end")
    spoken = len(STEPS[: scene.point.fails or None])
    assert end["usage"] == {name: spoken * number for name, number in USAGE.items()}


def _call(result: dict[str, Any]) -> str:
    """Which call a result is of: `call-<step>-<what>`."""
    return str(result["tool_call_id"])


def _step(body: dict[str, Any]) -> int:
    return 1 + sum(1 for message in body["messages"] if message.get("tool_calls"))


async def test_an_upstream_that_nobody_here_wrote(redis_url: str, redis: Redis) -> None:
    """Of llmock's two calls, which come in fragments, one is made when its node dies; the other node asks a person."""
    script: list[dict[str, Any]] = [
        {"text": "Let me look.", "tool_calls": [_wants("look", "map"), _wants("book", "table")]},
        {"tool_calls": [_wants("pay", "bill")]},
        {"text": "It is paid."},
    ]
    told = {"MODEL_NAME": "gpt-4o-mini", "TOOLS": "tests.faults.tools_for_nodes"}
    with llmock() as url:
        await _plays(url, [{"type": "reply"} | reply for reply in script])
        async with nodes(redis_url, url, 2, own={"a": told, "b": told}) as cluster:
            a, b = cluster
            async with connect(b.ws, user="ada") as other:
                session = await other.open("s")
                for what in ("table", "bill"):
                    redis.rpush(gate("s", what), "open")
                async with connect(a.ws, user="ada") as chat:
                    run = (await chat.say("Please.", session="s")).run
                    await session.until(lambda: _settled(session.transcript) == {"book"})
                    a.kill()
                redis.rpush(gate("s", "map"), "open")
                await session.until(lambda: session.transcript.run and session.transcript.run.state == "held")
                [ask] = session.transcript.run.asks if session.transcript.run else []
                frame = {"type": "answer", "session": "s", "run": run, "call": ask["call"], "decision": "allow"}
                await other.certainly(frame)
                await session.until(lambda: run in session.ends)
                turn = session.turn(run) or {}
                assert (turn["text"], turn.get("state")) == ("Let me look.\n\nIt is paid.", None)
                assert [call["result"] for call in turn["calls"]] == [
                    {"look": "map"},
                    {"book": "table"},
                    {"pay": "bill"},
                ]
                noted: Any = redis.lrange(DONE, 0, -1)
                begun = Counter(what for _, what, when, _ in map(json.loads, noted) if when == "before")
                assert begun == {"map": 2, "table": 1, "bill": 1}

                for kind, error in FAULTS.items():  # the model is told, and speaks
                    await _plays(url, [{"type": "tool_fault", "kind": kind}])
                    turn = await (await other.say("Look at it.", session=kind)).answer()
                    assert turn["text"], kind
                    assert [error in call["error"] for call in turn["calls"]] == [True]
                assert other.differs == 0


def _wants(name: str, what: str) -> dict[str, Any]:
    return {"name": name, "arguments": {"what": what}}


def _settled(transcript: Transcript) -> set[str]:
    """The names of calls that have a result."""
    return {tool["name"] for tool in transcript.run.tools if "result" in tool} if transcript.run else set()


async def _plays(url: str, behaviors: list[dict[str, Any]]) -> None:
    """Tell llmock what to do next, once it is there."""
    async with httpx.AsyncClient(trust_env=False) as client:

        async def told() -> bool:
            with contextlib.suppress(httpx.TransportError):
                said = await client.post(f"{url.removesuffix('/v1')}/_llmock/scenario", json={"behaviors": behaviors})
                return said.status_code == 201
            return False

        await becomes(told, 20)
