"""What users and addresses may do how often, exact over all nodes: counted in Redis, on its clock.

A place among a user's running answers is a projection, as the list of sessions is: the heads stay the truth, and are
asked where all places seem to be taken. So are the nodes that hold a user's sockets.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from app.core.errors import QuotaExceeded, RateLimited, TooMany
from app.core.model import Session, User
from app.state.keys import rate, session_keys, user_quota, user_running, user_sockets, user_tag
from app.state.pulse import Pulse
from app.state.script import Scripts

EPOCH: Final = date(1970, 1, 1)
DAY_MS: Final = 86_400_000
JUST_NOW_MS: Final = 5000  # a `say` may still be on its way to where it becomes a run
SPOT_MS: Final = 1000  # about when it is worth to ask again, where nobody knows


@dataclass(frozen=True, slots=True)
class Rate:
    """So many of something a minute, and as many at once."""

    what: str
    a_minute: float

    @property
    def numbers(self) -> tuple[float, int]:
        """Microseconds that one is worth, and the burst."""
        return 60e6 / self.a_minute, max(1, round(self.a_minute))


Cost = tuple[Rate, int]


class Rates:
    """The limits of a node. Every method raises StateUnavailable where Redis does not answer."""

    def __init__(self, scripts: Scripts, pulse: Pulse, incarnation: str) -> None:
        self.refused: Counter[str] = Counter()  # by this node, by what was too much
        self._scripts = scripts
        self._pulse = pulse
        self._incarnation = incarnation
        self._sockets: Counter[User] = Counter()

    async def charge(self, tag: str, costs: Sequence[Cost]) -> None:
        """Take from an owner's limits.

        Raises:
            RateLimited: one is exceeded; nothing was taken.
        """
        status, *rest = await self._scripts.run("rate", [rate(tag, one.what) for one, _ in costs], *_numbers(costs))
        if status == b"limited":
            raise self._limited(costs, *rest)

    async def turn(self, session: Session, costs: Sequence[Cost], *, running: int, tokens: int) -> None:
        """Take from a user's limits, and a place for an answer in `session`: of `running`. At most `tokens` a day.

        Raises:
            RateLimited, QuotaExceeded
        """
        if await self._turn(session, costs, running, tokens):
            return
        if await self._free(session.user) and await self._turn(session, costs, running, tokens):
            return
        self.refused["running"] += 1
        raise TooMany(f"{running} of your answers are under way; wait for one to end", after_ms=SPOT_MS)

    async def ended(self, session: Session, at: int) -> None:
        """Give up a session's place: what ran there ended at `at`, and nothing runs."""
        await self._scripts.run("ran", (user_running(session.user),), session.id, at)

    async def spend(self, user: User, tokens: int) -> None:
        """Add to what a user has used today."""
        await self._scripts.run("spend", (user_quota(user),), tokens)

    async def used(self, user: User) -> dict[str, int]:
        """Read how many tokens a user has used: by day (UTC, ISO 8601), of the last month, latest first."""
        pairs: list[bytes] = await self._scripts.command("used", ("HGETALL", user_quota(user)))
        days = {int(day): int(tokens) for day, tokens in zip(pairs[::2], pairs[1::2], strict=True)}
        return {(EPOCH + timedelta(day)).isoformat(): days[day] for day in sorted(days, reverse=True)}

    async def forget(self, user: User, *, today: bool) -> None:
        """Take away how many tokens a user has used; not of `today`, if that counts: it is forgotten at midnight."""
        quota, day = user_quota(user), self._pulse.now // DAY_MS
        days: list[bytes] = await self._scripts.command("used", ("HKEYS", quota))
        if gone := [one for one in days if today or int(one) != day]:
            await self._scripts.command("forget", ("HDEL", quota, *gone))
        await self._scripts.command("forget", ("EXPIREAT", quota, (day + 1) * DAY_MS // 1000))

    async def connect(self, user: User, most: int) -> None:
        """Count a socket more of a user's; a caller that was not refused tells of its end by `disconnect`.

        Raises:
            TooMany: it would be more than `most` over all nodes.
        """
        self._sockets[user] += 1
        try:
            holders = await self._held(user, most)
            if holders:
                dead = holders - await self._pulse.alive()
                if dead:
                    await self._scripts.command("dead", ("HDEL", user_sockets(user), *dead))
                    holders = await self._held(user, most)
            if holders is not None:
                self.refused["sockets"] += 1
                raise TooMany(f"{most} connections of yours are open; close one first", after_ms=SPOT_MS)
        except (TooMany, asyncio.CancelledError):
            self._sockets -= Counter({user: 1})
            raise

    async def disconnect(self, user: User) -> None:
        """Count a socket less."""
        self._sockets -= Counter({user: 1})
        await self._held(user, 0)

    async def _held(self, user: User, most: int) -> set[str] | None:
        """Say how many sockets of a user's are here. Returns who else holds some, if that is too many."""
        status, *rest = await self._scripts.run(
            "sockets", (user_sockets(user),), self._incarnation, self._sockets[user], most
        )
        return {holder.decode() for holder in rest[0]} if status == b"full" else None

    async def _turn(self, session: Session, costs: Sequence[Cost], running: int, tokens: int) -> bool:
        """Take what a turn takes; False where no place is free."""
        user = session.user
        keys = (user_running(user), user_quota(user), *(rate(user_tag(user), one.what) for one, _ in costs))
        status, *rest = await self._scripts.run("turn", keys, session.id, running, tokens, *_numbers(costs))
        match status:
            case b"limited":
                raise self._limited(costs, *rest)
            case b"used_up":
                self.refused["tokens"] += 1
                raise QuotaExceeded(f"the {tokens} tokens of today are used up", after_ms=int(rest[0]))
        return bool(status == b"taken")

    async def _free(self, user: User) -> bool:
        """Give up the places of sessions in which nothing runs; say whether there were any."""
        pairs: list[bytes] = await self._scripts.command("running", ("HGETALL", user_running(user)))
        spoken = {id.decode(): int(at) for id, at in zip(pairs[::2], pairs[1::2], strict=True)}
        old = {id: at for id, at in spoken.items() if at < self._pulse.now - JUST_NOW_MS}
        runs = await self._scripts.look([("HGET", session_keys(Session(user, id)).head, "run") for id in old])
        over = [(id, at) for (id, at), run in zip(old.items(), runs, strict=True) if not run]
        return bool(over) and bool(await self._scripts.run("ran", (user_running(user),), *sum(over, ())))

    def _limited(self, costs: Sequence[Cost], place: int, ms: int) -> RateLimited:
        limit = costs[int(place) - 1][0]
        self.refused[limit.what] += 1
        return RateLimited(f"at most {limit.a_minute:g} {limit.what} a minute; wait {ms} ms", after_ms=int(ms))


def _numbers(costs: Sequence[Cost]) -> list[float]:
    return [number for one, cost in costs for number in (*one.numbers, cost)]
