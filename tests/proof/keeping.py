"""What lies in Redis is what we believe, no less and no more; and all but the index of leases has a lifetime."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgpack

from app.core.model import Session
from app.state.bounds import GONE_SECONDS
from app.state.keys import SessionKeys
from app.state.stored import member_of
from tests.proof.believed import Believed
from tests.proof.call import plain
from tests.proof.laws import PLACE, law
from tests.proof.running import Running, Waiting

KEEPS: Final = "what lies in Redis is what was told"
LEASES: Final = "the index of leases has the runs under way, each until its time, and nothing else"
LIVES: Final = "all keys of a session live and expire together"
PASSING: Final = {b"until", b"place", b"stop"}  # fields of the head that are there only while they say something
SLACK_MS: Final = 120_000  # a test takes no longer


def looks(sessions: Iterable[Session]) -> list[tuple[Any, ...]]:
    """The commands that read all of Redis, for `keeps`."""
    keys = [SessionKeys(session) for session in sessions]
    leases, gone = keys[0].leases, keys[0].gone
    looks: list[tuple[Any, ...]] = [("KEYS", "*"), ("PTTL", gone)]
    looks += [("ZRANGE", key, 0, -1, "WITHSCORES") for key in (leases, gone)]
    for each in keys:
        looks += [
            ("HGETALL", each.head), ("XRANGE", each.log, "-", "+"), ("HGETALL", each.run),
            ("LRANGE", each.turns, 0, -1),
            ("HGETALL", each.said), ("LRANGE", each.ids, 0, -1), ("LRANGE", each.queue, 0, -1),
            ("LRANGE", each.replaced, 0, -1), *(("PTTL", key) for key in each.own),
        ]  # fmt: skip
    return looks


def keeps(believed: Mapping[Session, Believed], found: list[Any]) -> None:
    """Hold all of Redis, as `looks` found it, to what we believe.

    Raises:
        Broken: it differs.
    """
    present, gone_ms, leases, gone, *found = found
    law(LIVES, set(present) <= {key.encode() for session in believed for key in SessionKeys(session).all}, present)
    law(KEEPS, dict(gone) == {w.encode(): t for told in believed.values() for w, t in told.gone.items()}, gone)
    law(LIVES, gone_ms == -2 or -SLACK_MS < gone_ms - GONE_SECONDS * 1000 <= 0, gone_ms)
    for index, told in enumerate(believed.values()):
        part = found[index * 16 : index * 16 + 16]
        _keeps(told, *part[:8])
        _lives(told, part[8:])
    expected = dict(lease for session, told in believed.items() for lease in _leases(session, told))
    orphans = {member_of(session, run).encode() for session, told in believed.items() for run in told.orphans}
    law(LEASES, {member: score for member, score in leases if member not in orphans} == expected, leases, expected)


def _keeps(
    told: Believed, head: Any, log: Any, run: Any, turns: Any, said: Any, ids: Any, queue: Any, replaced: Any
) -> None:
    """Hold the keys of one session."""
    law(KEEPS, replaced == [by.encode() + b" " + line for by, line in told.replaced], replaced, told.replaced)
    law(KEEPS, log == told.stored[told.trim.seq :], log, told.stored)
    law(KEEPS, turns == told.turns, turns, told.turns)
    law(KEEPS, [id.decode() for id in ids] == list(told.said), ids, told.said)
    law(KEEPS, said == _said(told), said, told.said)
    waiting = [_waiting(one) for one in told.waiting]
    law(KEEPS, [msgpack.unpackb(one, raw=True) for one in queue] == waiting, queue, waiting)
    expected = _head(told) if told.log else {}
    law(KEEPS, {name: head.get(name) for name in expected} == expected, head, expected)
    law(KEEPS, {name for name in head if name.startswith(b"s:")} <= expected.keys(), head, expected)
    law(KEEPS, {name for name in head if name in PASSING} == expected.keys() & PASSING, head, expected)
    law(KEEPS, bool(head) == bool(told.log), head, told.run)
    asks = msgpack.unpackb(run.pop(b"asks"), raw=True) if b"asks" in run else None
    known = told.run.asks if told.run is not None else None
    law(KEEPS, (asks or []) == [[call.encode(), answer] for call, answer in (known or {}).items()], asks, known)
    law(KEEPS, run == (_run(told.run) if told.run is not None else {}), run, told.run)
    stands = told.run is None or told.run.place in ("", told.run.stands.mark)
    law(PLACE, stands, told.run)


def _waiting(one: Waiting) -> dict[bytes, Any]:
    fields = {
        "id": one.id, "run": one.run, "model": one.model, "record": one.record, "request": one.request,
        "size": one.json_bytes, "kind": one.kind, "turn": one.turn,
    } | ({"at": one.at} if one.kind == "say" else {"entry": one.entry})  # fmt: skip
    return {name.encode(): plain(value) for name, value in fields.items()}


def _head(told: Believed) -> dict[bytes, Any]:
    now = told.run
    fields = {
        "ms": told.at.ms, "seq": told.at.seq, "title": told.title, "trim": told.trim, "fence": told.fence,
        "run": now.run if now else "", "incarnation": now.incarnation if now else "", "born": told.born,
        "state": "idle" if now is None else "running" if now.held is None else "held",
    }  # fmt: skip
    if now is not None:
        fields |= {"count": now.count}
        fields |= {"until": now.held.until} if now.held is not None else {}
        fields |= {"place": now.place} if now.place else {}
        fields |= {"stop": now.wanted} if now.wanted else {}
    fields |= {"titled": told.titled} if told.titled else {}
    fields |= {f"s:{name}": value for name, value in told.settings.items()}
    return {name.encode(): str(value).encode() for name, value in fields.items()}


def _run(now: Running) -> dict[bytes, bytes]:
    """All of a run's record but for its asks."""
    held = now.held
    fields = {"model": now.model, "attempt": now.attempt, "began": now.began, "deadline": now.deadline}
    fields |= {"released": 1} if now.given_up else {}
    fields |= {"how": now.how} if now.how else {}
    fields |= {"open": now.open} if now.open is not None else {}
    fields |= {"settled": 1} if now.stands.settled else {}
    if held is not None:
        fields |= {"held": held.why, "held_by": held.by, "left": held.left, "partial": "1" if held.partial else ""}
    records = {b"request": now.question.request}
    records |= {b"replaced": msgpack.packb(now.replaced)} if now.replaced else {}
    records |= {b"usage": now.used} if now.used is not None else {}
    records |= {f"answer {call}".encode(): answer for call, answer in now.decided.items()}
    records |= {b"end": held.end, b"turn": held.turn} if held is not None else {}
    return {name.encode(): str(value).encode() for name, value in fields.items()} | records


def _said(told: Believed) -> dict[bytes, bytes]:
    by_id = {
        id: f"{one.print} {one.run} {one.before} {one.at}" if one.run else one.print for id, one in told.said.items()
    }
    by_run = {f"r:{one.run}": "stopped" if one.stopped else id for id, one in told.said.items() if one.run}
    return {name.encode(): value.encode() for name, value in (by_id | by_run).items()}


def _leases(session: Session, told: Believed) -> list[tuple[bytes, float]]:
    return [(member_of(session, told.run.run).encode(), float(told.run.lease))] if told.run is not None else []


def _lives(told: Believed, lifetimes: list[int]) -> None:
    """Hold the lifetimes of one session's keys; -2 is that of a key that is not there."""
    law(LIVES, all(ms == -2 or told.lives - SLACK_MS < ms <= told.lives for ms in lifetimes), lifetimes, told.lives)
