"""Redis is away for long: commands are told so at once, nothing is lost, and all goes on when it is back."""

import asyncio
import time

import redis as redis_package

from app.client import connect
from tests.reader import reading
from tests.servers import Script, redis_server, serving, until


async def test_while_redis_is_away_commands_are_refused_at_once(model: Script) -> None:
    """With the time after which to ask again; a probe of the node's own finds it back. The answer goes on meanwhile."""
    model.answers.append([step for index in range(60) for step in (f"{index} ", 0.05)])
    with redis_server() as url:
        port = int(url.rpartition(":")[2].partition("/")[0])
        async with (
            serving(url, model, lease_seconds=1.0) as node,
            connect(node.ws, user="ada") as chat,
            reading(node.ws) as reader,
        ):
            said = await chat.say("Count.", session="s")
            await said.session.until(lambda: said.session.transcript.run and said.session.transcript.run.text)
            with redis_package.Redis(port=port) as client:
                client.config_set("maxclients", 1)
                for kind in ("normal", "pubsub"):
                    client.client_kill_filter(_type=kind, skipme=True)
                await until(lambda: node.node.state.pipe.breaker.state == "open")
                began = time.monotonic()
                refused = await reader.ask(type="history", session="s", limit=10)
                assert time.monotonic() - began < 0.5
                assert (refused["code"], refused["retry"]) == ("unavailable", "later")
                assert 0 < refused["after_ms"] <= 1200
                assert (await reader.ask(type="ping"))["type"] == "ok"
                client.config_set("maxclients", 1000)
            await until(lambda: node.node.state.pipe.breaker.state == "closed")
            assert (await reader.ask(type="history", session="s", limit=10))["type"] == "ok"
            async with asyncio.timeout(10):
                assert (await said.answer())["text"] == "".join(f"{index} " for index in range(60))
            assert (chat.differs, chat.connections) == (0, 1)
