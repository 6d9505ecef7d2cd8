"""Conversations: a person who speaks, waits, stops, interrupts and deletes; and all who read along.

The person is the Python client (`app.client`), which comes back by itself. A conversation is held to the laws when it
is over and every reader has all of it; whoever does not get there is a fault.
"""

import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from redis import Redis

from app.client import Chat
from app.client.session import Said
from app.core.errors import ChatError
from app.core.model import Session
from app.state.keys import SessionKeys
from tests.faults.screens import ADA, Log
from tests.faults.talk import HOWS, follow_by_client, question
from tests.soak.readers import Reader
from tests.soak.tally import Seat, Tally

PATIENCE_SECONDS: Final = 60.0  # for one turn, and for readers to have all of it
LOOK_SECONDS: Final = 0.1
RATE: Final = 40  # words a second
WORDS: Final = range(20, 200)
TURNS: Final = range(2, 6)
AGAIN: Final = 0.2  # how often the same is said again


class Conversation:
    """One session, from its first turn to its last. Its life is `live`."""

    def __init__(self, chat: Chat, readers: Sequence[Reader], late: Sequence[Reader], tally: Tally) -> None:
        self.id = secrets.token_hex(8)
        self._chat = chat
        self._readers = [*readers]
        self._late = [*late]
        self._tally = tally
        self._seats: list[Seat] = []
        self._kinds: dict[Callable[[], Awaitable[None]], int] = {
            self._answered: 10, self._queued: 4, self._interrupted: 3, self._stopped: 3, self._stopped_in_queue: 2,
        }  # fmt: skip

    async def live(self, redis: Redis, over: asyncio.Event, *, deleted: bool) -> None:
        """Talk, wait until every reader has seen all, and hold that to the laws; or delete it in the midst.

        When all is to be `over`, the turn that has begun is the last.
        """
        mine = Seat(self.id, "a client", self._tally)
        self._seats = [mine, *(reader.sit(self.id) for reader in self._readers)]
        following = asyncio.create_task(self._follow(mine))
        try:
            for _ in range(random.choice(TURNS)):
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await random.choices([*self._kinds], [*self._kinds.values()])[0]()
                if over.is_set():
                    break
                self._join()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await (self._delete(redis) if deleted else self._hold(redis, mine))
        except TimeoutError:
            waiting = [seat for seat in self._seats if (not seat.gone if deleted else seat.cursor != mine.cursor)]
            who = [reader for reader in self._readers if any(reader.name == seat.reader for seat in waiting)]
            self._tally.fault("stuck", f"{mine}: no end of {mine.asked.keys() - mine.ends.keys()}; {waiting}; {who}")
        finally:
            following.cancel()
            [failed] = await asyncio.gather(following, return_exceptions=True)
            for reader in (*self._readers, *self._late):
                reader.leave(self.id)
            await self._chat.close(self.id)
        if not isinstance(failed, asyncio.CancelledError):
            self._tally.fault("diverged", repr(failed))

    async def _follow(self, seat: Seat) -> None:
        while True:
            try:
                await follow_by_client(self._chat, seat)
            except ChatError as error:  # it could not be opened now
                await _later(error)

    def _join(self) -> None:
        """Have somebody come late, who sees it from now on."""
        if self._late and random.random() < 1 / 2:
            self._readers.append(reader := self._late.pop())
            self._seats.append(reader.sit(self.id, late=True))

    # Turns

    async def _answered(self) -> None:
        await _over(await self._say())

    async def _queued(self) -> None:
        first = await self._say()
        await _pause()
        second = await self._say()
        await _over(first, second)

    async def _interrupted(self) -> None:
        first = await self._say()
        await _pause()
        second = await self._say(when_busy="interrupt")
        await _over(first, second)

    async def _stopped(self) -> None:
        said = await self._say()
        await _pause()
        await self._stop(said)
        await _over(said)

    async def _stopped_in_queue(self) -> None:
        first = await self._say()
        second = await self._say()
        await self._stop(second)
        await _over(first, second)

    async def _say(self, when_busy: str | None = None) -> Said:
        """Say something until it is accepted; the same id is the same run, however often it is said."""
        id, text, model = secrets.token_hex(4), question(random.choice(WORDS), RATE), random.choice(HOWS)
        accepted: list[Said] = []
        while not accepted or random.random() < AGAIN:
            try:
                accepted.append(await self._chat.say(text, session=self.id, id=id, model=model, when_busy=when_busy))
            except ChatError as error:
                await _later(error)
        first, *others = accepted
        if any((said.run, said.at, said.duplicate) != (first.run, first.at, True) for said in others):
            self._tally.fault("repeated", f"{self.id}: {id} made {[said.run for said in accepted]}")
        return first

    async def _stop(self, said: Said) -> None:
        while True:
            try:
                await self._chat.stop(self.id, said.run)
            except ChatError as error:
                await _later(error)
            else:
                return

    # Ends

    async def _hold(self, redis: Redis, mine: Seat) -> None:
        await self._all(lambda seat: seat.cursor == mine.cursor)
        try:
            log = await asyncio.to_thread(Log, redis, self.id)
        except AssertionError as error:
            self._tally.fault("diverged", error)
        else:
            self._tally.hold(log, self._seats)

    async def _delete(self, redis: Redis) -> None:
        await self._say()
        await _pause()
        while True:
            try:
                await self._chat.delete(self.id)
                break
            except ChatError as error:
                await _later(error)
        await self._all(lambda seat: seat.gone or seat.cursor == "0-0")  # it may have come too late to see anything
        keys = SessionKeys(Session(ADA, self.id))
        left = await asyncio.to_thread(redis.exists, keys.head, keys.log, keys.run, keys.turns, keys.queue)
        if left:
            self._tally.fault("repeated", f"{self.id}: was deleted, and has {left} keys")
        self._tally.deleted += 1

    async def _all(self, ready: Callable[[Seat], bool]) -> None:
        while not all(ready(seat) or seat.broken for seat in self._seats):  # noqa: ASYNC110 - many, elsewhere
            await asyncio.sleep(LOOK_SECONDS)


async def _over(*all_said: Said) -> None:
    """Wait for the ends of runs."""
    for said in all_said:
        session, run = said.session, said.run
        await session.until(lambda: run in session.ends or session.turn(run) or session.transcript.gone)  # noqa: B023


async def _pause() -> None:
    await asyncio.sleep(random.uniform(0, 2))


async def _later(error: ChatError) -> None:
    """Wait as long as an error says; one that is not to be tried again is a defect."""
    if error.retry != "later":
        raise error
    await asyncio.sleep((error.after_ms or 1000) / 1000)
