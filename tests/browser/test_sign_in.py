"""Signing in and out, in chromium, against real nodes with `AUTH=jwt`."""

import asyncio
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from app.core.model import User
from app.edge import sign_in
from tests.browser.chromium import person, tab
from tests.browser.test_page import WIDER
from tests.people import JWT, token
from tests.servers import Script, Served, serving

REFUSED = r"status of 401|/api/sign-in"  # the browser's own line about a refused request

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def invitation(served: Served, name: str = "ada") -> str:
    """A link as `python -m app invite` prints it."""
    secret = await sign_in.invite(served.node.credentials, served.node.pulse, name, seconds=60)
    return f"{served.http}/sign-in#invite={secret}"


async def test_an_invitation_leads_to_the_chat_and_out(browser: Browser, redis_url: str, model: Script) -> None:
    """Once: the second time it says so. What one has said is still there after a reload, and not after signing out."""
    async with serving(redis_url, model, **JWT) as node, person(browser) as ada:
        link = await invitation(node)
        async with tab(ada, link) as here:
            await here.button("Sign in").focus()
            await here.page.keyboard.press("Enter")
            await expect(here.status).to_have_text("connected to node a")
            await here.say("A secret.")
            await here.expect_text(0, "You said: A secret.")
            await here.page.reload()
            await here.expect_text(0, "You said: A secret.")
            await here.text.fill("a draft")
            await here.button("Sign out").click()
            await here.page.wait_for_url(f"{node.http}/sign-in")
            assert await ada.cookies() == []
            assert await here.page.evaluate("JSON.stringify(sessionStorage)") == "{}"
            await expect(here.page.get_by_text("A secret.")).to_have_count(0)
            assert not node.site.connections
        async with tab(ada, link, excused=REFUSED) as again:
            await again.button("Sign in").click()
            await expect(again.page.get_by_role("alert")).to_contain_text("was used, or is too old; ask for another")
        async with tab(ada, await invitation(node, "eve")) as here:
            await here.button("Sign in").click()
            await expect(here.status).to_have_text("connected to node a")
            await expect(here.turns).to_have_count(0)
            await expect(here.listed).to_have_count(0)
            await expect(here.text).to_have_value("")


async def test_a_stranger_is_led_to_the_door(browser: Browser, redis_url: str, model: Script) -> None:
    """A token signs in; what cannot says why, and what was typed stays; then one is where one wanted to go."""
    async with (
        serving(redis_url, model, **JWT) as node,
        person(browser, width=320) as ada,
        tab(ada, f"{node.http}/", excused=REFUSED) as here,
    ):
        await here.page.wait_for_url("**/sign-in*")
        await here.page.get_by_text("I have an access token").click()
        field = here.page.get_by_label("Token")
        for wrong, words in (("nonsense", "not a JSON Web Token"), (token("ada", seconds=-5), "has expired")):
            await field.fill(wrong)
            await here.button("Sign in").click()
            await expect(here.page.get_by_role("alert")).to_contain_text(words)
            await expect(field).to_have_value(wrong)
        assert await here.page.evaluate(WIDER) == []
        await field.fill(token("ada"))
        await here.button("Sign in").click()
        await expect(here.status).to_have_text("connected to node a")


async def test_who_is_revoked_is_led_out(browser: Browser, redis_url: str, model: Script) -> None:
    """Within two seconds, at whatever one was."""
    model.answers.append(["one ", 60.0])
    async with (
        serving(redis_url, model, **JWT) as node,
        person(browser) as ada,
        tab(ada, await invitation(node), excused=r"status of 401") as here,
    ):
        await here.button("Sign in").click()
        await expect(here.status).to_have_text("connected to node a")
        await here.say("Tell me.")
        await here.expect_text(0, "one ")
        await node.node.pulse.revoke(User.of(sign_in.INVITED, "ada"))
        async with asyncio.timeout(3):
            await here.page.wait_for_url("**/sign-in*")


async def test_too_many_tabs_are_told(browser: Browser, redis_url: str, model: Script) -> None:
    """In words; and when one is closed, the next comes in by itself."""
    limits: dict[str, Any] = {"limits": "on", "max_sockets_per_user": 1}
    async with serving(redis_url, model, **JWT | limits) as node, person(browser) as ada:
        async with tab(ada, await invitation(node)) as first:
            await first.button("Sign in").click()
            await expect(first.status).to_have_text("connected to node a")
            second = await ada.new_page()
            await second.goto(node.http)
            await expect(second.locator("#status")).to_contain_text("too many of your tabs")
        await expect(second.locator("#status")).to_have_text("connected to node a")
