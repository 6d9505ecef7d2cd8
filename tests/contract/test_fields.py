"""Fields of commands: one that is missing, of a wrong type or past its bound is named, and the connection lives.

`FIELDS` is the contract's table: of each command the fields it must have and those it may have, with a value that is
right. A command or a field that the server knows and the table does not fails here.
"""

from typing import Any

import msgspec

from app.core.commands import COMMANDS
from app.core.protocol import Codec, Frame
from tests.contract.wire import both_codecs, refused, wired
from tests.servers import Script, serving

FIELDS: dict[str, tuple[Frame, Frame]] = {
    "hello": ({}, {"ticket": "t", "token": "t", "resume": [{"session": "s", "cursor": "0-0"}]}),
    "open": ({"session": "s"}, {"cursor": "0-0", "turns": 5}),
    "close": ({"session": "s"}, {}),
    "say": ({"id": "m", "text": "Hello."}, {"session": "s", "model": "script-1", "context": {}, "when_busy": "queue"}),
    "again": ({"session": "s", "id": "m-a", "turn": "t"}, {"model": "script-1", "when_busy": "queue"}),
    "edit": (
        {"session": "s", "id": "m-e", "turn": "t", "text": "Hello."},
        {"model": "script-1", "context": {}, "when_busy": "queue"},
    ),
    "stop": ({"session": "s", "run": "r"}, {}),
    "answer": (
        {"session": "s", "run": "r", "call": "c", "decision": "edit", "arguments": {"a": 1}},
        {"reason": "so"},
    ),
    "pause": ({"session": "s", "run": "r"}, {}),
    "resume": ({"session": "s", "run": "r"}, {}),
    "history": ({"session": "s"}, {"before": "t", "limit": 5, "turn": "t"}),
    "sessions": ({}, {"query": "q", "before": "s", "limit": 5}),
    "watch": ({}, {}),
    "rename": ({"session": "s", "title": "t"}, {}),
    "delete": ({"session": "s"}, {}),
    "differs": ({"session": "s", "run": "r", "sha256": "0" * 64}, {}),
    "set": ({"session": "s"}, {"model": "script-1", "temperature": 0.5, "prompt": "p"}),
    "rate": ({"session": "s", "turn": "t"}, {"value": "up", "note": "n"}),
    "context": ({}, {"set": {"language": "en"}, "version": 0}),
    "ping": ({}, {}),
}
WRONG: tuple[Any, ...] = (7, 1.5, True, "text", [7], {"a": 7})
BAD_IDS = (
    "",
    ".s",
    "-s",
    "_s",
    "a/b",
    "a b",
    "a\n",
    "\n",
    "a\x00",
    "a:b",
    "{a}",
    "x" * 65,
    "sesión",
    "会話",
    "а",
    "０",
)
GOOD_IDS = ("0", "a", "A.b_c-d", "9" * 64, "a..", "a-")
NAMED_BY_IDS = [
    (command, field)
    for command, (must, may) in FIELDS.items()
    for field in ("session", "id")
    if field in must | may
] + [("sessions", "before")]  # fmt: skip


def test_the_table_is_whole() -> None:
    """Each command and each field that the server reads is held to the contract here."""
    known = {name: {field.name for field in msgspec.structs.fields(kind)} for name, kind in COMMANDS.items()}
    assert known == {name: {"ref", *must, *may} for name, (must, may) in FIELDS.items()}


@both_codecs
async def test_a_missing_field_is_named(redis_url: str, model: Script, codec: Codec) -> None:
    """Without a field that it must have, or with null for it, a command is a `bad_frame` that names both."""
    async with serving(redis_url, model) as served, wired(served, codec) as wire:
        for name, (must, may) in FIELDS.items():
            for field in must:
                for frame in (
                    {key: value for key, value in (must | may).items() if key != field},
                    must | may | {field: None},
                ):
                    error = await wire.ask(name, **frame)
                    refused(error, "bad_frame", error["ref"], name, field, "missing")
                    assert await wire.rest() == []


@both_codecs
async def test_a_field_of_a_wrong_type_is_named(redis_url: str, model: Script, codec: Codec) -> None:
    """A field whose value is of another type is a `bad_frame` that names command, field, and what was expected."""
    async with serving(redis_url, model) as served, wired(served, codec) as wire:
        for name, (must, may) in FIELDS.items():
            for field, right in (must | may).items():
                for value in (
                    value for value in WRONG if type(value) is not type(right) and (field, value) != ("resume", [7])
                ):
                    error = await wire.ask(name, **(must | {field: value}))
                    refused(error, "bad_frame", error["ref"], name, field, "expected", "got")
                    assert await wire.rest() == []
        for value in WRONG:
            if not isinstance(value, str):
                await wire.send({"type": "ping", "ref": value})
                refused(await wire.frame(), "bad_frame", None, "ping", "ref", "expected")


@both_codecs
async def test_a_resume_of_a_wrong_shape(redis_url: str, model: Script, codec: Codec) -> None:
    """`resume` is an array of maps of `session` and `cursor`, at most as many as may be open."""
    fine: Frame = {"session": "s", "cursor": "0-0"}
    shapes: list[list[Any]] = [
        [7], ["s"], [{}], [{"session": "s"}], [{"cursor": "0-0"}], [fine, fine | {"session": 7}],
        [fine | {"cursor": 0}], [fine] * 51,
    ]  # fmt: skip
    async with serving(redis_url, model) as served, wired(served, codec) as wire:
        for resume in shapes:
            error = await wire.ask("hello", resume=resume)
            refused(error, "bad_frame", error["ref"], "hello", "resume")
            assert await wire.rest() == []


@both_codecs
async def test_ids(redis_url: str, model: Script, codec: Codec) -> None:
    """A session's or message's id is 1 to 64 of A-Z a-z 0-9 _ . - and begins with a letter or digit."""
    async with serving(redis_url, model) as served, wired(served, codec) as wire:
        for name, field in NAMED_BY_IDS:
            for id in BAD_IDS:
                error = await wire.ask(name, **(FIELDS[name][0] | {field: id}))
                refused(error, "bad_frame", error["ref"], name, field, "1 to 64", "not " + repr(id)[:60])
        assert await wire.rest() == []
        for name, field in NAMED_BY_IDS:
            for id in GOOD_IDS:
                reply = await wire.ask(name, **(FIELDS[name][0] | {field: id}))
                assert reply.get("code") in (None, "not_found"), reply


PAST: list[tuple[str, Frame, str, tuple[str, ...]]] = [
    ("open", {"turns": -1}, "bad_frame", ("turns", "-1", "0")),
    ("open", {"turns": 101}, "bad_frame", ("turns", "101", "100")),
    ("history", {"limit": 0}, "bad_frame", ("limit", "0", "1")),
    ("history", {"limit": 101}, "bad_frame", ("limit", "101", "100")),
    ("sessions", {"limit": 0}, "bad_frame", ("limit", "0", "1")),
    ("sessions", {"limit": 101}, "bad_frame", ("limit", "101", "100")),
    ("rename", {"title": ""}, "bad_frame", ("title",)),
    ("rename", {"title": " \t\n\u3000"}, "bad_frame", ("title",)),
    ("rename", {"title": "x" * 201}, "bad_frame", ("title", "200", "xxx")),
    ("again", {"when_busy": "shout"}, "bad_frame", ("when_busy", "shout", "interrupt")),
    ("again", {"model": "no-such"}, "bad_frame", ("again", "model", "no-such", "script-1")),
    ("again", {"turn": "x" * 65}, "bad_frame", ("turn", "64")),
    ("edit", {"text": " "}, "bad_frame", ("edit", "text", "blank")),
    ("edit", {"text": "x" * 32_769}, "too_long", ("text", "32769", "32768")),
    ("rate", {"value": "best"}, "bad_frame", ("value", "best", "up", "down")),
    ("rate", {"note": "x" * 4097}, "too_long", ("note", "4097", "4096")),
    ("say", {"when_busy": "shout"}, "bad_frame", ("when_busy", "shout", "queue", "interrupt", "reject")),
    ("say", {"model": "no-such"}, "bad_frame", ("model", "no-such", "script-1", "script-2")),
    ("say", {"model": ""}, "bad_frame", ("model",)),
    ("say", {"text": ""}, "bad_frame", ("text", "blank")),
    ("say", {"text": " \t\r\n\u3000\u00a0"}, "bad_frame", ("text", "blank")),
    ("say", {"text": "x" * 32_769}, "too_long", ("text", "32769", "32768")),
    ("say", {"text": "é" * 16_385}, "too_long", ("text", "32770", "32768")),
    ("say", {"context": {"k": "x" * 8_192}}, "too_long", ("context", "8192")),
    ("say", {"context": {"k": "é" * 4_096}}, "too_long", ("context", "8192")),
]  # fmt: skip


@both_codecs
async def test_bounds(redis_url: str, model: Script, codec: Codec) -> None:
    """A value past its bound is refused by what was seen and what was expected, and nothing is done."""
    async with serving(redis_url, model) as served, wired(served, codec) as wire:
        for name, fields, code, words in PAST:
            error = await wire.ask(name, **(FIELDS[name][0] | {"session": "s"} | fields))
            assert await wire.rest() == []
            refused(error, code, error["ref"], name if code == "bad_frame" else "", *words)
        assert (await wire.ok("open", session="s"))["at"] == "0-0"
        assert model.asked == []


@both_codecs
async def test_what_just_fits(redis_url: str, model: Script, codec: Codec) -> None:
    """A text of 32 KiB, a context of 8 KiB, a title of 200 characters, a limit of 100 are taken."""
    context = {"k": "x" * (8_192 - len('{"k":""}'))}
    async with serving(redis_url, model) as served, wired(served, codec) as wire:
        model.answers += [["Yes."], ["Yes."]]
        await wire.said("m1", "é" * 16_384)
        await wire.said("m2", "x" * 32_768, context=context)
        assert [messages[-1]["content"] for messages in model.asked] == ["é" * 16_384, "x" * 32_768]
        assert context["k"] in model.asked[1][0]["content"]
        await wire.ok("rename", session="s", title="é" * 200)
        assert len((await wire.ok("history", session="s", limit=100))["turns"]) == 4
