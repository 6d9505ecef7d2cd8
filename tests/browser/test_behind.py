"""The page behind nginx and HAProxy, with three nodes: one of them killed, leaving, or cut off, and two devices."""

import asyncio
from typing import Final

import pytest
from playwright.async_api import Browser, expect

from app.edge.serve import drain
from tests.browser.behind import cluster
from tests.browser.chromium import Tab, person, tab
from tests.browser.test_connection import WATCH, WORDS
from tests.faults.proxies import CHECKED
from tests.servers import Script, until

NODE: Final = "document.documentElement.dataset.node"
TEXT: Final = "".join(WORDS)

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.parametrize("program", list(CHECKED))]


async def serves(here: Tab) -> str:
    """Wait until the page is connected; return the name of its node."""
    await expect(here.status).to_have_text("connected")
    return str(await here.page.evaluate(NODE))


async def moved(here: Tab, name: str) -> None:
    """Wait until the page is connected to another node than the one of this name."""
    await expect(here.page.locator(f'html[data-connection="open"]:not([data-node="{name}"])')).to_have_count(1)


async def say(here: Tab, steps: asyncio.Semaphore) -> None:
    """Ask, and see the answer begin."""
    await here.say("Tell me.")
    steps.release()
    await here.expect_text(0, WORDS[0])


def release(steps: asyncio.Semaphore) -> None:
    """Let the model say all that it has."""
    for _ in range(len(WORDS) + 1):
        steps.release()


async def test_the_node_that_answers_is_killed(browser: Browser, redis_url: str, model: Script, program: str) -> None:
    """The page is at another one at once, which has taken the answer over when the lease is up."""
    model.answers.extend([["Half an ", 60.0], list(WORDS)])
    async with cluster(program, redis_url, model) as nodes, person(browser) as ada, tab(ada, nodes.http) as here:
        name = await serves(here)
        await here.say("Tell me.")
        await here.expect_text(0, "Half an ")
        await nodes.kill(name)
        await moved(here, name)
        await here.expect_text(0, TEXT)
        await expect(here.answers).to_have_attribute("data-state", "done")
        assert (len(model.asked), nodes.differing) == (2, 0)


async def test_all_nodes_are_replaced_while_one_speaks(
    browser: Browser, redis_url: str, model: Script, steps: asyncio.Semaphore, program: str
) -> None:
    """Each says `away`, and the page moves on without a blink: it never reconnects, and nothing is taken back."""
    model.answers.append(list(WORDS))
    async with (
        cluster(program, redis_url, model, drain_seconds=20) as nodes,
        person(browser) as ada,
        tab(ada, nodes.http) as here,
    ):
        name = await serves(here)
        await here.page.evaluate(WATCH)
        await say(here, steps)
        leaving = []
        for _ in range(2):
            gone = nodes.nodes[name]
            leaving.append(asyncio.create_task(drain(gone.node, gone.site, asyncio.Event())))
            await moved(here, name)
            name = await serves(here)
        release(steps)
        await here.expect_text(0, TEXT)
        await asyncio.gather(*leaving)
        assert await here.page.evaluate("seen") == {"states": ["open"], "shorter": 0}
        assert (len(model.asked), nodes.differing) == (1, 0)


async def test_offline_and_back(
    browser: Browser, redis_url: str, model: Script, steps: asyncio.Semaphore, program: str
) -> None:
    """What was said meanwhile is there, though the node that the page had is gone."""
    model.answers.extend([list(WORDS), list(WORDS)])
    async with (
        cluster(program, redis_url, model) as nodes,
        person(browser) as ada,
        tab(ada, nodes.http, excused="ERR_INTERNET_DISCONNECTED") as here,
    ):
        await say(here, steps)
        name = await serves(here)
        await ada.set_offline(True)
        await nodes.kill(name)
        await expect(here.status).to_have_text("you are offline; nothing is lost")
        release(steps)
        await until(lambda: model.closed == 2)
        await ada.set_offline(False)
        await moved(here, name)
        await here.expect_text(0, TEXT)
        assert nodes.differing == 0


async def test_two_devices_at_two_nodes(
    browser: Browser, redis_url: str, model: Script, steps: asyncio.Semaphore, program: str
) -> None:
    """What one says the other sees as it comes, and one more tab too; the nodes behind them are others."""
    model.answers.append(list(WORDS))
    async with (
        cluster(program, redis_url, model) as nodes,
        person(browser) as ada,
        person(browser) as phone,
        tab(ada, nodes.http) as here,
    ):
        cookies = await ada.cookies()
        await phone.add_cookies([{"name": c["name"], "value": c["value"], "url": nodes.http} for c in cookies])
        await say(here, steps)
        there = f"{nodes.http}/#{await here.session()}"
        async with tab(phone, there) as other, tab(ada, there) as third:
            everyone = (here, other, third)
            for count in range(1, len(WORDS) + 1):
                for one in everyone:
                    await one.expect_text(0, "".join(WORDS[:count]))
                steps.release()
            names = {await serves(one) for one in everyone}
            assert len(names) > 1, names
            await other.say("Thank you.")
            release(steps)
            for one in everyone:
                await one.expect_text(1, "You said: Thank you.")
        assert nodes.differing == 0
