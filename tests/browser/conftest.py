"""Fixtures: one chromium for all browser tests, on the event loop that they share."""

from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Browser

from tests.browser.chromium import chromium


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """The browser; each test is somebody new in it."""
    async with chromium() as running:
        yield running
