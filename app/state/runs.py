"""A run as its writer has it: append, renew, try again, end, give up; and taking over what others have lost."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from app.core.entries import EMPTY_SHA256
from app.core.model import Cursor, Turn, Writer
from app.state.bounds import ATTEMPTS, LAPSED, LOG_ENTRIES, TITLE_MS, Bounds
from app.state.keys import BELL, leases, session_keys
from app.state.outcomes import Again, Appended, Carry, Ended, Fenced, Lost, Moved, Renewed, Restored, UsedUp
from app.state.script import Scripts
from app.state.stored import carry_of, cursor_of, member_of, packed, record_of, run_named, running_of

FEW: Final = ("append", "restore")


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

    async def append(self, writer: Writer, count: int, added: list[bytes]) -> Appended | Fenced | Lost:
        """Append encoded entries as `writer`, who has appended `count` times, and renew its lease."""
        status, *rest = await self._write("append", writer, count, self._lease_ms, *added)
        match status:
            case b"appended" | b"already":
                self.appends += 1
                return Appended(cursor_of(rest[0]), cursor_of(rest[1]), rest[2] == b"1")
            case b"lost":
                return Lost(int(rest[0]))
        return Fenced()

    async def again(self, writer: Writer, count: int, how: str) -> Again | UsedUp | Fenced | Lost:
        """Begin another attempt as `writer`, who has appended `count` times: `restart` or `continue`."""
        status, *rest = await self._write("attempt", writer, count, self._lease_ms, ATTEMPTS, how, self._name)
        match status:
            case b"again":
                return Again(int(rest[0]), rest[1] == b"1")
            case b"used_up":
                return UsedUp()
            case b"lost":
                return Lost(int(rest[0]))
        return Fenced()

    async def restore(
        self, writer: Writer, count: int, lost: list[tuple[Cursor, Cursor, list[bytes]]]
    ) -> Restored | Moved | Fenced:
        """Put back the appends after the `count` that Redis remembers of `writer`, under their old ids.

        Each of `lost` is the cursor before it, the cursor at its end, and its entries.
        """
        groups = [part for _, at, added in lost for part in (str(at), len(added), *added)]
        status, *rest = await self._write("restore", writer, count, self._lease_ms, str(lost[0][0]), *groups)
        match status:
            case b"restored":
                return Restored(int(rest[0]))
            case b"moved":
                return Moved()
        return Fenced()

    async def renew(self, writer: Writer) -> Renewed | Fenced:
        """Say that the writer lives."""
        keys = session_keys(writer.session)
        status, *rest = await self._scripts.run(
            "renew", keys.few, member_of(writer.session, writer.run), writer.run, writer.fence, writer.incarnation,
            self._lease_ms,
        )  # fmt: skip
        return Renewed(rest[0] == b"1") if status == b"renewed" else Fenced()

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

        `can` says of each model that this node has how its answers go on: `restart`, `continue` or `fail`.
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
        running = running_of(run, rest[2])
        return replace(carry, how=rest[1].decode(), partial=running["text"] if running else "")

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
