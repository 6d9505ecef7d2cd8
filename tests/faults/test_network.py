"""Networks that misbehave: between clients and nodes, between nodes and Redis, between a node and its model.

While answers stream, each fault comes and goes several times, at random moments. What stands on a screen is always a
prefix of the log; in the end every screen shows the answer, whose run has ended once; and the nodes serve on.
"""

import asyncio
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest
from redis import Redis

from app.agent.llm import Abilities, Limits, OpenAIModel
from app.agent.models import Models
from app.client import Chat, Said, connect
from app.core.errors import ChatError
from app.core.protocol import BATCH_BYTES
from tests.faults.proxy import Faults, Proxy, proxied
from tests.faults.screens import Log, Screen, answer_to
from tests.faults.talk import HOWS, counting, follow, follow_by_client, question
from tests.reader import Reader, Record, reading
from tests.servers import Script, Served, Upstream, serving, two, until

TIMES: Final = 3
CALM_SECONDS: Final = 0.1, 0.5
CALM: Final = Faults()
NEAR: Final = Faults(latency_s=0.02, jitter_s=0.02)  # enough to have something under way at any moment
FAR: Final = Faults(latency_s=0.15, jitter_s=0.15)
TEXT: Final = question(60, 20)
TEXTS: Final = [question(count, 20) for count in (18, 20, 22)]
AGAIN: Final = question(2, 20)
LONG_SECONDS: Final = 20.0  # a heartbeat comes later, so nobody is healed by that
FAILURES: Final = {"model_unavailable", "model_timeout"}
QUICK: Final = Limits(connect_s=1.0, first_s=2.0, next_s=1.0)


def refuse(proxy: Proxy) -> int:
    """Close every connection, and let nobody in."""
    proxy.refusing = True
    return proxy.cut()


Fault = Faults | Callable[[Proxy], int]
FAULTS: Final[dict[str, Fault]] = {
    "late": Faults(latency_s=0.2, jitter_s=0.2),
    "slow": Faults(bytes_per_s=500),
    "deaf": Faults(hole=True, only="up"),
    "mute": Faults(hole=True, only="down"),
    "hole": Faults(hole=True),
    "cut": Proxy.cut,
    "reset": Proxy.reset,
    "half-closed-up": partial(Proxy.half_close, direction="up"),
    "half-closed-down": partial(Proxy.half_close, direction="down"),
    "refused": refuse,
}
LOSSES: Final[dict[str, Fault]] = {"vanished": Proxy.vanish}  # not found at once, but for in a stream of tokens


async def come_and_go(fault: Fault, proxies: Sequence[Proxy], most_s: float, calm: Faults) -> None:
    """Have a fault come and go at random moments, each time for up to `most_s`, once somebody is connected."""
    await until(lambda: any(proxy.connections for proxy in proxies))
    for _ in range(TIMES):
        await asyncio.sleep(random.uniform(*CALM_SECONDS))
        for proxy in proxies:
            if isinstance(fault, Faults):
                proxy.faults = fault
            else:
                fault(proxy)
        await asyncio.sleep(random.uniform(0.0, most_s))
        for proxy in proxies:
            proxy.faults, proxy.refusing = calm, False


async def test_between_clients_and_nodes(redis_url: str, redis: Redis) -> None:
    """What befalls a client's network, near or far, is nothing to its runs, nor to who reads along on a good line."""

    async def through(name: str, fault: Fault, calm: Faults, nodes: Sequence[Served]) -> None:
        async with AsyncExitStack() as stack:
            proxies = [await stack.enter_async_context(proxied("127.0.0.1", node.port)) for node in nodes]
            for proxy in proxies:
                proxy.faults = calm
            urls = [proxy.through(node.ws) for proxy, node in zip(proxies, nodes, strict=True)]
            chat = await stack.enter_async_context(connect(urls, user="ada"))
            weather = come_and_go(fault, proxies, 0.8, calm)
            log, screens = await _answered(chat, name, redis, weather, urls, [nodes[0].ws], texts=TEXTS)
            log.hold(*screens)

    async with counting() as up, _model(up) as model, two(redis_url, model) as nodes:
        async with asyncio.TaskGroup() as tasks:
            for name, fault in FAULTS.items():
                tasks.create_task(through(f"{name}-near", fault, NEAR, nodes))
                tasks.create_task(through(f"{name}-far", fault, FAR, nodes))
        assert len(up.requests) == 2 * len(FAULTS) * len(TEXTS)
        for node in nodes:
            await _serves(node)


@pytest.mark.timeout(20)
async def test_who_speaks_as_the_connection_is_lost_is_heard_on_the_next(redis_url: str) -> None:
    """In whichever turn of the event loop that is, before the client has found out, while it does, or after."""
    async with serving(redis_url, Script()) as node, connect(node.ws, user="ada") as chat:
        for turns in range(10):
            await chat.open("s")
            chat.drop()
            for _ in range(turns):
                await asyncio.sleep(0)
            said = await chat.say(f"{turns}", session="s")
            assert (await said.answer())["text"] == f"You said: {turns}"


async def test_between_nodes_and_redis(redis_url: str, redis: Redis) -> None:
    """What was not stored is stored, once; what was not heard is read; or else another node takes the run over."""

    async def through(name: str, fault: Fault, model: OpenAIModel, steady: Served) -> None:
        async with (
            proxied("127.0.0.1", urlsplit(redis_url).port or 6379) as proxy,
            serving(proxy.through(redis_url), model, name) as node,
            connect(node.ws, user="ada") as chat,
        ):
            proxy.faults = NEAR
            weather = come_and_go(fault, [proxy], 2.5, NEAR)
            log, screens = await _answered(chat, name, redis, weather, [node.ws], [steady.ws])
            log.hold(*screens)
            await _serves(node)

    async with (
        counting() as up,
        _model(up) as model,
        serving(redis_url, model, "steady") as steady,
        asyncio.TaskGroup() as tasks,
    ):
        for name, fault in FAULTS.items():
            tasks.create_task(through(name, fault, model, steady))


async def test_between_a_node_and_its_model(redis_url: str, redis: Redis, tmp_path: Path) -> None:
    """The run ends once: done, with the whole answer, or failed, by its name, and what was said of it is kept."""
    states: list[str] = []

    async def through(name: str, fault: Fault, proxy: Proxy, chat: Chat, node: Served) -> None:
        log, screens = await _answered(chat, name, redis, come_and_go(fault, [proxy], 1.5, CALM), [node.ws], model=name)
        [(run, end)] = log.screen.ends.items()
        states.append(end["state"])
        if end["state"] == "done":
            log.hold(*screens)
        assert end.get("code") in (FAILURES if end["state"] == "failed" else {None}), end
        turns = (await chat.history(name))["turns"]
        assert [turn["text"] for turn in turns] == [TEXT, *(screen.texts[run] for screen in screens[:1])]
        assert all((screen.texts, screen.resets) == (log.screen.texts, 0) for screen in screens)
        await _serves(node, model=name)

    async with counting() as up, AsyncExitStack() as stack:
        proxies: dict[str, Proxy] = {}
        faults = {f"{fault}-{how}": (FAULTS | LOSSES)[fault] for fault in FAULTS | LOSSES for how in HOWS}
        for name in faults:
            proxies[name] = await stack.enter_async_context(proxied("127.0.0.1", urlsplit(up.url).port or 80))
        table = '[[model]]\nname = "{0}"\ntakeover = "{1}"\nbase_url = "{2}"\n'
        file = tmp_path / "models.toml"
        file.write_text(
            "".join(table.format(name, name.rpartition("-")[2], proxies[name].through(up.url)) for name in faults)
        )
        models = await Models.connect(file, {}, QUICK, Abilities())
        stack.push_async_callback(models.close)
        node = await stack.enter_async_context(serving(redis_url, models))
        chat = await stack.enter_async_context(connect(node.ws, user="ada"))
        async with asyncio.TaskGroup() as tasks:
            for name, fault in faults.items():
                tasks.create_task(through(name, fault, proxies[name], chat, node))
        print(f"{states.count('done')} done, {states.count('failed')} failed; {len(up.requests)} requests")
        assert len(up.requests) > 2 * len(faults)  # some were asked again


async def test_a_slow_client_delays_nobody(redis_url: str) -> None:
    """Who reads the same at the same node is never late; the slow one has it in few steps when its line is good again.

    Two answers are more than what the buffers on its way hold.
    """
    much: list[str | float | Exception] = [step for _ in range(240) for step in ("much " * 200, 4.0 / 240)]
    async with (
        serving(redis_url, Script(answers=[much, [*much]])) as node,
        proxied("127.0.0.1", node.port) as proxy,
        reading(node.ws) as speaker,
        reading(node.ws) as quick,
        reading(proxy.through(node.ws)) as slow,
        asyncio.TaskGroup() as tasks,
    ):
        proxy.faults = Faults(bytes_per_s=5_000)
        runs = {id: (await speaker.ask(type="say", session=id, id="m", text="Much."))["run"] for id in ("s1", "s2")}
        falling_behind = tasks.create_task(_read(slow, runs))
        records, late_s = await _read(quick, runs)
        assert (late_s < 1.0, falling_behind.done()) == (True, False), late_s
        assert all(connection.outbox.queued_bytes <= 2 * BATCH_BYTES for connection in node.site.connections)
        proxy.faults = CALM
        behind, _ = await falling_behind
    for id, run in runs.items():
        assert (records[id].whole(run), behind[id].texts) == (True, records[id].texts)
        assert len(behind[id].steps) < len(records[id].steps)


async def _read(reader: Reader, runs: Mapping[str, str]) -> tuple[dict[str, Record], float]:
    """Read a run of each session to its end; return also the longest time between two batches."""
    records = {id: Record() for id in runs}
    for id in runs:
        await reader.send(type="open", session=id, cursor="0-0")
    late_s, last = 0.0, time.monotonic()
    while any(run not in records[id].ends for id, run in runs.items()):
        batch = await reader.next("batch")
        records[batch["session"]].take(batch)
        late_s, last = max(late_s, time.monotonic() - last), time.monotonic()
    return records, late_s


async def _answered(
    chat: Chat,
    session: str,
    redis: Redis,
    weather: Coroutine[None, None, None],
    *lines: list[str],
    texts: Sequence[str] = (TEXT,),
    model: str | None = None,
) -> tuple[Log, list[Screen]]:
    """Ask in bad weather, while readers on each line, and the client, read; return the log, and what was shown."""
    await chat.open(session)
    screens = [Screen(session, f"a reader at {urls}, {session}") for urls in (*lines, "the client's")]
    async with asyncio.TaskGroup() as tasks:
        passing = tasks.create_task(weather)
        readers = [tasks.create_task(follow(urls, [screen])) for urls, screen in zip(lines, screens[:-1], strict=True)]
        readers.append(tasks.create_task(follow_by_client(chat, screens[-1])))
        said = [await _said(chat, text, session, model) for text in texts]
        await until(lambda: all(one.run in screen.ends for one in said for screen in screens), LONG_SECONDS)
        await passing
        for reader in readers:
            reader.cancel()
    log = Log(redis, session)
    assert log.screen.asked == {one.run: text for one, text in zip(said, texts, strict=True)}
    return log, screens


async def _serves(node: Served, model: str | None = None) -> None:
    """Ask a node again in good weather, and have the answer."""
    async with connect(node.ws, user="ada") as chat, asyncio.timeout(LONG_SECONDS):
        said = await _said(chat, AGAIN, secrets.token_hex(8), model)
        assert (await said.answer())["text"] == answer_to(AGAIN)


async def _said(chat: Chat, text: str, session: str, model: str | None) -> Said:
    """Say the same, under the same id, until it is accepted."""
    while True:
        try:
            return await chat.say(text, session=session, id="m-" + text.split()[1], model=model)
        except ChatError as error:
            if error.retry != "later":
                raise
            await asyncio.sleep((error.after_ms or 1000) / 1000)


@asynccontextmanager
async def _model(up: Upstream) -> AsyncIterator[OpenAIModel]:
    """Reach the upstream on a good line."""
    model = await OpenAIModel.connect(base_url=up.url, api_key=None, name="up-1", limits=QUICK)
    yield model
    await model.close()
