"""What one needs to use the page: a keyboard alone, a narrow window, large text, no motion, and no socket to begin.

A part that opens gives the focus back; what is typed before scripts or socket are there is kept.
"""

import asyncio
import json
import re
from typing import Final

import pytest
from playwright.async_api import Browser, Route, WebSocketRoute, expect

from tests.browser.behind import serving
from tests.browser.chromium import Tab, person, tab
from tests.browser.test_accessible import done, open_by
from tests.browser.test_page import LONG, WIDER
from tests.browser.test_words import STATIC
from tests.servers import Script

WISH: Final = """(looks) => {
  localStorage.setItem("chat.looks", JSON.stringify(looks));
  dispatchEvent(new Event("looks"));
}"""

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def focused(here: Tab) -> str:
    """What has the focus: its id, or what it is called."""
    return str(await here.page.evaluate("document.activeElement.id || document.activeElement.textContent || 'body'"))


async def test_keys_lead_everywhere(browser: Browser, redis_url: str, model: Script) -> None:
    """F6 to each part and back, a link to the field first of all, `?` to all keys, and the focus is never lost."""
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        await here.say("Hello.")
        await done(here)
        keys, page = here.page.keyboard, here.page
        await expect(here.text).to_be_focused()
        seen = []
        for key in ("F6", "F6", "F6", "Shift+F6", "Shift+F6", "Shift+F6"):
            await keys.press(key)
            seen.append(await focused(here))
        assert seen == ["Hello.", "scroll", "composer-text", "scroll", "Hello.", "composer-text"]
        await here.text.fill("What?")
        await keys.press("?")
        await expect(page.locator("#keyboard")).to_be_hidden()
        await page.evaluate("document.activeElement.blur()")
        await open_by(here, "?", "#keyboard")
        assert await focused(here) == "keyboard-title"
        await keys.press("F6")
        assert await focused(here) == "keyboard-title"
        await keys.press("Escape")
        await expect(here.text).to_be_focused()
        await page.reload()
        await done(here)
        await page.evaluate("document.activeElement.blur()")
        await page.locator("#skip").focus()
        await expect(page.locator("#skip")).to_be_in_viewport()
        await keys.press("Enter")
        await expect(here.text).to_be_focused()
        assert page.url.endswith(await here.session())
        await expect(here.turns).to_have_count(2)
        await here.page.set_viewport_size({"width": 360, "height": 700})
        await expect(here.listed).to_be_hidden()
        await keys.press("F6")
        assert await focused(here) == "scroll"


async def test_a_dialog_gives_the_focus_back(browser: Browser, redis_url: str, model: Script) -> None:
    """To what opened it, by button or by key, however it is closed."""
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        await here.say("Hello.")
        await done(here)
        for name, dialog, closes in (
            ("Preferences", "#preferences", "Escape"),
            ("Preferences", "#preferences", "Close"),
            ("Rename", "#rename-dialog", "Escape"),
        ):
            await here.button(name).focus()
            await here.page.keyboard.press("Enter")
            await expect(here.page.locator(dialog)).to_be_visible()
            assert await here.page.evaluate("document.querySelector('dialog[open]').contains(document.activeElement)")
            if closes == "Escape":
                await here.page.keyboard.press("Escape")
            else:
                await here.page.locator(dialog).get_by_role("button", name=closes).press("Enter")
            await expect(here.button(name)).to_be_focused()
        await here.text.focus()
        await open_by(here, "Control+,", "#preferences")
        await here.button("Keyboard").press("Enter")
        await expect(here.page.locator("#keyboard")).to_be_visible()
        for focus in (here.button("Keyboard"), here.text):
            await here.page.keyboard.press("Escape")
            await expect(focus).to_be_focused()


async def test_nothing_stands_out_at_320_px(browser: Browser, redis_url: str, model: Script) -> None:
    """With the largest text, also where all of it is twice as large on 640 px, in either direction of writing."""
    model.answers.append([f"# {LONG}\n\n- {LONG}\n\n> `{LONG}`\n\n```\na = b\n```"])
    async with (
        serving(redis_url, model) as node,
        person(browser, width=320, height=600) as ada,
        tab(ada, node.http) as here,
    ):
        page = here.page
        await page.emulate_media(reduced_motion="reduce")
        await here.say(LONG)
        await done(here)
        for size, direction in (("larger", "ltr"), ("larger", "rtl"), ("normal", "ltr")):
            await page.evaluate("([size, dir]) => { document.documentElement.dataset.size = size; document.dir = dir }",
                                [size, direction])  # fmt: skip
            found = {"page": await page.evaluate(WIDER)}
            for key, dialog in (("Control+,", "#preferences"), ("Control+k", "#search"), ("?", "#keyboard")):
                await page.locator("#scroll").focus()
                await open_by(here, key, dialog)
                found[dialog] = await page.evaluate(WIDER)
                await page.keyboard.press("Escape")
            await here.button("Show conversations").click()
            await expect(here.listed.locator("a")).to_be_in_viewport()
            found["drawer"] = await page.evaluate(WIDER)
            side = await page.locator("#sessions").evaluate("(one) => one.getBoundingClientRect().left")
            assert (side > 0) == (direction == "rtl")
            await page.keyboard.press("Escape")
            await expect(here.listed.locator("a")).to_be_hidden()
            assert found == {name: [] for name in found}, (size, direction)


async def test_no_style_knows_left_and_right() -> None:
    """What is at a side is at the start or the end."""
    physical = re.compile(r"\b(?:left|right)\b")
    for path in sorted((STATIC / "css").glob("*.css")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            assert not physical.search(re.sub(r"/\*.*?\*/", "", line)), f"{path.name}:{number} {line}"


async def test_nothing_moves_where_no_motion_is_wanted(
    browser: Browser, redis_url: str, model: Script, steps: asyncio.Semaphore
) -> None:
    """Neither while an answer runs nor when something slides in; else the mark of the next word breathes."""
    moving = "document.getAnimations().filter(({ playState }) => playState === 'running').length"
    model.answers.append(["So ", "on."])
    async with (
        serving(redis_url, model) as node,
        person(browser, width=360) as ada,
        tab(ada, node.http) as here,
    ):
        await here.say("Hello.")
        await here.page.wait_for_function(f"() => {moving} > 0")
        for wish in ("reduced", ""):
            await here.page.evaluate(WISH, {"motion": wish})
            await here.page.wait_for_function(f"() => {moving} {'===' if wish else '>'} 0")
        await here.page.emulate_media(reduced_motion="reduce")
        await expect(here.page.locator("html")).to_have_attribute("data-motion", "reduced")
        await here.button("Show conversations").click()
        assert await here.page.evaluate(moving) == 0
        durations = await here.page.evaluate(
            "[...document.querySelectorAll('*')].map((one) => getComputedStyle(one).transitionDuration)"
        )
        assert set(durations) == {"0s"}
        for _ in range(2):
            steps.release()
        await done(here)


async def test_one_writes_before_there_is_a_socket(browser: Browser, redis_url: str, model: Script) -> None:
    """The field has the focus while the socket is held back; what is said then goes out once, when it connects."""
    says: list[str] = []
    held = asyncio.Event()

    async def hold(route: WebSocketRoute) -> None:
        await held.wait()
        server = route.connect_to_server()

        def on(message: str | bytes) -> None:
            frames = json.loads(message)
            says.extend(
                one["text"] for one in (frames if isinstance(frames, list) else [frames]) if one["type"] == "say"
            )
            server.send(message)

        route.on_message(on)

    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        await here.button("Preferences").click()
        await here.page.get_by_label("Model of new conversations").select_option("script-2")
        await here.page.route_web_socket("**/ws", hold)
        await here.page.reload()
        await expect(here.text).to_be_focused()
        await here.page.keyboard.type("Early.")
        await here.page.keyboard.press("Enter")
        await expect(here.turns).to_contain_text("Early.")
        await expect(here.text).to_have_value("")
        await here.page.keyboard.type("Meanwhile")
        assert says == []
        held.set()
        await here.expect_text(0, "You said: Early.")
        await expect(here.answers.locator(".origin")).to_contain_text("script-2 · ")
        await expect(here.text).to_have_value("Meanwhile")
        assert (says, len(model.asked)) == (["Early."], 1)


async def test_what_is_typed_before_the_scripts_stays(browser: Browser, redis_url: str, model: Script) -> None:
    """The field is there with the page; what was typed into it meanwhile is not taken away."""
    came = asyncio.Event()

    async def slowly(route: Route) -> None:
        await came.wait()
        await route.continue_()

    async with serving(redis_url, model) as node, person(browser) as ada:
        await ada.route("**/js/main.js", slowly)
        async with tab(ada, f"{node.http}/health") as here:
            await here.page.goto(node.http, wait_until="commit")
            await here.text.click()
            await here.page.keyboard.type("Early.")
            came.set()
            await expect(here.status).to_have_text("connected")
            await expect(here.text).to_have_value("Early.")
            await here.text.press("Enter")
            await here.expect_text(0, "You said: Early.")
