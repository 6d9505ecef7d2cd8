"""The page under load, in chromium: a recorded log is replayed to it, and no task of it takes long; nothing is kept.

The page comes from a real node; the log, from a server that is scripted here, since no model writes for an hour.
"""

import asyncio
import json
import statistics
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from playwright.async_api import Browser, Page, WebSocketRoute, expect

from tests.browser.chromium import Tab, person, tab
from tests.browser.test_markdown import EVERYTHING, WATCH_TASKS
from tests.servers import Script, serving, until

TASK_MS: Final = 50
BUSY: Final = 2.0  # in the gate others have the cores, too: so much longer, in the round that had most of them
TURNS: Final = 10_000
LONG: Final = f"{EVERYTHING}\n\n" * 220  # 200 KB
TOKENS_PER_SECOND: Final = 200
BATCHES_PER_SECOND: Final = 25
TOKEN_LENGTH: Final = 4
HOUR: Final = 3_600 * BATCHES_PER_SECOND
ANSWER_DELTAS: Final = 1_000
GROWTH: Final = 0.10
WARM: Final = 20_000  # deltas after which hardly more of the page's code is compiled
LIMITS: Final = {"message_bytes": 65536, "text_bytes": 32768, "context_bytes": 8192, "sessions": 50, "queued": 10}
Frame = dict[str, Any]

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.alone]


@dataclass
class Replay:
    """A server that has one log a session, and plays on as it is told."""

    turns: list[Frame] = field(default_factory=list)
    socket: WebSocketRoute | None = None
    seq: int = 0
    session: str = ""
    opened: set[str] = field(default_factory=set)

    def hear(self, socket: WebSocketRoute) -> None:
        """Take a connection."""
        self.socket = socket
        socket.on_message(lambda message: self.answer(json.loads(message)))

    def send(self, *frames: Frame) -> None:
        """Send frames, as one message."""
        assert self.socket is not None
        self.socket.send(json.dumps(frames))

    def answer(self, command: Frame) -> None:
        """Answer a command of the page."""
        ref, session = command["ref"], command.get("session", "")
        match command["type"]:
            case "hello":
                known = {"version": "chat.v1", "node": "a", "nodes": [], "features": ["again", "hold"], "models": ["m"]}
                self.send(
                    {"type": "welcome", "ref": ref, "user": "u", "heartbeat_ms": 60_000, "limits": LIMITS} | known
                )
            case "sessions":
                self.send({"type": "ok", "ref": ref, "sessions": [], "more": False})
            case "open":
                self.session = session
                snapshot = {"type": "snapshot", "session": session, "at": self.at, "title": "Long", "turns": self.turns}
                self.send(
                    {"type": "ok", "ref": ref, "session": session, "at": self.at},
                    snapshot | {"more": False, "queued": []},
                )
                self.opened.add(session)
            case _:
                self.send({"type": "ok", "ref": ref})

    @property
    def at(self) -> str:
        """The cursor of the log's head."""
        return f"1795513876685-{self.seq}"

    def entry(self, **entry: Any) -> Frame:
        """Append an entry; return its batch."""
        after = self.at
        self.seq += 1
        return {"type": "batch", "session": self.session, "after": after, "at": self.at, "entries": [entry]}

    def begin(self, number: int) -> None:
        """Ask, and begin to answer."""
        turn, run = f"t{number}", f"r{number}"
        begun = {"turn": turn, "attempt": 1, "how": "new", "node": "a", "model": "m"}
        self.send(
            self.entry(kind="turn", id=turn, text="And?", run=run),
            self.entry(kind="run", run=run, **begun),
        )

    def end(self, number: int) -> None:
        """Stop the answer; its text is not compared then."""
        self.send(self.entry(kind="end", run=f"r{number}", state="stopped"))


def history() -> list[Frame]:
    """Ten thousand turns, the last of them an answer of 200 KB."""
    turns: list[Frame] = []
    for number in range(TURNS // 2):
        run, at = f"old{number}", f"1795513876685-{number}"
        text = LONG if number == TURNS // 2 - 1 else f"An answer, **number** {number}:\n\n- of `two`\n- lines"
        turns.append({"id": f"q{number}", "role": "user", "text": f"Question {number}?", "run": run, "at": at})
        turns.append({"id": run, "role": "assistant", "text": text, "run": run, "at": at, "model": "m"})
    return turns


@asynccontextmanager
async def replaying(browser: Browser, redis_url: str, turns: list[Frame]) -> AsyncIterator[tuple[Tab, Replay]]:
    """Open a page whose socket is a replay, at a session with these turns."""
    replay = Replay(turns, seq=1)
    async with serving(redis_url, Script()) as node, person(browser) as ada:
        await ada.route_web_socket(lambda url: url.endswith("/ws"), replay.hear)
        async with tab(ada, f"{node.http}/#long") as here:
            await until(lambda: "long" in replay.opened)
            yield here, replay


async def play(replay: Replay, text: str, seconds: float) -> None:
    """Write `text` on and on, as fast as a model does, in as many batches as a node sends."""
    size = TOKENS_PER_SECOND * TOKEN_LENGTH // BATCHES_PER_SECOND
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for number in range(round(seconds * BATCHES_PER_SECOND)):
        place = number * size % len(text)
        replay.send(replay.entry(kind="delta", run="r1", text=text[place : place + size]))
        await asyncio.sleep(max(0.0, begun + (number + 1) / BATCHES_PER_SECOND - loop.time()))


@pytest.mark.parametrize(
    ("seconds", "of", "most_ms"),
    [(2.0, min, TASK_MS * BUSY), pytest.param(10.0, statistics.median, TASK_MS, marks=pytest.mark.soak)],
    ids=["busy", "quiet"],
)
async def test_no_task_is_long(
    browser: Browser, redis_url: str, seconds: float, of: Callable[[list[float]], float], most_ms: float
) -> None:
    """At 200 tokens a second, after ten thousand turns and an answer of 200 KB; the longest task, three times."""
    async with replaying(browser, redis_url, history()) as (here, replay):
        await expect(here.answers.last.locator(".text")).to_have_js_property("source", LONG)
        await expect(here.turns.first).to_be_attached()
        assert await here.turns.count() < 200
        await here.page.evaluate(WATCH_TASKS)
        replay.begin(1)
        longest = []
        for _ in range(3):
            await here.page.evaluate("window.tasks.length = 0")
            await play(replay, EVERYTHING, seconds)
            longest.append(max(await here.page.evaluate("window.tasks"), default=0))
        print(f"longest tasks of {seconds:g} s each, in ms: {longest}")
        assert of(longest) <= most_ms, longest


async def test_all_turns_can_be_read(browser: Browser, redis_url: str) -> None:
    """By scrolling up, some at a time, where one reads stays; and the end is a press away."""
    async with replaying(browser, redis_url, history()) as (here, _):
        await expect(here.page.locator('[data-id="q4999"]')).to_be_attached()
        for _ in range(5):
            first = here.turns.first
            id = await first.get_attribute("data-id")
            await here.button("Earlier in this conversation").press("Enter")
            await expect(first).not_to_have_attribute("data-id", id or "")
        assert await here.turns.count() <= 200
        await expect(here.page.locator('[data-id="q4999"]')).to_have_count(0)
        await expect(here.button("Later in this conversation")).to_be_visible()
        await here.button("To the newest").click()
        await expect(here.page.locator('[data-id="old4999"]')).to_be_in_viewport()
        await expect(here.button("Later in this conversation")).to_be_hidden()


async def heap(page: Page) -> int:
    """Bytes that are in use after a collection."""
    cdp = await page.context.new_cdp_session(page)
    await cdp.send("HeapProfiler.enable")
    for _ in range(3):
        await cdp.send("HeapProfiler.collectGarbage")
    used: int = (await cdp.send("Runtime.getHeapUsage"))["usedSize"]
    await cdp.detach()
    return used


async def talk(here: Tab, replay: Replay, deltas: int) -> int:
    """Have so many deltas in a conversation of its own, then begin another one; return the heap."""
    await here.page.evaluate("location.hash = 'talk'")
    await until(lambda: replay.session == "talk")
    for number in range(0, deltas, ANSWER_DELTAS):
        replay.begin(number)
        run = f"r{number}"
        for place in range(0, min(ANSWER_DELTAS, deltas - number), 50):
            words = [replay.entry(kind="delta", run=run, text=f"word {place + one}\n") for one in range(50)]
            replay.send(*words)
        replay.end(number)
        await expect(here.page.locator(f'[data-id="{run}"]')).to_have_attribute("data-state", "stopped")
    await here.button("New").click()
    await expect(here.turns).to_have_count(0)
    replay.opened.clear()
    replay.session = ""
    return await heap(here.page)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("deltas", [5_000, pytest.param(HOUR, marks=pytest.mark.soak)])
async def test_nothing_is_kept_of_what_was_read(browser: Browser, redis_url: str, deltas: int) -> None:
    """The heap after so many deltas, a collection later, is what it was."""
    async with replaying(browser, redis_url, []) as (here, replay):
        before = await talk(here, replay, min(WARM, deltas))
        after = await talk(here, replay, deltas)
        print(f"heap after {deltas} deltas: {before / 1e6:.2f} to {after / 1e6:.2f} MB")
        assert abs(after - before) <= GROWTH * before, (before, after)
