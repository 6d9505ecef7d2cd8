"""A node leaves: its clients go elsewhere before it does, its answers go on, and operators see it."""

import asyncio
import time
from functools import partial
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from app.client import Chat, connect
from app.core.protocol import Codec
from app.edge.serve import drain
from tests.reader import reading
from tests.servers import Script, Served, free_port, serving, sse, two, until, upstream
from tests.test_start import box

COUNTED: list[str | float | Exception] = [step for index in range(150) for step in (f"{index} ", 0.01)]
TEXT = "".join(step for step in COUNTED if isinstance(step, str))


def here(chat: Chat, *nodes: Served) -> tuple[Served, Served]:
    """The node that serves a chat, and the other one."""
    one, other = nodes
    return (one, other) if chat.welcome["node"] == one.node.settings.node else (other, one)


async def test_a_client_moves_before_its_node_goes(redis_url: str, model: Script) -> None:
    """It is sent away, connects elsewhere, and only then leaves: in mid-answer, without a pause to be seen."""
    model.answers.append(COUNTED)
    async with two(redis_url, model, drain_seconds=20) as (a, b), connect([a.ws, b.ws], user="ada") as chat:
        said = await chat.say("Count.", session="s")
        leaving, staying = here(chat, a, b)
        longest, last = 0.0, time.monotonic()

        async def watch() -> None:
            nonlocal longest, last
            async for _ in said.session.follow():
                longest, last = max(longest, time.monotonic() - last), time.monotonic()

        watching = asyncio.create_task(watch())
        await until(lambda: said.session.transcript.run and said.session.transcript.run.text)
        draining = asyncio.create_task(drain(leaving.node, leaving.site, asyncio.Event()))
        turn = await said.answer()
        await draining
        watching.cancel()
        assert turn["text"] == TEXT
        assert (chat.moves, chat.connections, chat.differs) == (1, 2, 0)
        assert chat.welcome["node"] == staying.node.settings.node
        assert (len(leaving.site.connections), len(staying.site.connections)) == (0, 1)
        assert longest < 1.0
        assert (len(model.asked), staying.node.rescue.claimed.total()) == (1, 0)


async def test_an_answer_that_can_be_continued_moves_at_once(redis_url: str, model: Script) -> None:
    """`continue` runs are handed over when the drain begins; nothing on a screen is taken back."""
    model.takeover = "continue"
    model.answers.extend([["Half ", 60.0], ["whole."]])
    async with two(redis_url, model, drain_seconds=20, lease_seconds=60) as (a, b), connect(
        [a.ws, b.ws], user="ada"
    ) as chat:  # fmt: skip
        said = await chat.say("Well?", session="s")
        leaving, staying = here(chat, a, b)
        await said.session.until(lambda: said.session.transcript.run and said.session.transcript.run.text)
        began = time.monotonic()
        await drain(leaving.node, leaving.site, asyncio.Event())
        assert (await said.answer())["text"] == "Half whole."
        assert time.monotonic() - began < 2.0
        assert dict(staying.node.rescue.claimed) == {"continue": 1}


async def test_calls_go_on_while_a_client_is_sent_away_and_dropped(redis_url: str, model: Script) -> None:
    """Whoever asks in that moment asks again on the next connection, and nobody spins."""
    async with serving(redis_url, model) as a, connect(a.ws, user="ada") as chat:
        await (await chat.say("Well?", session="s")).answer()
        asked = [0, 0, 0]

        async def ask(index: int) -> None:
            while True:
                assert len((await chat.history("s"))["turns"]) == 2
                asked[index] += 1

        asking = [asyncio.create_task(ask(index)) for index in range(len(asked))]
        for number in range(10):
            before, connections = list(asked), chat.connections
            if number % 2:
                chat.drop()
            else:
                for connection in list(a.site.connections):
                    connection.send_away(0.0)
            await until(partial(_more, chat, connections, asked, before))
        for task in asking:
            task.cancel()
        assert chat.moves >= 5


def _more(chat: Chat, connections: int, asked: list[int], before: list[int]) -> bool:
    """Whether there was another connection, and everybody was answered since."""
    return chat.connections > connections and all(now > then for now, then in zip(asked, before, strict=True))


@pytest.mark.parametrize("codec", list(Codec))
async def test_away_is_said_at_spread_times(redis_url: str, model: Script, codec: Codec) -> None:
    """At once, with a time for each; whoever connects then is refused with 503, and told when to come again."""
    async with serving(redis_url, model, drain_seconds=20) as a, reading(a.ws, codec) as one, reading(a.ws) as other:
        a.site.send_away()
        for reader in (one, other):
            away = await reader.next("away")
            assert away["why"] == "deploy"
            assert 0 <= away["after_ms"] <= 20
        a.node.close()
        assert (await one.ask(type="ping"))["type"] == "ok"  # whoever is here still is served
        with pytest.raises(InvalidStatus) as refused:
            async with reading(a.ws):
                pass
        assert (refused.value.response.status_code, refused.value.response.headers["Retry-After"]) == (503, "1")


async def test_a_hurry_ends_the_wait_for_clients_and_answers(redis_url: str, model: Script) -> None:
    """A second signal: what is still here is given up at once."""
    model.answers.append(["Half ", 60.0])
    async with serving(redis_url, model, drain_seconds=60) as a, reading(a.ws) as reader:
        await reader.ask(type="say", session="s", id="m", text="Well?")
        await until(lambda: model.asked)
        hurried = asyncio.Event()
        draining = asyncio.create_task(drain(a.node, a.site, hurried))
        await reader.next("away")
        assert not draining.done()
        hurried.set()
        async with asyncio.timeout(2):
            await draining
        assert a.node.runner.running == 0


def _metric(text: str, name: str) -> float:
    """The value of a line of metrics."""
    return next(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(f"{name} "))


async def test_operators_see_a_node_and_have_it_drain(tmp_path: Any, redis_url: str) -> None:
    """`ADMIN_PORT`: /metrics, and POST /drain, after which /ready is 503 and the process ends by itself."""

    async def slowly(body: dict[str, Any]) -> Any:
        for index in range(30):
            yield sse(f"{index} ")
            await asyncio.sleep(0.03)
        yield sse(None, "stop")

    port = free_port()
    with box(tmp_path) as machine:
        async with upstream() as up, httpx.AsyncClient() as http:
            up.answer = slowly
            told = {"REDIS_URL": redis_url, "OPENAI_BASE_URL": up.url, "ADMIN_PORT": str(port), "DRAIN_SECONDS": "10"}
            async with machine.serving(**told) as (run, serving_at), connect(
                f"ws://127.0.0.1:{serving_at}/ws", user="ada"
            ) as chat:  # fmt: skip
                said = await chat.say("Count", session="s")
                await said.session.until(lambda: said.session.transcript.run and said.session.transcript.run.text)
                text = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
                assert (_metric(text, "chat_runs"), _metric(text, "chat_sockets")) == (1, 1)
                assert _metric(text, "chat_appends_total") >= 1
                assert _metric(text, "chat_divergences_total") == 0
                assert _metric(text, 'chat_breaker{dependency="redis",state="closed"}') == 1
                assert _metric(text, f'chat_breaker{{dependency="{up.url}/",state="closed"}}') == 1
                assert 0 <= _metric(text, "chat_lease_age_seconds") < 3
                while not _metric(text, "chat_loop_lag_seconds_count"):
                    text = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
                assert _metric(text, "chat_loop_lag_seconds_sum") < 30
                answer = await http.post(f"http://127.0.0.1:{port}/drain")
                assert (answer.status_code, answer.json()["runs"]) == (202, 1)
                ready = await http.get(f"http://127.0.0.1:{serving_at}/ready")
                assert ready.status_code == 503
                assert (await http.post(f"http://127.0.0.1:{port}/drain")).status_code == 202
                assert (await http.get(f"http://127.0.0.1:{serving_at}/metrics")).status_code == 404
                turn = await said.answer()
                assert turn["text"] == "".join(f"{index} " for index in range(30))
                assert await run.ended() == 0
