"""What a session costs that has a long history: it must not depend on how long. Ours only, its limits raised.

The history is written by one exchange and as many copies of its turns, put where the node keeps them. Then, one after
the other: exchanges (a `say` and an answer of one token), opens (without a cursor: a snapshot), and appends (one answer
whose every token is flushed). What the nodes cost at rest is taken off.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import redis.asyncio

from app.core.model import Session, User
from app.state.keys import SessionKeys
from bench.drive import Overwhelmed, steady, until
from bench.machine import Cores
from bench.numbers import Figures
from bench.scenarios import Case
from bench.systems import Running, System, running
from bench.systems.ours import OurReader, Ours
from bench.tokens import Answer, Ask, Tally

TURNS: Final = (10, 1_000, 100_000)
REST_SECONDS: Final = 2.0
EXCHANGES: Final = 200
OPENS: Final = 200
TOKENS: Final = 1_500
RATE: Final = 500
PORTION: Final = 5_000


def cases() -> list[Case]:
    """One case for each length."""
    return [Case("history", f"{turns} turns", partial(measure, turns=turns), (Ours.name,)) for turns in TURNS]


async def measure(system: System, cores: Cores, *, turns: int) -> Figures:
    """Measure once; raises as `long` does."""
    async with running(Ours(HISTORY_TURNS=str(2 * max(TURNS)), FLUSH_MS="1"), cores) as run:
        return await long(run, turns=turns)


async def long(run: Running, *, turns: int) -> Figures:
    """Make a session with so many turns, and use it.

    Raises:
        Overwhelmed: an answer was not whole.
    """
    talk = Long(run)
    await talk.reader.follow(run.b)
    await talk.exchange(Ask(0, 1))
    await talk.lengthen(turns)
    with steady():
        before = run.cost()
        await asyncio.sleep(REST_SECONDS)
        rest = run.cost().since(before).total / REST_SECONDS
        return {
            "µs per exchange": await talk.cost(partial(talk.exchange, Ask(0, 1)), EXCHANGES, rest),
            "µs per open": await talk.cost(talk.open, OPENS, rest),
            "µs per append": await talk.cost(partial(talk.exchange, Ask.at(RATE, TOKENS / RATE)), 1, rest) / TOKENS,
        }


class Long:
    """One session with a long history, said to at A, and read at B."""

    def __init__(self, run: Running) -> None:
        self.reader = OurReader("long", None, Ours.codec)
        self._run = run

    async def exchange(self, ask: Ask) -> None:
        """Say something, and read the answer to its end."""
        answer = self.reader.answer = Answer(ask, Tally())
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def rung() -> None:
            if not answer.ended:
                answer.bell = rung
            elif not ended.done():
                ended.set_result(None)

        answer.bell = rung
        await self._run.system.say(self._run.a, self.reader.session, ask)
        await asyncio.wait_for(ended, 60)
        if not answer.whole:
            raise Overwhelmed("an answer was not whole")

    async def open(self) -> None:
        """Open the session as who has nothing."""
        self.reader.cursor = None
        await self.reader.opened()
        await until(lambda: self.reader.cursor is not None)

    async def lengthen(self, turns: int) -> None:
        """Make the history so many turns long, with copies of those that are there."""
        key = SessionKeys(Session(User.of("guest:name", self.reader.session), self.reader.session)).turns
        async with redis.asyncio.Redis(port=self._run.redis.port) as client:
            kept: list[bytes] = await client.lrange(key, 0, -1)  # type: ignore[assignment]
            lines = [line.split(b" ", 2) for line in kept]
            for start in range(len(lines), turns, PORTION):
                indices = range(start, min(turns, start + PORTION))
                copies = ((index, lines[index % len(lines)]) for index in indices)
                await client.lpush(key, *(b"%b copy-%d %b" % (at, index, rest) for index, (at, _, rest) in copies))
            if (length := await client.llen(key)) != max(turns, len(lines)):
                raise Overwhelmed(f"the history has {length} turns; expected {turns}")

    async def cost(self, do: Callable[[], Awaitable[None]], times: int, rest: float) -> float:
        """What it costs to do something once, in µs, without what the nodes cost at `rest`, in cores."""
        loop = asyncio.get_running_loop()
        before, since = self._run.cost(), loop.time()
        for _ in range(times):
            await do()
        return (self._run.cost().since(before).total - rest * (loop.time() - since)) * 1e6 / times
