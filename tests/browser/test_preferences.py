"""Preferences, in chromium: what every answer heeds, what a conversation has of its own, how this device shows it."""

import re

import pytest
from playwright.async_api import Browser, Locator, Page, WebSocketRoute, expect

from tests.browser.behind import serving
from tests.browser.chromium import Tab, person, tab
from tests.browser.test_page import WIDER
from tests.browser.test_sign_in import invitation, signed_in
from tests.people import JWT
from tests.servers import Script

PAPER = "() => getComputedStyle(document.body).backgroundColor"
KEPT = (
    "() => fetch('/api/context').then((told) => told.json()).then(({ context }) => context.instructions === 'Be kind.')"
)
FIRST = "addEventListener('DOMContentLoaded', () => { window.first = { ...document.documentElement.dataset }; })"

pytestmark = pytest.mark.asyncio(loop_scope="session")


def field(page: Page, name: str) -> Locator:
    """A field of the preferences."""
    return page.locator(f"#field-{name}")


async def choose(here: Tab, name: str, value: str) -> None:
    """Choose in the open dialog, and wait until it is kept."""
    control = field(here.page, name)
    if await control.evaluate("(one) => one.localName") == "select":
        await control.select_option(value)
    else:
        await control.fill(value)
        await control.blur()
    await expect(here.page.locator(f"#field-{name}-note")).to_have_text("Saved")


async def test_what_answers_are_to_heed_is_kept_for_all_devices(
    browser: Browser, redis_url: str, model: Script
) -> None:
    """Each value by itself: two tabs that change different ones do not get in each other's way."""
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        async with tab(ada, node.http) as there:
            for one in (here, there):
                await one.page.keyboard.press("Control+,")
                await expect(field(one.page, "instructions")).to_be_visible()
            await choose(here, "expertise_level", "expert")
            await choose(there, "instructions", "Call me Ada.")
            await choose(there, "language", "Deutsch")
            kept = await (await here.page.request.get(f"{node.http}/api/context")).json()
            wanted = {"expertise_level": "expert", "instructions": "Call me Ada.", "language": "Deutsch"}
            assert kept["context"] == wanted
        await here.page.keyboard.press("Escape")
        await expect(here.text).to_be_focused()
        await here.button("Preferences").click()
        await expect(field(here.page, "instructions")).to_have_value("Call me Ada.")
        await expect(field(here.page, "expertise_level")).to_have_value("expert")
        await choose(here, "instructions", "")
        await here.button("Close").click()
        await expect(here.button("Preferences")).to_be_focused()
        await here.say("Who am I?")
        await here.expect_text(0, "You said: Who am I?")
        told = model.prompts[-1].messages[0]["content"]
        assert "Deutsch" in told
        assert "Call me Ada." not in told


async def test_what_was_changed_elsewhere_meanwhile_is_taken_over_and_told(
    browser: Browser, redis_url: str, model: Script
) -> None:
    """Field by field: what is changed here is kept, also where another device changed the same."""
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        context = f"{node.http}/api/context"
        await here.button("Preferences").click()
        await choose(here, "expertise_level", "beginner")
        told = here.page.locator("#preferences-told")
        await expect(told).to_have_text("")
        elsewhere = {"preferred_style": "concise", "instructions": "Theirs.", "expertise_level": "expert"}
        assert (await here.page.request.patch(context, data=elsewhere)).ok
        await choose(here, "instructions", "Mine.")
        await expect(told).to_contain_text("Changed elsewhere meanwhile: ")
        for name in ("Style of the answers", "Your expertise", "Instructions for every answer"):
            await expect(told).to_contain_text(name)
        await expect(field(here.page, "preferred_style")).to_have_value("concise")
        await expect(field(here.page, "expertise_level")).to_have_value("expert")
        await expect(field(here.page, "instructions")).to_have_value("Mine.")
        kept = await (await here.page.request.get(context)).json()
        assert kept["context"] == elsewhere | {"instructions": "Mine."}


async def test_more_than_is_kept_is_told_before_it_is_sent(browser: Browser, redis_url: str, model: Script) -> None:
    """By characters of one text, and by bytes of all that is known; the text stays in its field."""
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        assert (await here.page.request.patch(f"{node.http}/api/context", data={"notes": "n" * 5_000})).ok
        await here.button("Preferences").click()
        note = here.page.locator("#field-instructions-note")
        for text, words in (("x" * 4_097, "by 1 characters"), ("ä" * 2_000, r"by \d+ bytes")):
            await field(here.page, "instructions").fill(text)
            await field(here.page, "instructions").blur()
            await expect(note).to_have_text(re.compile(f"This is too long {words}."))
            await expect(field(here.page, "instructions")).to_have_value(text)


async def test_what_is_typed_is_kept_when_the_dialog_closes(browser: Browser, redis_url: str, model: Script) -> None:
    """Esc leaves the dialog, and loses nothing."""
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        await here.button("Preferences").click()
        await field(here.page, "instructions").press_sequentially("Be kind.")
        await here.page.keyboard.press("Escape")
        await here.page.wait_for_function(KEPT)


async def test_a_conversation_has_its_own_model(browser: Browser, redis_url: str, model: Script) -> None:
    """Chosen in the head before or after its first word, seen by whoever reads along; others keep the usual one."""
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        choice = here.page.get_by_role("combobox", name="Model")
        await choice.select_option("script-2")
        await here.say("Hello.")
        await expect(here.answers.locator(".origin")).to_contain_text("script-2 · ")
        async with tab(ada, here.page.url) as there:
            await expect(there.page.get_by_role("combobox", name="Model")).to_have_value("script-2")
            await there.page.get_by_role("combobox", name="Model").select_option("")
            await expect(choice).to_have_value("")
        await here.say("And now?")
        await expect(here.answers.nth(1).locator(".origin")).to_contain_text("script-1 · ")


async def test_new_conversations_ask_the_model_that_one_prefers(
    browser: Browser, redis_url: str, model: Script
) -> None:
    """On this device, also after a reload; a conversation's own model comes first."""
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        await here.button("Preferences").click()
        await choose(here, "preferred", "script-2")
        await choose(here, "temperature", "0.7")
        await choose(here, "prompt", "You are a poet.")
        await here.page.keyboard.press("Escape")
        await here.page.reload()
        await here.say("Hello.")
        await expect(here.answers.locator(".origin")).to_contain_text("script-2 · ")
        await here.page.get_by_role("combobox", name="Model").select_option("script-1")
        await here.say("Again.")
        await expect(here.answers.nth(1).locator(".origin")).to_contain_text("script-1 · ")


async def test_a_model_that_was_just_chosen_is_asked(browser: Browser, redis_url: str, model: Script) -> None:
    """Also by what is said before the node has heard of the choice; and so is the usual one that was chosen back."""
    held: list[str | bytes] = []

    def through(route: WebSocketRoute) -> None:
        """Let what comes from the node wait, once a choice was sent."""
        server = route.connect_to_server()

        def sent(message: str | bytes) -> None:
            if '"type":"set"' in str(message):
                held.append("")
            server.send(message)

        def came(message: str | bytes) -> None:
            if held:
                held.append(message)
            else:
                route.send(message)
            if held and any('"kind":"end"' in str(one) for one in held):
                for one in held[1:]:
                    route.send(one)
                held.clear()

        route.on_message(sent)
        server.on_message(came)

    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        await here.button("Preferences").click()
        await choose(here, "preferred", "script-2")
        await here.page.keyboard.press("Escape")
        await here.page.route_web_socket("**/ws", through)
        await here.page.reload()
        await here.say("Hello.")
        for number, chosen, asked in ((1, "script-1", "script-1"), (2, "", "script-2")):
            await here.page.get_by_role("combobox", name="Model").select_option(chosen)
            await here.say("Again.")
            await expect(here.answers.nth(number).locator(".origin")).to_contain_text(f"{asked} · ")


async def test_what_cannot_be_kept_is_told_at_its_field(browser: Browser, redis_url: str, model: Script) -> None:
    """A temperature that is none, and more instructions than fit."""
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        await here.button("Preferences").click()
        await field(here.page, "temperature").fill("3")
        await field(here.page, "prompt").fill("ä" * 4_100)
        await field(here.page, "prompt").blur()
        await expect(here.page.locator("#field-temperature-note")).to_have_text("Expected a number from 0 to 2.")
        await expect(here.page.locator("#field-prompt-note")).to_have_text("This is too long by 8 bytes.")


async def test_a_device_has_its_own_looks(browser: Browser, redis_url: str, model: Script) -> None:
    """They are there before anything is painted, on the page for signing in, too, and in all tabs."""
    async with serving(redis_url, model) as node, person(browser) as ada:
        await ada.add_init_script(FIRST)
        async with tab(ada, node.http) as here, tab(ada, node.http) as there:
            light = await here.page.evaluate(PAPER)
            await here.button("Preferences").click()
            for name, value in (("theme", "dark"), ("contrast", "more"), ("motion", "reduced"), ("size", "large")):
                await choose(here, name, value)
            assert await here.page.evaluate(PAPER) == "rgb(0, 0, 0)" != light
            await expect(there.page.locator("html")).to_have_attribute("data-theme", "dark")
            await there.page.reload()
            first = await there.page.evaluate("window.first")
            looks = {"theme": "dark", "contrast": "more", "motion": "reduced", "size": "large"}
            assert looks.items() <= first.items()
            await there.page.goto(f"{node.http}/static/sign-in.html")
            assert looks.items() <= (await there.page.evaluate("window.first")).items()


async def test_another_language_of_the_page_loses_no_draft(browser: Browser, redis_url: str, model: Script) -> None:
    """It is loaded anew, in all tabs, and says everything in that language."""
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        await here.text.fill("What I was about to say")
        await here.page.keyboard.press("Control+,")
        async with tab(ada, node.http) as there:
            await field(here.page, "speaks").select_option("de")
            for one in (here, there):
                await expect(one.page.locator("html")).to_have_attribute("lang", "de")
                await expect(one.button("Senden")).to_be_visible()
        await expect(here.text).to_have_value("What I was about to say")


async def test_looks_and_language_outlive_signing_out(browser: Browser, redis_url: str, model: Script) -> None:
    """They are the device's; of the person nothing is left. The page where one signs in is whole at 320 px, too."""
    async with (
        serving(redis_url, model, **JWT) as node,
        person(browser, width=320, height=640) as ada,
        tab(ada, await invitation(node), excused="status of 401") as here,
    ):
        await signed_in(here)
        await here.button("Show conversations").click()
        await here.button("Preferences").click()
        for name, value in (("preferred", "script-2"), ("theme", "dark"), ("size", "larger")):
            await choose(here, name, value)
        await field(here.page, "speaks").select_option("de")
        await here.button("Unterhaltungen zeigen").click()
        await here.button("Abmelden").click()
        await here.page.wait_for_url("**/sign-in")
        await expect(here.page.get_by_role("heading", name="Anmelden")).to_be_visible()
        assert await here.page.evaluate("Object.keys(localStorage).sort()") == ["chat.language", "chat.looks"]
        looks = await here.page.evaluate("({ ...document.documentElement.dataset })")
        assert looks == {"theme": "dark", "contrast": "system", "motion": "system", "size": "larger"}
        assert await here.page.evaluate(WIDER) == []
