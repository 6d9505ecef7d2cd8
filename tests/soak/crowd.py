"""A crowd as a process of its own: many clients, each reading one session, and what befell them.

    python -m tests.soak.crowd '{"redis": …, "urls": […], "first": 1, "quiet": 1000, "live": ["s1"], "followers": 5}'

It connects them to the `first` nodes in turn and says `here`. When they lose that, each goes to another one at once,
with its cursor, and again until it is let in, as our clients do. Told so (a line on stdin), it waits until all are
back and have seen the ends of their answers, holds what each was shown to the log, says what it measured, and ends.
It speaks one JSON object a line.

Of `quiet` clients each has a user and a session of its own, where an answer ended before; every other one loses what it
is shown at first, so that it comes back from the beginning. The sessions of `live` have so many `followers` each.
"""

import asyncio
import contextlib
import json
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import cycle
from typing import Final

import redis
import uvloop

from app import config
from app.core.model import Session, User
from app.core.protocol import Codec, Frame
from app.core.questions import Say
from app.node import running
from tests.faults.screens import Log, Screen, answer_to
from tests.servers import Script, until
from tests.soak.line import Line

FIRST_SECONDS: Final = 0.5  # at most, before the next try: twice as much each time, as our clients do
MOST_SECONDS: Final = 20.0
CONNECTING: Final = 100  # at a time, at first
SAYING: Final = 100
SECONDS: Final = 300.0
QUESTION: Final = "count 5 at 20"


@dataclass
class Told:
    """What a crowd is told."""

    redis: str
    urls: list[str]
    name: str = "crowd"
    first: int = 1  # with so many of the nodes they begin
    quiet: int = 0
    live: list[str] = field(default_factory=list)
    followers: int = 1
    lives: int = 1  # connections that each client will have had in the end


@dataclass
class Measured:
    """What a crowd says in the end. Times are the machine's, in seconds."""

    clients: int
    back_at: list[float]  # when each was given what it lacked, at another node
    tries: int  # connections that were refused or not open in time, and commands that were to be repeated
    shown_at: list[list[float]]  # of each client of a live session, when it was shown something
    faults: list[str]


class Member:
    """One client of a crowd, and what it has of its session."""

    def __init__(self, urls: Sequence[str], first: str, user: str, session: str) -> None:
        self.user = user
        self.screen = Screen(session, user)
        self.tries = 0
        self.given_at: list[float] = []  # for each connection, when it was given what it lacked
        self.shown_at: list[float] = []
        self.loses = False  # what it is shown
        self.faults: list[str] = []
        self._urls = urls
        self._first = first
        self._awaits = False
        self._line: Line

    async def live(self, admitted: asyncio.Semaphore) -> None:
        """Read, at one node after the other, until cancelled."""
        url, failures = self._first, 0
        codec = random.choice(list(Codec))
        while True:
            try:
                async with contextlib.nullcontext() if self.given_at else admitted:
                    self._line = await Line.to(url, self.user, codec, self._heard)
            except OSError:
                self.tries, failures = self.tries + 1, failures + 1
                await asyncio.sleep(random.uniform(0, min(FIRST_SECONDS * 2**failures, MOST_SECONDS)))
            else:
                failures, self._awaits = 0, True
                self._line.send(type="hello", resume=[self._place()])
                await self._line.lost
                self.loses = False
            url = random.choice([other for other in self._urls if other != url])

    def whole(self, lives: int) -> bool:
        """Whether it has had so many connections, and has seen the end of the answer."""
        return len(self.given_at) >= lives and bool(self.screen.ends)

    def _place(self) -> Frame:
        return {"session": self.screen.session, "cursor": self.screen.cursor}

    def _heard(self, frame: Frame) -> None:
        match frame["type"]:
            case "batch" | "snapshot" | "reset":
                self.shown_at.append(time.time())
                if self._awaits:
                    self.given_at.append(self.shown_at[-1])
                    self._awaits = False
                if not self.loses:
                    self._take(frame)
            case "error" if frame["retry"] == "later":
                self.tries += 1
                again = partial(self._open, self._line)
                asyncio.get_running_loop().call_later(frame.get("after_ms", 1000) / 1000, again)
            case "error":
                self.faults.append(f"{self.screen}: {frame}")

    def _open(self, line: Line) -> None:
        if not line.lost.done():
            line.send(type="open", **self._place())

    def _take(self, frame: Frame) -> None:
        try:
            self.screen.take(frame)
        except AssertionError as fault:
            self.faults.append(str(fault))


async def _seeded(told: Told) -> list[Member]:
    """Make the quiet clients, and the sessions that they read."""
    settings = config.read({"REDIS_URL": told.redis, "OPENAI_API_KEY": "none", "NODE": told.name}, {})
    words = answer_to(QUESTION).split()
    model = Script(answers=[[word + " " for word in words] for _ in range(told.quiet)])
    members = [Member(told.urls, told.urls[0], f"{told.name}-{index}", "alone") for index in range(told.quiet)]
    async with running(settings, model) as node:
        saying = asyncio.Semaphore(SAYING)

        async def say(member: Member) -> None:
            async with saying:
                session = Session(_user(member), member.screen.session)
                await node.say(session, Say(id="m", text=QUESTION))

        await asyncio.gather(*map(say, members))
        await node.runner.idle()
    for member in members[::2]:
        member.loses = True
    return members


def _user(member: Member) -> User:
    return User.of("guest:name", member.user)


async def _crowd(told: Told) -> Measured:
    """Do it."""
    seeded = await _seeded(told)
    places = cycle(told.urls[: told.first])
    shared = [Member(told.urls, next(places), "ada", one) for one in told.live for _ in range(told.followers)]
    members = [*seeded, *shared]
    admitted = asyncio.Semaphore(CONNECTING)
    async with asyncio.TaskGroup() as tasks:
        lives = [tasks.create_task(member.live(admitted)) for member in members]
        await until(lambda: all(member.given_at for member in members), SECONDS)
        print(json.dumps({"here": len(members)}), flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await until(lambda: all(member.whole(told.lives) for member in members), SECONDS)
        for life in lives:
            life.cancel()
    with redis.Redis.from_url(told.redis) as client:
        for member in members:
            try:
                Log(client, member.screen.session, _user(member)).hold(member.screen)
            except AssertionError as fault:
                member.faults.append(str(fault))
    return Measured(
        clients=len(members),
        back_at=[at for member in members for at in member.given_at[1:]],
        tries=sum(member.tries for member in members),
        shown_at=[member.shown_at for member in shared],
        faults=[fault for member in members for fault in member.faults],
    )


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(_crowd(Told(**json.loads(sys.argv[1])))))), flush=True)
