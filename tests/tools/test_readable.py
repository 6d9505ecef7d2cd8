"""The text of pages, of broken and of hostile ones too."""

import asyncio
import time

import pytest

from app.agent.tools.fetch import BODY_BYTES, TEXT_BYTES
from app.agent.tools.readable import readable


@pytest.mark.parametrize(
    "tangle",
    ["<", "<a ", "<!--", "<![CDATA[", "<!", "</", "</a ", "<?", "&", "&#", "<a b='", "<title>", "<script>", "<div>",
     "<p a=1 ", "<pre>\n", "<!a", "<template>"],
)  # fmt: skip
async def test_no_page_takes_long(tangle: str) -> None:
    """Reading one is bounded, and meanwhile the node goes on; what was read by then stands."""
    page = "<title>a tale</title>" + tangle * (BODY_BYTES // len(tangle))
    longest, seen = 0.0, time.monotonic()
    reading = asyncio.create_task(asyncio.to_thread(_measured, page))
    while not reading.done():
        await asyncio.sleep(0.002)
        longest, seen = max(longest, time.monotonic() - seen), time.monotonic()
    title, took = reading.result()
    assert title.startswith("a tale")
    assert took < 1
    assert longest < 1


def _measured(page: str) -> tuple[str, float]:
    """A page's title, and how long this thread computed for it."""
    begun = time.thread_time()
    return readable(page, TEXT_BYTES, 0.05)[0], time.thread_time() - begun


@pytest.mark.parametrize(
    ("page", "title", "text", "cut"),
    [
        ("", "", "", False), ("a</noscript></script>b", "", "ab", False), ("<p>a<![broken[ x>b", "", "a", True),
        ("a<p>&#" + "9" * 5000 + ";", "", "a", True), ("<title>x</title>y<svg><title>z</title></svg>", "x", "y", False),
        ("<p>a<script>b", "", "a", False), ("a<br>b<td>c<td>d", "", "a\nb c d", False), ("&lt;b&gt;", "", "<b>", False),
    ],
)  # fmt: skip
def test_broken_pages(page: str, title: str, text: str, cut: bool) -> None:
    """What can be read of them is."""
    assert readable(page, TEXT_BYTES) == (title, text, cut)
