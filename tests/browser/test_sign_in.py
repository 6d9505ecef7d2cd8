"""Signing in and out, in chromium, against real nodes with `AUTH=jwt`; what one person leaves is not the next one's."""

import asyncio
import contextlib
import io
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import pytest
import redis as redis_package
from playwright.async_api import Browser, Locator, Route, WebSocket, expect

from app.core.model import User
from app.edge import sign_in
from app.members import invite
from app.state.keys import rate, user_tag
from tests.browser.behind import serving
from tests.browser.chromium import Tab, person, tab
from tests.browser.test_page import WIDER
from tests.people import JWT, OTHER, operator, token
from tests.servers import Script, Served, until

REFUSED = r"status of 401|/api/sign-in"  # the browser's own line about a refused request
WITHIN_SECONDS = 2.0
FAR_OFF = 10**16  # microseconds: a limit that is used up until it is removed
SPENT = "This link was used already, or it is too old or incomplete. Ask for a new one."
SLOW = "server cannot be reached just now. Try again."
LIMITED: Final = JWT | {"limits": "on"}
ADA, EVE = (User.of(sign_in.INVITED, name) for name in ("ada", "eve"))
# What is left in this tab, and on this device, of whoever was here.
LEFT = "JSON.stringify([Object.entries(sessionStorage), Object.entries(localStorage)])"

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def shown(here: Tab, given: str) -> None:
    """Paste a token, and press the button."""
    await here.page.locator("details").evaluate("(one) => { one.open = true }")
    await here.page.get_by_label("Token", exact=True).fill(given)
    await here.button("Sign in").click()


async def invitation(served: Served, name: str = "ada") -> str:
    """A link, as `python -m app invite` prints it."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        await invite(served.node.settings, name, days=1, url=served.http)
    return printed.getvalue().strip()


async def signed_in(here: Tab) -> None:
    """Press the button of an invitation, and be in the chat; in front, since a tab behind another is drawn rarely."""
    await here.page.bring_to_front()
    await here.button("Sign in").click()
    await expect(here.status).to_have_text("connected")


def alert(here: Tab) -> Locator:
    """What is said to be wrong."""
    return here.page.get_by_role("alert")


def onward(here: Tab) -> Locator:
    """The way in for somebody who was signed in already."""
    return here.page.get_by_role("link", name="go to the chat")


@asynccontextmanager
async def failing(here: Tab, status: int | None = None) -> AsyncIterator[None]:
    """Have signing in and out answered by nobody, or with a status, meanwhile."""

    async def fail(route: Route) -> None:
        await (route.fulfill(status=status, body="") if status else route.abort())

    await here.page.route("**/api/sign-in", fail)
    yield
    await here.page.unroute("**/api/sign-in", fail)


async def tabbed_to(here: Tab, name: str, *, most: int = 12) -> None:
    """Press Tab until a button has the focus, as somebody without a mouse does."""
    for _ in range(most):
        await here.page.keyboard.press("Tab")
        if await here.button(name).evaluate("(button) => button === document.activeElement"):
            return
    raise AssertionError(f"Tab does not lead to {name}")


async def test_an_invitation_leads_to_the_chat_by_keyboard_alone(
    browser: Browser, redis_url: str, model: Script, steps: asyncio.Semaphore
) -> None:
    """From the door, over which the link is pasted, to an answer that streams, and stays after a reload; and out. The
    link counts once.
    """
    model.answers.append(["one ", "two"])
    async with (
        serving(redis_url, model, **JWT) as node,
        person(browser) as ada,
        tab(ada, node.http, excused=REFUSED) as here,
    ):
        link = await invitation(node)
        await here.page.wait_for_url(f"{node.http}/sign-in")
        await expect(here.page.get_by_text("open the link that you were sent")).to_be_visible()
        await here.page.evaluate("(link) => { location.href = link }", link)
        await expect(here.page.get_by_text("You are invited.")).to_be_visible()
        await tabbed_to(here, "Sign in")
        await here.page.keyboard.press("Enter")
        await expect(here.status).to_have_text("connected")
        assert here.page.url == f"{node.http}/"
        await here.page.keyboard.type("Tell me.")
        await here.page.keyboard.press("Enter")
        steps.release()
        await here.expect_text(0, "one ")
        await here.page.reload()
        await here.expect_text(0, "one ")
        steps.release()
        await here.expect_text(0, "one two")
        await tabbed_to(here, "Sign out")
        await here.page.keyboard.press("Enter")
        await here.page.wait_for_url(f"{node.http}/sign-in")
        assert here.faults == []
        await here.page.goto(link)
        async with here.page.expect_response(f"{node.http}/"):
            await here.button("Sign in").click()
        await expect(alert(here)).to_have_text(SPENT)
        await expect(alert(here)).to_be_focused()
        await expect(here.button("Sign in")).to_be_hidden()
        await expect(onward(here)).to_be_hidden()


async def test_nothing_of_who_signed_out_is_left(browser: Browser, redis_url: str, model: Script) -> None:
    """No cookie, socket, draft or storage, in any of their tabs. The next one in this browser sees nothing of it, and
    is let in when they follow their link again.
    """

    async def closed_first(route: Route) -> None:
        answer = await route.fetch()
        await until(lambda: not node.site.connections)
        await asyncio.sleep(0.5)  # longer than a page takes that goes because of it
        await route.fulfill(response=answer)
        await here.page.unroute("**/api/sign-in", closed_first)

    async with serving(redis_url, model, **JWT) as node, person(browser) as both:
        links = [await invitation(node, name) for name in ("ada", "eve")]
        async with tab(both, links[0], excused=REFUSED) as here, tab(both, f"{node.http}/sign-in") as other:
            await signed_in(here)
            await here.say("A secret.")
            await here.expect_text(0, "You said: A secret.")
            session = await here.session()
            await other.page.goto(f"{node.http}/#{session}")
            await other.expect_text(0, "You said: A secret.")
            for one in (here, other):
                await one.text.fill("a draft of a secret")
            await here.page.bring_to_front()
            await here.page.route("**/api/sign-in", closed_first)
            await here.button("Sign out").click()
            for one in (here, other):
                await one.page.wait_for_url("**/sign-in*")
            assert here.page.url == f"{node.http}/sign-in"
            assert await both.cookies() == []
            assert await here.page.evaluate(LEFT) == "[[],[]]"
            await here.page.go_back()
            await here.page.goto(links[1])
            await signed_in(here)
            await other.page.goto(f"{node.http}/#{session}")
            await expect(other.status).to_have_text("connected")
            for one in (other, here):
                await one.page.bring_to_front()
                await expect(one.page.locator("#session-none")).to_be_visible()
                await expect(one.turns).to_have_count(0)
                await expect(one.text).to_have_value("")
                assert "secret" not in await one.page.evaluate(LEFT)
            assert here.faults == []
            await here.page.goto(links[1])
            await here.button("Sign in").click()
            await expect(alert(here)).to_have_text(SPENT)
            await onward(here).click()
            await expect(here.status).to_have_text("connected")
        assert len(model.asked) == 1


async def test_a_token_signs_in(browser: Browser, redis_url: str, model: Script) -> None:
    """What is wrong with one stands next to its field, which has the focus and keeps it; then one is where one wanted
    to go. At 320 px nothing stands out.
    """
    wrongs = {
        "": "There is no token here yet. Paste the one that you were given.",
        "nonsense": "This is not a JSON Web Token.",
        token(seconds=-5): "This token has expired; sign in again.",
        token(secret=OTHER): "This token does not count: no key known here has signed it.",
    }
    async with (
        serving(redis_url, model, **JWT) as node,
        person(browser, width=320, height=600) as ada,
        tab(ada, f"{node.http}/#tale", excused=REFUSED) as here,
    ):
        await here.page.wait_for_url("**/sign-in#tale")
        await here.page.get_by_text("I have an access token").press("Enter")
        field = here.page.get_by_label("Token", exact=True)
        assert await here.page.evaluate(WIDER) == []
        for wrong, words in wrongs.items():
            await field.fill(wrong)
            await here.button("Sign in").click()
            await expect(alert(here)).to_have_text(words)
            await expect(field).to_be_focused()
            await expect(field).to_have_value(wrong)
            await expect(field).to_have_attribute("aria-invalid", "true")
            await expect(field).to_have_accessible_description(words)
            assert await here.page.evaluate(WIDER) == []
        good = token("ada")
        await field.fill(f" Bearer {good[:40]}\n{good[40:]}\n")
        await field.press("Enter")
        await expect(here.status).to_have_text("connected")
        assert here.page.url == f"{node.http}/#tale"
        await here.button("Show conversations").click()
        await expect(here.button("Sign out")).to_be_in_viewport()
        assert await here.page.evaluate(WIDER) == []


async def test_who_is_revoked_is_led_out(
    browser: Browser, redis_url: str, model: Script, steps: asyncio.Semaphore
) -> None:
    """In mid-answer, within two seconds, without another try; signed in again, one goes on with what one wrote."""

    async def slowly(route: Route) -> None:
        await asyncio.sleep(0.6)  # longer than the page waits before it would connect again
        await route.continue_()

    model.answers.append(["one ", "two"])
    async with (
        serving(redis_url, model, **JWT) as node,
        person(browser) as ada,
        tab(ada, await invitation(node)) as here,
    ):
        await signed_in(here)
        await here.say("Tell me.")
        steps.release()
        await here.expect_text(0, "one ")
        await here.text.fill("And then")
        session = await here.session()
        sockets: list[WebSocket] = []
        here.page.on("websocket", lambda socket: sockets.append(socket))
        await here.page.route("**/sign-in?ended", slowly)
        began = time.monotonic()
        await node.node.state.pulse.revoke(ADA)
        await here.page.wait_for_url(f"{node.http}/sign-in?ended#{session}")
        assert time.monotonic() - began < WITHIN_SECONDS
        await expect(here.page.get_by_text("Your sign-in is over.")).to_be_visible()
        assert sockets == []
        steps.release()
        await here.page.goto(await invitation(node))
        await signed_in(here)
        await here.page.goto(f"{node.http}/#{session}")
        await expect(here.text).to_have_value("And then")
        await here.expect_text(0, "one two")


async def test_a_session_that_expires_is_told(browser: Browser, redis_url: str, model: Script) -> None:
    """At its end, though nobody does anything, and where one was stays in the address."""
    async with (
        serving(redis_url, model, **JWT) as node,
        person(browser) as ada,
        tab(ada, f"{node.http}/#tale") as here,
    ):
        await shown(here, token(seconds=3))
        await expect(here.status).to_have_text("connected")
        await here.page.wait_for_url(f"{node.http}/sign-in?ended#tale")
        await expect(here.page.get_by_text("Your sign-in is over.")).to_be_visible()


async def test_a_browser_that_becomes_anothers(
    browser: Browser, redis_url: str, model: Script, steps: asyncio.Semaphore
) -> None:
    """Eve signs in where ada is: ada's open tab shows nothing of hers any more, and says nothing of hers as eve."""
    async with serving(redis_url, model, **JWT) as node, person(browser) as both:
        async with tab(both, await invitation(node)) as here, tab(both, await invitation(node, "eve")) as other:
            await signed_in(here)
            await here.say("A secret.")
            await expect(here.answers).to_have_attribute("data-state", "running")
            await here.text.fill("a draft")
            await signed_in(other)
            for one in (other, here):
                await one.page.bring_to_front()
                await expect(one.page.locator("#session-none")).to_be_visible()
                await expect(one.status).to_have_text("connected")
                await expect(one.turns).to_have_count(0)
                await expect(one.text).to_have_value("")
            await until(lambda: {connection.user for connection in node.site.connections} == {EVE})
        steps.release()
        await until(lambda: model.closed == 1)
        assert len(model.asked) == 1


async def test_there_is_always_a_way_out(browser: Browser, redis_url: str, model: Script) -> None:
    """Also for an operator, who may not chat. A server that is not there is told on the way in and on the way out, and
    both are done the next time.
    """
    async with (
        serving(redis_url, model, **JWT) as node,
        person(browser) as root,
        tab(root, node.http, excused="ERR_FAILED|status of 503") as here,
    ):
        async with failing(here):
            await shown(here, operator()["Authorization"])
            await expect(alert(here)).to_have_text(f"The {SLOW}")
        await here.button("Sign in").click()
        await expect(here.status).to_contain_text("You may not connect here.")
        for status in (None, 503):
            async with failing(here, status):
                await here.button("Sign out").click()
                await expect(here.page.locator("#notice-words")).to_have_text(f"You may still be signed in: the {SLOW}")
            await here.button("Dismiss").click()
        assert await root.cookies() != []
        await here.button("Sign out").click()
        await here.page.wait_for_url(f"{node.http}/sign-in")
        assert await root.cookies() == []


async def test_what_is_too_much_is_told(
    browser: Browser, redis_url: str, redis: redis_package.Redis, model: Script
) -> None:
    """In words. A tab too many comes in by itself when another is closed; what is said on a page that connects too
    often waits, and goes out once when it is let in.
    """
    async with (
        serving(redis_url, model, **LIMITED, max_sockets_per_user=1) as node,
        person(browser) as ada,
        AsyncExitStack() as closing,
    ):
        first = await closing.enter_async_context(tab(ada, await invitation(node)))
        await signed_in(first)
        async with tab(ada, node.http) as here:
            await expect(here.status).to_have_text("too many of your tabs are connected; close one")
            await closing.aclose()
            await expect(here.status).to_have_text("connected")
            connects = rate(user_tag(ADA), "connects")
            redis.set(connects, FAR_OFF)
            for connection in list(node.site.connections):
                connection.end(1012)
            await expect(here.status).to_have_text("too much at once; this page waits a moment")
            await here.say("Later.")
            await expect(here.turns.last).to_contain_text("Not sent yet.")
            redis.delete(connects)
            await here.expect_text(0, "You said: Later.")
            await expect(here.status).to_have_text("connected")
        assert len(model.asked) == 1
