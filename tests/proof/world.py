"""Redis, what we believe of it, and what befalls it.

Every script of every node comes through `call`, which holds it to its contract at once; so whatever a rule of the
machine does, no call goes unseen. Time is ours: it passes, and steps back, when a rule says so.

One thing is taken for granted, as the design does: once something is gone (a failover, a deleted or expired session),
Redis's clock is past all ids that were given till then, and stays so. Else an id could be given twice.
"""

import copy
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import hiredis

from app.core.model import Cursor, Session, User
from app.state.bounds import Bounds
from app.state.keys import SessionKeys
from tests.proof import holding, reading, saying, writing
from tests.proof.believed import Believed, unpacked
from tests.proof.call import Call
from tests.proof.keeping import keeps, looks
from tests.proof.laws import WORKS, Broken
from tests.proof.line import Line

BOUNDS: Final = Bounds(lease_s=6, run_s=60, session_s=86_400, turns=5, window=2)
LIFETIME_MS: Final = int(BOUNDS.session_s * 1000)
USER: Final = User.of("guest:name", "ada")
SESSIONS: Final = tuple([some for n in range(2000) if (some := Session(USER, f"s{n}")).bucket == 7][:2])
BORN_MS: Final = 1_800_000_000_000
CONTRACTS: Final[Mapping[str, Callable[[Believed, Call], None]]] = {
    "say": saying.say, "stop": saying.stop, "meta": saying.meta, "delete": saying.delete,
    "set": saying.set, "put": saying.put, "rating": saying.rating,
    "append": writing.append, "attempt": writing.attempt, "restore": writing.restore, "end": writing.end,
    "claim": writing.claim, "release": writing.release, "renew": writing.renew,
    "work": writing.work, "hold": holding.hold, "answer": holding.answer, "pause": holding.pause,
    "resume": holding.resume,
    "read": reading.read, "snapshot": reading.snapshot, "history": reading.history,
}  # fmt: skip
READS: Final = ("read", "snapshot", "history")

Listener = Callable[[Session, Cursor, Cursor, list[bytes]], None]


@dataclass(frozen=True, slots=True)
class Moment:
    """What a replica has: each key with the ms of its lifetime (0: for ever) and its value; and our belief then."""

    kept: list[tuple[bytes, int, bytes]]
    told: dict[Session, Believed]


class World:
    """One Redis with two sessions of one bucket, so that they share an index of leases; and what we believe of them."""

    def __init__(self, line: Line, shas: Mapping[str, bytes]) -> None:
        self.line = line
        self.clock = BORN_MS
        self.told = {session: Believed() for session in SESSIONS}
        self.moment: Moment | None = None
        self.broken = False  # a law is broken: believe nothing more
        self.calls: deque[tuple[str, tuple[str, ...], tuple[Any, ...]]] = deque(maxlen=24)  # that write, newest last
        self.cursors: deque[Cursor] = deque(maxlen=64)  # that were heard of, in whatever life of a session
        self.listeners: list[Listener] = []
        self._shas = shas
        self._looks = looks(SESSIONS)
        self._sessions = {SessionKeys(session).head: session for session in SESSIONS}
        self._latest = BORN_MS  # of all ids that were given
        self._floor = BORN_MS  # the clock does not step back behind it
        line.ask(("FLUSHALL",))

    def call(self, script: str, keys: tuple[str, ...], args: tuple[Any, ...]) -> list[Any]:
        """Run a script, hold it to its contract and Redis to what was told, and return its answer.

        Raises:
            Broken: the script does what it may not.
        """
        session = self._sessions[keys[0]]
        told, live = self.told[session], SessionKeys(session).live
        self.line.heard.clear()
        self.broken = True  # until its contract is kept
        command = "EVALSHA", self._shas[script], len(keys) + 1, *keys, self.clock, *args
        try:
            answer, *found = self.line.ask(command, *self._looks)
        except hiredis.ReplyError as error:
            raise Broken(WORKS, (script, args, error)) from error
        heard = list(self.line.heard)
        CONTRACTS[script](told, Call(script, args, answer, heard, session, self.clock))
        if script == "delete":
            self._gone(session)
        keeps(self.told, found)
        self.broken = False
        if script not in READS:
            self.calls.append((script, keys, args))
        for one in heard:
            if one.channel == live:
                self._tell(session, *unpacked(one.data), is_gone=script == "delete")
        if script == "delete":
            self._a_moment_later()
        return list(answer)

    def pass_time(self, ms: int) -> None:
        """Let time pass, or step back."""
        self.clock = max(self.clock + ms, self._floor)

    def expire(self, session: Session) -> None:
        """Let a session's lifetime end, whatever it is doing; the index of leases has no lifetime. What waits lives."""
        told = self.told[session]
        if told.run is not None and told.run.held is not None:
            return self.age(session)
        left = {told.run.run} if told.run is not None else set()
        self.line.ask(("DEL", *SessionKeys(session).own))
        self.told[session] = Believed(gone=told.gone, orphans=told.orphans | left)
        return self._a_moment_later()

    def age(self, session: Session) -> None:
        """Let half of a session's lifetime pass."""
        self.told[session].lives = half = LIFETIME_MS // 2
        self.line.ask(*(("PEXPIRE", key, half) for key in SessionKeys(session).own))

    def remember(self) -> None:
        """Let a replica catch up with all that is."""
        (keys,) = self.line.ask(("KEYS", "*"))
        values = self.line.ask(*(("DUMP", key) for key in keys), *(("PTTL", key) for key in keys))
        kept = [(key, max(0, values[len(keys) + n]), values[n]) for n, key in enumerate(keys)]
        self.moment = Moment(kept, copy.deepcopy(self.told))

    def fail_over(self) -> None:
        """Lose all since the replica last caught up; what is still on its way to the lost one never arrives."""
        assert self.moment is not None
        self.calls.clear()
        self.line.ask(("FLUSHALL",), *(("RESTORE", *kept) for kept in self.moment.kept))
        before, self.told = self.told, copy.deepcopy(self.moment.told)
        for session, told in self.told.items():
            was = before[session].run
            if told.run is not None and was is not None and told.run.run == was.run:
                told.run.stands.forgets(was.stands)
        self._a_moment_later()

    def _gone(self, session: Session) -> None:
        """Begin a new belief of a session; and what was deleted long ago is forgotten."""
        told = self.told[session]
        self.told[session] = Believed(gone=told.gone, orphans=told.orphans)
        for each in self.told.values() if told.log else ():
            each.gone = {what: until for what, until in each.gone.items() if until > self.clock}

    def _a_moment_later(self) -> None:
        self.clock = self._floor = max(self.clock, self._latest) + 1

    def _tell(self, session: Session, after: Cursor, at: Cursor, added: list[bytes], *, is_gone: bool) -> None:
        """Have all readers hear a publish, but for the last of a session: that is one that gets lost."""
        self.cursors.append(at)
        self._latest = max(self._latest, at.ms)
        for listener in () if is_gone else self.listeners:
            listener(session, after, at, added)
