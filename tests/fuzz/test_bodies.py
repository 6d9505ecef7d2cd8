"""Every HTTP body, whatever it is: an answer, or a typed problem; never a defect, never a dropped connection."""

import gzip
import json
import time
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app.core.errors import BY_CODE
from app.core.protocol import MESSAGE_BYTES
from tests.fuzz.apart import apart
from tests.people import JWT, bearer, operator
from tests.servers import Script

GOOD: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/chat"): {"session_id": "s", "message": "x", "message_id": "m", "context": {}, "user_id": "ada"},
    ("POST", "/api/sessions/{id}/turns"): {"text": "x", "id": "m", "model": "", "context": {}, "when_busy": "queue"},
    ("POST", "/api/sign-in"): {"token": "x", "invite": "x"},
    ("POST", "/api/ticket"): {},
    ("PATCH", "/api/sessions/{id}"): {"title": "x", "model": "", "temperature": 1, "prompt": "x"},
    ("POST", "/api/sessions/{id}/runs/{run}/stop"): {},
    ("PATCH", "/api/context"): {"language": "en", "x": 1, "expertise_level": "expert"},
    ("POST", "/api/revoke"): {"user": "x", "name": "x", "issuer": "x", "token": "x"},
}
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=40)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=8), inner), max_leaves=8
)
KINDS = ("application/json", "application/json; charset=utf-16", "text/plain", "", "application/x-www-form-urlencoded")
SECONDS = 2.0
DEEP = b'{"message":' * 5000
SETTINGS = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def bodies(good: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """Bodies that are nearly right, or nothing like it."""
    changed = st.dictionaries(st.sampled_from([*good, "other"]), VALUES | st.just("x")).map(lambda more: good | more)
    as_json = (changed | VALUES).map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass"))
    cut = st.tuples(as_json, st.integers(0, 60), st.binary(max_size=3)).map(lambda it: it[0][: it[1]] + it[2])
    return as_json | cut | st.binary(max_size=200)


def holds(answer: httpx.Response) -> None:
    """A success, or a problem with a code of ours, and its status."""
    if answer.status_code < 300:
        return
    told = answer.json()
    assert (answer.headers["content-type"], told["status"]) == ("application/problem+json", answer.status_code)
    assert told["code"] in BY_CODE
    assert told["detail"]
    assert answer.status_code < 500, told


def test_each_door_that_reads_is_tried(redis_url: str, model: Script) -> None:
    """One more fails here, until it is in the table."""
    with apart(redis_url, model) as served:
        assert {(door.method, door.path) for door in served.site.doors if door.method not in ("GET", "DELETE")} == set(
            GOOD
        )


@pytest.mark.parametrize("mode", ["guest", "jwt"])
@pytest.mark.parametrize("door", GOOD, ids=lambda door: door[1])
def test_any_body(redis_url: str, model: Script, door: tuple[str, str], mode: str) -> None:
    """With any Content-Type, from who may use the door."""
    method, path = door
    who = {"X-User-Id": "ada"} if mode == "guest" else operator() if path in ("/api/revoke",) else bearer("ada")
    with (
        apart(redis_url, model, **({} if mode == "guest" else JWT)) as served,
        httpx.Client(base_url=served.http, trust_env=False, headers=who, timeout=10) as client,
    ):
        url = path.replace("{id}", "s").replace("{run}", "r")

        @SETTINGS
        @given(bodies(GOOD[door]), st.sampled_from(KINDS) | st.just(KINDS[0]))
        @example(b"", KINDS[0])
        @example(b"null", KINDS[0])
        @example(DEEP, KINDS[0])
        @example(b'{"message":"\\ud800","text":"\\ud800","token":"\\ud800","name":"\\ud800"}', KINDS[0])
        @example(b'{"message":NaN}', KINDS[0])
        @example(b'{"message":1e999999,"text":' + b"9" * 5000 + b"}", KINDS[0])
        @example(b"\xff\xfe{\x00}\x00", KINDS[1])
        @example(b"x" * (MESSAGE_BYTES + 1), KINDS[0])
        @example(b'{"a":"' + b"x" * (MESSAGE_BYTES - 9) + b'"}', KINDS[0])
        def tried(body: bytes, kind: str) -> None:
            began = time.monotonic()
            holds(client.request(method, url, content=body, headers={"Content-Type": kind}))
            assert time.monotonic() - began < SECONDS

        tried()
        bomb = gzip.compress(b"x" * 10_000_000)
        answer = client.request(
            method, url, content=bomb, headers={"Content-Type": KINDS[0], "Content-Encoding": "gzip"}
        )
        holds(answer)
        if GOOD[door]:
            assert answer.status_code in (400, 403)
        assert client.get("/live").status_code == 200
