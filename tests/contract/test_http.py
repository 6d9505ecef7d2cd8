"""The same thing over HTTP: `/chat`, turns, and the errors of both as problem details."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from app.core.protocol import Codec
from tests.contract.wire import wired
from tests.servers import Script, Served, serving, two, until

CHAT, TURNS = "/chat", "/api/sessions/s/turns"
PROBLEM = {"type", "title", "status", "detail", "code", "retry"}
ADA = {"X-User-Id": "ada"}
FRESH = httpx.Limits(max_keepalive_connections=0)  # a socket a request: no test leans on another's


@asynccontextmanager
async def asking(served: Served, headers: dict[str, str] | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client that is the program `ada`, or whoever `headers` say."""
    headers = ADA if headers is None else headers
    async with httpx.AsyncClient(
        base_url=served.http, headers=headers, trust_env=False, timeout=20, limits=FRESH
    ) as client:
        yield client


def problem(answer: httpx.Response, status: int, code: str, *words: str) -> dict[str, Any]:
    """Hold an error to RFC 9457 and the protocol's codes; words are its detail's."""
    assert (status, "application/problem+json") == (answer.status_code, answer.headers["content-type"]), answer.text
    body: dict[str, Any] = answer.json()
    assert set(body) >= PROBLEM
    assert (status, code) == (body["status"], body["code"])
    assert [word for word in words if word.casefold() not in body["detail"].casefold()] == [], body
    return body


def chat(id: str | None = "m", message: str = "Hello.", **more: Any) -> dict[str, Any]:
    """The body of a `/chat`."""
    return {"session_id": "s", "message": message} | ({"message_id": id} if id else {}) | more


async def test_chat(redis_url: str, model: Script) -> None:
    """The origin document's call and shape; the answer is the session's, and each call without an id is a new one."""
    async with serving(redis_url, model) as served, asking(served) as client:
        model.answers.append(["Good ", "day."])
        before = datetime.now(UTC)
        answer = await client.post(CHAT, json=chat(None, context={"page": "7"}))
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        body = answer.json()
        assert set(body) == {"response", "session_id", "metadata", "timestamp"}
        assert (body["response"], body["session_id"]) == ("Good day.", "s")
        metadata = body["metadata"]
        assert set(metadata) >= {"model", "tokens_used", "processing_time", "tools_used"}
        assert "state" not in metadata
        assert (metadata["model"], metadata["tools_used"]) == ("script-1", [])
        assert metadata["tokens_used"]["total_tokens"] == 5
        assert 0 <= metadata["processing_time"] < 20
        assert timedelta(seconds=-2) < datetime.fromisoformat(body["timestamp"]) - before < timedelta(seconds=20)
        assert '"page":"7"' in model.asked[0][0]["content"]
        assert (await client.post(CHAT, json=chat(None))).json()["response"] == "You said: Hello."
        async with wired(served, Codec.JSON) as wire:
            turns = (await wire.ok("history", session="s"))["turns"]
            assert [turn["text"] for turn in turns] == ["Hello.", "Good day.", "Hello.", "You said: Hello."]


async def test_chat_is_repeated(redis_url: str, model: Script) -> None:
    """With the same `message_id`, on either node, while it runs and after: one run, and the same body to the letter."""
    step = asyncio.Semaphore(0)
    model.gate = step.acquire
    async with two(redis_url, model) as (a, b), asking(a) as one, asking(b) as other:
        asked = [asyncio.create_task(client.post(CHAT, json=chat())) for client in (one, other, one)]
        await until(lambda: model.asked)
        reused = await other.post(CHAT, json=chat(message="Else."))
        problem(reused, 409, "id_reused", "'m'")
        problem(await one.post(CHAT, json=chat(context={"a": 1})), 409, "id_reused")
        step.release()
        answers = [await task for task in asked] + [await client.post(CHAT, json=chat()) for client in (one, other)]
        assert [(200, answers[0].content)] * 5 == [(answer.status_code, answer.content) for answer in answers]
        problem(await one.post(CHAT, json=chat(message="Else.")), 409, "id_reused")
        assert len(model.asked) == 1


async def test_turns(redis_url: str, model: Script) -> None:
    """202 at once with the run; a repeat tells the same, also by `Idempotency-Key`; other content is `id_reused`."""
    step = asyncio.Semaphore(0)
    model.gate = step.acquire
    async with serving(redis_url, model) as served, asking(served) as client:
        first = await client.post(TURNS, json={"text": "Hello.", "id": "m"})
        assert first.status_code == 202
        said = first.json()
        assert set(said) == {"session", "run", "at", "duplicate"}
        assert (said["session"], said["duplicate"]) == ("s", False)
        for ended in (False, True):
            if ended:
                step.release()
                await client.post(CHAT, json=chat())
            for body, key in (({"id": "m"}, None), ({}, "m"), ({"id": "m"}, "m")):
                headers = {"Idempotency-Key": key} if key else {}
                again = await client.post(TURNS, json={"text": "Hello."} | body, headers=headers)
                assert (202, said | {"duplicate": True}) == (again.status_code, again.json())
        headers = {"Idempotency-Key": "k"}
        problem(
            await client.post(TURNS, json={"text": "Hello.", "id": "m"}, headers=headers), 400, "bad_frame", "agree"
        )
        problem(await client.post(TURNS, json={"text": "Else.", "id": "m"}), 409, "id_reused")
        problem(await client.post(TURNS, json={"text": "Hello.", "id": "m", "model": "script-1"}), 409, "id_reused")
        assert len(model.asked) == 1


async def test_turns_while_busy(redis_url: str, model: Script) -> None:
    """`when_busy: reject` is 409 `busy`; the eleventh that waits is 429 `queue_full`."""
    model.answers.append([60.0])
    async with serving(redis_url, model) as served, asking(served) as client:
        run = (await client.post(TURNS, json={"text": "Think."})).json()["run"]
        body = {"text": "Hello.", "when_busy": "reject"}
        assert problem(await client.post(TURNS, json=body), 409, "busy")["retry"] == "later"
        waiting = [(await client.post(TURNS, json={"text": "Hello."})).json() for _ in range(10)]
        assert len({one["run"] for one in [*waiting, {"run": run}]}) == 11
        assert problem(await client.post(TURNS, json={"text": "Hello."}), 429, "queue_full", "10")["retry"] == "later"


async def test_user_id(redis_url: str, model: Script) -> None:
    """`user_id` names the same program as `X-User-Id`; where both are given they must agree."""
    async with serving(redis_url, model) as served, asking(served, {}) as client:
        by_field = await client.post(CHAT, json=chat(user_id="ada"))
        for headers, body in ((ADA, chat()), (ADA, chat(user_id="ada"))):
            again = await client.post(CHAT, json=body, headers=headers)
            assert (200, by_field.content) == (again.status_code, again.content)
        problem(await client.post(CHAT, json=chat(user_id="eve"), headers=ADA), 403, "forbidden", "X-User-Id")
        problem(await client.post(CHAT, json=chat(user_id="a b")), 401, "unauthorized")
        assert len(model.asked) == 1
        other = await client.post(CHAT, json=chat(message="I am Eve.", user_id="eve"))
        assert (other.status_code, other.json()["response"]) == (200, "You said: I am Eve.")


async def test_nobody(redis_url: str, model: Script) -> None:
    """A guest without any name is told 401 to sign in."""
    async with serving(redis_url, model) as served, asking(served, {}) as client:
        for path, body in ((CHAT, chat()), (TURNS, {"text": "Hello."})):
            assert problem(await client.post(path, json=body), 401, "unauthorized")["retry"] == "sign_in"
        page = await client.get("/")
        assert page.status_code == 200
        assert (await client.post(CHAT, json=chat())).status_code == 200  # with the page's cookie
