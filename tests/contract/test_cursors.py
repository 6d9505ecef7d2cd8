"""Cursors: two integers joined by `-`; one that names no entry of the log brings a reset and a snapshot."""

from typing import Any

from redis import Redis

from app.core.model import Cursor
from app.core.protocol import Codec, Frame
from tests.contract.wire import Wire, both_codecs, refused, wired
from tests.servers import Script, serving

MALFORMED = (
    "", "-", "0", "1-", "-1", "1-2-3", "a-b", "1-b", "0x1-1", "1.0-1", "1e3-1", "+1-1", "-1-1", "1--1", " 1-1", "1-1 ",
    "1-1\n", "01-1", "1-01", "1_0-1", "١-١", "１-１", "1\u20131", "$", "+", "(1-1", "9" * 40 + "-1", "1-" + "9" * 40,
)  # fmt: skip
SNAPSHOT = {"type", "session", "at", "title", "turns", "more", "queued"}


@both_codecs
async def test_a_malformed_cursor(redis_url: str, model: Script, codec: Codec) -> None:
    """What is not two integers joined by `-` is a `bad_cursor`, says what was seen, and moves nothing."""
    async with serving(redis_url, model) as served, wired(served, codec) as wire:
        at = (await wire.said("m"))["at"]
        await wire.rest()
        for cursor in MALFORMED:
            error = await wire.ask("open", session="s", cursor=cursor)
            refused(error, "bad_cursor", error["ref"], "integers", repr(cursor)[:30])
            assert await wire.rest() == []
        served.site.heartbeat.once()
        heads = (await wire.find("ping"))["heads"]
        assert Cursor.parse(heads["s"]) > Cursor.parse(at)


async def _follows(wire: Wire, cursor: str, why: str) -> Frame:
    """Open with a cursor that names nothing: `ok`, `reset`, `snapshot`; the snapshot is returned."""
    ok = await wire.ok("open", session="s", cursor=cursor)
    assert await wire.frame() == {"type": "reset", "session": "s", "why": why}
    snapshot = await wire.frame()
    assert snapshot["type"] == "snapshot"
    assert set(snapshot) - {"run"} == SNAPSHOT
    assert (snapshot["session"], snapshot["at"]) == ("s", ok["at"])
    assert await wire.rest() == []
    return snapshot


@both_codecs
async def test_a_foreign_or_future_cursor(redis_url: str, model: Script, codec: Codec) -> None:
    """It is answered with `reset` and a snapshot, never with a guess."""
    async with serving(redis_url, model) as served, wired(served, codec) as wire:
        await wire.said("m", "Hello.")
        await wire.said("m2", "Again.")
        at = (await wire.ok("open", session="s"))["at"]
        foreign = (await wire.said("other", session="other"))["at"]
        await wire.rest()
        ms, seq = Cursor.parse(at)
        for cursor in (
            foreign, f"{ms}-{seq + 1}", f"{ms + 1}-{seq}", f"{ms + 86_400_000}-{seq}", "9" * 15 + "-" + "9" * 15,
        ):  # fmt: skip
            snapshot = await _follows(wire, cursor, "lost")
            assert at == snapshot["at"]
            assert [turn["text"] for turn in snapshot["turns"]] == [
                "Hello.", "You said: Hello.", "Again.", "You said: Again.",
            ]  # fmt: skip


@both_codecs
async def test_a_cursor_older_than_the_session(redis_url: str, model: Script, codec: Codec) -> None:
    """A cursor from before the session, or into a session that isn't there, is `expired`."""
    async with serving(redis_url, model) as served, wired(served, codec) as wire:
        snapshot = await _follows(wire, "1700000000000-3", "expired")
        assert (
            snapshot["at"], snapshot["turns"], snapshot["title"], snapshot["more"], snapshot["queued"],
        ) == ("0-0", [], "", False, [])  # fmt: skip
        await wire.said("m")
        await wire.rest()
        assert len((await _follows(wire, "1700000000000-3", "expired"))["turns"]) == 2


def _ids(redis: Redis) -> list[str]:
    """The ids of the only log that there is."""
    (key,) = redis.scan_iter("*:log:*")
    log: list[tuple[bytes, Any]] = redis.execute_command("XRANGE", key, "-", "+")
    return [id.decode() for id, _ in log]


@both_codecs
async def test_cursors_of_the_log(redis_url: str, redis: Redis, model: Script, codec: Codec) -> None:
    """From any entry of the log, and from `0-0`, comes what follows it, at the head nothing; then it is live."""
    async with serving(redis_url, model) as served, wired(served, codec) as wire:
        await wire.said("m1")
        await wire.said("m2")
        await wire.rest()
        ids = _ids(redis)
        whole: list[Frame] = []
        for number, cursor in enumerate(["0-0", *ids]):
            ok = await wire.ok("open", session="s", cursor=cursor)
            batch = await wire.frame()
            assert (ids[-1], "batch", cursor, ids[-1]) == (ok["at"], batch["type"], batch["after"], batch["at"])
            whole = whole or batch["entries"]
            assert whole[number:] == batch["entries"]
            assert await wire.rest() == []
        assert [entry["kind"] for entry in whole] == ["turn", "run", "delta", "end"] * 2
        await wire.ok("rename", session="s", title="Live")
        batch = await wire.find("batch")
        assert (ids[-1], [{"kind": "meta", "title": "Live"}]) == (batch["after"], batch["entries"])


@both_codecs
async def test_a_trimmed_cursor(redis_url: str, redis: Redis, model: Script, codec: Codec) -> None:
    """Past 2,000 entries the log is trimmed at a run's end: older cursors are `trimmed`, newer ones hold."""
    async with serving(redis_url, model) as served:
        async with wired(served, codec) as wire:
            early = (await wire.said("m1"))["at"]
        async with wired(served, codec) as wire:
            for _ in range(2):
                await wire.send([{"type": "rename", "session": "s", "title": f"{number}"} for number in range(1000)])
                await wire.rest()
                middle = _ids(redis)[-900]
            await wire.said("m2")
            await wire.rest()
            assert len(_ids(redis)) == 2000
            for cursor in ("0-0", early):
                snapshot = await _follows(wire, cursor, "trimmed")
                assert [turn["id"] for turn in snapshot["turns"] if turn["role"] == "user"] == ["m1", "m2"]
            async with wired(served, codec) as late:
                again = await late.ok("say", session="s", id="m1", text="Hello.")
                assert (again["at"], again["duplicate"]) == (early, True)
                assert await late.frame() == {"type": "reset", "session": "s", "why": "trimmed"}
                assert (await late.frame())["type"] == "snapshot"
            await wire.ok("open", session="s", cursor=middle)
            batch = await wire.frame()
            assert ("batch", middle) == (batch["type"], batch["after"])
