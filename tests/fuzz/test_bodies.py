"""Every HTTP body, whatever it is: an answer, or a typed problem; never a defect, never a dropped connection.

Bodies are drawn around right ones, so that what lies behind the first check is met, too: fields are changed, left out
and added, and what is sent is then cut, or said to be something else.
"""

import gzip
import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.core.errors import BY_CODE
from app.core.protocol import MESSAGE_BYTES
from tests.fuzz.apart import apart
from tests.people import JWT, bearer, operator, token
from tests.servers import Script

LONG_S = 3600.0
NO_TEXT: Final = "e30.eyJqdGkiOiJcdWQ4MDAifQ.eA"  # a token; its jti is a lone surrogate


class Door(NamedTuple):
    """A route: what the first of the right bodies brings where AUTH is guest and where it is jwt, and those bodies."""

    method: str
    path: str
    guest: int
    jwt: int
    right: list[dict[str, Any]]

    @property
    def at(self) -> str:
        """A path of it."""
        return self.path.replace("{id}", "s").replace("{run}", "r").replace("{turn}", "t")

    def who(self, mode: str) -> dict[str, str]:
        """The headers of somebody who may use it."""
        if mode == "guest":
            return {"X-User-Id": "ada"}
        if self.path == "/api/revoke":
            return operator()
        return {} if self.path == "/api/sign-in" else bearer("ada", seconds=LONG_S)


DOORS: Final = [
    Door("POST", "/chat", 200, 200, [
        {"session_id": "s", "message": "x"},
        {"session_id": "s", "message": "x", "message_id": "m", "context": {"k": [1]}, "user_id": "ada"},
    ]),
    Door("POST", "/api/sessions/{id}/turns", 202, 202, [
        {"text": "x"}, {"text": "x", "id": "m", "model": "script-1", "context": {}, "when_busy": "queue"},
    ]),
    Door("POST", "/api/sessions/{id}/turns/{turn}/again", 404, 404, [
        {}, {"id": "m", "model": "script-1", "when_busy": "queue"},
    ]),
    Door("PUT", "/api/sessions/{id}/turns/{turn}", 404, 404, [
        {"text": "x"}, {"text": "x", "id": "m", "model": "script-1", "context": {}, "when_busy": "queue"},
    ]),
    Door("PUT", "/api/sessions/{id}/turns/{turn}/rating", 404, 404, [{}, {"value": "up", "note": "x"}]),
    Door("PATCH", "/api/sessions/{id}", 200, 200, [
        {"title": "x"}, {"title": "y", "model": "script-1", "temperature": 0.5, "prompt": "x"},
    ]),
    Door("POST", "/api/sessions/{id}/runs/{run}/stop", 404, 404, [{}]),
    Door("POST", "/api/sessions/{id}/runs/{run}/pause", 404, 404, [{}]),
    Door("POST", "/api/sessions/{id}/runs/{run}/resume", 404, 404, [{}]),
    Door("POST", "/api/sessions/{id}/runs/{run}/calls/{call}", 404, 404, [
        {"decision": "allow"}, {"decision": "deny", "reason": "x"}, {"decision": "edit", "arguments": {"a": [1]}},
    ]),
    Door("DELETE", "/api/sessions/{id}", 204, 204, [{}]),
    Door("POST", "/api/sign-in", 403, 200, [
        {"token": token("ada", seconds=LONG_S)}, {"token": "a.b.c"}, {"invite": "x" * 43},
    ]),
    Door("DELETE", "/api/sign-in", 204, 204, [{}]),
    Door("POST", "/api/ticket", 201, 201, [{}]),
    Door("PATCH", "/api/context", 200, 200, [{"language": "en", "x": 1}, {"x": 2, "expertise_level": None}]),
    Door("POST", "/api/revoke", 403, 204, [
        {"name": "bob"}, {"name": "bob", "issuer": "x"}, {"user": "x" * 22}, {"token": NO_TEXT},
    ]),
    Door("DELETE", "/api/me", 204, 204, [{}]),
]  # fmt: skip
TEXTS = st.text(st.characters(), max_size=40) | st.sampled_from(
    ["", " ", "a" * 65, "/", "\0", "\ud800", "x" * 22, "-1", "é" * 9000, NO_TEXT]
)
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=8), inner), max_leaves=8
)
JSON: Final = {"content-type": "application/json"}
OTHERS: Final = [
    {"content-type": kind} for kind in (
        "application/json; charset=utf-16", "APPLICATION/JSON;x=\xff", "application/json, text/html", "text/plain", "",
        "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/msgpack", "\x80",
        "/" * 900,
    )
] + [JSON | {"content-encoding": coding} for coding in ("gzip", "br", "gzip, gzip", "", "Identity", "x" * 900)] + [
    JSON | {name: value} for name in ("if-match", "idempotency-key") for value in ('"1"', '"99"', "*", "", "\xff", "m")
]  # fmt: skip
BOMB: Final = gzip.compress(b'{"message":"' + b"x" * 10_000_000 + b'"}')
ONE_PIECE, PIECES = False, True
SECONDS = 2.0
SETTINGS = settings(max_examples=10, deadline=None)


def bodies(right: list[dict[str, Any]]) -> st.SearchStrategy[bytes]:
    """Bodies that are right, nearly right, or nothing like it."""
    names = st.sampled_from(sorted({name for body in right for name in body} | {"other"}))
    changed = st.builds(
        lambda body, more, without: {name: value for name, value in (body | more).items() if name not in without},
        st.sampled_from(right), st.dictionaries(names, VALUES, max_size=2), st.sets(names, max_size=1),
    )  # fmt: skip
    written = st.builds(
        lambda value, plain: json.dumps(value, ensure_ascii=plain).encode("utf-8", "surrogatepass"),
        changed | VALUES, st.booleans(),
    )  # fmt: skip
    cut = st.builds(lambda body, at, more: body[:at] + more, written, st.integers(0, 60), st.binary(max_size=3))
    return written | cut | st.binary(max_size=200)


def in_pieces(body: bytes) -> Iterator[bytes]:
    """A body whose length is not said before."""
    for at in range(0, len(body), 9000):
        yield body[at : at + 9000]


def holds(answer: httpx.Response) -> None:
    """A success, or a problem of the caller's, with a code of ours and its status; soon."""
    assert answer.elapsed.total_seconds() < SECONDS
    if answer.status_code >= 300:
        told = answer.json()
        assert (answer.headers["content-type"], told["status"]) == ("application/problem+json", answer.status_code)
        assert told["status"] < 500, told
        assert told["code"] in BY_CODE
        assert told["detail"]


def test_each_door_that_may_take_a_body_is_tried(redis_url: str, model: Script) -> None:
    """One more fails here, until it is in the table."""
    with apart(redis_url, model) as served:
        there = [(door.method, door.path) for door in served.site.doors if door.method != "GET"]
        assert sorted(there) == sorted((door.method, door.path) for door in DOORS)


def try_door(client: httpx.Client, door: Door, who: dict[str, str]) -> None:
    """Send a door bodies of every kind."""

    def tried(body: bytes, headers: dict[str, str], pieces: bool) -> None:
        more = [(name.encode(), value.encode("latin-1")) for name, value in (who | headers).items()]
        content = in_pieces(body) if pieces else body
        holds(client.request(door.method, door.at, content=content, headers=more))

    @SETTINGS
    @given(bodies(door.right), st.just(JSON) | st.sampled_from([JSON, *OTHERS]), st.booleans())
    @example(b"", JSON, ONE_PIECE)
    @example(b"", {}, ONE_PIECE)
    @example(b"null", JSON, ONE_PIECE)
    @example(b'{"message":' * 5000, JSON, ONE_PIECE)
    @example(b"[" * 60_000, JSON, PIECES)
    @example(b'{"message":"\\ud800","text":"\\ud800","token":"\\ud800","name":"\\ud800"}', JSON, ONE_PIECE)
    @example(b'{"message":NaN,"text":Infinity}', JSON, ONE_PIECE)
    @example(b'{"message":1e999999,"text":' + b"9" * 5000 + b"}", JSON, ONE_PIECE)
    @example(b'{"x":' + b"9" * 60_000 + b"}", JSON, ONE_PIECE)
    @example(b"\xef\xbb\xbf{}", JSON, ONE_PIECE)
    @example(b'{"message":"\xed\xa0\x80","name":"\xff"}', JSON, ONE_PIECE)
    @example('{"message":"x"}'.encode("utf-16"), OTHERS[0], ONE_PIECE)
    @example(b"x" * (MESSAGE_BYTES + 1), JSON, ONE_PIECE)
    @example(b" " * 300_000, JSON, PIECES)
    @example(b'{"a":"' + b"x" * (MESSAGE_BYTES - 9) + b'"}', JSON, PIECES)
    @example(BOMB, JSON | {"content-encoding": "gzip"}, ONE_PIECE)
    @example(BOMB, JSON, PIECES)
    def any_tried(body: bytes, headers: dict[str, str], pieces: bool) -> None:
        tried(body, headers, pieces)

    any_tried()
    for headers in [JSON, *OTHERS]:
        for body in door.right:
            tried(json.dumps(body).encode(), headers, ONE_PIECE)


@pytest.mark.parametrize("mode", ["guest", "jwt"])
def test_any_body(redis_url: str, model: Script, caplog: pytest.LogCaptureFixture, mode: str) -> None:
    """At each door, from somebody who may use it; afterwards a right body is taken, and nothing is in the log."""
    with (
        apart(redis_url, model, **(JWT if mode == "jwt" else {})) as served,
        httpx.Client(base_url=served.http, trust_env=False, timeout=10) as client,
    ):
        for door in DOORS:
            try_door(client, door, door.who(mode))
            answer = client.request(door.method, door.at, json=door.right[0], headers=door.who(mode))
            expected = door.guest if mode == "guest" else door.jwt
            assert (door.path, expected) == (door.path, answer.status_code), answer.text
    assert [record.getMessage() for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []
