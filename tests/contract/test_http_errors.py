"""Over HTTP, what cannot be done and what went wrong: problem details with the protocol's codes."""

import json
from typing import Any

import pytest

from app.core.errors import ChatError, ContentRefused, ModelTimeout, ModelUnavailable
from app.core.protocol import Codec
from tests.contract.test_http import CHAT, TURNS, asking, chat, problem
from tests.contract.wire import wired
from tests.servers import Script, serving, until

TYPED = {"Content-Type": "application/json"}
BYTES: list[tuple[bytes, dict[str, str], tuple[str, ...]]] = [
    (b'{"text": "x"}', {"Content-Type": "text/plain"}, ("Content-Type", "text/plain", "application/json")),
    (b'{"text": "x"}', {"Content-Type": "application/x-www-form-urlencoded"}, ("urlencoded", "application/json")),
    (b'{"text": "x"}', {"Content-Type": "application/jsonp"}, ("application/jsonp",)),
    (b'{"text": "x"}', {}, ("Content-Type", "application/json")),
    (b"", TYPED, ("not JSON",)),
    (b"{", TYPED, ("not JSON",)),
    (b"\xff", TYPED, ("not JSON",)),
    (b'{"text": NaN}', TYPED, ("not JSON",)),
    (b"[" * 60_000, TYPED, ("not JSON", "deep")),
    (b"[]", TYPED, ("object",)),
    (b'"text"', TYPED, ("object",)),
]
FIELDS: list[tuple[dict[str, Any], int, str, tuple[str, ...]]] = [
    ({}, 400, "bad_frame", ("missing",)),
    ({"text": 7}, 400, "bad_frame", ("text",)),
    ({"text": None}, 400, "bad_frame", ("missing",)),
    ({"text": " \n"}, 400, "bad_frame", ("blank",)),
    ({"text": "x", "id": "a/b"}, 400, "bad_frame", ("'a/b'", "1 to 64")),
    ({"text": "x", "id": 7}, 400, "bad_frame", ("expected", "got")),
    ({"text": "x", "context": 7}, 400, "bad_frame", ("context", "expected", "got")),
    ({"text": "x", "context": {"n": json.loads("[" * 40 + "]" * 40)}}, 400, "bad_frame", ("deep",)),
    ({"text": "x" * 32_769}, 413, "too_long", ("32769", "32768")),
    ({"text": "é" * 16_385}, 413, "too_long", ("32770", "32768")),
    ({"text": "x", "context": {"k": "x" * 8192}}, 413, "too_long", ("8192",)),
    ({"text": "x", "pad": "x" * 65_536}, 413, "too_big", ("65536",)),
]  # fmt: skip


@pytest.mark.parametrize("path", [CHAT, TURNS])
async def test_what_is_no_json_object(redis_url: str, model: Script, path: str) -> None:
    """A body that is not JSON, or does not say that it is, is 400 `bad_frame`."""
    async with serving(redis_url, model) as served, asking(served) as client:
        for content, headers, words in BYTES:
            assert problem(await client.post(path, content=content, headers=headers), 400, "bad_frame", *words)
        utf8 = {"Content-Type": "Application/JSON; charset=utf-8"}
        assert (await client.post(path, content=json.dumps(chat() | {"text": "x"}), headers=utf8)).is_success


async def test_bad_fields(redis_url: str, model: Script) -> None:
    """A wrong field is a problem that says what was seen and what was expected, on both routes, and nothing is said."""
    names = {"text": "message", "id": "message_id"}
    async with serving(redis_url, model) as served, asking(served) as client:
        for fields, status, code, words in FIELDS:
            spoken = {names.get(name, name): value for name, value in fields.items()} | {"session_id": "s"}
            for path, body in ((CHAT, spoken), (TURNS, fields)):
                content = json.dumps(body, ensure_ascii=False).encode()
                answer = problem(await client.post(path, content=content, headers=TYPED), status, code, *words)
                assert answer["retry"] == "no"
        assert model.asked == []


async def test_a_number_that_msgpack_cannot_say(redis_url: str, model: Script) -> None:
    """A whole number of more than 64 bits is a `bad_frame`, not a failure inside."""
    context = {"number": 10**30}
    async with serving(redis_url, model) as served, asking(served) as client:
        for path, body in ((CHAT, chat(context=context)), (TURNS, {"text": "x", "context": context})):
            problem(await client.post(path, content=json.dumps(body), headers=TYPED), 400, "bad_frame")


async def test_fields_of_one_route(redis_url: str, model: Script) -> None:
    """A session that is missing or cannot be one, a model that there is not, a word for `when_busy` that is none."""
    async with serving(redis_url, model) as served, asking(served) as client:
        problem(await client.post(CHAT, json={"message": "x"}), 400, "bad_frame", "session_id")
        problem(await client.post(CHAT, json=chat(session_id=7)), 400, "bad_frame", "session", "expected")
        problem(await client.post(CHAT, json=chat(session_id=".s")), 400, "bad_frame", "'.s'")
        problem(await client.post(CHAT, json=chat(user_id=7)), 400, "bad_frame", "user_id")
        problem(await client.post("/api/sessions/.s/turns", json={"text": "x"}), 400, "bad_frame", "'.s'")
        problem(await client.post(TURNS, json={"text": "x", "when_busy": "shout"}), 400, "bad_frame", "shout")
        problem(await client.post(TURNS, json={"text": "x", "model": "no"}), 400, "bad_frame", "'no'", "script-1")
        assert model.asked == []


async def test_a_missing_message_is_called_so(redis_url: str, model: Script) -> None:
    """`/chat` names its own fields, not those of a frame that its caller never saw."""
    async with serving(redis_url, model) as served, asking(served) as client:
        problem(await client.post(CHAT, json={"session_id": "s"}), 400, "bad_frame", "message")


async def test_routes_that_are_not_there(redis_url: str, model: Script) -> None:
    """An unknown path and a wrong method are problems, too."""
    async with serving(redis_url, model) as served, asking(served) as client:
        problem(await client.get("/nothing"), 404, "not_found", "/nothing")
        problem(await client.get("/static/nothing.js"), 404, "not_found")
        answer = await client.get(CHAT)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (ModelUnavailable("secret"), 502, "model_unavailable"),
        (ContentRefused("secret"), 502, "content_refused"),
        (RuntimeError("secret"), 502, "internal"),
        (ModelTimeout("secret"), 504, "model_timeout"),
    ],
    ids=["unavailable", "refused", "unknown", "timed out"],
)
async def test_a_failed_run(redis_url: str, model: Script, failure: Exception, status: int, code: str) -> None:
    """502, or 504 for a time limit, with the run's code and nothing of its inside; a repeat tells the same."""
    model.answers.append([failure])
    async with serving(redis_url, model) as served, asking(served) as client:
        first = await client.post(CHAT, json=chat())
        problem(first, status, code)
        assert "secret" not in first.text
        again = await client.post(CHAT, json=chat())
        assert (status, first.content) == (again.status_code, again.content)
        assert len(model.asked) == 1


async def test_a_run_past_its_time(redis_url: str, model: Script) -> None:
    """A run that takes longer than `RUN_SECONDS` is 504 `model_timeout`."""
    model.answers.append(["Half an", 60.0])
    async with serving(redis_url, model, run_seconds=0.3) as served, asking(served) as client:
        problem(await client.post(CHAT, json=chat()), 504, "model_timeout")


async def test_a_stopped_run(redis_url: str, model: Script) -> None:
    """200 with the text that stands and `metadata.state`, for who waits and for who asks again."""
    model.answers.append(["Half an", 60.0])
    async with serving(redis_url, model) as served, asking(served) as client, wired(served, Codec.JSON) as wire:
        run = (await client.post(TURNS, json={"text": "Hello.", "id": "m"})).json()["run"]
        await wire.ok("open", session="s", cursor="0-0")
        while "delta" not in [entry["kind"] for entry in (await wire.find("batch"))["entries"]]:
            pass
        await wire.ok("stop", session="s", run=run)
        first, again = [await client.post(CHAT, json=chat()) for _ in range(2)]
        assert (
            first.status_code, first.json()["response"], first.json()["metadata"]["state"],
        ) == (200, "Half an", "stopped")  # fmt: skip
        assert (200, first.content) == (again.status_code, again.content)


async def test_a_run_stopped_in_the_queue(redis_url: str, model: Script) -> None:
    """200 without text and with `metadata.state`, for who waits and for who asks again."""
    model.answers.append([60.0])
    async with serving(redis_url, model) as served, asking(served) as client, wired(served, Codec.JSON) as wire:
        await client.post(TURNS, json={"text": "Think."})
        await until(lambda: model.asked)
        run = (await client.post(TURNS, json={"text": "Hello.", "id": "m"})).json()["run"]
        await wire.ok("stop", session="s", run=run)
        answer = await client.post(CHAT, json=chat())
        assert (answer.status_code, answer.json().get("response")) == (200, ""), answer.text
        assert answer.json()["metadata"]["state"] == "stopped"


def test_every_code_of_the_contract_has_its_status() -> None:
    """Errors over HTTP: 400, 401, 403, 404, 409, 413, 429, 503 by name, as the contract lists them."""
    statuses = {
        400: {"bad_frame", "bad_cursor"}, 401: {"unauthorized"}, 403: {"forbidden"}, 404: {"not_found"},
        409: {"id_reused", "busy", "conflict", "run_over"}, 413: {"too_big", "too_long"},
        429: {"rate_limited", "quota_exceeded", "queue_full"}, 503: {"unavailable", "overloaded"},
    }  # fmt: skip
    kinds: list[type[ChatError]] = [ChatError]
    known: dict[str, set[int]] = {}
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        if kind.__module__ == "app.core.errors":
            known.setdefault(kind.code, set()).add(kind.status)
    for status, codes in statuses.items():
        for code in codes & set(known):
            assert status in known[code], code
