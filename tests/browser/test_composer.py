"""Where one writes: drafts, the queue and what interrupts it, and what one said taken up again."""

import asyncio
import json
import re

import pytest
from playwright.async_api import Browser, WebSocketRoute, expect

from tests.browser.behind import serving, two
from tests.browser.chromium import Tab, person, tab
from tests.browser.test_sign_in import invitation
from tests.people import JWT
from tests.servers import Script, becomes, until

KEPT = "(text) => Object.keys(localStorage).some((key) => /^chat.drafts/.test(key) && localStorage[key].includes(text))"
# What the live region said, each time that it changed.
HEARD = """() => {
  window.heard = [];
  const region = document.getElementById("announce");
  const all = { childList: true, characterData: true, subtree: true };
  new MutationObserver(() => heard.push(region.textContent)).observe(region, all);
}"""

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def kept(here: Tab, text: str, *, is_kept: bool = True) -> None:
    """Wait until a draft is on the device, or is not any more."""

    async def so() -> bool:
        return bool(await here.page.evaluate(KEPT, text)) is is_kept

    await becomes(so)


async def signed_in(here: Tab) -> None:
    """Press the button of an invitation, and wait for the page."""
    await here.button("Sign in").click()
    await expect(here.page.locator("html")).to_have_attribute("data-connection", "open")


async def test_a_draft_outlives_a_reload_and_the_tab(browser: Browser, redis_url: str, model: Script) -> None:
    """Each conversation has its own, a new one too; what was said is no draft any more."""
    async with serving(redis_url, model) as node, person(browser) as ada:
        async with tab(ada, node.http) as here:
            await here.say("First.")
            await here.expect_text(0, "You said: First.")
            session = await here.session()
            await here.text.fill("of the first")
            await here.button("New").click()
            await expect(here.text).to_have_value("")
            await here.text.fill("of a new one")
            await here.page.reload()
            await expect(here.text).to_have_value("of a new one")
            await here.page.goto(f"{node.http}/#{session}")
            await expect(here.text).to_have_value("of the first")
        async with tab(ada, node.http) as here:
            await expect(here.text).to_have_value("of a new one")
            await here.text.press("Enter")
            await here.expect_text(0, "You said: of a new one")
            await kept(here, "of a new one", is_kept=False)
            await here.page.goto(f"{node.http}/#{session}")
            await expect(here.text).to_have_value("of the first")


async def test_tabs_of_a_conversation_lose_no_draft(browser: Browser, redis_url: str, model: Script) -> None:
    """A tab that is not written in shows what another writes, and never takes it away; one that is keeps its own."""
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, f"{node.http}/#tale") as one:
        async with tab(ada, f"{node.http}/#tale") as other:
            await expect(other.page.locator("html")).to_have_attribute("data-connection", "open")
            await one.text.fill("a long thought")
            await expect(other.text).to_have_value("a long thought")
        async with tab(ada, f"{node.http}/#tale") as other:
            await other.text.fill("")
            await kept(other, "a long thought", is_kept=False)
            await expect(one.text).to_have_value("a long thought")
            await one.text.press("End")
            await one.text.press_sequentially(".")
            await kept(one, "a long thought.")
            await one.text.press("Enter")
            await one.expect_text(0, "You said: a long thought.")
            await kept(one, "a long thought.", is_kept=False)
            await expect(other.text).to_have_value("")


async def test_a_draft_is_for_who_wrote_it(browser: Browser, redis_url: str, model: Script) -> None:
    """Signing out forgets it, and so does another's sign-in; who signs in again after their time was over has it."""
    async with (
        serving(redis_url, model, **JWT) as node,
        person(browser) as both,
        tab(both, await invitation(node)) as here,
    ):
        await signed_in(here)
        await here.text.fill("a secret")
        await kept(here, "a secret")
        await both.clear_cookies()
        await here.page.goto(await invitation(node))
        await signed_in(here)
        await expect(here.text).to_have_value("a secret")
        await both.clear_cookies()
        await here.page.goto(await invitation(node, "eve"))
        await signed_in(here)
        await kept(here, "a secret", is_kept=False)
        await expect(here.text).to_have_value("")
        await here.text.fill("another secret")
        await kept(here, "another secret")
        await here.button("Sign out").click()
        await here.page.wait_for_url("**/sign-in*")
        await kept(here, "secret", is_kept=False)


@pytest.mark.parametrize("how", ["button", "Control+Enter"])
async def test_a_message_interrupts_the_answer(
    browser: Browser, redis_url: str, model: Script, steps: asyncio.Semaphore, how: str
) -> None:
    """It is answered at once, before what was queued; what the interrupted answer had written stands."""
    model.answers.append(["So far ", "and on."])
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        await expect(here.button("Send now")).to_be_hidden()
        await here.say("First.")
        steps.release()
        await here.expect_text(0, "So far ")
        await expect(here.button("Send now")).to_be_hidden()
        await expect(here.page.locator("#composer-hint")).to_contain_text("Ctrl + Enter sends it now")
        await here.say("Queued.")
        await here.text.fill("At once.")
        await (here.button("Send now").click() if how == "button" else here.text.press(how))
        await expect(here.text).to_be_focused()
        await expect(here.text).to_have_value("")
        await expect(here.answers.first).to_have_attribute("data-state", "stopped")
        for _ in range(2):
            steps.release()
        await here.expect_text(2, "You said: Queued.")
        await expect(here.turns.locator(".text")).to_have_text(
            ["First.", "So far", "At once.", "You said: At once.", "Queued.", "You said: Queued."]
        )


async def test_what_interrupts_is_sent_as_such_after_a_reload(
    browser: Browser, redis_url: str, model: Script, steps: asyncio.Semaphore
) -> None:
    """It was said while the node was away, and the page was loaded anew: still it waits for nobody, and goes once."""
    model.answers.append(["So far ", "and on."])
    async with two(redis_url, model) as (a, b), person(browser) as ada, tab(ada, a.http, excused="ERR_") as here:
        await here.say("First.")
        steps.release()
        await here.expect_text(0, "So far ")
        session = await here.session()
        await here.page.route_web_socket("**/ws", lambda route: route.close())
        await here.page.reload()
        await expect(here.status).to_contain_text("connect")
        await here.text.fill("At once.")
        await here.text.press("Control+Enter")
        await expect(here.turns.last).to_contain_text("Not sent yet.")
        async with tab(ada, f"{b.http}/#{session}") as other:
            await other.say("Queued.")
            await expect(other.page.locator('[data-state="queued"]')).to_have_count(1)
            await here.page.unroute_all()
            await here.page.route_web_socket("**/ws", lambda route: route.connect_to_server())
            await here.page.reload()
            await expect(here.answers.first).to_have_attribute("data-state", "stopped")
            for _ in range(2):
                steps.release()
            for either in (here, other):
                await expect(either.turns.locator(".text")).to_have_text(
                    ["First.", "So far", "At once.", "You said: At once.", "Queued.", "You said: Queued."]
                )
        assert len(model.asked) == 3


async def test_the_last_message_is_taken_up_again(
    browser: Browser, redis_url: str, model: Script, steps: asyncio.Semaphore
) -> None:
    """By ArrowUp in an empty field: one that stands is edited in its place, one that waits comes back."""
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        await here.text.press("ArrowUp")
        await expect(here.text).to_be_focused()
        await here.say("First.")
        steps.release()
        await here.expect_text(0, "You said: First.")
        editor = here.page.get_by_label("Your message, edited")
        await here.text.fill("draft")
        await here.text.press("ArrowUp")
        await expect(editor).to_have_count(0)
        await here.text.fill("")
        await here.text.press("ArrowUp")
        await expect(editor).to_be_focused()
        await expect(editor).to_have_value("First.")
        await here.page.keyboard.press("Escape")
        await expect(here.text).to_be_focused()
        await expect(editor).to_have_count(0)
        await here.text.press("ArrowUp")
        await editor.fill("Second.")
        await editor.press("Enter")
        await expect(here.text).to_be_focused()
        await here.say("Third.")
        await expect(here.page.locator('[data-state="queued"]')).to_have_count(1)
        await here.text.press("ArrowUp")
        await expect(here.text).to_have_value("Third.")
        await expect(here.page.locator('[data-state="queued"]')).to_have_count(0)
        steps.release()
        await here.expect_text(0, "You said: Second.")
        await expect(here.turns).to_have_count(2)
        await until(lambda: len(model.asked) == 2)


async def test_a_limit_is_counted_down(browser: Browser, redis_url: str, model: Script) -> None:
    """In words, each second for the eye and once for the ear; it is sent when the time has come, or taken back."""
    async with (
        serving(redis_url, model, limits="on", rate_turns=1) as node,
        person(browser) as ada,
        tab(ada, node.http) as here,
    ):
        await here.page.evaluate(HEARD)
        await here.say("First.")
        await here.expect_text(0, "You said: First.")
        await here.say("Second.")
        left = here.turns.last.locator('.countdown [aria-hidden="true"]')
        await expect(left).to_have_text(re.compile(r"^It is sent again in \d+ s\.$"))
        first = await left.text_content() or ""
        await expect(left).not_to_have_text(first)
        await expect(left).to_be_visible()
        told = [text for text in await here.page.evaluate("heard") if "It is sent again in" in text]
        assert len(told) == 1
        await expect(here.button("Try now")).to_have_count(0)
        await here.button("Take it back").press("Enter")
        await expect(here.text).to_have_value("Second.")
        await expect(here.text).to_be_focused()
        await expect(here.turns).to_have_count(2)


async def test_what_waits_for_a_server_may_be_tried_now(browser: Browser, redis_url: str, model: Script) -> None:
    """The button sends it at once; it is said once."""
    refusals = 1

    def through(route: WebSocketRoute) -> None:
        """Refuse a `say` as a node does whose Redis is away."""
        server = route.connect_to_server()

        def pass_on(message: str | bytes) -> None:
            nonlocal refusals
            frame = json.loads(message)
            if isinstance(frame, dict) and frame["type"] == "say" and refusals:
                refusals -= 1
                error = {"type": "error", "code": "unavailable", "message": "The state is away.", "retry": "later"}
                route.send(json.dumps({**error, "ref": frame["ref"], "after_ms": 600_000}))
            else:
                server.send(message)

        route.on_message(pass_on)

    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        await here.page.route_web_socket("**/ws", through)
        await here.page.reload()
        await here.say("Tell me.")
        await expect(here.turns.last.locator(".note-words")).to_contain_text("Nothing is lost.")
        await expect(here.turns.last.locator('.countdown [aria-hidden="true"]')).to_have_text(
            "It is sent again in 10 min."
        )
        await here.button("Try now").press("Enter")
        await here.expect_text(0, "You said: Tell me.")
        await expect(here.text).to_be_focused()
        await expect(here.turns).to_have_count(2)
        assert len(model.asked) == 1
