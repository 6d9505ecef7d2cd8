"""The scripts on a real Redis: who may write, what a repeat does, what is left behind."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest

from app.core import entries
from app.core.errors import IdReused, NotFound, QueueFull, StateUnavailable
from app.core.model import START, Cursor, Session, Turn, User, Writer
from app.core.questions import Say
from app.state.bounds import GONE_SECONDS, Bounds
from app.state.connect import Pipe, connector
from app.state.keys import SessionKeys
from app.state.outcomes import Appended, Carry, Ended, Fenced, Lost, Read, Renewed, Reset, Said
from app.state.runs import Runs
from app.state.script import Scripts
from app.state.sessions import Sessions
from app.state.users import Users

S = Session(User.of("guest:name", "ada"), "s")


CAN = {"m": "restart"}


class State(NamedTuple):
    """What outlives a process, as tests reach it."""

    sessions: Sessions
    runs: Runs


@asynccontextmanager
async def sessions(url: str, **bounds: float) -> AsyncIterator[State]:
    """Sessions and runs on behalf of a node named n."""
    pipe = Pipe(connector(url))
    running = asyncio.create_task(pipe.run())
    told: Any = {"incarnation": "inc", "name": "n", "bounds": Bounds(**bounds), "damaged": Counter()}  # type: ignore[arg-type]
    try:
        yield State(Sessions(Scripts(pipe), **told), Runs(Scripts(pipe), **told))
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def said(state: State, id: str = "m1", how: str = "queue") -> Said:
    """Say something under an id; its run is `run-<id>`."""
    say = Say(id=id, text=f"Text of {id}", session="s", when_busy=how)  # type: ignore[arg-type]
    return await state.sessions.say(S, say, run=f"run-{id}", model="m")


def carried(carry: Carry | None) -> Carry:
    """A carry that must be there."""
    assert carry is not None
    return carry


def delta(run: str, text: str) -> bytes:
    """An encoded delta."""
    return entries.encode(entries.Delta(run=run, text=text))


async def end(state: State, writer: Writer, count: int, text: str = "") -> Ended | Fenced | Lost:
    """End a run as done."""
    entry = entries.End(run=writer.run, state="done", length=len(text), sha256="x")
    turn = Turn(id=writer.run, role="assistant", text=text, run=writer.run)
    return await state.runs.end(writer, count, [entries.encode(entry)], turn)


async def kinds(state: State) -> list[str]:
    """The kinds of all entries of the log."""
    read = await state.sessions.read(S, START)
    assert isinstance(read, Read)
    return [type(entries.decode(entry)).__name__.lower() for entry in read.batch.entries]


async def test_ids_are_dense_and_their_ms_never_falls(redis_url: str, redis: Any) -> None:
    """1, 2, 3 …, also where Redis's clock has stepped back since."""
    async with sessions(redis_url) as state:
        carry = carried((await said(state)).carry)
        redis.hset(SessionKeys(S).head, "ms", 99_999_999_999_999)
        first = await state.runs.append(carry.writer, 0, [delta("run-m1", "a"), delta("run-m1", "b")])
        assert isinstance(first, Appended)
        assert (Cursor(99_999_999_999_999, 4), 2) == (first.at, first.after.seq)
        read = await state.sessions.read(S, START)
        assert isinstance(read, Read)
        assert [id.seq for id in read.batch.ids] == [1, 2, 3, 4]
        assert sorted(read.batch.ids) == list(read.batch.ids)


async def test_a_repeated_append_is_stored_once(redis_url: str) -> None:
    """The same count again gives the ids of the first time."""
    async with sessions(redis_url) as state:
        writer = carried((await said(state)).carry).writer
        first = await state.runs.append(writer, 0, [delta("run-m1", "a")])
        assert first == await state.runs.append(writer, 0, [delta("run-m1", "a")])
        assert await kinds(state) == ["turn", "run", "delta"]


@pytest.mark.parametrize("wrong", [{"run": "other"}, {"fence": 99}, {"incarnation": "other"}])
async def test_only_the_writer_writes(redis_url: str, redis: Any, wrong: dict[str, Any]) -> None:
    """Run, fence and incarnation are compared, each; a fenced-out producer writes and publishes nothing."""
    async with sessions(redis_url) as state:
        writer = carried((await said(state)).carry).writer._replace(**wrong)
        heard = redis.pubsub()
        heard.subscribe(SessionKeys(S).live)
        assert heard.get_message(timeout=1) is not None
        assert Fenced() == await state.runs.append(writer, 0, [delta("run-m1", "a")])
        assert Fenced() == await end(state, writer, 0)
        assert Fenced() == await state.runs.renew(writer, 0)
        assert heard.get_message(timeout=0.05) is None
        heard.close()
        assert await kinds(state) == ["turn", "run"]


async def test_after_a_tail_was_lost_the_writer_is_told_what_is_known(redis_url: str, redis: Any) -> None:
    """A failover to a replica that had fewer appends: the count shows it, for append and end."""
    async with sessions(redis_url) as state:
        writer = carried((await said(state)).carry).writer
        for count in range(3):
            await state.runs.append(writer, count, [delta("run-m1", str(count))])
        redis.hset(SessionKeys(S).head, "count", 1)
        assert Lost(1) == await state.runs.append(writer, 3, [delta("run-m1", "x")])
        assert Lost(1) == await end(state, writer, 3)


async def test_an_append_and_a_renewal_extend_the_lease(redis_url: str, redis: Any) -> None:
    """The lease's end is Redis's clock and the lease; the member names session and run."""
    async with sessions(redis_url, lease_s=6) as state:
        writer = carried((await said(state)).carry).writer
        key, member = SessionKeys(S).leases, f"{S.name} run-m1"
        for step in (state.runs.append(writer, 0, [delta("run-m1", "a")]), state.runs.renew(writer, 0)):
            redis.zadd(key, {member: 1})
            await step
            seconds, micros = redis.time()
            assert 5.5 <= (redis.zscore(key, member) / 1000) - (seconds + micros / 1e6) <= 6.0
        await end(state, writer, 1)
        assert redis.zscore(key, member) is None


async def test_the_end_begins_the_next_in_one_step(redis_url: str) -> None:
    """End, turn in the history, next run: one publish; the question of the next enters the history then."""
    async with sessions(redis_url) as state:
        first = carried((await said(state)).carry)
        assert (await said(state, "m2")).carry is None
        assert [turn.id for turn in (await state.sessions.snapshot(S)).turns] == ["m1"]
        ended = await end(state, first.writer, 0, "answer")
        assert isinstance(ended, Ended)
        following = carried(ended.carry)
        assert ("run-m2", "m2", first.writer.fence + 1) == (
            following.writer.run, following.request.turn, following.writer.fence,
        )  # fmt: skip
        assert [turn.id for turn in following.turns] == ["m1", "run-m1", "m2"]
        assert await kinds(state) == ["turn", "run", "turn", "end", "run"]


async def test_an_end_whose_answer_was_lost_gives_the_next_run_again(redis_url: str) -> None:
    """So that a queued turn is never left with nobody; once that run has begun to write, no more."""
    async with sessions(redis_url) as state:
        first = carried((await said(state)).carry)
        await said(state, "m2")
        once, again = await end(state, first.writer, 0), await end(state, first.writer, 0)
        assert isinstance(once, Ended)
        assert isinstance(again, Ended)
        assert carried(once.carry).writer == carried(again.carry).writer
        assert once.at == again.at
        await state.runs.append(carried(once.carry).writer, 0, [delta("run-m2", "x")])
        third = await end(state, first.writer, 0)
        assert isinstance(third, Ended)
        assert third.carry is None
        assert (await kinds(state)).count("end") == 1


async def test_a_say_whose_answer_was_lost_gives_the_run_again(redis_url: str) -> None:
    """The node that was given the run and did not hear of it is given it with the repeat."""
    async with sessions(redis_url) as state:
        first, again = await said(state), await said(state)
        assert carried(first.carry).writer == carried(again.carry).writer
        assert (first.duplicate, again.duplicate) == (False, True)
        assert (first.run, first.at, first.before) == (again.run, again.at, again.before)


async def test_the_last_thousand_message_ids_are_remembered(redis_url: str, redis: Any) -> None:
    """The one that falls out takes its fields along: nothing grows without bound."""
    async with sessions(redis_url) as state:
        for index in range(1003):
            carry = carried((await said(state, f"m{index}")).carry)
            await end(state, carry.writer, 0)
        keys = SessionKeys(S)
        assert (redis.llen(keys.ids), redis.hlen(keys.said)) == (1000, 2000)
        assert (await said(state, "m1002")).duplicate
        assert not (await said(state, "m0")).duplicate


async def test_the_log_is_trimmed_by_the_end_and_the_boundary_is_a_cursor(redis_url: str, redis: Any) -> None:
    """To 2,000 entries; the boundary is valid, what lies before it is `trimmed`, what never was is `lost`."""
    async with sessions(redis_url) as state:
        writer = carried((await said(state)).carry).writer
        for count in range(21):
            await state.runs.append(writer, count, [delta("run-m1", "x")] * 100)
        before = await state.sessions.read(S, START)
        assert isinstance(before, Read)
        await end(state, writer, 21)
        assert redis.xlen(SessionKeys(S).log) == 2000
        trim = Cursor.parse(redis.hget(SessionKeys(S).head, "trim").decode())
        assert trim.seq == 103
        read = await state.sessions.read(S, trim)
        assert isinstance(read, Read)
        assert read.batch.ids[0].seq == 104
        assert Reset("trimmed") == await state.sessions.read(S, before.batch.ids[50])
        assert Reset("trimmed") == await state.sessions.read(S, START)
        assert Reset("lost") == await state.sessions.read(S, Cursor(read.head.ms + 1, read.head.seq))
        assert Reset("lost") == await state.sessions.read(S, Cursor(read.batch.ids[3].ms + 1, 107))
        assert Reset("expired") == await state.sessions.read(S, Cursor(5, 5))


async def test_a_read_is_bounded_and_goes_on_where_it_ended(redis_url: str) -> None:
    """At most 256 entries and 256 KiB, at least one entry."""
    async with sessions(redis_url) as state:
        writer = carried((await said(state)).carry).writer
        for count in range(30):
            await state.runs.append(writer, count, [delta("run-m1", "x" * 16_000)] * (1 if count < 20 else 40))
        cursor, texts, reads = START, 0, 0
        while True:
            read = await state.sessions.read(S, cursor)
            assert isinstance(read, Read)
            if not read.batch.entries:
                break
            assert cursor == read.batch.after
            assert len(read.batch.entries) <= 256
            assert sum(map(len, read.batch.entries)) <= 256 * 1024
            texts += len(read.batch.entries)
            cursor, reads = read.batch.at, reads + 1
        assert (422, read.head) == (texts, cursor)
        assert reads > 20


async def test_the_queue_is_bounded(redis_url: str) -> None:
    """Ten turns wait; the eleventh is refused, also one that interrupts."""
    async with sessions(redis_url) as state:
        await said(state)
        for index in range(10):
            await said(state, f"q{index}")
        for how in ("queue", "interrupt"):
            with pytest.raises(QueueFull):
                await said(state, "one-more", how)


async def test_every_key_of_a_session_has_a_lifetime(redis_url: str, redis: Any) -> None:
    """All but the index of leases, which holds no more than the runs; and a deleted session leaves digests."""
    async with sessions(redis_url, session_s=1000) as state:
        writer = carried((await said(state)).carry).writer
        await said(state, "m2")
        await state.runs.append(writer, 0, [delta("run-m1", "a")])
        await end(state, writer, 1)
        await state.sessions.rename(S, "A title")
        for key in redis.scan_iter("*"):
            if not key.endswith(b":leases"):
                assert 990_000 < redis.pttl(key) <= 1_000_000, key
        await state.sessions.delete(S)
        [left] = redis.keys("*")
        assert left.endswith(b":gone")
        assert GONE_SECONDS - 10 < redis.ttl(left) <= GONE_SECONDS
        assert {len(digest) for digest in redis.zrange(left, 0, -1)} == {40}


async def test_what_was_said_in_a_deleted_session_does_not_bring_it_back(redis_url: str, redis: Any) -> None:
    """A repeat that comes late is refused, also by a session that was begun anew; something new is not."""
    async with sessions(redis_url) as state:
        await said(state)
        await state.sessions.delete(S)
        with pytest.raises(NotFound, match="was deleted after 'm1'"):
            await said(state)
        assert not (await said(state, "m2")).duplicate
        with pytest.raises(NotFound):
            await said(state)
        await state.sessions.delete(S)
        with pytest.raises(NotFound):
            await said(state, "m2")


async def test_a_session_is_deleted_where_memory_is_short(redis_url: str, redis: Any) -> None:
    """Nothing else can be written then; what was said is known all the same."""
    async with sessions(redis_url) as state:
        await said(state)
        redis.config_set("maxmemory", 1)
        try:
            with pytest.raises(StateUnavailable):
                await said(state, "m2")
            await state.sessions.delete(S)
        finally:
            redis.config_set("maxmemory", 0)
        with pytest.raises(NotFound):
            await said(state)


async def test_a_list_of_sessions_has_a_lifetime_and_a_bound(redis_url: str, redis: Any) -> None:
    """1,000 sessions; the oldest activity falls out."""
    pipe = Pipe(connector(redis_url))
    running = asyncio.create_task(pipe.run())
    users = Users(Scripts(pipe), session_s=1000)
    for index in range(1005):
        await users.changed(Session(S.user, f"s{index}"), "here")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    key = redis.keys("*:sessions")[0]
    assert (redis.zcard(key), redis.zrange(key, 0, 0)[0]) == (1000, b"s5")
    assert redis.pttl(key) > 0


async def test_other_content_and_unknown_runs(redis_url: str) -> None:
    """Typed errors."""
    async with sessions(redis_url) as state:
        await said(state)
        with pytest.raises(IdReused):
            await state.sessions.say(S, Say(id="m1", text="Other", session="s"), run="r", model="m")
        with pytest.raises(NotFound):
            await state.sessions.stop(S, "run-nope")
        with pytest.raises(NotFound):
            await state.sessions.rename(Session(S.user, "never"), "x")


async def test_a_stop_flag_comes_back_with_append_and_renewal(redis_url: str) -> None:
    """And is gone when the next run begins."""
    async with sessions(redis_url) as state:
        writer = carried((await said(state)).carry).writer
        await said(state, "m2")
        assert Renewed("") == await state.runs.renew(writer, 0)
        await state.sessions.stop(S, "run-m1")
        assert Renewed("stop") == await state.runs.renew(writer, 0)
        appended = await state.runs.append(writer, 0, [delta("run-m1", "x")])
        assert isinstance(appended, Appended)
        assert appended.wanted == "stop"
        ended = await end(state, writer, 1)
        assert isinstance(ended, Ended)
        assert Renewed("") == await state.runs.renew(carried(ended.carry).writer, 0)


async def test_scripts_survive_a_server_that_has_forgotten_them(redis_url: str, redis: Any) -> None:
    """NOSCRIPT: the text is sent."""
    async with sessions(redis_url) as state:
        await said(state)
        redis.script_flush()
        assert (await said(state)).duplicate


async def lapse(redis: Any) -> None:
    """Have all leases run out."""
    for key in redis.keys("*:leases"):
        redis.zadd(key, dict.fromkeys(redis.zrange(key, 0, -1), 1))


async def test_a_claim_whose_answer_was_lost_gives_the_same_again(redis_url: str, redis: Any) -> None:
    """One fence, one attempt, one `run` entry, however often it is asked."""
    member = f"{S.name} run-m1"
    async with sessions(redis_url) as state:
        first = carried((await said(state)).carry)
        await lapse(redis)
        claims = [carried(await state.runs.claim(member, CAN)) for _ in range(3)]
        assert len({(claim.writer.fence, claim.attempt) for claim in claims}) == 1
        assert (first.writer.fence + 1, 2) == (claims[0].writer.fence, claims[0].attempt)
        assert await kinds(state) == ["turn", "run", "run"]
        assert Fenced() == await state.runs.append(first.writer, 0, [delta("run-m1", "x")])
        await state.runs.append(claims[0].writer, 0, [delta("run-m1", "x")])
        assert await state.runs.claim(member, CAN) is None


async def test_a_living_run_is_not_claimed(redis_url: str, redis: Any) -> None:
    """Nor one that is over: the index is told."""
    member = f"{S.name} run-m1"
    async with sessions(redis_url) as state:
        writer = carried((await said(state)).carry).writer
        await state.runs.append(writer, 0, [delta("run-m1", "x")])
        assert await state.runs.claim(member, CAN) is None
        await end(state, writer, 1)
        key = SessionKeys(S).leases
        redis.zadd(key, {member: 1})
        assert await state.runs.claim(member, CAN) is None
        assert redis.zscore(key, member) is None


async def test_a_given_up_run_is_found_at_once_and_is_no_attempt(redis_url: str, redis: Any) -> None:
    """Its lease is over on purpose; the one who gave it up writes nothing more."""
    async with sessions(redis_url) as state:
        writer = carried((await said(state)).carry).writer
        assert await state.runs.lapsed(range(256), given_up_only=False) == []
        await state.runs.release(writer)
        assert [f"{S.name} run-m1"] == await state.runs.lapsed(range(256), given_up_only=True)
        assert Fenced() == await state.runs.append(writer, 0, [delta("run-m1", "x")])
        assert carried(await state.runs.claim(f"{S.name} run-m1", CAN)).attempt == 1


async def test_a_run_claimed_to_be_ended_is_not_handed_to_a_repeated_say(redis_url: str, redis: Any) -> None:
    """It has the text that stands, and its end is the claim's alone."""
    async with sessions(redis_url) as state:
        writer = carried((await said(state)).carry).writer
        await state.runs.append(writer, 0, [delta("run-m1", "Hello ")])
        await state.sessions.stop(S, "run-m1")
        await lapse(redis)
        claim = carried(await state.runs.claim(f"{S.name} run-m1", CAN))
        assert (claim.how, [*map(entries.decode, claim.log)][1:]) == (
            "stopped",
            [entries.Delta(run="run-m1", text="Hello ")],
        )
        again = await said(state)
        assert (again.duplicate, again.carry) == (True, None)
        repeated = carried(await state.runs.claim(f"{S.name} run-m1", CAN))
        assert (claim.writer, claim.how, claim.log) == (repeated.writer, repeated.how, repeated.log)


async def test_a_run_past_its_deadline_is_claimed_to_be_ended(redis_url: str, redis: Any) -> None:
    """Its time is Redis's, and counts from its beginning, whoever carries it."""
    async with sessions(redis_url) as state:
        await said(state)
        redis.hset(SessionKeys(S).run, "deadline", 1)
        await lapse(redis)
        assert carried(await state.runs.claim(f"{S.name} run-m1", CAN)).how == "model_timeout"


async def test_only_the_writer_gives_a_run_up(redis_url: str, redis: Any) -> None:
    """One that was fenced out cannot take the run from whoever has it now."""
    async with sessions(redis_url) as state:
        first = carried((await said(state)).carry)
        await lapse(redis)
        claim = carried(await state.runs.claim(f"{S.name} run-m1", CAN))
        await state.runs.release(first.writer)
        assert Renewed("") == await state.runs.renew(claim.writer, 0)


async def test_a_session_that_is_not_there_knows_no_cursor_but_the_start(redis_url: str) -> None:
    """It is empty at `0-0`; any other cursor is older than it."""
    async with sessions(redis_url) as state:
        read = await state.sessions.read(S, START)
        assert isinstance(read, Read)
        assert (read.batch.entries, read.head) == ((), START)
        assert Reset("expired") == await state.sessions.read(S, Cursor(5, 5))
        with pytest.raises(NotFound):
            await state.sessions.history(S, "never", 10)
