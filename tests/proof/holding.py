"""How a run waits for a person, by contract: it is held, decided on, and carried on; or it is not."""

import msgpack

from app.core.entries import End, Hold, decode
from tests.proof.believed import Believed, digest
from tests.proof.call import Call, hinted
from tests.proof.laws import DECIDED, HELD, ORDER, law
from tests.proof.running import Held, Running


def hold(told: Believed, call: Call) -> None:
    """The writer lets its run wait, with all that ends it; not if it is to end, or if there is nothing to wait for."""
    (_, _, run, fence, incarnation, count, why, until, ttl_ms, ended, record, partial, used, entry) = call.args
    now = told.run
    by = now.held.by if now is not None and now.held is not None else None
    if now is not None and (now.run, now.fence, by) == (run, fence, incarnation):
        return call.refuses("held", now.last[1])
    now = told.written_by(run, fence, incarnation)
    if now is None:
        return call.refuses("fenced")
    if now.count != count:
        return call.refuses("lost", now.count)
    if now.wanted == "1":
        return call.refuses("stop")
    answers = [answer for answer in (now.asks or {}).values() if answer]
    waits = len(answers) < len(now.asks or {})
    if not waits if why == "approval" else now.wanted != "pause":
        return call.refuses("decided", answers)

    _ends_whole(now, ended, record, partial)
    after, stored = told.at, told.take(call.published)
    law(ORDER, stored == [entry] and decode(entry) == Hold(run=run, why=why, until=until), stored, entry)
    now.held = Held(why, incarnation, until, now.deadline - call.clock, ended, record, partial == "1")
    now.count, now.last, now.used = count + 1, (after, told.at), used
    now.wanted = "" if why == "pause" else now.wanted
    now.incarnation, now.lease = "", until
    told.touched(ttl_ms, call.clock)
    call.hints()
    return call.agrees("held", told.at)


def answer(told: Believed, call: Call) -> None:
    """The first decision on a call stands; with the last of them, a run that is held may be had at once."""
    _, member, run, ask, entry, ttl_ms, bell = call.args
    now = told.run
    if now is None or now.run != run:
        return call.refuses("over" if _ended(told, run) else "not_found")
    asks = now.asks or {}
    if ask not in asks:
        return call.refuses("answered", now.decided[ask]) if ask in now.decided else call.refuses("not_found")
    if asks[ask]:
        return call.refuses("answered", asks[ask])
    law(DECIDED, told.take(call.published) == [entry], call.args)
    asks[ask] = entry
    if now.held is not None and now.held.why == "approval" and all(asks.values()):
        now.offered(call.clock)
        call.hints((bell, member))
    else:
        call.hints()
    told.touched(ttl_ms, call.clock)
    return call.agrees("answered", entry)


def pause(told: Believed, call: Call) -> None:
    """A run under way is to be held, unless it is to end; one that waits for answers too, when it has them."""
    (run,) = call.args
    now = told.run
    if now is None or now.run != run:
        waits = any(waiting.run == run for waiting in told.waiting)
        return call.refuses("waits" if waits else "over" if _ended(told, run) else "not_found")
    status = "held" if now.held is not None else "pausing"
    if now.wanted == "1" or (now.held is not None and now.held.why == "pause"):
        return call.refuses(status, told.at)
    now.wanted = "pause"
    call.hints(*hinted(now))
    return call.agrees(status, told.at)


def resume(told: Believed, call: Call) -> None:
    """A run that is paused may be had at once, and one that is to be paused is not."""
    member, run, bell = call.args
    now = told.run
    if now is None or now.run != run:
        waits = any(waiting.run == run for waiting in told.waiting)
        return call.refuses("waits" if waits else "over" if _ended(told, run) else "not_found")
    if now.held is None or now.wanted == "pause":
        now.wanted = "" if now.wanted == "pause" else now.wanted
        return call.refuses("resumed", told.at)
    if now.held.why == "approval":
        return call.refuses("asks")
    now.offered(call.clock)
    call.hints((bell, member))
    return call.agrees("resumed", told.at)


def _ended(told: Believed, run: str) -> bool:
    """Whether it is remembered that a run has ended."""
    return any(said.run == run for said in told.said.values()) and all(waiting.run != run for waiting in told.waiting)


def _ends_whole(now: Running, ended: bytes, record: bytes, partial: str) -> None:
    """What ends a run while it is held, ends it with what stands."""
    stands, end, turn = now.stands, decode(ended), msgpack.unpackb(record)
    assert isinstance(end, End)
    law(HELD, (end.length, end.sha256) == digest(stands.text) and turn["text"] == stands.text, end, turn, stands)
    law(HELD, (end.run, end.state, turn["state"]) == (now.run, "stopped", "stopped"), end, turn)
    law(HELD, (partial == "1") == stands.partial, partial, stands)
