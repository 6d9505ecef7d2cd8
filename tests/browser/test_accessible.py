"""For everybody: axe-core finds nothing in any state of the page, and a keyboard reaches all of it.

axe is evaluated through the debugger, so that the page's own policy stays as it is.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any, Final, Literal

import pytest
from playwright.async_api import Browser, Page, Route, WebSocketRoute, expect

from app.core.errors import ContentRefused
from tests.browser.chromium import Tab, person, tab
from tests.browser.test_page import LONG, WIDER
from tests.browser.test_sign_in import invitation
from tests.browser.test_words import STATIC
from tests.cluster.test_tools import Counted
from tests.people import JWT
from tests.servers import Script, call, serving

AXE: Final = files("axe_playwright_python").joinpath("axe.min.js").read_text()
TAGS: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"]
FOUND: Final = """async (runOnly) => {
  const shown = document.querySelector("dialog[open]") ?? document;
  const { violations } = await axe.run(shown, { runOnly, resultTypes: ["violations"] });
  const said = ({ any, all, none }) => [...any, ...all, ...none].map(({ message }) => message);
  return violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id} ${node.target}: ${said(node)}`));
}"""
CONTRAST: Final = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
LOOKS: Final[list[tuple[Literal["light", "dark"], Literal["more", "no-preference"]]]] = [
    ("dark", "no-preference"), ("light", "more"), ("dark", "more"),
]  # fmt: skip
WISH: Final = """(looks) => {
  localStorage.setItem("chat.looks", JSON.stringify(looks));
  dispatchEvent(new Event("looks"));
}"""
RICH: Final = (
    "# A heading\n\nSome *text* with `code` and [a link](https://example.org).\n\n"
    "- one\n- [x] two\n\n> quoted\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n"
    "```python\n# why\ndef f(n: int) -> str:\n    return 'text' + str(n)\n```\n"
)

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def defects(page: Page) -> list[str]:
    """What axe finds in the dialog that is open, else in the page: by all rules, and of contrast in the other looks."""
    await page.emulate_media(color_scheme="light", contrast="no-preference", reduced_motion="reduce")
    if await page.evaluate("typeof axe") == "undefined":
        await page.evaluate(AXE)
    found: list[str] = await page.evaluate(FOUND, {"type": "tag", "values": TAGS})
    for scheme, contrast in LOOKS:
        await page.emulate_media(color_scheme=scheme, contrast=contrast)
        found += [f"{scheme}, {contrast}: {one}" for one in await page.evaluate(FOUND, CONTRAST)]
    return found


async def done(here: Tab) -> None:
    """Wait until the last answer is done."""
    await expect(here.answers.last).to_have_attribute("data-state", "done")


async def open_by(here: Tab, key: str, dialog: str) -> None:
    """Open a dialog by its key."""
    await here.page.keyboard.press(key)
    await expect(here.page.locator(dialog)).to_be_visible()


async def test_axe_finds_nothing_in_a_conversation(
    browser: Browser, redis_url: str, model: Script, steps: asyncio.Semaphore
) -> None:
    """Empty, while it is answered, answered, and while one's own turn is edited."""
    model.answers.append([RICH, "The end."])
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        await expect(here.status).to_have_text("connected")
        assert await defects(here.page) == []
        await here.say("Show me.")
        steps.release()
        await expect(here.answers.locator("h4")).to_be_visible()
        await here.text.fill("More.")
        assert await defects(here.page) == []
        steps.release()
        await done(here)
        await expect(here.answers.locator(".hljs-keyword").first).to_be_visible()
        assert await defects(here.page) == []
        await here.button("Edit").click()
        assert await defects(here.page) == []


async def test_axe_finds_nothing_where_an_answer_waits_or_failed(
    browser: Browser, redis_url: str, model: Script
) -> None:
    """An approval, one that is denied with a reason, and a failure."""
    counted = Counted()
    model.answers.extend([["Shall I?", call("pay", {"euros": 5})], ["So."], ["No", ContentRefused("not this")]])
    async with (
        serving(redis_url, model, tools=counted.tools) as node,
        person(browser) as ada,
        tab(ada, node.http) as here,
    ):
        await here.say("Pay.")
        await expect(here.page.locator(".ask")).to_be_visible()
        assert await defects(here.page) == []
        await here.button("Deny").click()
        assert await defects(here.page) == []
        await here.button("Deny it").click()
        await done(here)
        await here.say("And this?")
        await expect(here.answers.last).to_have_attribute("data-state", "failed")
        assert await defects(here.page) == []


async def test_axe_finds_nothing_in_what_opens(browser: Browser, redis_url: str, model: Script) -> None:
    """Every dialog, the menu of a conversation, the details of the connection, and the drawer of a narrow page."""
    async with serving(redis_url, model, trial=True) as node, person(browser) as ada, tab(ada, node.http) as here:
        await here.say("Hello.")
        await done(here)
        page = here.page
        opened: dict[str, Callable[[], Awaitable[Any]]] = {
            "preferences": lambda: open_by(here, "Control+,", "#preferences"),
            "search": lambda: open_by(here, "Control+k", "#search"),
            "rename": lambda: here.button("Rename").click(),
            "keyboard": lambda: open_by(here, "?", "#keyboard"),
            "trial": lambda: here.button("trial model").click(),
            "details": lambda: page.locator("#status").click(),
            "menu": lambda: here.button("More for “Hello.”").click(),
        }
        found = {}
        for name, opens in opened.items():
            await page.locator("#scroll").focus()
            await opens()
            found[name] = await defects(page)
            await page.keyboard.press("Escape")
        await page.set_viewport_size({"width": 360, "height": 700})
        await here.button("Show conversations").click()
        found["drawer"] = await defects(page)
        assert found == {name: [] for name in found}


async def test_axe_finds_nothing_where_one_signs_in(browser: Browser, redis_url: str, model: Script) -> None:
    """With an invitation, without one, and when something is wrong."""
    async with serving(redis_url, model, **JWT) as node, person(browser, width=360) as ada:
        async with tab(ada, await invitation(node), excused="status of 401") as here:
            await expect(here.button("Sign in")).to_be_visible()
            assert await defects(here.page) == []
        async with tab(ada, f"{node.http}/sign-in", excused="status of 401") as here:
            await here.page.get_by_text("I have an access token").click()
            assert await defects(here.page) == []
            await here.page.get_by_label("Token", exact=True).fill("nonsense")
            await here.button("Sign in").click()
            await expect(here.page.get_by_role("alert")).to_be_visible()
            assert await defects(here.page) == []


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
        steps.release()
        await here.expect_text(0, "So ")
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
