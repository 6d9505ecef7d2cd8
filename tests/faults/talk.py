"""Talk whose every answer is known beforehand, and readers that hold each step of it to the laws.

The upstream answers "count 40 at 20" with "0 1 2 … 39 ", at 20 words a second. So whoever produces it, and however
often it is begun anew, what stands on a screen is a prefix of that. At the end all that was shown is compared with
the log, as Redis has it.
"""

import asyncio
import random
import re
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, Final

from redis import Redis
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from app.client import Chat, connect
from app.core.protocol import Codec, Frame
from tests.faults.nodes import Cluster, NodeProcess
from tests.faults.screens import Log, Screen, answer_to
from tests.reader import reading
from tests.servers import Upstream, sse, until, upstream

BEAT_SECONDS: Final = 0.1  # words that are due go out together: cheap, also for a hundred streams
OPEN_SECONDS: Final = 2.0
HOWS: Final = ("restart", "continue")
WORDS: Final = re.compile(r"[^ ]* [^ ]?")  # each with the next one's first character: text breaks off within a word
LOST: Final = (OSError, InvalidHandshake, ConnectionClosed)  # a TimeoutError is an OSError


def question(count: int, rate: float) -> str:
    """What to say to be answered with `count` words, `rate` a second."""
    return f"count {count} at {rate}"


def both_models(folder: Path, upstream_url: str) -> str:
    """Write a file for `MODELS`: `restart` and `continue`, each named for how its answers go on; return its path."""
    file = folder / "models.toml"
    entry = '[[model]]\nname = "{0}"\ntakeover = "{0}"\nbase_url = "{1}"\n'
    file.write_text("".join(entry.format(how, upstream_url) for how in HOWS))
    return str(file)


@asynccontextmanager
async def counting() -> AsyncIterator[Upstream]:
    """Run the upstream; its `requests` are what it was asked."""
    async with upstream() as state:
        state.answer = _count
        yield state


async def _count(body: dict[str, Any]) -> AsyncIterator[bytes]:
    """Answer as it was asked; after a prefix, go on right where that ends."""
    messages = body["messages"]
    asked = next(message["content"] for message in reversed(messages) if message["role"] == "user")
    prefix = messages[-1]["content"] if messages[-1]["role"] == "assistant" else ""
    whole, rate = answer_to(asked), float(asked.split()[3])
    rest = whole.removeprefix(prefix) if whole.startswith(prefix) else f"[{prefix!r} is no beginning of it] "
    words = [sse(word) for word in WORDS.findall(rest)]
    loop = asyncio.get_running_loop()
    began_at, done = loop.time(), 0
    while done < len(words):
        due = int((loop.time() - began_at) * rate) + 1
        yield b"".join(words[done:due])
        done = due
        await asyncio.sleep(max(BEAT_SECONDS, 1 / rate))
    yield sse(None, "stop") + b"data: [DONE]\n\n"


async def follow(urls: Sequence[str], screens: Sequence[Screen], **options: Any) -> None:
    """Read sessions raw, until cancelled: at the first of these nodes, and when it is lost at the next."""
    of = {screen.session: screen for screen in screens}
    for url in cycle(urls):
        try:
            async with reading(url, open_timeout=OPEN_SECONDS, **options) as reader:
                resume = [{"session": id, "cursor": screen.cursor} for id, screen in of.items()]
                await reader.send(type="hello", ref="resume", resume=resume)
                while True:
                    try:
                        frame = await reader.next("batch", "snapshot", "reset", "error", "away")
                    except TimeoutError:
                        continue  # nothing was said for long, but the socket is there
                    if frame["type"] in ("away", "error"):
                        assert frame.get("retry", "later") == "later", frame
                        break
                    of[frame["session"]].take(frame)
        except LOST:
            await asyncio.sleep(0.05)


async def follow_by_client(chat: Chat, screen: Screen) -> None:
    """Read a session as the Python client does, until cancelled; its own transcript and the screen must agree."""
    session = await chat.open(screen.session)
    screen.take({"type": "snapshot"} | session.transcript.wire())
    async for frame in session.follow():
        screen.take(frame)
        for run in [entry["run"] for entry in frame.get("entries", ()) if entry["kind"] == "end"]:
            assert (session.turn(run) or {}).get("text", "") == screen.texts.get(run, ""), screen
        assert chat.differs == 0, screen


@dataclass
class Asked:
    """One turn that was said, in a session of its own, and the screens on which its answer is shown."""

    say: Frame
    screens: list[Screen]
    run: str = ""
    at: str = ""

    @property
    def session(self) -> str:
        """The session's id."""
        return str(self.say["session"])

    @property
    def over(self) -> bool:
        """Whether every screen has shown the end."""
        return all(self.run in screen.ends for screen in self.screens)

    @property
    def shown(self) -> str:
        """The text on the screen that is the furthest behind."""
        return min((screen.texts.get(self.run, "") for screen in self.screens), key=len)


class Talk:
    """Many sessions, each spoken to at one node and read at all. Made by `talking`, whose task group it uses."""

    def __init__(self, cluster: Cluster, redis: Redis, tasks: asyncio.TaskGroup) -> None:
        self._cluster = cluster
        self._redis = redis
        self._tasks = tasks
        self._readers: list[asyncio.Task[None]] = []

    async def ask(self, node: NodeProcess, sessions: int, text: str, models: Sequence[str] = ()) -> list[Asked]:
        """Say `text` in so many new sessions at `node`; a raw reader at each node, and a client, read along.

        The sessions take `models` in turn.
        """
        urls = [one.ws for one in self._cluster]
        readers = [f"a reader that began at {one.name}" for one in self._cluster]
        asked: list[Asked] = []
        for _, model in zip(range(sessions), cycle(models or [""]), strict=False):
            say = {"type": "say", "session": secrets.token_hex(8), "id": "m", "text": text}
            screens = [Screen(say["session"], reader) for reader in (*readers, "a client")]
            asked.append(Asked(say | ({"model": model} if model else {}), screens))
        for index in range(len(urls)):
            screens = [one.screens[index] for one in asked]
            self._readers.append(self._tasks.create_task(follow([*urls[index:], *urls[:index]], screens)))
        self._readers.append(self._tasks.create_task(self._client(urls, [one.screens[-1] for one in asked])))
        async with reading(node.ws) as speaker:
            for one in asked:
                said = await speaker.ask(**one.say)
                assert (said["type"], said.get("duplicate")) == ("ok", False), said
                one.run, one.at = said["run"], said["at"]
        return asked

    async def begun(self, asked: Sequence[Asked], words: int = 5) -> None:
        """Wait until so many words of each answer are on every screen."""
        await until(lambda: all(one.shown.count(" ") >= words for one in asked))

    async def again(self, node: NodeProcess, asked: Sequence[Asked]) -> None:
        """Say the same again at `node`: each is a duplicate of the same run."""
        async with reading(node.ws) as speaker:
            for one in asked:
                said = await speaker.ask(**one.say)
                told = [said.get(key) for key in ("type", "run", "at", "duplicate")]
                assert told == ["ok", one.run, one.at, True], said

    async def remembered(self, node: NodeProcess, asked: Sequence[Asked]) -> None:
        """Come late to `node`, and see of each session its question and its answer."""
        async with reading(node.ws) as latecomer:
            for one in asked:
                await latecomer.send(type="open", session=one.session)
                turns = (await latecomer.next("snapshot"))["turns"]
                assert [turn["text"] for turn in turns] == [one.say["text"], answer_to(one.say["text"])]
                assert [turn["id"] for turn in turns] == [one.say["id"], one.run]

    async def over(self, asked: Sequence[Asked], seconds: float = 20.0) -> list[Log]:
        """Wait until all that was asked is answered; hold it to the laws, and return the sessions' logs."""
        await until(lambda: all(one.over for one in asked), seconds)
        logs = [Log(self._redis, one.session) for one in asked]
        for one, log in zip(asked, logs, strict=True):
            log.hold(*one.screens)
            assert log.screen.asked == {one.run: one.say["text"]}
        return logs

    async def _client(self, urls: Sequence[str], screens: Sequence[Screen]) -> None:
        async with connect(urls, user="ada", codec=random.choice(list(Codec))) as chat, asyncio.TaskGroup() as tasks:
            for screen in screens:
                tasks.create_task(follow_by_client(chat, screen))

    def hush(self) -> None:
        """Have all readers leave."""
        for reader in self._readers:
            reader.cancel()
        self._readers.clear()


@asynccontextmanager
async def talking(cluster: Cluster, redis: Redis) -> AsyncIterator[Talk]:
    """Talk to a cluster, and let nobody read on in the end."""
    async with asyncio.TaskGroup() as tasks:
        talk = Talk(cluster, redis, tasks)
        yield talk
        talk.hush()
