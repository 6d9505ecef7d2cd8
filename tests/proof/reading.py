"""What readers ask for, by contract: what is in the log, or a reset."""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgpack

from app.core.context import SETTINGS
from app.core.model import START, Cursor
from tests.proof.believed import Believed
from tests.proof.call import Call
from tests.proof.laws import law

READS: Final = "a reader is given what follows its cursor in the log, or a reset for the reason that is true"

T = TypeVar("T")


def read(told: Believed, call: Call) -> None:
    """What follows a cursor that is in the log, within bounds; for any other a reset, and why."""
    text, most, most_bytes = call.args
    cursor = Cursor.parse(text)
    rest = told.after(cursor)
    if rest is not None:
        law(READS, call.answer[0] == b"read", cursor, call.answer)
        return call.refuses("read", told.at, _fitting(rest, most, most_bytes, lambda entry: len(entry[1][1])))
    law(READS, call.answer[0] == b"reset", cursor, call.answer)
    early = not told.log or (cursor != START and cursor.ms < told.born)
    trimmed = cursor.ms <= told.trim.ms and cursor.seq <= told.trim.seq
    return call.refuses("reset", "expired" if early else "trimmed" if trimmed else "lost")


def snapshot(told: Believed, call: Call) -> None:
    """The whole as it stands; what waits is held to the keys themselves."""
    most, most_bytes = call.args
    turns = _newest(told.turns, most, most_bytes)
    now = told.run
    running = None
    if now is not None:
        running = now.run, told.since(now.began), msgpack.packb(now.replaced) if now.replaced else None
    settings = tuple(told.settings.get(name, "") for name in SETTINGS)
    law(READS, len(call.answer[4]) == len(told.waiting), call.answer, told.waiting)
    call.refuses(told.at, told.title, turns, int(len(turns) < len(told.turns)), call.answer[4], running, settings)


def history(told: Believed, call: Call) -> None:
    """The turns before one, within bounds, oldest first."""
    before, most, most_bytes, of = call.args
    lines = _replaced(told, of) if of else told.turns
    if lines is None:
        return call.refuses("not_found")
    ids = _ids(lines)
    if before and before not in ids:
        return call.refuses("not_found")
    earlier = lines[: len(ids) - 1 - ids[::-1].index(before)] if before else lines
    turns = _newest(earlier, most, most_bytes)
    return call.refuses("turns", turns, int(len(turns) < len(earlier)))


def _replaced(told: Believed, turn: str) -> list[bytes] | None:
    """The turns whose place a turn took; or those that left the history with it; None if nobody knows it."""
    by = [by for by, _ in told.replaced if by == turn]
    by = by or [by for by, line in told.replaced if _ids([line]) == [turn]][-1:]
    known = by or turn in _ids(told.turns)
    return [line for one, line in told.replaced if one in by] if known else None


def _ids(lines: list[bytes]) -> list[str]:
    return [line.split(b" ", 2)[1].decode() for line in lines]


def _newest(turns: list[bytes], most: int, most_bytes: int) -> list[bytes]:
    return _fitting(turns[::-1], most, most_bytes, len)[::-1]


def _fitting(parts: Sequence[T], most: int, most_bytes: int, size: Callable[[T], int]) -> list[T]:
    """The first parts that are within a count and a size; at least one, if there is one."""
    out: list[T] = []
    for part in parts[:most]:
        most_bytes -= size(part)
        if most_bytes < 0 and out:
            break
        out.append(part)
    return out
