"""What the page says where the model is only for trying out, in chromium against a real node."""

import pytest
from playwright.async_api import Browser, Locator, expect

from tests.browser.chromium import Tab, person, tab
from tests.browser.test_page import LONG, WIDER
from tests.servers import Script, serving

START = ".venv/bin/python -m app"
LINES = {
    "Ollama": f"OPENAI_BASE_URL=http://127.0.0.1:11434/v1 {START}",
    "llama-server": f"OPENAI_BASE_URL=http://127.0.0.1:8080/v1 {START}",
    "vLLM": f"OPENAI_BASE_URL=http://127.0.0.1:8000/v1 {START} --port 8080",
    "OpenAI": f"OPENAI_API_KEY=sk-… MODEL_NAME=gpt-… {START}",
}
WITHOUT_CLIPBOARD = "Object.defineProperty(navigator, 'clipboard', { value: undefined })"

pytestmark = pytest.mark.asyncio(loop_scope="session")


def notice(here: Tab) -> Locator:
    """The notice on an empty page."""
    return here.page.locator("#trial")


async def lines_of(place: Locator) -> dict[str, str | None]:
    """What can be seen and copied there, by what it is for."""
    await expect(place.locator(".trial-lines")).to_be_visible()
    rows = await place.locator(".trial-lines li").all()
    return {await row.locator(".trial-name").inner_text(): await row.locator("code").text_content() for row in rows}


async def test_a_trial_says_which_model_answers_and_how_to_connect_a_real_one(
    browser: Browser, redis_url: str, model: Script
) -> None:
    """On an empty page, and behind a link in the head, which stays; every answer names its model."""
    async with (
        serving(redis_url, model, trial=True) as node,
        person(browser, height=800) as ada,
        tab(ada, node.http) as here,
    ):
        await expect(notice(here)).to_contain_text("script-1 answers here. It is only for trying out.")
        assert await lines_of(notice(here)) == LINES
        await here.say("Hello.")
        await expect(here.answers.locator(".origin")).to_contain_text("script-1 · node a")
        await expect(notice(here)).to_be_hidden()
        dialog = here.page.locator("#trial-dialog")
        await here.button("trial model").click()
        await expect(dialog).to_contain_text("script-1 answers here. It is only for trying out.")
        assert await lines_of(dialog) == LINES
        await here.page.keyboard.press("Escape")
        await expect(dialog).to_be_hidden()


async def test_a_real_model_says_nothing_of_it(browser: Browser, redis_url: str, model: Script) -> None:
    """Neither on the empty page nor in the head."""
    async with serving(redis_url, model) as node, person(browser) as ada, tab(ada, node.http) as here:
        await expect(here.status).to_have_text("connected")
        await expect(here.page.locator("#empty")).to_be_visible()
        await expect(notice(here)).to_be_hidden()
        await expect(here.button("trial model")).to_be_hidden()


@pytest.mark.parametrize("has_clipboard", [True, False], ids=["clipboard", "no clipboard"])
async def test_a_line_is_copied_by_its_button(
    browser: Browser, redis_url: str, model: Script, has_clipboard: bool
) -> None:
    """To the letter, from the notice and from the dialog, also in a page that is given no clipboard."""
    async with serving(redis_url, model, trial=True) as node, person(browser) as ada:
        await ada.grant_permissions(["clipboard-read", "clipboard-write"])
        if not has_clipboard:
            await ada.add_init_script(WITHOUT_CLIPBOARD)
        async with tab(ada, node.http) as here:
            for name, line in LINES.items():
                place = here.page.locator("#trial-dialog") if name == "OpenAI" else notice(here)
                if name == "OpenAI":
                    await here.button("trial model").click()
                elif name == "Ollama":
                    await here.page.get_by_text("Connect a real model").first.click()
                await place.get_by_role("button", name=f"Copy the line for {name}").click()
                await expect(place.get_by_role("button", name=f"Copy the line for {name}")).to_have_text("Copied")
                if name == "OpenAI":
                    await here.button("Close").click()
                await here.text.fill("")
                await here.text.press("Control+V")
                await expect(here.text).to_have_value(line)


async def test_dismissed_is_dismissed_on_this_device(browser: Browser, redis_url: str, model: Script) -> None:
    """After a reload and in another tab, but for nobody else; the link in the head stays."""
    async with serving(redis_url, model, trial=True) as node, person(browser) as ada, tab(ada, node.http) as here:
        await here.button("Dismiss").click()
        await expect(notice(here)).to_be_hidden()
        await here.page.reload()
        async with tab(ada, node.http) as other:
            for either in (here, other):
                await expect(either.button("trial model")).to_be_visible()
                await expect(either.page.locator("#empty")).to_be_visible()
                await expect(notice(either)).to_be_hidden()
        async with person(browser) as bob, tab(bob, node.http) as foreign:
            await expect(notice(foreign)).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_narrow_page_has_room_for_it(browser: Browser, redis_url: str, model: Script, scheme: str) -> None:
    """At 320 px, whatever the model's name: nothing stands out, whatever is open."""
    model.names = (LONG[:120],)
    async with (
        serving(redis_url, model, trial=True) as node,
        person(browser, width=320, height=600) as ada,
        tab(ada, node.http) as here,
    ):
        await here.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        await expect(notice(here)).to_be_visible()
        await expect(notice(here).locator(".trial-lines")).to_be_hidden()
        assert await here.page.evaluate(WIDER) == []
        await notice(here).locator("summary").click()
        await expect(notice(here).locator(".trial-lines")).to_be_visible()
        assert await here.page.evaluate(WIDER) == []
        await here.button("trial model").click()
        assert await here.page.evaluate(WIDER) == []
        await here.button("Close").click()
        await here.say(LONG)
        await expect(here.answers.locator(".origin")).to_be_visible()
        assert await here.page.evaluate(WIDER) == []
