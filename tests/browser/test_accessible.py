"""For everybody: axe-core finds nothing in any state of the page.

axe is evaluated through the debugger, so that the page's own policy stays as it is.
"""

import asyncio
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any, Final, Literal

import pytest
from playwright.async_api import Browser, Page, expect

from app.core.errors import ContentRefused
from tests.browser.behind import serving
from tests.browser.chromium import Tab, person, tab
from tests.browser.test_sign_in import invitation
from tests.cluster.test_tools import Counted
from tests.people import JWT
from tests.servers import Script, call

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
    """An approval, one that is denied with a reason, what came of that, and a failure."""
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
        await here.page.locator(".tool summary").click()
        assert await defects(here.page) == []
        await here.say("And this?")
        await expect(here.answers.last).to_have_attribute("data-state", "failed")
        assert await defects(here.page) == []


async def test_axe_finds_nothing_in_what_stands_for_a_while(
    browser: Browser, redis_url: str, model: Script, steps: asyncio.Semaphore
) -> None:
    """An answer that is paused, a conversation that can be taken back, a message that waits for a connection."""
    model.takeover = "continue"
    model.answers.append(["One ", "two."])
    async with (
        serving(redis_url, model) as node,
        person(browser) as ada,
        tab(ada, node.http, excused="ERR_INTERNET_DISCONNECTED") as here,
    ):
        await here.say("Count.")
        steps.release()
        await here.expect_text(0, "One ")
        await here.button("Pause").click()
        await expect(here.button("Go on")).to_be_visible()
        assert await defects(here.page) == []
        await ada.set_offline(True)
        for connection in list(node.site.connections):
            connection.end(1012)
        await here.say("More.")
        await expect(here.turns.last).to_have_attribute("data-state", "pending")
        assert await defects(here.page) == []
        await ada.set_offline(False)
        await expect(here.status).to_have_text("connected")
        await here.button("Delete").click()
        await here.page.locator("#toasts button").hover()  # so it waits
        assert await defects(here.page) == []
        await here.page.locator("#toasts button").click()


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
    """With an invitation, without one, with one that is spent, and when something is wrong."""
    async with serving(redis_url, model, **JWT) as node, person(browser, width=360) as ada:
        link = await invitation(node)
        async with tab(ada, link, excused="status of 401") as here:
            await expect(here.button("Sign in")).to_be_visible()
            assert await defects(here.page) == []
            await here.button("Sign in").click()
            await expect(here.status).to_have_text("connected")
        async with person(browser, width=360) as eve, tab(eve, link, excused="status of 401") as here:
            await here.button("Sign in").click()
            await expect(here.page.get_by_role("alert")).to_be_visible()
            assert await defects(here.page) == []
        async with tab(ada, f"{node.http}/sign-in", excused="status of 401") as here:
            await here.page.get_by_text("I have an access token").click()
            assert await defects(here.page) == []
            await here.page.get_by_label("Token", exact=True).fill("nonsense")
            await here.button("Sign in").click()
            await expect(here.page.get_by_role("alert")).to_be_visible()
            assert await defects(here.page) == []
