"""How values are stored, and what of them goes into one frame."""

import logging
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

import msgpack
import msgspec

from app.core import entries
from app.core.context import SETTINGS
from app.core.model import Cursor, Request, Session, Turn, User, Writer
from app.core.protocol import FRAME_BYTES, json_bytes
from app.core.transcript import Running
from app.state.outcomes import Carry

HEADER_BYTES: Final = 1024

log = logging.getLogger(__name__)


def cursor_of(text: bytes) -> Cursor:
    """Read a cursor that a script gave."""
    ms, _, seq = text.partition(b"-")
    return Cursor(int(ms), int(seq))


def member_of(session: Session, run: str) -> str:
    """A run's name in the index of leases."""
    return f"{session.name} {run}"


def run_named(member: str) -> tuple[Session, str]:
    """Read what `member_of` wrote."""
    name, _, run = member.partition(" ")
    user, _, id = name.partition("/")
    return Session(User(user), id), run


def sendable(read: list[tuple[Cursor, bytes]]) -> list[tuple[Cursor, bytes]]:
    """The first entries whose frame is within its bound in either codec; at least one."""
    if sum(len(entry) for _, entry in read) * 6 <= FRAME_BYTES - HEADER_BYTES:
        return read
    room = FRAME_BYTES - HEADER_BYTES
    for index, (_, entry) in enumerate(read):
        room -= json_bytes(entry)
        if room < 0:
            return read[: max(1, index)]
    return read


def packed(value: Any) -> bytes:
    """Encode a value as it is stored."""
    data: bytes = msgpack.packb(msgspec.to_builtins(value))
    return data


def record_of(turn: Turn) -> bytes:
    """A turn as the history keeps it: a script puts `<at> <id> ` before it, and may lay more fields over it."""
    return packed(turn)


def turn_of(line: bytes) -> Turn:
    """Read a line of the history: `<at> <id> <map>`, and maps that are laid over that one."""
    at, id, record = line.split(b" ", 2)
    fields: dict[str, Any] = {}
    for part in entries.split(record):
        fields |= msgpack.unpackb(part)
    return msgspec.convert(fields | {"at": at.decode(), "id": id.decode()}, Turn)


def turns_of(lines: Iterable[bytes], damaged: Counter[str]) -> list[Turn]:
    """Read lines of the history; one that is damaged is reported, counted, and left out."""
    turns = []
    for line in lines:
        try:
            turns.append(turn_of(line))
        except (ValueError, TypeError, msgspec.MsgspecError, msgpack.exceptions.UnpackException):
            damaged["turn"] += 1
            log.error("a turn of a history is damaged, and left out: %r", line[:60])
    return turns


def value_of(kind: str, text: bytes, damaged: Counter[str]) -> Any:
    """Read a value that is kept as JSON; one that is damaged is reported, counted, and None."""
    try:
        return msgspec.json.decode(text)
    except (ValueError, msgspec.MsgspecError):
        damaged[kind] += 1
        log.error("a %s is damaged, and left out: %r", kind, text[:40])
        return None


def settings_of(texts: Iterable[bytes | None], damaged: Counter[str]) -> dict[str, Any]:
    """Read a session's settings, in the order of `SETTINGS`."""
    read = {name: value_of("setting", text, damaged) for name, text in zip(SETTINGS, texts, strict=True) if text}
    return {name: value for name, value in read.items() if value is not None}


def newest_fitting(turns: list[Turn], room: int) -> tuple[Turn, ...]:
    """The newest turns whose JSON fits in `room` bytes."""
    for index in range(len(turns) - 1, -1, -1):
        room -= len(msgspec.json.encode(turns[index])) + 1
        if room < 0:
            return tuple(turns[index + 1 :])
    return tuple(turns)


def running_of(run: str, log: list[Any], replaced: bytes | None = None) -> dict[str, Any] | None:
    """Fold the entries of the current run, from its beginning, to a run as a snapshot shows it."""
    folded: Running | None = None
    for fields in entries.merged(fields[1] for _, fields in log):
        entry = entries.entry_of(fields) if fields.get("run") == run else None
        if folded is None and isinstance(entry, entries.Run):
            folded = Running(run, entry.turn, replaced=msgpack.unpackb(replaced) if replaced else [])
        if folded is not None and entry is not None:
            folded.apply(entry)
    return folded.wire() if folded else None


def carry_of(session: Session, given: list[Any] | None, incarnation: str, damaged: Counter[str]) -> Carry | None:
    """Read what a script puts into this node's hands, as `hand` of `scripts/prelude.lua` gives it."""
    if not given:
        return None
    run, fence, request, left_ms, lines, attempt, model = given
    return Carry(
        Writer(session, run.decode(), int(fence), incarnation),
        msgspec.convert(msgpack.unpackb(request) | {"model": model.decode()}, Request),
        int(left_ms) / 1000,
        tuple(turns_of(lines, damaged)),
        int(attempt),
    )
