"""What a run's writers do, and who would be one, by contract: one writer a run."""

from typing import Any, Final

import msgpack

from app.core.entries import Answer, Entry, Run, decode
from app.core.model import Cursor
from tests.proof.believed import Believed
from tests.proof.call import ANSWER, Call, handed
from tests.proof.laws import CALLS, DECIDED, ONE_END, ORDER, PLACE, TURNS, law
from tests.proof.running import Running

ANSWERS: Final = ("restart", "continue", "resume")


def append(told: Believed, call: Call) -> None:
    """The writer's next entries are stored; those that it has just stored are not stored again."""
    _, _, run, fence, incarnation, count, lease_ms, place, *added = call.args
    now = told.written_by(run, fence, incarnation)
    if now is None:
        return call.refuses("fenced")
    if _made(call, now, count, lease_ms):
        return call.refuses("already", *now.last, now.wanted)
    if now.count != count:
        return call.refuses("lost", now.count)
    _adds(told, now, call, added)
    now.place = place or now.place
    return call.agrees("appended", *now.last, now.wanted)


def work(told: Believed, call: Call) -> None:
    """The same for what is done besides writing; and the run's record knows just that."""
    _, _, run, fence, incarnation, count, lease_ms, open, settled, asked, used, *added = call.args
    now = told.written_by(run, fence, incarnation)
    if now is None:
        return call.refuses("fenced")
    if _made(call, now, count, lease_ms):
        return call.refuses("already", *now.last, now.wanted)
    if now.count != count:
        return call.refuses("lost", now.count)
    _adds(told, now, call, added)
    stands, calls = now.stands, msgpack.unpackb(asked)
    law(CALLS, (open, calls) == (stands.open, stands.pending), open, calls, "and not", stands.open, stands.pending)
    law(CALLS, (settled == "1") == bool(stands.settled), settled, "and not", stands.settled)
    now.place, now.open, now.used = "", open, used
    now.decided |= {ask: answer for ask, answer in (now.asks or {}).items() if answer}
    now.asks = {ask: (now.asks or {}).get(ask, b"") for ask in calls}
    return call.agrees("appended", *now.last, now.wanted)


def attempt(told: Believed, call: Call) -> None:
    """The writer tries once more, as often as it may, or has another model asked; it is an append like any other."""
    _, _, run, fence, incarnation, count, lease_ms, most, how, node, other = call.args
    now = told.written_by(run, fence, incarnation)
    if now is None:
        return call.refuses("fenced")
    if _made(call, now, count, lease_ms):
        return call.refuses("again", str(now.attempt), now.wanted)
    if now.count != count:
        return call.refuses("lost", now.count)
    tried = now.attempt + (not other)
    if tried > most:
        return call.refuses("used_up")
    after = told.at
    now.attempt, now.model = tried, other or now.model
    _goes_on(told, now, call, how, node)
    now.count, now.last, now.lease, now.place = count + 1, (after, told.at), call.clock + lease_ms, ""
    if how == "restart" and not now.stands.settled:
        now.began = told.at
    return call.agrees("again", now.attempt, now.wanted)


def restore(told: Believed, call: Call) -> None:
    """The writer's lost appends are back under their old ids, if nothing else was lost between, or came after."""
    _, _, run, fence, incarnation, count, lease_ms, before, place, *rest = call.args
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
    now.count, now.lease, now.place = count + len(groups), call.clock + lease_ms, place or now.place
    return call.agrees("restored", now.count)


def end(told: Believed, call: Call) -> None:
    """The writer's last entries are stored, its run is over, and the next one has begun."""
    (_, _, run, fence, incarnation, _, count, record, lease_ms, run_ms, ttl_ms, max_turns, max_entries, window, _, _,
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
    told.ended, told.ended_at = (run, fence, incarnation), at
    begun = told.begun(incarnation, call.clock + lease_ms, call.clock + run_ms)
    hand = handed(told, call, 2, begun, window)
    told.trimmed(max_entries)
    told.touched(ttl_ms, call.clock)
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
    held, can = now.held, msgpack.unpackb(packed).get(now.model)
    tried = now.attempt + (not (now.given_up or held))
    waited = held is not None and not now.given_up
    deadline = held.until + held.left if waited and held is not None else now.deadline
    if now.wanted == "1" or (waited and held is not None and held.why == "pause"):
        how = "stopped"
    elif call.clock >= deadline:
        how = "model_timeout"
    elif (
        tried > most or now.stands.open == "once" or now.how == "unavailable"
        or (can == "fail" and now.count and not now.between)
    ):  # fmt: skip
        how = "unavailable"
    elif can is None:
        return call.refuses("kept")
    elif now.between:
        how = "continue"
    else:
        how = can if can == "continue" or (can == "resume" and now.place) else "restart"
    law(CALLS, how not in ANSWERS or now.stands.open != "once", now, "may have been made")
    law(PLACE, how != "resume" or now.place == now.stands.mark, now.place, "but there stands", now.stands)
    denied = [
        Answer(run=run, call=ask, decision="deny", by="expiry") for ask in now.stands.undecided if held is not None
    ]
    told.fence += 1
    now.fence, now.incarnation, now.attempt, now.how, now.deadline = told.fence, incarnation, tried, how, deadline
    now.count, now.given_up, now.held, now.lease = 0, False, None, call.clock + lease_ms
    now.place = "" if how in ("restart", "continue") else now.place
    if how in ANSWERS:
        _goes_on(told, now, call, how, node, denied)
        now.began = told.at if how == "restart" and not now.stands.settled else now.began
        answer = call.agrees
    elif denied:
        stored = [decode(raw) for raw in told.take(call.published)]
        law(DECIDED, stored == denied, stored, "and not", denied)
        call.hints()
        answer = call.agrees
    else:
        answer = call.refuses
    if denied:
        now.asks = (now.asks or {}) | {one.call: told.answer_to(one.call) for one in denied}
    return answer(*_claimed(told, call, now, window))


def release(told: Believed, call: Call) -> None:
    """The writer gives its right up, and everybody hears of it."""
    member, run, fence, incarnation, bell = call.args
    now = told.written_by(run, fence, incarnation)
    if now is None:
        return call.refuses("fenced")
    now.offered(call.clock)
    call.hints((bell, member))
    return call.agrees("released")


def renew(told: Believed, call: Call) -> None:
    """The writer keeps its right."""
    _, run, fence, incarnation, lease_ms, count, place = call.args
    now = told.written_by(run, fence, incarnation)
    if now is None:
        return call.refuses("fenced")
    now.lease = call.clock + lease_ms
    now.place = place if place and now.count == count else now.place
    return call.refuses("renewed", now.wanted)


def _made(call: Call, now: Running, count: int, lease_ms: int) -> bool:
    """Whether this append was made already; it renews then."""
    if now.count != count + 1:
        return False
    now.lease = call.clock + lease_ms
    return True


def _adds(told: Believed, now: Running, call: Call, added: list[bytes]) -> None:
    """The entries are stored, as one append of the writer's; it renews."""
    after, stored = told.at, told.take(call.published)
    law(ORDER, stored == added, stored, added)
    now.count, now.last, now.lease = now.count + 1, (after, told.at), call.clock + call.args[6]
    call.hints()


def _goes_on(told: Believed, now: Running, call: Call, how: str, node: str, first: list[Answer] | None = None) -> None:
    """Readers are told how the run goes on, after what was decided for that, and nothing else."""
    entry = Run(run=now.run, turn=now.question.about, attempt=now.attempt, how=how, node=node, model=now.model)
    expected: list[Entry] = [*(first or []), entry]
    stored = [decode(raw) for raw in told.take(call.published)]
    law(TURNS, stored == expected, stored, "and not", expected)
    call.hints()


def _claimed(told: Believed, call: Call, now: Running, window: int) -> tuple[Any, ...]:
    """What a claim gives: the run, what is to be done, what stands in the log, where it is taken up, what it used."""
    law(ANSWER, call.answer[0] == b"claimed", call.answer, "and not", now)
    hand = handed(told, call, 1, now, window)
    return "claimed", hand, now.how, told.since(now.began), now.place, now.used or b""
