"""Preferences, in chromium: what every answer heeds, what a conversation has of its own, how this device shows it."""

import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from tests.browser.chromium import Tab, person, tab
from tests.browser.test_page import WIDER
from tests.servers import Script, serving

CSS = Path(__file__).parents[2] / "static/css"
PHYSICAL = re.compile(
    r"\b(?:margin|padding|border)-(?:left|right)\b|(?<![\w-])(?:left|right):|text-align: (?:left|right)"
)
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


async def test_nothing_moves_where_one_wants_no_motion(browser: Browser, redis_url: str, model: Script) -> None:
    """Neither by the system's wish nor by one's own."""
    model.answers.append([60.0, "Word"])
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        await here.say("Tell me.")
        await expect(here.answers).to_have_attribute("data-state", "running")
        moving = "document.getAnimations().filter(({ playState }) => playState === 'running').length"
        await here.page.wait_for_function(f"() => {moving} > 0")
        await here.page.emulate_media(reduced_motion="reduce")
        await here.page.wait_for_function(f"() => {moving} === 0")


@pytest.mark.parametrize("direction", ["ltr", "rtl"])
async def test_a_narrow_page_with_large_text_is_whole(
    browser: Browser, redis_url: str, model: Script, direction: str
) -> None:
    """At 320 px, in either direction of writing: nothing sticks out, of the dialog neither."""
    model.answers.append(["| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\n" + "x = 1" + "\n```\nEnd."])
    async with (
        serving(redis_url, model) as node,
        person(browser, width=320, height=640) as ada,
        tab(ada, node.http) as here,
    ):
        await here.page.evaluate("(dir) => { document.documentElement.dir = dir; }", direction)
        await here.say("Tell me of " + "unbroken" * 30)
        await expect(here.answers).to_have_attribute("data-state", "done")
        await here.button("Show conversations").click()
        await here.button("Preferences").click()
        await choose(here, "size", "larger")
        assert await here.page.evaluate(WIDER) == []
        await here.page.keyboard.press("Escape")
        edge = "() => { const { left, right } = document.getElementById('sessions').getBoundingClientRect();"
        edge += " return [left, innerWidth - right]; }"
        await here.page.wait_for_function(f"({edge})().includes(0)")
        assert (await here.page.evaluate(edge)).index(0) == (direction == "rtl")
        await here.page.keyboard.press("Escape")
        assert await here.page.evaluate(WIDER) == []


async def test_style_sheets_know_no_left_or_right() -> None:
    """Only start and end, so that a page that is written from right to left is its mirror."""
    assert [path.name for path in sorted(CSS.glob("*.css")) if PHYSICAL.search(path.read_text())] == []


async def test_another_language_of_the_page_loses_no_draft(browser: Browser, redis_url: str, model: Script) -> None:
    """It is loaded anew, and says everything in that language."""
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        await here.text.fill("What I was about to say")
        await here.page.keyboard.press("Control+,")
        await field(here.page, "speaks").select_option("de")
        await expect(here.page.locator("html")).to_have_attribute("lang", "de")
        await expect(here.button("Senden")).to_be_visible()
        await expect(here.text).to_have_value("What I was about to say")
