"""What a newcomer does first, in a real browser, answered by the real local model.

Usage: first_run.py URL FOLDER. Asks a question and sees the answer stream; reloads in mid-answer and sees it go on; has
a second tab in step; stops an answer. Screenshots go to FOLDER. Ends with 1 at the first thing that is not so.
"""

import shutil
import sys
import time
import urllib.error
import urllib.request

from playwright.sync_api import Page, expect, sync_playwright

START_SECONDS = 120.0
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
LONGER = (
    "length => ([...document.querySelectorAll('.turn[data-role=assistant]')].at(-1)?.innerText ?? '').length > length"
)
LONG = "Tell me a long story about a lighthouse keeper, with many details. Do not stop early."


def started(url: str) -> None:
    """Return when the chat is ready: the command sets everything up first."""
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"{url}/ready", timeout=2) as answer:  # noqa: S310
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > until:
                raise
        time.sleep(0.2)


def grows(page: Page, longer_than: int) -> int:
    """Wait until the running answer has more text than that; return how much it has."""
    page.wait_for_function(LONGER, arg=longer_than)
    return len(page.locator(".turn[data-role=assistant]").last.inner_text())


def main(url: str, folder: str) -> None:
    """Do it."""
    started(url)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        context = browser.new_context(viewport={"width": 1200, "height": 800})
        page = context.new_page()
        page.goto(url)
        page.screenshot(path=f"{folder}/first-empty.png")
        page.locator("#composer-text").fill(LONG)
        page.keyboard.press("Enter")
        length = grows(page, 20)
        length = grows(page, length)
        page.screenshot(path=f"{folder}/first-streaming.png")
        second = context.new_page()
        second.goto(page.url)
        page.reload()
        length = grows(page, 0)
        grows(second, length)
        page.keyboard.press("Escape")
        for tab in (page, second):
            expect(tab.locator(".turn[data-role=assistant]").last).to_have_attribute("data-state", "stopped")
        page.locator("#composer-text").fill("What is the capital of France? Answer in one sentence.")
        page.keyboard.press("Enter")
        for tab in (page, second):
            expect(tab.locator(".turn[data-role=assistant]")).to_have_count(2)
            expect(tab.locator(".turn[data-role=assistant]").last).to_have_attribute(
                "data-state", "done", timeout=60_000
            )
        texts = [tab.locator(".turn[data-role=assistant]").last.inner_text() for tab in (page, second)]
        assert texts[0] == texts[1], texts
        assert "smollm2" in page.content(), "the page does not say which model answered"
        page.screenshot(path=f"{folder}/first-done.png")
        print("the local model said:", texts[0].replace("\n", " ")[:200])
        browser.close()


main(*sys.argv[1:])
