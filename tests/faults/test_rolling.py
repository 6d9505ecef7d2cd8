"""A rolling restart behind a real proxy: nobody notices, whether answers go on elsewhere or are finished first.

Fifty people ask again and again, each in a session of their own, through the proxy's one address. Each session is read
over three more sockets. Meanwhile each node in turn is told to go, ends, and starts again.
"""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

import httpx
import msgpack
import pytest
from redis import Redis
from websockets.asyncio.client import connect as connect_raw
from websockets.typing import Subprotocol

from app.client import connect
from app.core.model import User
from app.core.protocol import Codec, Frame
from app.edge.auth import GUEST
from tests.faults.nodes import NodeProcess, nodes
from tests.faults.proxies import proxied_by
from tests.faults.screens import Log, Screen, answer_to
from tests.faults.talk import LOST, OPEN_SECONDS, counting, follow_by_client, question
from tests.reader import Reader
from tests.servers import until

PEOPLE: Final = 50
READERS: Final = 3  # of each session, besides whoever asks
RATE: Final = 20
BEGIN_SECONDS: Final = 3.0
PROBE_SECONDS: Final = 0.2
PAUSE_SECONDS: Final = 2.0
HAND_OVER_SECONDS: Final = 0.5
CARRIED: Final = 5  # at least so many answers run through each restart
FULL: Final = [("nginx", "restart"), ("nginx", "continue"), ("haproxy", "restart"), ("haproxy", "continue")]


class Watched(Screen):
    """A screen from which no text may be taken back; it keeps the longest wait for text while an answer runs."""

    def __init__(self, session: str, reader: str) -> None:
        super().__init__(session, reader)
        self.longest_s = 0.0
        self._since: float | None = None

    def wait(self) -> None:
        """Its reader waits for text from now on."""
        if self._since is None:
            self._since = time.monotonic()

    def _fold(self, entry: Frame, run: str) -> None:
        assert entry.get("how") != "restart" or not self.texts.get(run), f"{self}: shows text that {entry} takes back"
        super()._fold(entry, run)
        if self._since is not None:
            self.longest_s = max(self.longest_s, time.monotonic() - self._since)
        if entry["kind"] in ("delta", "end"):
            self._since = None
        if entry["kind"] in ("delta", "run"):
            self.wait()


class Person:
    """Somebody who asks again and again in one session, which is read over other sockets, too."""

    def __init__(self, number: int, cookie: str) -> None:
        self.session = f"s{number}"
        self.answers = self.moves = self.connections = 0
        self.user = User.of("guest:cookie", cookie)
        self.screen = Watched(self.session, "who asks")
        self.readers = [Watched(self.session, f"reader {index}") for index in range(READERS)]
        self._cookie = f"{GUEST}={cookie}"

    @property
    def node(self) -> str | None:
        """Which node carries an answer to this person now, as a reader sees it."""
        reader = self.readers[0]
        return next((begun[-1]["node"] for run, begun in reader.begun.items() if run not in reader.ends), None)

    async def talk(self, url: str, text: str, enough: asyncio.Event) -> None:
        """Ask until it is enough, and be answered each time; then wait until every screen shows the last answer."""
        async with connect(url, cookie=self._cookie) as chat, asyncio.TaskGroup() as tasks:
            reading = [tasks.create_task(follow_by_client(chat, self.screen))]
            reading += [tasks.create_task(self._read(url, screen)) for screen in self.readers]
            while not enough.is_set():
                self.screen.wait()
                said = await chat.say(text, session=self.session)
                assert (await said.answer())["text"] == answer_to(text)
                self.answers += 1
            await until(lambda: all(len(one.ends) == self.answers for one in (self.screen, *self.readers)))
            self.moves, self.connections = chat.moves, chat.connections
            for task in reading:
                task.cancel()

    async def _read(self, url: str, screen: Watched) -> None:
        """Read raw, until cancelled: sent away, stay as long as told, then leave and connect again."""
        codec = random.choice(list(Codec))
        while True:
            with suppress(*LOST):
                async with connect_raw(
                    url, subprotocols=[Subprotocol(codec)], additional_headers={"Cookie": self._cookie},
                    compression=None, proxy=None, open_timeout=OPEN_SECONDS, close_timeout=1,
                ) as socket, asyncio.timeout(None) as stay:  # fmt: skip
                    reader = Reader(socket, codec)
                    resume = [{"session": self.session, "cursor": screen.cursor}]
                    await reader.send(type="hello", ref="resume", resume=resume)
                    while True:
                        frame = await reader.next("batch", "snapshot", "reset", "error", "away")
                        if frame["type"] == "away":
                            stay.reschedule(asyncio.get_running_loop().time() + frame["after_ms"] / 1000)
                        elif frame["type"] == "error":
                            assert frame["retry"] == "later", frame
                            break
                        else:
                            screen.take(frame)
            await asyncio.sleep(0.05)


@pytest.mark.alone
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("program", "takeover", "words"),
    [
        ("nginx", "restart", 60),
        ("haproxy", "continue", 60),
        *(pytest.param(program, takeover, 400, marks=pytest.mark.soak) for program, takeover in FULL),
    ],
)
async def test_nobody_notices(redis_url: str, redis: Redis, program: str, takeover: str, words: int) -> None:
    """No answer is lost, no text taken back, no command refused; nobody waits two seconds for text.

    Nor is an answer made twice: it is finished where it began (`restart`), or goes on at once elsewhere (`continue`).
    """
    late_s = [0.0]
    async with (
        counting() as up,
        nodes(
            redis_url,
            up.url,
            MODEL_TAKEOVER=takeover,
            ALLOW_GUESTS="1",
            NODES="",
            DRAIN_SECONDS="60",
            LEASE_SECONDS="6",
        ) as cluster,
        proxied_by(program, [node.port for node in cluster]) as port,
        asyncio.TaskGroup() as tasks,
    ):
        people = await _crowd(port)
        enough = asyncio.Event()
        beside = [tasks.create_task(_probe(port)), tasks.create_task(_tick(late_s))]
        talking = []
        for person in people:
            talk = person.talk(f"ws://127.0.0.1:{port}/ws", question(words, RATE), enough)
            talking.append(tasks.create_task(talk))
            await asyncio.sleep(BEGIN_SECONDS / PEOPLE)
        await until(lambda: all(person.node for person in people))
        for node in cluster:
            await _restart(node, people, port)
        enough.set()
        await asyncio.wait(talking)
        for task in beside:
            task.cancel()
    logs = [Log(redis, person.session, person.user) for person in people]
    for person, log in zip(people, logs, strict=True):
        log.hold(person.screen, *person.readers)
        assert len(log.screen.asked) == person.answers
    moves = sum(person.moves for person in people)
    cut = sum(person.connections - 1 - person.moves for person in people)
    print(f"{program}, {takeover}: {sum(person.answers for person in people)} answers,")
    print(f"{moves} moves, {cut} connections lost otherwise; this process was up to {late_s[0]:.2f} s late")
    assert cut <= 0.1 * moves, "clients are to leave before their node does"
    askers = [person.screen.longest_s for person in people]
    readers = [reader.longest_s for person in people for reader in person.readers]
    print(_figures("longest pause of who asks, in s", askers))
    print(_figures("longest pause of a reader, in s", readers))
    assert max(*askers, *readers) <= PAUSE_SECONDS + late_s[0]
    handed = [times for person, log in zip(people, logs, strict=True) for times in _handed_over(log)]
    if takeover == "restart":
        assert len(up.requests) == sum(person.answers for person in people)
        return
    begun_s, text_s = ([times[index] for times in handed] for index in (0, 1))
    print(_figures("from the last entry to the hand-over's, in s", begun_s))
    print(_figures("from the last entry to the next text, in s", text_s))
    assert sorted(begun_s)[int(0.99 * len(begun_s))] <= HAND_OVER_SECONDS + late_s[0]


async def test_who_waits_over_http_is_answered(redis_url: str) -> None:
    """`POST /chat` while its answer goes on elsewhere: told to ask the same again, in time; else answered, whole."""
    own = {"a": {"DRAIN_SECONDS": "1"}, "b": {"DRAIN_SECONDS": "60"}}
    body = {"session_id": "s", "message_id": "m", "message": question(100, RATE)}
    async with (
        counting() as up,
        nodes(redis_url, up.url, 2, own=own, MODEL_TAKEOVER="continue") as cluster,
        httpx.AsyncClient(headers={"X-User-Id": "ada"}, timeout=60) as http,
        asyncio.TaskGroup() as tasks,
    ):
        a, b = cluster
        first = tasks.create_task(http.post(f"{a.http}/chat", json=body))
        await until(lambda: len(up.requests) == 1)
        a.terminate()
        refused = await first
        assert (refused.status_code, refused.json()["code"], refused.json()["retry"]) == (503, "unavailable", "later")
        again = tasks.create_task(http.post(f"{b.http}/chat", json=body))
        assert await a.ended() == 0
        await a.start()
        b.terminate()
        answered = await again
        assert (answered.status_code, answered.json()["response"]) == (200, answer_to(body["message"]))
        assert await b.ended() == 0
        assert len(up.requests) == 3


async def _crowd(port: int) -> list[Person]:
    """People whose cookies come through the proxy, as a page's do."""
    people: list[Person] = []
    async with httpx.AsyncClient() as http:
        for number in range(PEOPLE):
            http.cookies.clear()
            page = await http.get(f"http://127.0.0.1:{port}/")
            people.append(Person(number, page.cookies[GUEST]))
    return people


async def _probe(port: int) -> None:
    """Load the page again and again, on new connections, until cancelled: it is always there."""
    async with httpx.AsyncClient(limits=httpx.Limits(max_keepalive_connections=0)) as http:
        while True:
            assert (await http.get(f"http://127.0.0.1:{port}/")).status_code == 200
            await asyncio.sleep(PROBE_SECONDS)


async def _tick(late_s: list[float]) -> None:
    """Keep how late this process was at most: so long the machine had no time for it, which is no node's fault."""
    while True:
        due = time.monotonic() + 0.05
        await asyncio.sleep(0.05)
        late_s[0] = max(late_s[0], time.monotonic() - due)


async def _restart(node: NodeProcess, people: Sequence[Person], port: int) -> None:
    """Have a node go in the midst of answers, and come back; return when the proxy has noticed."""
    carried = sum(person.node == node.name for person in people)
    began_at = time.monotonic()
    node.terminate()
    assert await node.ended() == 0, node.log
    gone_at = time.monotonic()
    await node.start()
    ready_at = time.monotonic()
    await _serves(node, port)
    print(
        f"{node.name}: told to go with {carried} answers, gone after {gone_at - began_at:.2f} s, ready again after "
        f"{ready_at - gone_at:.2f} s, served to after {time.monotonic() - ready_at:.2f} s"
    )
    assert carried >= CARRIED


async def _serves(node: NodeProcess, port: int) -> None:
    """Return when the proxy has a node serve, which with no sockets is the first to get a request."""
    async with httpx.AsyncClient() as http, asyncio.timeout(10):
        while True:
            if (await http.get(f"http://127.0.0.1:{port}/health")).json()["node"] == node.name:
                return
            await asyncio.sleep(PROBE_SECONDS)


def _handed_over(log: Log) -> Iterator[tuple[float, float]]:
    """Of each hand-over in a log, the seconds from the last entry before it: to its own, and to the next of its run."""
    entries = [msgpack.unpackb(entry) for entry in log.entries]
    for place, entry in enumerate(entries):
        if entry["kind"] == "run" and entry["how"] != "new":
            later = next(at for at in range(place + 1, len(entries)) if entries[at].get("run") == entry["run"])
            before_ms, begun_ms, later_ms = (log.times_ms[at] for at in (place - 1, place, later))
            yield (begun_ms - before_ms) / 1000, (later_ms - before_ms) / 1000


def _figures(name: str, values: Sequence[float]) -> str:
    """Tell how values are distributed."""
    ordered = sorted(values)
    shares = {"least": 0.0, "half": 0.5, "90 %": 0.9, "99 %": 0.99, "most": 1.0}
    told = (f"{share} {ordered[int(part * (len(ordered) - 1))]:.3f}" for share, part in shares.items())
    return f"{name} ({len(ordered)}): {', '.join(told)}"
