"""What people do to a session, by contract: ask, stop, rename, rate, delete."""

import hashlib
import json

import msgpack

from app.core.entries import split
from app.core.model import START, Session
from app.state.bounds import GONE_SECONDS
from app.state.keys import SessionKeys
from tests.proof.believed import Believed, Said, Waiting, read, unpacked
from tests.proof.call import ANSWER, QUIET, Call, handed, hinted
from tests.proof.laws import ONE_END, ORDER, TURNS, law


def say(told: Believed, call: Call) -> None:
    """A new turn begins or waits; one whose id is known gives what was; nothing else is done."""
    (_, _, id, print, run, entry, _, record, request, model, busy, incarnation, _, lease_ms, run_ms, _,
     max_queued, max_turns, max_ids, title, window, max_bytes, json_bytes, unnamed, kind, turn) = call.args  # fmt: skip
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
    before, interrupted = told.at, told.run
    text = msgpack.unpackb(request)["text"]
    coming = Waiting(id, run, text, model, record, request, json_bytes, START, kind, turn, entry)
    if interrupted is not None and kind != "say":
        law(QUIET, all(heard.channel != call.live for heard in call.heard), call.heard)
        told.waits(coming, in_front=busy == "interrupt")
    else:
        told.take(call.published, coming=coming, in_front=busy == "interrupt", max_turns=max_turns)
    told.said[id] = Said(print, run, before, told.at)
    told.forget(max_ids)
    told.aged = False
    if interrupted is not None:
        interrupted.stop = interrupted.stop or busy == "interrupt"
        call.hints(*hinted(interrupted if busy == "interrupt" else None))
        return call.agrees("said", run, told.at, before, 0, None)
    told.born = told.born if before != START else call.clock
    told.title = told.title or title
    begun = told.begun(incarnation, call.clock + lease_ms, call.clock + run_ms)
    law(TURNS, begun is not None, "nothing began", call.answer)
    hand = handed(told, call, 5, begun, window)
    call.hints()
    return call.agrees("said", run, told.at, before, 0, hand)


def stop(told: Believed, call: Call) -> None:
    """A running run is told, a waiting one is over, one that was stays as it is."""
    _, run, _ = call.args
    if told.run is not None and told.run.run == run:
        told.run.stop = True
        call.hints(*hinted(told.run))
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
    _, title, _, _, run = call.args
    if not told.log:
        return call.refuses("not_found")
    if run and (told.titled in ("", "-") or told.titled.split(" ")[1] != run):
        return call.refuses("late")
    told.titled = "-"
    if told.title == title:
        return call.refuses("set", told.at)
    told.take(call.published)
    law(ANSWER, told.title == title, told.title, call.args)
    told.aged = False
    return call.agrees("set", told.at)


def set(told: Believed, call: Call) -> None:
    """Settings change, where one does; a session that was not there is, with no title."""
    _, meta, _, *pairs = call.args
    given = dict(zip(pairs[::2], pairs[1::2], strict=True))
    if all(told.settings.get(name, "") == value for name, value in given.items()):
        return call.refuses("set", told.at)
    told.born = told.born if told.log else call.clock
    law(ANSWER, told.take(call.published) == [meta], call.args)
    told.settings = {name: value for name, value in (told.settings | given).items() if value}
    told.aged = False
    return call.agrees("set", told.at)


def rating(told: Believed, call: Call) -> None:
    """An answer has a rating, or has it no more; all else of it stays."""
    _, turn, entry, over, _ = call.args
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
    told.aged = False
    return call.agrees("rated", told.at)


def put(told: Believed, call: Call) -> None:
    """A turn is in the history that nobody said here, once; not while a run is under way."""
    _, id, record, max_turns, max_entries, _, max_ids, title, *added = call.args
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
    told.title, told.aged = told.title or title, False
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
