"""Debian's chromium, driven by Playwright: its start, and tabs that tell what went wrong in them.

Nothing is downloaded, and without chromium on PATH the tests fail: a page that nobody tried is not a page.
"""

import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    ViewportSize,
    async_playwright,
    expect,
)

FLAGS: Final = (
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip
WAIT_MS: Final = 10_000
VIOLATION: Final = "CSP:"
REPORT: Final = f"""
document.addEventListener("securitypolicyviolation", (event) =>
  console.error("{VIOLATION}", event.violatedDirective, event.blockedURI));
"""

expect.set_options(timeout=WAIT_MS)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Run a headless chromium."""
    program = shutil.which("chromium")
    assert program is not None, "tests need chromium on PATH"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def person(
    browser: Browser, *, width: int = 1000, height: int = 700, locale: str = "en-GB", touch: bool = False
) -> AsyncIterator[BrowserContext]:
    """Be somebody new: a context with cookies and storage of its own; `touch`: with fingers, and no pointer."""
    size = ViewportSize(width=width, height=height)
    context = await browser.new_context(viewport=size, locale=locale, has_touch=touch, is_mobile=touch)
    context.set_default_timeout(WAIT_MS)
    await context.add_init_script(REPORT)
    try:
        yield context
    finally:
        await context.close()


@dataclass
class Tab:
    """One page of the chat, and every error that its console was told."""

    page: Page
    faults: list[str] = field(default_factory=list)

    @property
    def text(self) -> Locator:
        """Where one writes."""
        return self.page.locator("#composer-text")

    @property
    def status(self) -> Locator:
        """The words about the connection."""
        return self.page.locator("#status")

    @property
    def turns(self) -> Locator:
        """All turns that are shown."""
        return self.page.locator(".turn")

    @property
    def answers(self) -> Locator:
        """The answers that are shown, the running one too."""
        return self.page.locator('.turn[data-role="assistant"]')

    @property
    def listed(self) -> Locator:
        """The lines of the list of sessions."""
        return self.page.locator("#session-list li")

    def button(self, name: str) -> Locator:
        """A button by its name."""
        return self.page.get_by_role("button", name=name, exact=True)

    async def say(self, text: str) -> None:
        """Write, and press Enter."""
        await self.text.fill(text)
        await self.text.press("Enter")

    async def session(self) -> str:
        """The session that the address names."""
        return str(await self.page.evaluate("location.hash.slice(1)"))

    async def expect_text(self, number: int, text: str) -> None:
        """Wait until the answer with this number, from 0, shows exactly this Markdown."""
        await expect(self.answers.nth(number).locator(".text")).to_have_js_property("source", text)

    def heard(self, message: ConsoleMessage) -> None:
        """Keep what the console was told, if it is an error."""
        if message.type == "error":
            self.faults.append(f"{message.text} {message.location['url']}")


@asynccontextmanager
async def tab(context: BrowserContext, url: str, *, excused: str = r"(?!)") -> AsyncIterator[Tab]:
    """Open a tab at `url`. On leaving, nothing has gone wrong in it but what matches `excused`."""
    page = await context.new_page()
    opened = Tab(page)
    page.on("console", opened.heard)
    page.on("pageerror", lambda error: opened.faults.append(str(error)))
    await page.goto(url)
    yield opened
    await page.close()
    faults = [fault for fault in opened.faults if not re.search(excused, fault)]
    assert not faults, faults
