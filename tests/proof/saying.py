"""What people do to a session, by contract: ask, stop, rename, rate, delete."""

import hashlib
import json

import msgpack

from app.core.entries import split
from app.core.model import START, Cursor, Session
from app.state.bounds import GONE_SECONDS
from app.state.keys import SessionKeys
from tests.proof.believed import Believed, Said, read, unpacked
from tests.proof.call import ANSWER, QUIET, Call, handed, hinted
from tests.proof.laws import ONE_END, ORDER, TURNS, law
from tests.proof.running import Running, Waiting


def say(told: Believed, call: Call) -> None:
    """A new turn begins or waits; one whose id is known gives what was; what is held ends; nothing else is done."""
    (_, _, id, print, run, entry, _, record, request, model, busy, incarnation, _, lease_ms, run_ms, ttl_ms,
     max_queued, max_turns, max_ids, title, window, max_bytes, json_bytes, unnamed, kind, turn, max_entries,
     _) = call.args  # fmt: skip
    known = told.said.get(id)
    if known is not None and known.print != print:
        return call.refuses("id_reused")
    if known is not None:
        given = told.given(incarnation)
        mine = given if given is not None and given.run == known.run else None
        hand = handed(told, call, 5, mine, window)
        return call.refuses("said", known.run, known.at, known.before, 1, hand)
    if told.gone.get(trace(call.session, id, print), 0) > call.clock:
        return call.refuses("gone")
    if kind != "say" and told.has(turn) is None:
        return call.refuses("not_found")
    if told.run is not None and busy == "reject":
        return call.refuses("busy")
    size = json_bytes + sum(waiting.json_bytes for waiting in told.waiting)
    if told.run is not None and (len(told.waiting) >= max_queued or size > max_bytes):
        return call.refuses("queue_full")

    own = json.loads(told.settings.get("model", '""'))
    if own and f"\n{own}\n" in unnamed:
        model = own
    text = msgpack.unpackb(request)["text"]
    coming = Waiting(id, run, text, model, record, request, json_bytes, START, kind, turn, entry)
    before, now = told.at, told.run
    held = now.held if now is not None else None
    begins = now is None or (held is not None and (busy == "interrupt" or not told.waiting))
    if held is not None and begins and told.has(turn) == 0 and len(told.turns) == max_turns:
        return call.refuses("not_found")  # it leaves the history with the end of what is held
    if held is not None and not begins:
        said_at = _waits_behind(told, call, coming, held.turn, max_turns)
    elif now is not None and held is None and kind != "say":
        law(QUIET, all(heard.channel != call.live for heard in call.heard), call.heard)
        told.waits(coming, in_front=busy == "interrupt")
        said_at = told.at
    else:
        ended, interrupts = held.turn if held is not None else b"", busy == "interrupt"
        told.take(
            call.published, coming=coming, queues=not begins, in_front=interrupts, record=ended, max_turns=max_turns
        )
        said_at = told.at
    told.said[id] = Said(print, run, before, said_at)
    told.forget(max_ids)
    told.born = told.born if before != START else call.clock
    told.title = told.title or title if begins else told.title
    hand = None
    if now is not None and held is None:
        call.hints(*_interrupted(now, busy))
    else:
        hand = handed(told, call, 5, told.begun(incarnation, call.clock + lease_ms, call.clock + run_ms), window)
        law(TURNS, told.run is not None or not (begins or told.waiting), "nothing began", call.answer)
        call.hints()
    if held is not None:
        told.trimmed(max_entries)
    told.touched(ttl_ms, call.clock)
    return call.agrees("said", run, said_at, before, 0, hand)


def _waits_behind(told: Believed, call: Call, coming: Waiting, ended: bytes, max_turns: int) -> Cursor:
    """What is held ends, and what is said goes behind what waits, whose first begins. Return where it was said."""
    first, second = call.publishes(2)
    told.take(first, coming=coming, queues=True, record=ended, max_turns=max_turns)
    if coming.kind != "say":
        told.waits(coming, in_front=False)
    said_at = told.at
    told.take(second, max_turns=max_turns)
    return said_at


def _interrupted(now: Running, busy: str) -> list[tuple[str, str]]:
    """What the node is told whose run is to stop for what was said, if it is."""
    if busy != "interrupt":
        return []
    now.wanted = "1"
    return hinted(now)


def stop(told: Believed, call: Call) -> None:
    """A running run is told, one that waits in the queue or for a person is over, one that was stays as it is."""
    _, run, _, prefix, run_ms, ttl_ms, max_turns, max_entries, _, bell = call.args
    now = told.run
    if now is not None and now.run == run and now.held is not None:
        told.take(call.published, record=now.held.turn, max_turns=max_turns)
        law(ONE_END, run in told.over and (told.run is not None or not told.waiting), call.args, told.run)
        begun = told.begun("", 0, call.clock + run_ms)
        if begun is not None:
            begun.offered(call.clock)
        call.hints(*[(bell, f"{prefix}{begun.run}")] if begun is not None else [])
        told.trimmed(max_entries)
        told.touched(ttl_ms, call.clock)
        return call.agrees("ended", told.at)
    if now is not None and now.run == run:
        now.wanted = "1"
        call.hints(*hinted(now))
        return call.agrees("stopping", told.at)
    if any(waiting.run == run for waiting in told.waiting):
        told.take(call.published)
        law(ONE_END, run in told.over, call.args)
        for said in told.said.values():
            said.stopped = said.stopped or said.run == run
        call.hints()
        return call.agrees("ended", told.at)
    known = any(said.run == run for said in told.said.values())
    return call.refuses("ended", told.at) if known else call.refuses("not_found")


def meta(told: Believed, call: Call) -> None:
    """The title changes, once; a run gives one only while that is its own to do."""
    _, title, _, ttl_ms, run = call.args
    if not told.log:
        return call.refuses("not_found")
    if run and (told.titled in ("", "-") or told.titled.split(" ")[1] != run):
        return call.refuses("late")
    told.titled = "-"
    if told.title == title:
        return call.refuses("set", told.at)
    told.take(call.published)
    law(ANSWER, told.title == title, told.title, call.args)
    told.touched(ttl_ms, call.clock)
    return call.agrees("set", told.at)


def set(told: Believed, call: Call) -> None:
    """Settings change, where one does; a session that was not there is, with no title."""
    _, meta, ttl_ms, *pairs = call.args
    given = dict(zip(pairs[::2], pairs[1::2], strict=True))
    if all(told.settings.get(name, "") == value for name, value in given.items()):
        return call.refuses("set", told.at)
    told.born = told.born if told.log else call.clock
    law(ANSWER, told.take(call.published) == [meta], call.args)
    told.settings = {name: value for name, value in (told.settings | given).items() if value}
    told.touched(ttl_ms, call.clock)
    return call.agrees("set", told.at)


def rating(told: Believed, call: Call) -> None:
    """An answer has a rating, or has it no more; all else of it stays."""
    _, turn, entry, over, ttl_ms = call.args
    index = next((n for n, line in enumerate(told.turns) if line.split(b" ", 2)[1].decode() == turn), None)
    if index is None or read(told.turns[index])["role"] != "assistant":
        return call.refuses("not_found")
    at, id, maps = told.turns[index].split(b" ", 2)
    kept = b"".join(one for one in split(maps) if "rating" not in msgpack.unpackb(one))
    now = b" ".join((at, id, kept + over))
    if now == told.turns[index]:
        return call.refuses("rated", told.at)
    law(ANSWER, told.add(call.published) == [entry], call.args)
    told.turns[index] = now
    told.touched(ttl_ms, call.clock)
    return call.agrees("rated", told.at)


def put(told: Believed, call: Call) -> None:
    """A turn is in the history that nobody said here, once; not while a run is under way."""
    _, id, record, max_turns, max_entries, ttl_ms, max_ids, title, *added = call.args
    name = f"put:{id}"
    if name in told.said:
        return call.refuses("put", told.said[name].print)
    if told.run is not None:
        return call.refuses("busy")
    told.born = told.born if told.log else call.clock
    law(ANSWER, told.add(call.published) == added, call.args)
    told.said[name] = Said(str(told.at), "", told.at, told.at)
    told.forget(max_ids)
    told.turns.append(f"{told.at} {id} ".encode() + record)
    del told.turns[:-max_turns]
    told.title = told.title or title
    told.touched(ttl_ms, call.clock)
    told.trimmed(max_entries)
    return call.agrees("put", told.at)


def delete(told: Believed, call: Call) -> None:
    """All is gone, and who reads is told so. The world begins a new belief then."""
    if not told.log:
        return call.refuses("gone", 0)
    after, at, _ = unpacked(call.published)
    law(ORDER, after == told.at and at.seq == after.seq + 1 and at.ms >= after.ms, after, at)
    told.gone |= {trace(call.session, id, one.print): call.clock + GONE_SECONDS * 1000 for id, one in told.said.items()}
    call.hints(*hinted(told.run))
    return call.agrees("gone", 1)


def trace(session: Session, id: str, print: str) -> str:
    """What is left of a message once its session is deleted."""
    return hashlib.sha1(f"{SessionKeys(session).head} {id} {print}".encode(), usedforsecurity=False).hexdigest()
