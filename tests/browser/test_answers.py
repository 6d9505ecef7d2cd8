"""What stands around an answer in the page: tools, approvals, thinking, and what one can do with a turn."""

import asyncio
from collections.abc import Callable

import pytest
from playwright.async_api import Browser, Locator, WebSocketRoute, expect

from app.agent.flow import Piece
from app.core.errors import ContentRefused, ModelTimeout
from tests.browser.behind import serving, two
from tests.browser.chromium import Tab, person, tab
from tests.browser.test_composer import HEARD
from tests.browser.test_page import WIDER
from tests.cluster.test_tools import Counted
from tests.servers import Script, call, until

# What a finger would miss: targets under 24 CSS px, or, of the main ones, under 44.
SMALL = """() => [...document.querySelectorAll(".conversation :is(button, summary, select, textarea, a[href])")]
  .filter((one) => one.checkVisibility({ visibilityProperty: true }) && one.closest("#composer, .turns"))
  .filter((one) => {
    const { width, height } = one.getBoundingClientRect();
    return height < (one.matches(".button:not(.code-head *)") ? 44 : 24) || width < 24;
  })
  .map((one) => one.textContent || one.id)"""

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def done(here: Tab) -> None:
    """Wait until the last answer is done."""
    await expect(here.answers.last).to_have_attribute("data-state", "done")


def keeping(route: WebSocketRoute, held: list[str | bytes]) -> None:
    """Keep back the page's decision until `held` is emptied; and what the server says meanwhile, so that it is late."""
    server = route.connect_to_server()

    async def release(message: str | bytes, pass_on: Callable[[str | bytes], None]) -> None:
        await until(lambda: not held)
        pass_on(message)

    def said(message: str | bytes) -> None:
        if '"answer"' in str(message):
            held.append(message)
            tasks.append(asyncio.ensure_future(release(message, server.send)))
        else:
            server.send(message)

    def heard(message: str | bytes) -> None:
        if held:
            tasks.append(asyncio.ensure_future(release(message, route.send)))
        else:
            route.send(message)

    tasks: list[asyncio.Future[None]] = []
    route.on_message(said)
    server.on_message(heard)


async def test_tools_and_thinking_are_there_after_a_reload(browser: Browser, redis_url: str, model: Script) -> None:
    """Folded, in words, with what was given and what came of it; the thinking too."""
    model.answers.extend([[Piece(reasoning="Hm, so."), call("add", {"one": 2, "other": 3})], ["Five."]])
    async with (
        serving(redis_url, model, tools=Counted().tools) as node,
        person(browser, width=320, height=600) as ada,
        tab(ada, node.http) as here,
    ):
        await here.say("Add.")
        for again in (False, True):
            if again:
                await here.page.reload()
            await done(here)
            await expect(here.page.locator(".tool summary")).to_have_text("add done")
            await expect(here.page.locator(".tool pre")).to_have_count(2)
            await expect(here.page.locator(".tool pre").first).to_be_hidden()
            await here.page.locator(".tool summary").press("Enter")
            await expect(here.page.locator(".tool pre").last).to_have_text("5")
            await expect(here.page.locator(".thinking summary")).to_have_text("Thought")
            await expect(here.page.locator(".thoughts")).to_be_hidden()
            await here.page.locator(".thinking summary").press("Enter")
            await expect(here.page.locator(".thoughts")).to_have_text("Hm, so.")
            assert await here.page.evaluate(WIDER) == []


@pytest.mark.parametrize(
    ("decision", "words", "result"),
    [("allow", "You allowed it.", "paid 5"), ("deny", "You denied it.", "too much"),
     ("edit", "You changed it and allowed it.", "paid 3")],
)  # fmt: skip
async def test_an_approval_is_decided_in_one_tab_and_settled_in_another(
    browser: Browser, redis_url: str, model: Script, decision: str, words: str, result: str
) -> None:
    """At another node; what is wrong with other arguments is told before they are taken."""
    counted = Counted()
    counted.gate.clear()
    model.answers.extend([["Shall I?", call("pay", {"euros": 5})], ["So."]])
    async with two(redis_url, model, tools=counted.tools) as (a, b), person(browser) as ada, tab(ada, a.http) as one:
        await one.say("Pay.")
        await expect(one.page.locator(".ask")).to_contain_text("May it use pay?")
        await expect(one.page.locator(".ask")).to_contain_text("It waits until ")
        async with tab(ada, f"{b.http}/#{await one.session()}") as other:
            await expect(other.button("Allow")).to_be_visible()
            match decision:
                case "allow":
                    await one.button("Allow").press("Enter")
                case "deny":
                    await one.button("Deny").press("Enter")
                    await one.page.get_by_label("Reason (optional)").fill("too much")
                    await one.page.keyboard.press("Enter")
                case _:
                    await one.button("Edit").last.press("Enter")
                    field = one.page.get_by_label("Arguments, as JSON")
                    for wrong, why in (("[1]", "This is not a JSON object."), ('{"euros": "x"}', "euros")):
                        await field.fill(wrong)
                        await one.button("Allow this").press("Enter")
                        await expect(one.page.get_by_role("alert").filter(visible=True)).to_contain_text(why)
                    await field.fill('{"euros": 3}')
                    await one.button("Allow this").press("Enter")
            if decision != "deny":
                await until(lambda: counted.calls)
                await expect(one.page.locator(".ask")).to_contain_text(words)
            counted.gate.set()
            for either in (one, other):
                await done(either)
                await expect(either.button("Allow")).to_have_count(0)
                await expect(either.page.locator(".tool pre").last).to_have_text(result)
                state = "not allowed" if decision == "deny" else "done"
                await expect(either.page.locator(".tool-state")).to_have_text(state)


async def test_ones_turn_is_edited_and_what_it_replaced_is_reachable(
    browser: Browser, redis_url: str, model: Script
) -> None:
    """Esc leaves it as it was, Enter sends; an answer is made anew and rated."""
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        await here.say("First.")
        await done(here)
        await here.button("Edit").press("Enter")
        await here.page.keyboard.press("Escape")
        await expect(here.button("Edit")).to_be_focused()
        await here.button("Edit").press("Enter")
        await here.page.get_by_label("Your message, edited").fill("Second.")
        await here.page.keyboard.press("Enter")
        await here.expect_text(0, "You said: Second.")
        await expect(here.turns).to_have_count(2)
        await here.page.locator(".replaced:visible summary").click()
        await expect(here.page.locator(".old-text")).to_have_text(["First.", "You said: First."])
        await here.button("Good answer").click()
        await expect(here.button("Good answer")).to_have_attribute("aria-pressed", "true")
        await here.page.reload()
        await expect(here.button("Good answer")).to_have_attribute("aria-pressed", "true")
        await expect(here.answers.locator(".origin")).to_contain_text(" tokens · ")
        await here.button("Good answer").click()
        await expect(here.button("Good answer")).to_have_attribute("aria-pressed", "false")
        model.answers.append(["Anew."])
        await here.button("Answer again").click()
        await here.expect_text(0, "Anew.")


async def test_an_answer_is_paused_and_goes_on(browser: Browser, redis_url: str, model: Script) -> None:
    """It is on hold, and goes on by its button."""
    model.answers.extend([["One ", 60.0], ["One two."]])
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        await here.say("Count.")
        await here.button("Pause").click()
        await expect(here.answers).to_contain_text("On hold.")
        await here.button("Go on").click()
        await done(here)
        await expect(here.answers.locator(".text")).to_contain_text("two.")


async def test_an_answer_that_failed_is_answered_by_another_model(
    browser: Browser, redis_url: str, model: Script
) -> None:
    """Its card says why and what can be done; each try leads to the next model, also by keys."""
    model.takeover = "fail"
    model.answers.extend([[ContentRefused("no")], [ModelTimeout("the model is silent")]])
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        await here.say("Tell me.")
        card = here.answers.locator(".failure")
        await expect(card).to_contain_text("the model refused the content (content_refused)")
        await expect(card).to_contain_text("Edit your message to put it differently.")
        await here.button("Answer with script-2").press("Enter")
        await expect(card).to_contain_text("the model took too long (model_timeout)")
        await expect(here.text).to_be_focused()
        await here.button("Answer with script-1").press("Enter")
        await here.expect_text(0, "You said: Tell me.")
        await expect(card).to_have_count(0)
        await expect(here.answers.locator(".origin")).to_contain_text("script-1 · node a · ")


async def test_an_answer_is_read_aloud_by_sentences(browser: Browser, redis_url: str, model: Script) -> None:
    """Each is read once and whole, without its marks: at most once a second, never a piece; then how it ended."""
    sentences = ["**One** is first. ", "Two: `two`! ", "Three goes\nover lines. ", "And the rest"]
    pieces = [letter for sentence in sentences for letter in sentence]
    model.answers.append([step for piece in pieces for step in (piece, 0.04)])
    async with (
        serving(redis_url, model, flush_ms=0) as node,
        person(browser) as ada,
        tab(ada, node.http) as here,
    ):
        await here.page.evaluate(HEARD)
        await here.say("Tell me.")
        await done(here)
        await here.expect_text(0, "".join(sentences))
        heard = await here.page.evaluate("heard")
        assert 2 <= len(heard) <= len(sentences) + 1
        assert " ".join(" ".join(heard).split()) == "One is first. Two: two! Three goes over lines. And the rest"
        assert all(text.rstrip()[-1] in ".!s" for text in heard[:-1])


async def test_an_answer_is_copied_as_it_was_written(browser: Browser, redis_url: str, model: Script) -> None:
    """Its Markdown, also where the page may not use the clipboard; of a block of code, the code."""
    source = "A **bold** word:\n\n```js\nlet x = 1;\n```\n\nEnd."
    model.answers.append([source])
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        await here.say("Tell me.")
        await done(here)
        for is_allowed in (True, False):
            if not is_allowed:
                await here.page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
            for place, text in ((".turn-actions", source), (".code-head", "let x = 1;")):
                button = here.answers.locator(f"{place} button").first
                await button.press("Enter")
                await expect(button).to_have_text("Copied")
                await expect(here.page.locator("#announce")).to_have_text("Copied")
                await expect(button).to_be_focused()
                await here.text.fill("")
                await here.text.press("Control+v")
                await expect(here.text).to_have_value(text)


async def test_who_decides_second_is_told(browser: Browser, redis_url: str, model: Script) -> None:
    """Two tabs decide on one approval at once: what the first said stands, and the other hears that it was late."""
    counted = Counted()
    counted.gate.clear()
    model.answers.extend([["Shall I?", call("pay", {"euros": 5})], ["So."]])
    async with (
        serving(redis_url, model, tools=counted.tools) as node,
        person(browser) as ada,
        tab(ada, node.http) as one,
    ):
        await one.say("Pay.")
        await expect(one.button("Allow")).to_be_visible()
        async with tab(ada, f"{node.http}/#{await one.session()}") as other:
            await expect(other.button("Deny")).to_be_visible()
            held: list[str | bytes] = []
            await other.page.route_web_socket("**/ws", lambda route: keeping(route, held))
            await other.page.reload()
            await other.button("Deny").press("Enter")
            await other.page.get_by_label("Reason (optional)").press("Enter")
            await until(lambda: held)
            await one.button("Allow").press("Enter")
            await until(lambda: counted.calls)
            await expect(one.page.locator(".ask")).to_contain_text("You allowed it.")
            held.clear()
            await expect(other.page.locator(".ask")).to_contain_text("Somebody else decided first.")
            await expect(other.page.locator(".ask-decided")).to_be_focused()
        counted.gate.set()
        await done(one)


async def tabbed(here: Tab, to: Locator, key: str = "Shift+Tab") -> None:
    """Go there by Tab alone, as somebody without a pointer; the focus is seen there."""
    for _ in range(40):
        await here.page.keyboard.press(key)
        if await to.evaluate("(one) => one === document.activeElement && one.matches(':focus-visible')"):
            return
    raise AssertionError(to)


async def test_the_keyboard_alone_does_all(
    browser: Browser, redis_url: str, model: Script, steps: asyncio.Semaphore
) -> None:
    """Say, stop, rate, copy, answer again, edit, see what was replaced, pause and go on; the focus is never lost."""
    model.answers.extend([["One ", "two."], ["Anew."], ["Edited."], ["Paused ", "here."], ["Paused here."]])
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        press = here.page.keyboard.press

        async def at(place: Locator) -> None:
            await expect(place).to_be_focused()

        async def go(to: Locator, key: str = "Enter") -> None:
            await tabbed(here, to)
            await press(key)

        await at(here.text)
        await here.page.keyboard.type("First.")
        await press("Enter")
        steps.release()
        await here.expect_text(0, "One ")
        await tabbed(here, here.button("Stop"), "Tab")
        await press("Enter")
        await expect(here.answers).to_have_attribute("data-state", "stopped")
        await at(here.text)
        model.gate = None
        await go(here.button("Answer again"))
        await here.expect_text(0, "Anew.")
        await at(here.text)
        await go(here.button("Good answer"), "Space")
        await expect(here.button("Good answer")).to_have_attribute("aria-pressed", "true")
        await at(here.button("Good answer"))
        await go(here.answers.locator(".turn-actions button").first)
        await expect(here.page.locator("#announce")).to_have_text("Copied")
        await at(here.answers.locator(".turn-actions button").first)
        await go(here.button("Edit"))
        await press("End")
        await here.page.keyboard.type("!")
        await press("Enter")
        await here.expect_text(0, "Edited.")
        await at(here.text)
        await go(here.page.locator(".replaced:visible summary"))
        await expect(here.page.locator(".old-text").first).to_have_text("First.")
        await at(here.page.locator(".replaced:visible summary"))
        model.gate = steps.acquire
        await tabbed(here, here.text, "Tab")
        await here.page.keyboard.type("Count.")
        await press("Enter")
        steps.release()
        await here.expect_text(1, "Paused ")
        await go(here.button("Pause"))
        await at(here.button("Go on"))
        model.gate = None
        await press("Enter")
        await expect(here.answers.last).to_have_attribute("data-state", "done")
        await at(here.text)


async def test_approvals_by_the_keyboard_alone(browser: Browser, redis_url: str, model: Script) -> None:
    """They stand below the words that introduce them; Esc goes a step back, what was decided has the focus."""
    counted = Counted()
    for number in range(3):
        model.answers.extend([["Shall I?", call("pay", {"euros": 5}, f"call-{number}")], [" So."]])
    async with (
        serving(redis_url, model, tools=counted.tools) as node,
        person(browser) as ada,
        tab(ada, node.http) as here,
    ):
        press = here.page.keyboard.press
        for name in ("Allow", "Deny", "Edit"):
            await here.say(f"{name}!")
            ask = here.answers.last.locator(".ask")
            await expect(ask).to_be_visible()
            below = "(one) => one.closest('.turn').querySelector('.text').getBoundingClientRect().bottom"
            assert (await ask.evaluate("(one) => one.getBoundingClientRect().y")) >= await ask.evaluate(below)
            await tabbed(here, ask.get_by_role("button", name=name, exact=True))
            await press("Enter")
            if name != "Allow":
                await press("Escape")
                await expect(ask.get_by_role("button", name=name, exact=True)).to_be_focused()
                await press("Enter")
            if name == "Deny":
                await here.page.keyboard.type("too much")
                await press("Enter")
            elif name == "Edit":
                await press("Control+a")
                await here.page.keyboard.type('{"euros": 3}')
                await tabbed(here, here.button("Allow this"), "Tab")
                await press("Enter")
            await done(here)
            await expect(here.text).to_be_focused()
            await expect(here.answers.last.locator(".tool")).to_have_count(1)
        results = await here.page.locator(".tool pre:last-child").all_text_contents()
        assert results == ["paid 5", "too much", "paid 3"]


async def test_a_finger_reaches_everything(browser: Browser, redis_url: str, model: Script) -> None:
    """Without hover and at 320 px all is there, nothing stands out, and each target has its size."""
    model.answers.extend([["Shall I?", call("add", {"one": 2, "other": 3}), call("pay", {"euros": 5})], ["So."]])
    async with (
        serving(redis_url, model, tools=Counted().tools) as node,
        person(browser, width=320, height=640, touch=True) as ada,
        tab(ada, node.http) as here,
    ):
        await here.say("Pay.")
        await expect(here.button("Allow")).to_be_visible()
        assert await here.page.evaluate(WIDER) == []
        assert await here.page.evaluate(SMALL) == []
        await here.button("Allow").tap()
        await done(here)
        for name in ("Copy", "Good answer", "Bad answer", "Answer again", "Edit"):
            await expect(here.button(name)).to_be_visible()
        assert await here.page.evaluate(SMALL) == []
        await here.button("Edit").tap()
        await here.page.get_by_label("Your message, edited").fill("Again.")
        assert await here.page.evaluate(WIDER) == []
        assert await here.page.evaluate(SMALL) == []
        await here.button("Send again").tap()
        await here.expect_text(0, "You said: Again.")
