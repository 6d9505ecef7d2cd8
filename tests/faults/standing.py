"""Runs that stand, each at a point of its own, when the node that carries them is killed; and what is seen of each.

Many sessions stand at once, each at its point, and once more for each way in which a model's answers go on. One kill of
a node is that of all runs which it carries. Then everything is let go on.
"""

import asyncio
import contextlib
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, cast

import msgpack
from redis import Redis

from app.client import Chat, connect
from app.core.model import Cursor, Session
from app.core.protocol import Frame
from app.core.transcript import Transcript
from app.state.keys import SessionKeys
from tests.faults.nodes import Cluster, NodeProcess, nodes
from tests.faults.screens import ADA
from tests.faults.scripted import FIRST, STEPS, TOOLS, Play, call_id, scripted, text, thoughts
from tests.faults.talk import HOWS, both_models, follow
from tests.faults.tools_for_nodes import DONE, gate
from tests.reader import reading
from tests.servers import until

LATE_SECONDS: Final = 15.0
WHOLE: Final = "\n\n".join(map(text, STEPS))


@dataclass(frozen=True, slots=True)
class Point:
    """Where a run stands when its node is killed.

    `mark`: where its model does; `waits`: which calls do; `second`: those of the second step. `hows`: its `run` entries
    in the end, of which `lost` is the number before the kill. `fails`: after how many steps it has failed, if so.
    `kill`: its `carrier` is killed, or all nodes while it is `held`, or a node right after it has taken the person's
    answer, while another lives (`answered`) or as the last one (`alone`).
    """

    name: str
    hows: tuple[str, ...]
    mark: str = ""
    waits: tuple[str, ...] = ()
    second: tuple[str, ...] = ("bill",)
    lost: int = 1
    fails: int = 0
    early: bool = False  # a person answers while a call stands, so that it is never held
    kill: Literal["carrier", "held", "answered", "alone"] = "carrier"


class Eye:
    """What one reader has of one session, over any number of connections; what is wrong with it, it notes."""

    def __init__(self, session: str) -> None:
        self.session = session
        self.transcript = Transcript(session)
        self.transcript.at = Cursor(0, 0)
        self.wrong: list[str] = []

    @property
    def cursor(self) -> str:
        """Up to where it has read."""
        return str(self.transcript.at)

    def take(self, frame: Frame) -> None:
        """Apply a batch; it must follow, and what is shown then be a prefix of the whole."""
        if (outcome := self.transcript.apply(frame)) != "applied" or frame["type"] != "batch":
            self.wrong.append(f"at {self.cursor}: {frame} was {outcome}")
        run = self.transcript.run
        if run is not None and not WHOLE.startswith(run.text):
            self.wrong.append(f"it shows {run.text!r}")
        for end in (entry for entry in frame.get("entries", ()) if entry["kind"] == "end"):
            said = self.transcript.answered[end["run"]]["text"].encode()
            if (len(said), hashlib.sha256(said).hexdigest()) != (end["length"], end["sha256"]):
                self.wrong.append(f"its text is {said!r}, and the end {end}")


@dataclass
class Scene:
    """One session, whose run stands at a point."""

    point: Point
    takeover: str
    play: Play
    eyes: list[Eye]
    run: str = ""
    allowed: bool = False  # the person has been told so
    stood: bool = False  # it came to its point
    killed_at: float = 0.0
    killed: str = ""  # the node
    log: list[tuple[int, Frame]] = field(default_factory=list)  # each entry, with its ms
    client: Frame | None = None  # the answer as the Python client has it,
    remembered: list[Frame] = field(default_factory=list)  # and the turns as the history has them
    differs: int = 0
    done: list[tuple[str, str, str]] = field(default_factory=list)  # what tools noted: what, when, node

    @property
    def asks(self) -> str:
        """The call about which a person is asked."""
        return call_id(2, self.play.second[0])

    @property
    def carrier(self) -> str:
        """The node that carries its run; none while it is held."""
        run = self.eyes[0].transcript.run
        return run.node if run is not None and run.state != "held" else ""

    @property
    def taken_s(self) -> float:
        """How long after the kill it went on, or was ended by who may not go on with it."""
        told = [ms for ms, entry in self.log if entry["kind"] == "run" or (self.point.fails and entry["kind"] == "end")]
        return next(ms / 1000 - self.killed_at for ms in told if ms / 1000 > self.killed_at)

    @property
    def over(self) -> bool:
        """Whether all readers have seen the end."""
        return all(self.run in eye.transcript.answered for eye in self.eyes)

    def held(self) -> bool:
        """Whether all readers see that a person is asked, and that the run waits; or only that, where it is `early`."""
        runs = [eye.transcript.run for eye in self.eyes]
        return all(run is not None and run.asks and (self.point.early or run.state == "held") for run in runs)

    def stands(self, redis: Redis) -> bool:
        """Whether it is at its point, and all that came before is in the log."""
        point, run = self.point, self.eyes[0].transcript.run
        if point.kill != "carrier":
            return self.held()
        if not self.allowed and (point.early or point.lost == 2):
            return False
        if point.mark:
            return self.play.at == point.mark and run is not None and _shows(run.text, run.reasoning, point.mark)
        begun = {what for what, when, _ in _done(redis, self.play.session) if when == "before"}
        settled = {tool["call"] for tool in run.tools if "result" in tool} if run is not None else set()
        other = {call_id(1, what) for what in FIRST} - {call_id(1, what) for what in point.waits}
        answered = run is not None and bool(run.tools) and not (point.early and run.asks)
        asked = "weather" not in point.waits or (run is not None and (point.early or bool(run.asks)))
        return set(point.waits) <= begun and other <= settled and answered and asked

    def let_go(self, redis: Redis) -> None:
        """Have nothing stand any more."""
        self.play.go.set()
        for what in TOOLS:
            redis.rpush(gate(self.play.session, what), "open")


def _shows(said: str, thought: str, mark: str) -> bool:
    """Whether what a reader has is what a model has said and thought when it comes to a mark."""
    step, where = int(mark[0]), mark[2:]
    before = "\n\n".join(map(text, range(1, step)))
    thinks = "".join("".join(thoughts(one)) for one in range(1, step))
    match where:
        case "first":
            return (said, thought) == (before, thinks)
        case "thought":
            return (said, thought) == (before, thinks + thoughts(step)[0])
        case "text":
            return len(said) > len(before) + len(text(step)) // 2
    return said.endswith(text(step))


def _done(redis: Redis, session: str) -> list[tuple[str, str, str]]:
    """What tools have noted of a session."""
    noted: Any = redis.lrange(DONE, 0, -1)
    return [(what, when, node) for of, what, when, node in map(json.loads, noted) if of == session]


async def _answers(node: NodeProcess, scenes: Sequence[Scene]) -> None:
    """Allow the call of each, at one node, and return when that is done."""
    async with reading(node.ws) as person:
        for scene in (scene for scene in scenes if scene.stood):
            said = await person.ask(
                type="answer", session=scene.play.session, run=scene.run, call=scene.asks, decision="allow"
            )
            assert said["decision"] == "allow", said


async def _allows(chat: Chat, scene: Scene) -> None:
    """Allow a call when it is asked for, at whatever node the client is."""
    await until(scene.held, 60)
    frame = {"session": scene.play.session, "run": scene.run, "call": scene.asks, "decision": "allow"}
    await chat.certainly({"type": "answer"} | frame)
    scene.allowed = True


async def _says(node: NodeProcess, scenes: Sequence[Scene]) -> None:
    async with reading(node.ws) as speaker:
        for scene in scenes:
            session = scene.play.session
            said = await speaker.ask(type="say", session=session, id="m", text=session, model=scene.takeover)
            scene.run = said["run"]


async def _over(scenes: Sequence[Scene]) -> None:
    """Wait until all are over; one that is not shows so in what is known of it."""
    with contextlib.suppress(TimeoutError):
        await until(lambda: all(scene.over for scene in scenes), LATE_SECONDS)


async def _killed(node: NodeProcess, scenes: Sequence[Scene], redis: Redis) -> None:
    """Kill a node, have the runs that it carried go on elsewhere, and wait until they are over."""
    lost = [scene for scene in scenes if scene.carrier == node.name or scene.point.kill == "answered"]
    killed_at = time.time()
    node.kill()
    for scene in lost:
        scene.killed_at, scene.killed = killed_at, node.name
        scene.let_go(redis)
    await _over(lost)


async def _played(scenes: Sequence[Scene], cluster: Cluster, redis: Redis, chat: Chat) -> None:
    """Bring every run to its point, and kill the nodes."""
    a, b = cluster
    for scene in scenes:
        await chat.open(scene.play.session)
        for what in set(TOOLS) - set(scene.point.waits):
            redis.rpush(gate(scene.play.session, what), "open")
    await _says(a, [scene for scene in scenes if scene.takeover == HOWS[0]])
    await _says(b, [scene for scene in scenes if scene.takeover == HOWS[1]])
    of = {kill: [scene for scene in scenes if scene.point.kill == kill] for kill in ("carrier", "answered", "alone")}
    async with asyncio.TaskGroup() as people:
        allowing = [people.create_task(_allows(chat, scene)) for scene in of["carrier"] if scene.point.fails != 1]
        with contextlib.suppress(TimeoutError):
            await until(lambda: all(scene.stands(redis) for scene in scenes), LATE_SECONDS)
        for scene in scenes:
            scene.stood = scene.stands(redis)
        await _answers(a, of["answered"])
        await _killed(a, [*of["carrier"], *of["answered"]], redis)
        await a.start()
        await _killed(b, [scene for scene in of["carrier"] if not scene.over], redis)
        for task in allowing:
            task.cancel()
    await _answers(a, of["alone"])
    a.kill()
    await b.start()
    await _answers(b, [scene for scene in scenes if scene.point.kill == "held"])
    await _over(scenes)


async def played(points: Sequence[Point], redis_url: str, redis: Redis, folder: Path) -> list[Scene]:
    """Have runs stand at all points, and their nodes killed; return what is known of each session in the end."""
    scenes = []
    for index, point in enumerate(points):
        for takeover in HOWS:
            play = Play(f"{takeover}-{index}", point.second, point.mark)
            scenes.append(Scene(point, takeover, play, [Eye(play.session), Eye(play.session)]))
    async with (
        scripted({scene.play.session: scene.play for scene in scenes}) as up,
        nodes(
            redis_url, up.url, 2, MODELS=both_models(folder, up.url), FLUSH_MS="20",
            TOOLS="tests.faults.tools_for_nodes", BUILTIN_TOOLS="calculator",
        ) as cluster,
        asyncio.TaskGroup() as tasks,
    ):  # fmt: skip
        urls = [node.ws for node in cluster]
        readers = [
            tasks.create_task(follow(order, cast(Any, [scene.eyes[index] for scene in scenes])))
            for index, order in enumerate((urls, urls[::-1]))
        ]
        async with connect(urls, user="ada") as chat:
            await _played(scenes, cluster, redis, chat)
            with contextlib.suppress(TimeoutError):
                await until(lambda: all(chat.sessions[scene.play.session].turn(scene.run) for scene in scenes))
            for scene in scenes:
                scene.client = chat.sessions[scene.play.session].turn(scene.run)
                scene.remembered, scene.differs = (await chat.history(scene.play.session))["turns"], chat.differs
                scene.done = _done(redis, scene.play.session)
                read: Any = redis.xrange(SessionKeys(Session(ADA, scene.play.session)).log)
                scene.log = [(Cursor.parse(id.decode()).ms, msgpack.unpackb(of[b"e"])) for id, of in read]
        for reader in readers:
            reader.cancel()
    return scenes
