"""A storm: all clients of a node come back at once to the others when it is killed, each with its cursor.

Meanwhile answers stream at the others, and those of the dead node are taken over. Clients come in processes of their
own (`tests.soak.crowd`), so that what is measured is the nodes, which share this machine with them.
"""

import asyncio
import json
import os
import resource
import secrets
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any, Final

import pytest
from redis import Redis

from app.core.model import Session
from app.state.keys import SessionKeys
from tests.faults.nodes import nodes
from tests.faults.screens import ADA, Log
from tests.faults.talk import counting, question
from tests.reader import reading
from tests.servers import ROOT, until
from tests.soak.crowd import Measured, Told
from tests.soak.report import circumstances, seconds, table, write

BACK_SECONDS: Final = 30.0
PAUSE_SECONDS: Final = 2.0
CROWDS: Final = 2
FOLLOWERS: Final = 2  # of each answer in each crowd
KEPT: Final = 20  # answers at the surviving nodes, at 20 words a second
LOST: Final = 5  # answers at the node that is killed
LOST_TEXT: Final = question(60, 20)
BEGUN: Final = 5  # entries of each answer, before the node is killed
FILES: Final = 8192


@dataclass(frozen=True, slots=True)
class Storm:
    """What was measured, in seconds from the kill."""

    back_s: list[float]  # until each client was given what it lacked
    tries: int  # connections and commands that were in vain
    pause_s: float  # the longest time between two pieces of an answer that a reader at a surviving node had to wait

    def row(self) -> tuple[str, ...]:
        """As a row of a table."""
        return f"{len(self.back_s):,}", seconds(self.back_s), f"{self.tries:,}", f"{self.pause_s:.2f} s"


class Crowd:
    """A crowd's process."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def says(self) -> dict[str, Any]:
        """Return what it says next."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line, "a crowd died"
        said: dict[str, Any] = json.loads(line)
        return said

    async def ends(self) -> Measured:
        """Have it end, and return what it measured."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        measured = Measured(**await self.says())
        await self._process.wait()
        return measured


@asynccontextmanager
async def crowd(told: Told) -> AsyncIterator[Crowd]:
    """Run a crowd."""
    command = [sys.executable, "-m", "tests.soak.crowd", json.dumps(asdict(told))]
    environ = {"PATH": os.environ["PATH"]}
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=environ, stdin=PIPE, stdout=PIPE, limit=2**26
    )
    try:
        yield Crowd(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_thousand_clients_come_back_at_once(redis_url: str, redis: Redis) -> None:
    """A node is killed, and all of its thousand clients go to the two others at once."""
    print(await _storm(redis_url, redis, clients=1000, words=180))


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_five_thousand_clients_come_back_at_once(redis_url: str, redis: Redis) -> None:
    """The same with five thousand; what was measured is in docs/reliability.md."""
    storms = [await _storm(redis_url, redis, clients=1000, words=180)]
    storms += [await _storm(redis_url, redis, clients=5000, words=600)]
    head = "clients", "back, after the kill: median / 99 % / all", "tries in vain", "longest pause of a live reader"
    where = circumstances(redis.info("server")["redis_version"])
    write("storm", f"{where}\n\n" + table(head, [storm.row() for storm in storms]))


async def _storm(redis_url: str, redis: Redis, clients: int, words: int) -> Storm:
    """Kill the node that has all clients; hold what each is shown to the log, and measure who waits how long."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    kept, lost = ([secrets.token_hex(8) for _ in range(count)] for count in (KEPT, LOST))
    async with counting() as up, nodes(redis_url, up.url, LEASE_SECONDS="3") as cluster, AsyncExitStack() as stack:
        dying, *others = cluster
        urls = [node.ws for node in others]
        quiet = clients // CROWDS - FOLLOWERS * (KEPT + LOST)
        come = Told(redis_url, [dying.ws, *urls], quiet=quiet, live=kept + lost, followers=FOLLOWERS, lives=2)
        told = [replace(come, name=f"crowd-{index}") for index in range(CROWDS)]
        told.append(Told(redis_url, urls, first=2, live=kept, followers=2))
        crowds = [await stack.enter_async_context(crowd(one)) for one in told]
        for one in crowds:
            await one.says()
        await _say(dying.ws, lost, LOST_TEXT)
        for url, some in zip(urls, (kept[::2], kept[1::2]), strict=True):
            await _say(url, some, question(words, 20))
        await until(lambda: all(redis.xlen(_log(session)) > BEGUN for session in kept + lost), BACK_SECONDS)
        dying.kill()
        killed_at = time.time()
        *came, watched = await asyncio.gather(*(one.ends() for one in crowds))
    faults = [fault for one in (*came, watched) for fault in one.faults]
    assert not faults, faults[:10]
    assert {one: _attempts(redis, one) for one in kept + lost} == dict.fromkeys(kept, 1) | dict.fromkeys(lost, 2)
    back_s = [at - killed_at for one in came for at in one.back_at]
    pauses_s = [_longest(shown, killed_at, killed_at + max(back_s)) for shown in watched.shown_at]
    storm = Storm(back_s, sum(one.tries for one in came), max(pauses_s))
    assert len(back_s) == clients
    assert max(back_s) <= BACK_SECONDS, storm.row()
    assert all(shown[-1] > killed_at + max(back_s) for shown in watched.shown_at), "answers ended before all were back"
    assert storm.pause_s <= PAUSE_SECONDS, storm.row()
    return storm


async def _say(url: str, sessions: Sequence[str], text: str) -> None:
    async with reading(url) as speaker:
        for session in sessions:
            assert (await speaker.ask(type="say", session=session, id="m", text=text))["type"] == "ok"


def _log(session: str) -> str:
    return SessionKeys(Session(ADA, session)).log


def _attempts(redis: Redis, session: str) -> int:
    [begun] = Log(redis, session).screen.begun.values()
    return int(begun[-1]["attempt"])


def _longest(shown_at: Sequence[float], begin: float, end: float) -> float:
    """The longest time between two batches, of those that touch this time."""
    return max(later - at for at, later in pairwise(shown_at) if later > begin and at < end)
