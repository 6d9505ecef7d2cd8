"""Whether a node is well, and what comes with its page."""

import asyncio
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

from tests.contract.test_http import CHAT, asking, chat, problem
from tests.servers import Script, redis_server, serving


async def test_a_node_that_is_well(redis_url: str, model: Script) -> None:
    """`/health` tells status, time and dependencies; `/live` and `/ready` are 200; nobody need sign in."""
    async with serving(redis_url, model) as served, asking(served, {}) as client:
        health = await client.get("/health")
        assert (health.status_code, health.headers["content-type"]) == (200, "application/json")
        body = health.json()
        assert set(body) >= {"status", "timestamp"}
        assert (body["status"], body["dependencies"]["redis"]) == ("healthy", "healthy")
        told = datetime.fromisoformat(body["timestamp"])
        assert abs(told - datetime.now(UTC)) < timedelta(seconds=20)
        assert [(await client.get(path)).status_code for path in ("/live", "/ready")] == [200, 200]


async def test_a_node_that_drains(redis_url: str, model: Script) -> None:
    """While it drains it lives, and is not ready."""
    async with serving(redis_url, model) as served, asking(served) as client:
        await served.node.drain()
        assert [(await client.get(path)).status_code for path in ("/ready", "/live")] == [503, 200]


async def test_a_node_without_redis(model: Script) -> None:
    """It lives, is neither ready nor healthy, and what it cannot do is 503 `unavailable`, and when to come again."""
    with ExitStack() as stack:
        url = stack.enter_context(redis_server())
        async with serving(url, model) as served, asking(served) as client:
            assert (await client.get("/ready")).status_code == 200
            stack.close()
            health, ready, live, said = await asyncio.gather(
                client.get("/health"), client.get("/ready"), client.get("/live"), client.post(CHAT, json=chat())
            )
            assert (health.status_code, ready.status_code, live.status_code) == (503, 503, 200)
            assert health.json()["status"] != "healthy"
            assert health.json()["dependencies"]["redis"] == "unhealthy"
            body = problem(said, 503, "unavailable")
            assert (body["retry"], body["after_ms"] > 0) == ("later", True)
            assert int(said.headers["retry-after"]) >= 1


async def test_the_page_is_safe(redis_url: str, model: Script) -> None:
    """A strict CSP without inline or remote script, and nosniff, on the page and on all else."""
    async with serving(redis_url, model) as served, asking(served, {}) as client:
        page = await client.get("/")
        assert (page.status_code, page.headers["content-type"].partition(";")[0]) == (200, "text/html")
        for path in ("/", "/static/js/connection.js", "/health", "/nothing"):
            headers = (await client.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff"
            policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
            assert (
                policy["default-src"], policy["script-src"], policy["frame-ancestors"], policy["base-uri"],
            ) == ("'none'", "'self'", "'none'", "'none'")  # fmt: skip
            assert "unsafe" not in headers["content-security-policy"]
            assert "http" not in headers["content-security-policy"]
