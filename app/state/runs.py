"""A run as its writer has it: append, renew, try again, end, give up; and taking over what others have lost."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import msgpack

from app.core.entries import EMPTY_SHA256
from app.core.model import Cursor, Turn, Writer
from app.state.bounds import ATTEMPTS, LAPSED, LOG_ENTRIES, TITLE_MS, Bounds
from app.state.keys import BELL, leases, session_keys
from app.state.outcomes import (
    Again,
    Appended,
    Carry,
    Decided,
    Ended,
    Fenced,
    Held,
    Lost,
    Moved,
    Renewed,
    Restored,
    ToStop,
    UsedUp,
    Wanted,
)
from app.state.script import Scripts
from app.state.stored import carry_of, cursor_of, member_of, packed, record_of, run_named

FEW: Final = ("append", "restore")
WANTED: Final[dict[bytes, Wanted]] = {b"": "", b"1": "stop", b"pause": "pause"}


@dataclass(frozen=True, slots=True)
class Doing:
    """What a run's record knows of what is done besides writing.

    `open`: whether calls are under way, which may be made again (`idempotent`) or of which one may not (`once`).
    `settled`: whether one has settled so far. `asked`: the calls about which people are asked. `usage`: what the run
    has used so far.
    """

    open: Literal["", "idempotent", "once"] = ""
    settled: bool = False
    asked: tuple[str, ...] = ()
    usage: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Closing:
    """All that a script needs to end a run while it is held: its `end` entry, encoded, and its turn.

    `partial`: it has text since its last settled call, after which not every model can go on.
    """

    end: bytes
    turn: Turn
    partial: bool
    usage: Mapping[str, Any]


class Runs:
    """All runs, on behalf of one node (`incarnation`, shown to people as `name`).

    Every method raises StateUnavailable where Redis does not answer in time or refuses; what was asked may then have
    been done, and may be asked again with the same arguments.
    """

    def __init__(self, scripts: Scripts, *, incarnation: str, name: str, bounds: Bounds, damaged: Counter[str]) -> None:
        self.appends = 0  # made by this node
        self._scripts = scripts
        self._incarnation = incarnation
        self._name = name
        self._bounds = bounds
        self._damaged = damaged
        self._window = bounds.window + 1
        self._lease_ms, self._run_ms, self._ttl_ms = (
            int(seconds * 1000) for seconds in (bounds.lease_s, bounds.run_s, bounds.session_s)
        )

    async def append(self, writer: Writer, count: int, added: list[bytes], place: str = "") -> Appended | Fenced | Lost:
        """Append encoded entries as `writer`, who has appended `count` times, and renew its lease.

        `place`: where the upstream can be taken up again after these, if it keeps its answers.
        """
        return self._appended(await self._write("append", writer, count, self._lease_ms, place, *added))

    async def work(self, writer: Writer, count: int, added: list[bytes], doing: Doing) -> Appended | Fenced | Lost:
        """Append encoded entries of what is done besides writing, and have the run's record know it."""
        return self._appended(
            await self._write(
                "work", writer, count, self._lease_ms, doing.open, "1" if doing.settled else "", packed(doing.asked),
                packed(doing.usage), *added,
            )
        )  # fmt: skip

    async def hold(
        self, writer: Writer, count: int, why: str, until_ms: int, added: bytes, held: Closing
    ) -> Held | Decided | ToStop | Fenced | Lost:
        """Have a run wait for a person, until a time by Redis's clock: `approval` or `pause`."""
        keys, member = session_keys(writer.session), member_of(writer.session, writer.run)
        status, *rest = await self._scripts.run(
            "hold", keys.all, self._scripts.channel(keys.live), member, writer.run, writer.fence, writer.incarnation,
            count, why, until_ms, self._ttl_ms, held.end, record_of(held.turn), "1" if held.partial else "",
            packed(held.usage), added,
        )  # fmt: skip
        match status:
            case b"held":
                return Held()
            case b"decided":
                return Decided(tuple(rest[0]))
            case b"stop":
                return ToStop()
            case b"lost":
                return Lost(int(rest[0]))
        return Fenced()

    async def again(self, writer: Writer, count: int, how: str, model: str = "") -> Again | UsedUp | Fenced | Lost:
        """Begin another attempt as `writer`, who has appended `count` times: `restart` or `continue`.

        Where another `model` is to be asked instead, that is no attempt more.
        """
        status, *rest = await self._write("attempt", writer, count, self._lease_ms, ATTEMPTS, how, self._name, model)
        match status:
            case b"again":
                return Again(int(rest[0]), WANTED[rest[1]])
            case b"used_up":
                return UsedUp()
            case b"lost":
                return Lost(int(rest[0]))
        return Fenced()

    async def restore(
        self, writer: Writer, count: int, lost: list[tuple[Cursor, Cursor, list[bytes]]], place: str = ""
    ) -> Restored | Moved | Fenced:
        """Put back the appends after the `count` that Redis remembers of `writer`, under their old ids.

        Each of `lost` is the cursor before it, the cursor at its end, and its entries.
        """
        groups = [part for _, at, added in lost for part in (str(at), len(added), *added)]
        status, *rest = await self._write("restore", writer, count, self._lease_ms, str(lost[0][0]), place, *groups)
        match status:
            case b"restored":
                return Restored(int(rest[0]))
            case b"moved":
                return Moved()
        return Fenced()

    async def renew(self, writer: Writer, count: int, place: str = "") -> Renewed | Fenced:
        """Say that the writer, who has appended `count` times, lives; `place` as in `append`."""
        keys = session_keys(writer.session)
        status, *rest = await self._scripts.run(
            "renew", keys.few, member_of(writer.session, writer.run), writer.run, writer.fence, writer.incarnation,
            self._lease_ms, count, place,
        )  # fmt: skip
        return Renewed(WANTED[rest[0]]) if status == b"renewed" else Fenced()

    async def end(
        self, writer: Writer, count: int, added: list[bytes], turn: Turn, *, titles: bool = False
    ) -> Ended | Fenced | Lost:
        """End a run: its last entries (`end` is the last of them), its turn in the history, the next run's start.

        `titles`: the session may be given a title from this answer.
        """
        keys, session = session_keys(writer.session), writer.session
        live = self._scripts.channel(keys.live)
        status, *rest = await self._scripts.run(
            "end", keys.all, live, member_of(session, writer.run), writer.run, writer.fence, writer.incarnation,
            self._name, count, record_of(turn), self._lease_ms, self._run_ms, self._ttl_ms, self._bounds.turns,
            LOG_ENTRIES, self._window, session.name + " ", EMPTY_SHA256,
            TITLE_MS if titles else 0, *added,
        )  # fmt: skip
        match status:
            case b"ended" | b"already":
                carry = carry_of(session, rest[1], self._incarnation, self._damaged)
                return Ended(cursor_of(rest[0]), carry, bool(rest[2]))
            case b"lost":
                return Lost(int(rest[0]))
        return Fenced()

    async def release(self, writer: Writer) -> None:
        """Give a run up on purpose: another node may claim it at once."""
        keys, member = session_keys(writer.session), member_of(writer.session, writer.run)
        await self._scripts.run(
            "release", keys.all, member, writer.run, writer.fence, writer.incarnation, self._scripts.channel(BELL)
        )

    async def lapsed(self, buckets: Iterable[int], *, given_up_only: bool) -> list[str]:
        """Look in some buckets for runs whose lease has run out by Redis's clock, or was given up."""
        looks = [("ZRANGE", leases(bucket), 0, LAPSED - 1, "WITHSCORES") for bucket in buckets]
        (seconds, micros), *found = await self._scripts.look([("TIME",), *looks])
        now_ms = 0 if given_up_only else int(seconds) * 1000 + int(micros) // 1000
        return [
            member.decode()
            for pairs in found
            for member, score in zip(pairs[::2], pairs[1::2], strict=True)
            if float(score) <= now_ms
        ]

    async def claim(self, member: str, can: Mapping[str, str]) -> Carry | None:
        """Take over the run that a lapsed lease names; None if it is over, lives, or has a model that is not here.

        `can` says of each model that this node has how its answers go on: `restart`, `continue`, `resume` or `fail`.
        """
        session, run = run_named(member)
        keys = session_keys(session)
        live = self._scripts.channel(keys.live)
        status, *rest = await self._scripts.run(
            "claim", keys.all, live, member, run, self._incarnation, self._name, self._lease_ms, self._window,
            ATTEMPTS, packed(dict(can)),
        )  # fmt: skip
        carry = carry_of(session, rest[0], self._incarnation, self._damaged) if status == b"claimed" else None
        if carry is None:
            return None
        _, how, log, place, used = rest
        return replace(
            carry, how=how.decode(), log=tuple(fields[1] for _, fields in log), place=place.decode(),
            usage=msgpack.unpackb(used) if used else {},
        )  # fmt: skip

    def _appended(self, answer: list[Any]) -> Appended | Fenced | Lost:
        match answer:
            case [b"appended" | b"already", after, at, stop]:
                self.appends += 1
                return Appended(cursor_of(after), cursor_of(at), WANTED[stop])
            case [b"lost", count]:
                return Lost(int(count))
        return Fenced()

    async def _write(self, script: str, writer: Writer, count: int, *arguments: Any) -> list[Any]:
        """Run a script that writes as `writer`."""
        keys, member = session_keys(writer.session), member_of(writer.session, writer.run)
        live = self._scripts.channel(keys.live)
        return await self._scripts.run(
            script,
            keys.few if script in FEW else keys.all,
            live,
            member,
            writer.run,
            writer.fence,
            writer.incarnation,
            count,
            *arguments,
        )
