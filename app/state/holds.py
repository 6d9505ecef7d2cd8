"""Runs that wait for a person, as people have them: answer, pause, carry on. One method is one script."""

from typing import Any

from app.core import entries
from app.core.errors import Conflict, NotFound, RunOver
from app.core.model import Cursor, Session
from app.state.bounds import Bounds
from app.state.keys import BELL, session_keys
from app.state.script import Scripts
from app.state.stored import cursor_of, member_of


class Holds:
    """What people do with runs that are held, or are to be.

    Every method raises StateUnavailable where Redis does not answer in time or refuses; what was asked may then have
    been done, and may be asked again.
    """

    def __init__(self, scripts: Scripts, *, bounds: Bounds) -> None:
        self._scripts = scripts
        self._ttl_ms = int(bounds.session_s * 1000)

    async def answer(self, session: Session, answer: entries.Answer) -> entries.Answer:
        """Settle a call that waits for a person, and return the decision that stands: the first.

        Raises:
            NotFound: no such call waits, or waited, in this run.
            RunOver
        """
        keys, run = session_keys(session), answer.run
        status, *rest = await self._scripts.run(
            "answer", keys.all, self._scripts.channel(keys.live), member_of(session, run), run, answer.call,
            entries.encode(answer), self._ttl_ms, self._scripts.channel(BELL),
        )  # fmt: skip
        match status:
            case b"over":
                raise RunOver(f"run {run!r} has ended")
            case b"not_found":
                raise NotFound(f"no call {answer.call!r} waits for an answer in run {run!r}")
        stands = entries.decode(rest[0])
        assert isinstance(stands, entries.Answer)
        return stands

    async def pause(self, session: Session, run: str) -> Cursor:
        """Ask for a run to be held, and return the log's head. One that is held already is no error.

        Raises:
            NotFound, RunOver
            Conflict: it waits in the queue.
        """
        status, *rest = await self._scripts.run("pause", session_keys(session).all, run)
        if status == b"waits":
            raise Conflict(f"run {run!r} has not begun; expected the one that is under way")
        return _of_run(status, rest, run)

    async def resume(self, session: Session, run: str) -> Cursor:
        """Carry on a run that was paused, on any node, and return the log's head. One that runs is no error.

        Raises:
            NotFound, RunOver
            Conflict: it waits for answers.
        """
        keys = session_keys(session).all
        status, *rest = await self._scripts.run(
            "resume", keys, member_of(session, run), run, self._scripts.channel(BELL)
        )
        if status == b"asks":
            raise Conflict(f"run {run!r} waits for an answer on a call, and goes on with that")
        if status == b"waits":
            raise Conflict(f"run {run!r} has not begun; expected the one that is under way")
        return _of_run(status, rest, run)


def _of_run(status: bytes, rest: list[Any], run: str) -> Cursor:
    """Read what a script says of a run."""
    match status:
        case b"over":
            raise RunOver(f"run {run!r} has ended")
        case b"not_found":
            raise NotFound(f"no run {run!r} in this session")
    return cursor_of(rest[0])
