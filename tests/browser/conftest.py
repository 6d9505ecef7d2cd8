"""Fixtures: one chromium for all browser tests, on the event loop that they share; a model that is led by the hand."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.browser.chromium import chromium
from tests.servers import Script


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """The browser; each test is somebody new in it. The loop is not debugged: a page asks it for a hundred files."""
    asyncio.get_running_loop().set_debug(False)
    async with chromium() as running:
        yield running


@pytest.fixture
def steps(model: Script) -> asyncio.Semaphore:
    """The model says its next piece only at each `release`."""
    semaphore = asyncio.Semaphore(0)
    model.gate = semaphore.acquire
    return semaphore
