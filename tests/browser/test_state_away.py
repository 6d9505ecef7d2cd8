"""The page while Redis is away: what stands stays, and what one does meanwhile is done later."""

import pytest
from playwright.async_api import Browser, expect
from redis import Redis

from tests.browser.behind import serving
from tests.browser.chromium import person, tab
from tests.browser.test_sessions import has
from tests.servers import Script, becomes, redis_server, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_redis_is_pulled_away(browser: Browser, model: Script) -> None:
    """What stands stays; what one says or deletes meanwhile is kept, and done, once, when Redis is back."""
    numbers = [f"{number} " for number in range(30)]
    with redis_server() as url, Redis.from_url(url) as redis:
        async with (
            serving(url, model, lease_seconds=1) as node,
            person(browser) as ada,
            tab(ada, "about:blank") as here,
        ):
            await here.page.clock.install()
            await here.page.goto(f"{node.http}/#old")
            await here.say("Old.")
            await here.expect_text(0, "You said: Old.")
            model.answers.append([step for number in numbers for step in (number, 0.05)])
            await here.button("New").click()
            await here.say("Count.")
            await expect(here.answers.locator(".text")).to_contain_text("5")
            redis.config_set("maxclients", 1)
            for kind in ("normal", "pubsub"):
                redis.client_kill_filter(_type=kind, skipme=True)
            await until(lambda: node.node.state.pipe.breaker.state == "open")
            await here.say("And then?")
            await expect(here.turns.last.locator(".note-words")).to_contain_text("Nothing is lost.")
            await here.button("More for “Old.”").click()
            await here.page.get_by_role("menuitem", name="Delete").click()
            await here.page.clock.fast_forward(9_000)
            await expect(here.listed).to_have_count(1)
            redis.config_set("maxclients", 1000)
            await here.expect_text(0, "".join(numbers))
            await here.page.clock.fast_forward(9_000)
            await here.expect_text(1, "You said: And then?")
            await becomes(lambda: has(ada, node, ["Count."]))
            await expect(here.turns).to_have_count(4)
            assert (len(model.asked), node.node.differing) == (3, 0)
