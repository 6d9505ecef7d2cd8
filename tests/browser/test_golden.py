"""static/js/transcript.js: the fold of a log, on the golden logs that `core.transcript` folds, too."""

import json
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.browser.chromium import person, tab
from tests.servers import Script, serving

GOLDEN: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text()) for path in sorted((Path(__file__).parents[1] / "golden").glob("*.json"))
}
FOLD = """async (golden) => {
  const { Transcript } = await import("/static/js/transcript.js");
  return golden.map(({ steps, session }) => {
    const transcript = new Transcript(session.session);
    const outcomes = steps.map(({ frame }) => transcript.apply(frame));
    return { outcomes, session: transcript.session };
  });
}"""

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def folded(browser: Browser, redis_of_run: str) -> dict[str, Any]:
    """What a browser makes of all logs, by name, with the module that a node serves."""
    async with serving(redis_of_run, Script()) as node, person(browser) as somebody, tab(somebody, node.http) as here:
        results: list[Any] = await here.page.evaluate(FOLD, list(GOLDEN.values()))
    return dict(zip(GOLDEN, results, strict=True))


@pytest.mark.parametrize("name", GOLDEN)
async def test_a_golden_log_folds_to_its_session_in_the_browser(name: str, folded: dict[str, Any]) -> None:
    """Each frame has the outcome that the log names, and the fold is the session that it names."""
    golden = GOLDEN[name]
    assert [step["outcome"] for step in golden["steps"]] == folded[name]["outcomes"]
    assert golden["session"] == folded[name]["session"]


async def test_what_was_passed_on_one_connection_means_nothing_on_the_next(browser: Browser, redis_url: str) -> None:
    """A batch that ends where one has been is a repeat on this connection, and a gap on another."""
    frames = [
        {"type": "snapshot", "session": "s", "at": "5-1", "turns": [], "queued": [], "more": False},
        {"type": "batch", "session": "s", "after": "5-1", "at": "6-2", "entries": []},
        {"type": "batch", "session": "s", "after": "6-2", "at": "7-3", "entries": []},
    ]
    fold = """async ([snapshot, batch, last]) => {
      const { Transcript } = await import("/static/js/transcript.js");
      const transcript = new Transcript("s");
      const here = [snapshot, batch, last, batch].map((frame) => transcript.apply(frame));
      transcript.connected();
      return [...here, transcript.apply(batch), transcript.session.at];
    }"""
    async with serving(redis_url, Script()) as node, person(browser) as somebody, tab(somebody, node.http) as here:
        outcomes = await here.page.evaluate(fold, frames)
    assert outcomes == ["applied", "applied", "applied", "ignored", "behind", "7-3"]
