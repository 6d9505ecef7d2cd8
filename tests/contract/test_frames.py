"""Bad frames: each is named in an error, and the connection lives."""

import math
from typing import Any

import msgpack

from app.core.protocol import Codec
from tests.contract.wire import Wire, both_codecs, pack, refused, wired
from tests.servers import Script, serving

MSGPACK, JSON = Codec.MSGPACK, Codec.JSON
PING = {"type": "ping"}
KNOWN = ("hello", "open", "close", "say", "stop", "history", "sessions", "watch", "rename", "delete", "differs", "ping")


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


UNDECODABLE: list[tuple[Codec, str, bytes | str, tuple[str, ...]]] = [
    (JSON, "garbage", "\x00", ("not json",)),
    (JSON, "nothing", "", ("not json",)),
    (JSON, "cut", '{"type": "ping"', ("not json",)),
    (JSON, "two values", "{} {}", ("not json",)),
    (JSON, "NaN", '{"type": "ping", "x": NaN}', ("not json",)),
    (JSON, "an infinity", '{"type": "ping", "x": Infinity}', ("not json",)),
    (JSON, "a float that is none", '{"type": "ping", "x": 1e999}', ("not json",)),
    (JSON, "half a surrogate pair", '{"type": "ping", "x": "\\ud800 "}', ("not json",)),
    (JSON, "deep enough to recurse for ever", "[" * 60_000, ("deep",)),
    (MSGPACK, "garbage", b"\xc1", ("not msgpack",)),
    (MSGPACK, "nothing", b"", ("not msgpack",)),
    (MSGPACK, "cut", b"\x81\xa4type", ("not msgpack",)),
    (MSGPACK, "two values", b"\x80\x80", ("not msgpack",)),
    (MSGPACK, "text that is not UTF-8", b"\x81\xa4type\xa1\xff", ("not msgpack",)),
    (MSGPACK, "a key that is a number", b"\x81\x01\x02", ("key",)),
    (MSGPACK, "a key that is an array", b"\x81\x90\x02", ("not msgpack",)),
    (MSGPACK, "a map larger than the message", b"\xdf\xff\xff\xff\xff", ("not msgpack",)),
    (MSGPACK, "deep enough to recurse for ever", b"\x91" * 60_000, ("deep",)),
    (JSON, "an empty array", "[]", ("empty array", "expected")),
    (MSGPACK, "an empty array", b"\x90", ("empty array", "expected")),
    (JSON, "binary", b'{"type": "ping"}', ("binary", "chat.v1.json")),
    (MSGPACK, "text", '{"type": "ping"}', ("text", "chat.v1.msgpack")),
]


async def _lives(wire: Wire) -> None:
    """A ping is answered, and by nothing but its `ok`."""
    assert await wire.rest() == []


@both_codecs
async def test_what_cannot_be_decoded(redis_url: str, model: Script, codec: Codec) -> None:
    """A message that is not of the codec is a `bad_frame` that says so, and the connection lives."""
    async with serving(redis_url, model) as served, wired(served, codec) as wire:
        for _, name, message, words in (case for case in UNDECODABLE if case[0] is codec):
            await wire.raw(message)
            refused(await wire.frame(), "bad_frame", None, *words)
            await _lives(wire)
            assert name


async def test_a_reason_is_the_reason(redis_url: str, model: Script) -> None:
    """A byte that msgpack never uses is not called nesting."""
    async with serving(redis_url, model) as served, wired(served, MSGPACK) as wire:
        await wire.raw(b"\xc1")
        error = await wire.frame()
        refused(error, "bad_frame")
        assert "deep" not in error["message"]


async def test_what_json_cannot_say(redis_url: str, model: Script) -> None:
    """Msgpack carries nothing that JSON could not: at any depth it is a `bad_frame` with the ref."""
    cases: list[tuple[Any, tuple[str, ...]]] = [
        (b"\x00", ("bytes",)),
        (math.nan, ("finite", "nan")),
        (-math.inf, ("finite", "inf")),
        (msgpack.ExtType(5, b"x"), ("extension",)),
        (msgpack.Timestamp(1, 0), ("extension",)),
        ({b"key": 1}, ("key", "bytes")),
    ]
    async with serving(redis_url, model) as served, wired(served, MSGPACK) as wire:
        for value, words in cases:
            for within in (value, [value], {"in": [{"in": value}]}):
                await wire.send({"type": "ping", "ref": "r", "x": within})
                refused(await wire.frame(), "bad_frame", "r", *words)
                await _lives(wire)
        await wire.send({"type": "ping", "ref": "r", b"key": 1})
        refused(await wire.frame(), "bad_frame", "r", "key", "bytes")
        await _lives(wire)


async def test_a_number_that_msgpack_cannot_say(redis_url: str, model: Script) -> None:
    """JSON carries no whole number of more than 64 bits: a `bad_frame`, not a failure inside."""
    async with serving(redis_url, model) as served, wired(served, JSON) as wire:
        for number in (2**64, 10**30, -(2**63) - 1):
            error = await wire.ask("say", session="s", id="m", text="Hello.", context={"number": number})
            refused(error, "bad_frame", error["ref"])
            await _lives(wire)


@both_codecs
async def test_too_deep(redis_url: str, model: Script, codec: Codec) -> None:
    """Nesting past the bound is a `bad_frame` with the ref; below it, an unknown key is nobody's business."""
    async with serving(redis_url, model) as served, wired(served, codec) as wire:
        assert (await wire.ask("ping", x=_nested(20)))["type"] == "ok"
        for depth in (40, 500):
            error = await wire.ask("ping", x=_nested(depth))
            refused(error, "bad_frame", error["ref"], "deep")
            await _lives(wire)


@both_codecs
async def test_what_is_not_a_frame(redis_url: str, model: Script, codec: Codec) -> None:
    """A frame is a map with a `type` that is text and known."""
    cases: list[tuple[Any, str, str | None, tuple[str, ...]]] = [
        (7, "bad_frame", None, ("map", "number")),
        (1.5, "bad_frame", None, ("map", "number")),
        ("ping", "bad_frame", None, ("map", "text")),
        (None, "bad_frame", None, ("map", "null")),
        (True, "bad_frame", None, ("map", "boolean")),
        ([[PING]], "bad_frame", None, ("map", "array")),
        ({}, "bad_frame", None, ("type", "text")),
        ({"ref": "r", "type": None}, "bad_frame", "r", ("type", "text")),
        ({"ref": "r", "type": 7}, "bad_frame", "r", ("type", "text")),
        ({"ref": "r", "type": ["ping"]}, "bad_frame", "r", ("type", "text")),
        ({"ref": "r", "type": "sing"}, "unknown_command", "r", ("'sing'", *KNOWN)),
        ({"ref": "r", "type": ""}, "unknown_command", "r", ("''",)),
        ({"type": "welcome"}, "unknown_command", None, ("'welcome'",)),
        ({"type": "ping", "ref": 7}, "bad_frame", None, ("ref", "ping")),
    ]
    async with serving(redis_url, model) as served, wired(served, codec) as wire:
        for value, code, ref, words in cases:
            await wire.send(value)
            refused(await wire.frame(), code, ref, *words)
            await _lives(wire)


@both_codecs
async def test_an_array_is_answered_in_order(redis_url: str, model: Script, codec: Codec) -> None:
    """One message may be many frames: each is answered in its turn, also around bad ones."""
    async with serving(redis_url, model) as served, wired(served, codec) as wire:
        await wire.send(
            [PING | {"ref": "1"}, 7, {"type": "sing", "ref": "2"}, {"type": "open", "ref": "3"}, PING | {"ref": "4"}]
        )
        assert await wire.frame() == {"type": "ok", "ref": "1"}
        refused(await wire.frame(), "bad_frame")
        refused(await wire.frame(), "unknown_command", "2")
        refused(await wire.frame(), "bad_frame", "3", "session")
        assert await wire.frame() == {"type": "ok", "ref": "4"}
        await _lives(wire)


@both_codecs
async def test_unknown_and_repeated_keys(redis_url: str, model: Script, codec: Codec) -> None:
    """Unknown keys are ignored; of a key that comes twice one counts."""
    twice: dict[Codec, bytes | str] = {
        MSGPACK: b"\x83\xa4type\xa4ping\xa3ref\xa1a\xa3ref\xa1a",
        JSON: '{"type":"ping","ref":"a","ref":"a"}',
    }
    async with serving(redis_url, model) as served, wired(served, codec) as wire:
        assert (await wire.ask("ping", kind="x", session={"a": [1]}, cursor=7, at=None))["type"] == "ok"
        assert (await wire.ask("open", session="s", later=True))["type"] == "ok"
        assert (await wire.frame())["type"] == "snapshot"
        await wire.raw(twice[codec])
        assert await wire.frame() == {"type": "ok", "ref": "a"}


@both_codecs
async def test_too_big(redis_url: str, model: Script, codec: Codec) -> None:
    """64 KiB are read; one byte more is `too_big`, up to 1 MiB, and the connection lives."""
    frame = {"type": "ping", "ref": "r", "pad": ""}
    async with serving(redis_url, model) as served, wired(served, codec) as wire:
        for size, fits in ((65_536, True), (65_537, False), (2**20, False)):
            missing = size
            while off := size - len(pack(frame | {"pad": "x" * missing}, codec)):
                missing += off
            message = pack(frame | {"pad": "x" * missing}, codec)
            assert size == len(message)
            await wire.raw(message)
            answer = await wire.frame()
            if fits:
                assert answer == {"type": "ok", "ref": "r"}
            else:
                refused(answer, "too_big", None, str(size), "65536")
            await _lives(wire)


@both_codecs
async def test_over_a_mebibyte(redis_url: str, model: Script, codec: Codec) -> None:
    """A message over 1 MiB closes with 1009."""
    async with serving(redis_url, model) as served, wired(served, codec) as wire:
        await wire.raw("x" * (2**20 + 1) if codec is JSON else b"x" * (2**20 + 1))
        assert await wire.closed() == (1009, [])


@both_codecs
async def test_twenty_undecodable_in_a_row(redis_url: str, model: Script, codec: Codec) -> None:
    """19 undecodable messages and a good one, and the count begins anew; 20 close with 4501, each answered."""
    bad = "{" if codec is JSON else b"\xc1"
    async with serving(redis_url, model) as served, wired(served, codec) as wire:
        for _ in range(2):
            for _ in range(19):
                await wire.raw(bad)
            assert [frame["code"] for frame in await wire.rest()] == ["bad_frame"] * 19
        for _ in range(20):
            await wire.raw(bad)
        code, came = await wire.closed()
        assert (code, [frame["code"] for frame in came]) == (4501, ["bad_frame"] * 20)
