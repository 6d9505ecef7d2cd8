"""What a run's writers do, and who would be one, by contract: one writer a run."""

from typing import Any

import msgpack

from app.core.entries import Run, decode
from app.core.model import Cursor
from tests.proof.believed import Believed, Running
from tests.proof.call import ANSWER, Call, flag, handed
from tests.proof.laws import ONE_END, ORDER, TURNS, law


def append(told: Believed, call: Call) -> None:
    """The writer's next entries are stored; those that it has just stored are not stored again."""
    _, _, run, fence, incarnation, count, lease_ms, *added = call.args
    now = told.written_by(run, fence, incarnation)
    if now is None:
        return call.refuses("fenced")
    if now.count == count + 1:
        now.lease = call.clock + lease_ms
        return call.refuses("already", *now.last, flag(now))
    if now.count != count:
        return call.refuses("lost", now.count)
    after, stored = told.at, told.take(call.published)
    law(ORDER, stored == added, stored, added)
    now.count, now.last, now.lease = count + 1, (after, told.at), call.clock + lease_ms
    call.hints()
    return call.agrees("appended", *now.last, flag(now))


def attempt(told: Believed, call: Call) -> None:
    """The writer tries once more, as often as it may; it is an append like any other."""
    _, _, run, fence, incarnation, count, lease_ms, most, how, node = call.args
    now = told.written_by(run, fence, incarnation)
    if now is None:
        return call.refuses("fenced")
    if now.count == count + 1:
        now.lease = call.clock + lease_ms
        return call.refuses("again", str(now.attempt), flag(now))
    if now.count != count:
        return call.refuses("lost", now.count)
    if now.attempt >= most:
        return call.refuses("used_up")
    after = told.at
    now.attempt += 1
    _goes_on(told, now, call, how, node)
    now.count, now.last, now.lease = count + 1, (after, told.at), call.clock + lease_ms
    if how == "restart":
        now.began = told.at
    return call.agrees("again", now.attempt, flag(now))


def restore(told: Believed, call: Call) -> None:
    """The writer's lost appends are back under their old ids, if nothing else was lost between, or came after."""
    _, _, run, fence, incarnation, count, lease_ms, before, *rest = call.args
    groups: list[tuple[Cursor, list[bytes]]] = []
    while rest:
        groups.append((Cursor.parse(rest[0]), rest[2 : 2 + rest[1]]))
        rest = rest[2 + rest[1] :]
    now = told.written_by(run, fence, incarnation)
    if now is None:
        return call.refuses("fenced")
    if now.count != count:
        back = now.count == count + len(groups)
        return call.refuses("restored", now.count) if back else call.refuses("moved")
    befores = [Cursor.parse(before), *(at for at, _ in groups)]
    dense = all(before.seq + len(added) == at.seq for before, (at, added) in zip(befores, groups, strict=False))
    if told.at != befores[0] or not dense:
        return call.refuses("moved")
    law(ORDER, len(call.heard) == len(groups), call.heard, "of", len(groups))
    for heard, (at, added) in zip(call.heard, groups, strict=True):
        after = told.at
        law(ORDER, told.take(heard.data) == added and told.at == at, heard, at, added)
        now.last = after, at
    now.count, now.lease = count + len(groups), call.clock + lease_ms
    return call.agrees("restored", now.count)


def end(told: Believed, call: Call) -> None:
    """The writer's last entries are stored, its run is over, and the next one has begun."""
    (_, _, run, fence, incarnation, _, count, record, lease_ms, run_ms, _, max_turns, max_entries, window, _, _,
     title_ms, *added) = call.args  # fmt: skip
    if told.ended == (run, fence, incarnation):
        mine = int(told.titled.endswith(f" {run}"))
        return call.refuses("already", told.ended_at, handed(told, call, 2, told.given(incarnation), window), mine)
    now = told.written_by(run, fence, incarnation)
    if now is None:
        return call.refuses("fenced")
    if now.count != count:
        return call.refuses("lost", now.count)
    after = told.at
    stored = told.take(call.published, record=record, max_turns=max_turns)
    law(ORDER, stored[: len(added)] == added, stored, added)
    law(ONE_END, run in told.over and (told.run is not None or not told.waiting), call.args, told.run)
    at = told.log[after.seq + len(added) - 1][0]
    told.ended, told.ended_at, told.aged = (run, fence, incarnation), at, False
    begun = told.begun(incarnation, call.clock + lease_ms, call.clock + run_ms)
    hand = handed(told, call, 2, begun, window)
    told.trimmed(max_entries)
    titles = bool(title_ms) and told.titled != "-" and int(told.titled.split(" ")[0] or 0) <= call.clock
    told.titled = f"{call.clock + title_ms} {run}" if titles else told.titled
    call.hints()
    return call.agrees("ended", at, hand, int(titles))


def claim(told: Believed, call: Call) -> None:
    """A run whose lease is over changes hands, with all that stands; any other stays where it is."""
    _, _, run, incarnation, node, lease_ms, window, most, packed = call.args
    now = told.run
    if now is None or now.run != run:
        told.orphans.discard(run)
        return call.refuses("over")
    if now.lease > call.clock:
        again = now.how and now.incarnation == incarnation and now.count == 0
        return call.refuses(*_claimed(told, call, now, window)) if again else call.refuses("kept")
    can = msgpack.unpackb(packed).get(now.question.model)
    tried = now.attempt + (not now.given_up)
    if now.stop:
        how = "stopped"
    elif call.clock >= now.deadline:
        how = "model_timeout"
    elif tried > most or (can == "fail" and now.text):
        how = "unavailable"
    elif can is None:
        return call.refuses("kept")
    else:
        how = "continue" if can == "continue" else "restart"
    told.fence += 1
    now.fence, now.incarnation, now.attempt, now.how = told.fence, incarnation, tried, how
    now.count, now.given_up, now.lease = 0, False, call.clock + lease_ms
    if how not in ("restart", "continue"):
        return call.refuses(*_claimed(told, call, now, window))
    _goes_on(told, now, call, how, node)
    now.began = told.at if how == "restart" else now.began
    return call.agrees(*_claimed(told, call, now, window))


def release(told: Believed, call: Call) -> None:
    """The writer gives its right up, and everybody hears of it."""
    member, run, fence, incarnation, bell = call.args
    now = told.written_by(run, fence, incarnation)
    if now is None:
        return call.refuses("fenced")
    now.given_up, now.lease, now.incarnation = True, 0, ""
    call.hints((bell, member))
    return call.agrees("released")


def renew(told: Believed, call: Call) -> None:
    """The writer keeps its right."""
    _, run, fence, incarnation, lease_ms = call.args
    now = told.written_by(run, fence, incarnation)
    if now is None:
        return call.refuses("fenced")
    now.lease = call.clock + lease_ms
    return call.refuses("renewed", flag(now))


def _goes_on(told: Believed, now: Running, call: Call, how: str, node: str) -> None:
    """Readers are told how the run goes on, and nothing else."""
    entry = Run(run=now.run, turn=now.question.about, attempt=now.attempt, how=how, node=node, model=now.question.model)
    stored = [decode(raw) for raw in told.take(call.published)]
    law(TURNS, stored == [entry], stored, "and not", entry)
    call.hints()


def _claimed(told: Believed, call: Call, now: Running, window: int) -> tuple[Any, ...]:
    """What a claim gives: the run, what is to be done, and what stands in the log."""
    entries = [] if now.how == "restart" else told.since(now.began)
    law(ANSWER, call.answer[0] == b"claimed", call.answer, "and not", now)
    return "claimed", handed(told, call, 1, now, window), now.how, entries
