"""The page, in chromium, against real nodes: what a person sees and does."""

import asyncio
import json
from typing import Any

import pytest
from playwright.async_api import Browser, WebSocketRoute, expect

from app.core.errors import ModelTimeout
from tests.browser.behind import serving, two
from tests.browser.chromium import WAIT_MS, person, tab
from tests.servers import Script, until

WORDS = ["Hé ", "漢字 ", "😀\n", "\t<b>  two  spaces</b> ", "👩‍👩‍👧 e\u0301 ", "end."]
HOSTILE = '<img src=x onerror="window.harmed = true"><script>window.harmed = true</script>&lt;b&gt; </li>'
LONG = "unbroken" * 60
# What stands out to the right, and what could be scrolled sideways.
WIDER = """() => [...document.querySelectorAll("body *")]
  .filter((one) => one.checkVisibility({ visibilityProperty: true }))
  .filter((one) => one.getBoundingClientRect().right > innerWidth
    || (one.matches("#scroll, nav, dialog") && one.scrollWidth > one.clientWidth))
  .map((one) => one.id || one.className || one.tagName)
  .concat(document.scrollingElement.scrollWidth > innerWidth ? ["the page"] : [])"""

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_an_answer_is_seen_as_it_is_written(
    browser: Browser, redis_url: str, model: Script, steps: asyncio.Semaphore
) -> None:
    """The text grows between two looks, and in the end it is the model's to the last code point."""
    model.answers.append(list(WORDS))
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        await here.say("Tell me.")
        for count in range(1, len(WORDS)):
            steps.release()
            await here.expect_text(0, "".join(WORDS[:count]))
            await expect(here.answers).to_have_attribute("data-state", "running")
        await expect(here.page).to_have_title("… Tell me.")
        steps.release()  # the last piece leaves with the end
        await expect(here.answers).to_have_attribute("data-state", "done")
        await here.expect_text(0, "".join(WORDS))
        await expect(here.answers.locator(".origin")).to_contain_text("script-1 · node a · ")
        await expect(here.page).to_have_title("Tell me.")
        await expect(here.page.locator("#announce")).to_contain_text("end.")
        assert node.node.differing == 0


@pytest.mark.parametrize("how", ["button", "Escape"])
async def test_an_answer_is_stopped(
    browser: Browser, redis_url: str, model: Script, steps: asyncio.Semaphore, how: str
) -> None:
    """By the button or by Esc; what was written stands, the model is let go, and one simply writes again."""
    model.answers.append(list(WORDS))
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        await here.say("Tell me.")
        steps.release()
        await here.expect_text(0, WORDS[0])
        await (here.button("Stop").click() if how == "button" else here.page.keyboard.press(how))
        await expect(here.answers).to_have_attribute("data-state", "stopped")
        await expect(here.answers).to_contain_text("Stopped. What was written stands.")
        await here.expect_text(0, WORDS[0])
        await expect(here.button("Stop")).to_be_hidden()
        await expect(here.button("Answer again")).to_be_visible()
        await until(lambda: model.closed == 1)
        model.gate = None
        await here.say("Go on.")
        await here.expect_text(1, "You said: Go on.")


async def test_an_answer_that_failed_says_why(browser: Browser, redis_url: str, model: Script) -> None:
    """In words and with its code, and what was written is kept; until one has it answered anew, in its place."""
    model.takeover = "fail"
    model.answers.append(["So far ", ModelTimeout("the model is silent")])
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        await here.say("Tell me.")
        await expect(here.answers).to_have_attribute("data-state", "failed")
        await expect(here.answers.locator(".note-words")).to_have_text(
            "This answer failed: the model took too long (model_timeout). What was written is kept."
        )
        await here.expect_text(0, "So far ")
        await here.button("Answer again").click()
        await here.expect_text(0, "You said: Tell me.")
        await expect(here.answers).to_have_count(1)
        await expect(here.answers).to_have_attribute("data-state", "done")
        await expect(here.button("Answer again")).to_have_count(1)
        await here.page.reload()
        await here.expect_text(0, "You said: Tell me.")
        await expect(here.turns).to_have_count(2)
        await here.say("And now?")
        await here.expect_text(1, "You said: And now?")
        assert node.node.differing == 0


async def test_how_long_it_is_kept_is_said(browser: Browser, redis_url: str, model: Script) -> None:
    """Beside the list, as the node has it."""
    for days, words in (("7", "7 days"), ("0.5", "12 hours"), ("2", "2 days")):
        async with (
            serving(redis_url, model, history_days=days) as node,
            person(browser) as ada,
            tab(ada, node.http) as here,
        ):
            kept = here.page.locator("#sessions-kept")
            await expect(kept).to_have_text(f"Kept for {words} after the last message, then deleted.")


async def test_a_reload_in_mid_answer_goes_on(
    browser: Browser, redis_url: str, model: Script, steps: asyncio.Semaphore
) -> None:
    """What was written is there at once, the rest arrives, nothing twice; the model was asked once."""
    model.answers.append(list(WORDS))
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        await here.say("Tell me.")
        for count in range(1, len(WORDS)):
            steps.release()
            await here.expect_text(0, "".join(WORDS[:count]))
            if count % 2:
                await here.page.reload()
                await here.expect_text(0, "".join(WORDS[:count]))
        steps.release()
        await expect(here.answers).to_have_attribute("data-state", "done")
        await here.expect_text(0, "".join(WORDS))
        await expect(here.turns).to_have_count(2)
        assert (len(model.asked), node.node.differing) == (1, 0)


async def test_a_second_tab_is_in_step(
    browser: Browser, redis_url: str, model: Script, steps: asyncio.Semaphore
) -> None:
    """On another node, with either of them speaking: the same turns with the same text at each step."""
    model.answers += [list(WORDS), list(WORDS)]
    async with two(redis_url, model) as (a, b), person(browser) as ada, tab(ada, a.http) as one:
        await one.say("Tell me.")
        async with tab(ada, f"{b.http}/#{await one.session()}") as other:
            for number, speaker in enumerate((one, other)):
                if number:
                    await speaker.say("Again.")
                for count in range(1, len(WORDS)):
                    steps.release()
                    for either in (one, other):
                        await either.expect_text(number, "".join(WORDS[:count]))
                steps.release()
                for either in (one, other):
                    await expect(either.answers.nth(number)).to_have_attribute("data-state", "done")
                    await either.expect_text(number, "".join(WORDS))
                    await expect(either.turns).to_have_count(2 * number + 2)
            ids = [
                await either.turns.evaluate_all("all => all.map((one) => one.dataset.id)") for either in (one, other)
            ]
            assert ids[0] == ids[1]
        assert (len(model.asked), a.node.differing, b.node.differing) == (2, 0, 0)


async def test_a_message_waits_for_the_answer_before_it(
    browser: Browser, redis_url: str, model: Script, steps: asyncio.Semaphore
) -> None:
    """It is marked as queued, in a second tab too; it is answered later, unless it is taken back."""
    model.answers.append(list(WORDS))
    async with two(redis_url, model) as (a, b), person(browser) as ada, tab(ada, a.http) as one:
        await one.say("First.")
        await expect(one.button("Stop")).to_be_visible()
        async with tab(ada, f"{b.http}/#{await one.session()}") as other:
            await one.say("Second.")
            await one.say("Third.")
            for either in (one, other):
                await expect(either.page.locator('[data-state="queued"] .text')).to_have_text(["Second.", "Third."])
                await expect(either.page.locator('[data-state="queued"]').first).to_contain_text("Queued: ")
            await other.page.locator('[data-state="queued"]').last.get_by_role("button", name="Take it back").click()
            for _ in range(len(WORDS) + 1):
                steps.release()
            for either in (one, other):
                await either.expect_text(1, "You said: Second.")
                await expect(either.turns.locator(".text")).to_have_text(
                    ["First.", "".join(WORDS).replace("\n\t", ""), "Second.", "You said: Second."]
                )


async def test_the_list_marks_who_is_being_answered(
    browser: Browser, redis_url: str, model: Script, steps: asyncio.Semaphore
) -> None:
    """Also a conversation that is not open: marked while it is answered, and no longer."""
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        await here.say("First.")
        await expect(here.listed).to_have_count(1)
        await expect(here.listed.locator(".session-mark")).to_have_text("answering")
        await here.button("New").click()
        await expect(here.turns).to_have_count(0)
        await expect(here.listed.locator(".session-mark")).to_have_text("answering")
        steps.release()
        await expect(here.listed.locator(".session-mark")).to_have_text("")
        await here.page.get_by_role("link", name="First.").click()
        await here.expect_text(0, "You said: First.")


async def test_a_conversation_is_renamed(browser: Browser, redis_url: str, model: Script) -> None:
    """By its dialog and Enter; the head and the list say so in a second tab, and after a reload."""
    async with two(redis_url, model) as (a, b), person(browser) as ada, tab(ada, a.http) as one:
        await one.say("First.")
        await expect(one.answers).to_have_attribute("data-state", "done")
        async with tab(ada, f"{b.http}/#{await one.session()}") as other:
            await expect(other.page.locator("#title")).to_have_text("First.")
            await one.button("Rename").click()
            await expect(one.page.locator("#rename-text")).to_have_value("First.")
            await one.page.locator("#rename-text").fill(f"Title {HOSTILE[:40]}")
            await one.page.locator("#rename-text").press("Enter")
            for either in (one, other):
                await expect(either.page.locator("#title")).to_have_text(f"Title {HOSTILE[:40]}")
                await expect(either.listed).to_have_text([f"Title {HOSTILE[:40]}"])
        await one.page.reload()
        await expect(one.page.locator("#title")).to_have_text(f"Title {HOSTILE[:40]}")


async def test_ones_conversations_are_there_after_a_reload(browser: Browser, redis_url: str, model: Script) -> None:
    """The list has them, the newest first, and each opens with its turns; somebody else sees none of them."""
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        for title in ("First.", "Second."):
            await here.button("New").click()
            await here.say(title)
            await here.expect_text(0, f"You said: {title}")
            await expect(here.answers).to_have_attribute("data-state", "done")
        await here.page.goto("about:blank")
        await here.page.goto(node.http)
        await expect(here.listed).to_have_text(["Second.", "First."])
        for title in ("First.", "Second."):
            await here.page.get_by_role("link", name=title).click()
            await expect(here.turns.locator(".text")).to_have_text([title, f"You said: {title}"])
        async with person(browser) as bob, tab(bob, here.page.url) as foreign:
            await expect(foreign.page.locator("#session-none")).to_be_visible()
            await expect(foreign.turns).to_have_count(0)


@pytest.mark.parametrize("by", ["its button", "scrolling"])
async def test_earlier_turns_are_brought(browser: Browser, redis_url: str, model: Script, by: str) -> None:
    """A long conversation opens with its newest turns; whoever goes up, or presses the button, has the ones before."""
    async with serving(redis_url, model, flush_ms=1) as node, person(browser) as ada, tab(ada, node.http) as here:
        texts: list[str] = []
        for number in range(30):
            body = {"session_id": "long", "message": f"Number {number}."}
            assert (await ada.request.post(f"{node.http}/chat", data=body)).ok
            texts += [f"Number {number}.", f"You said: Number {number}."]
        await here.page.goto(f"{node.http}/#long")
        await expect(here.turns.locator(".text")).to_have_text(texts[-50:])
        await expect(here.turns.last).to_be_in_viewport()
        if by == "scrolling":
            await here.page.locator("#scroll").hover()
            await here.page.mouse.wheel(0, -50_000)
        else:  # as a screen reader presses it, from where one is: going there brings them, too
            await here.button("Earlier in this conversation").dispatch_event("click")
        await expect(here.turns.locator(".text")).to_have_text(texts)
        await expect(here.button("Earlier in this conversation")).to_be_hidden()


async def test_the_end_is_followed_until_one_scrolls_up(
    browser: Browser, redis_url: str, model: Script, steps: asyncio.Semaphore
) -> None:
    """The newest line is in view while the text grows; scrolled up, one stays there, and a button leads back."""
    model.answers.append(["line\n" * 100, "more\n" * 100, "last\n" * 100])
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        await here.say("Tell me.")
        steps.release()
        await here.expect_text(0, "line\n" * 100)
        await expect(here.answers.locator(".origin")).to_be_in_viewport()
        await here.page.locator("#scroll").hover()
        await here.page.mouse.wheel(0, -5000)
        await expect(here.turns.first).to_be_in_viewport()
        steps.release()
        await here.expect_text(0, "line\n" * 100 + "more\n" * 100)
        await expect(here.turns.first).to_be_in_viewport()
        await here.button("To the newest").click()
        await expect(here.answers.locator(".origin")).to_be_in_viewport()
        steps.release()
        await expect(here.answers).to_have_attribute("data-state", "done")
        await expect(here.answers.locator(".origin")).to_be_in_viewport()


async def test_hostile_text_is_text(browser: Browser, redis_url: str, model: Script) -> None:
    """Markup from a person or a model is shown to the letter, everywhere, and makes no element."""
    model.answers.append([HOSTILE[:30], HOSTILE[30:]])
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        await here.say(HOSTILE)
        await expect(here.answers).to_have_attribute("data-state", "done")
        await here.expect_text(0, HOSTILE)
        await expect(here.turns.first.locator(".text")).to_have_js_property("textContent", HOSTILE)
        await expect(here.page.locator("#title")).to_have_text(HOSTILE[:80])
        await expect(here.listed).to_have_text([HOSTILE[:80]])
        await expect(here.page.locator("img, script:not([src])")).to_have_count(0)
        assert await here.page.evaluate("window.harmed") is None


async def test_what_the_policy_forbids_is_refused_and_told(browser: Browser, redis_url: str, model: Script) -> None:
    """An inline script does not run; and a tab of these tests would have told of it."""
    inline = "Object.assign(document.createElement('a'), { href: 'javascript:window.harmed = 1' }).click()"
    async with (
        serving(redis_url, model) as node,
        person(browser) as ada,
        tab(ada, node.http, excused="CSP:|Content Security Policy") as here,
    ):
        await here.page.evaluate(inline)
        async with asyncio.timeout(WAIT_MS / 1000):
            await until(lambda: any(fault.startswith("CSP:") for fault in here.faults))
        assert await here.page.evaluate("window.harmed") is None


async def test_a_narrow_page_has_no_horizontal_scrolling(
    browser: Browser, redis_url: str, model: Script, steps: asyncio.Semaphore
) -> None:
    """At 320 px, with words that do not break: nothing stands out, whatever is open."""
    steps.release()
    model.answers.append([LONG, LONG])
    async with (
        serving(redis_url, model) as node,
        person(browser, width=320, height=600) as ada,
        tab(ada, node.http) as here,
    ):
        await here.say(LONG)
        await here.expect_text(0, LONG)
        await here.say(LONG)
        await expect(here.button("Take it back")).to_be_visible()
        assert await here.page.evaluate(WIDER) == []
        await here.button("Show conversations").click()
        await expect(here.listed.locator("a")).to_be_in_viewport()
        assert await here.page.evaluate(WIDER) == []
        await here.page.keyboard.press("Escape")
        await expect(here.listed.locator("a")).to_be_hidden()
        await expect(here.button("Stop")).to_be_visible()
        await here.button("Rename").click()
        assert await here.page.evaluate(WIDER) == []


@pytest.mark.parametrize("features", [[], ["again", "hold"]], ids=["none", "again and hold"])
async def test_only_what_the_node_announces_is_offered(
    browser: Browser, redis_url: str, model: Script, steps: asyncio.Semaphore, features: list[str]
) -> None:
    """A stopped answer anew needs `again`; approvals and going on need `hold`."""
    ask = {"call": "t1", "name": "mail", "arguments": "{}", "until": 0}
    asks: list[dict[str, Any]] = []

    def later(message: str | bytes) -> str:
        """Make a frame of this node one of a later version's, which holds its runs."""
        frame = json.loads(message)
        if frame["type"] == "welcome":
            frame["features"] = features
        if frame.get("run") and frame["type"] == "snapshot":
            frame["run"] |= {"state": "held", "asks": asks}
        return json.dumps(frame)

    def through(route: WebSocketRoute) -> None:
        server = route.connect_to_server()
        server.on_message(lambda message: route.send(later(message)))

    model.answers.append(["So far ", "."])
    offered = len(features) // 2
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        await here.page.route_web_socket("**/ws", through)
        await here.page.reload()
        await here.say("Tell me.")
        steps.release()
        await here.expect_text(0, "So far ")
        await here.page.reload()
        await expect(here.answers).to_contain_text("On hold.")
        await expect(here.button("Go on")).to_have_count(offered)
        asks.append(ask)
        await here.page.reload()
        await expect(here.answers).to_contain_text("On hold.")
        await expect(here.button("Allow")).to_have_count(offered)
        await expect(here.button("Deny")).to_have_count(offered)
        await expect(here.button("Go on")).to_have_count(0)
        await here.button("Stop").click()
        await expect(here.answers).to_have_attribute("data-state", "stopped")
        await expect(here.button("Answer again")).to_have_count(offered)
