"""The text of an HTML page, for somebody who reads and does not click.

A page is somebody else's, and html.parser takes time that is quadratic in pages which are made for that, and fails at
others. So reading has a limit on the time that it computes, and ends early where there is text enough.
"""

import re
from html.parser import HTMLParser
from time import thread_time
from typing import Final

SECONDS: Final = 2.0
DROPPED: Final = frozenset({"script", "style", "noscript", "template", "svg"})
BLOCKS: Final = frozenset(
    {
        "address", "article", "aside", "blockquote", "br", "dd", "details", "div", "dl", "dt", "fieldset", "figcaption",
        "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol",
        "option", "p", "pre", "section", "summary", "table", "tr", "ul",
    }
)  # fmt: skip
CELLS: Final = frozenset({"td", "th"})
BLANK: Final = re.compile(r"\s+")


class _Enough(Exception):
    """No more is read of a page."""


def readable(page: str, most: int, seconds: float = SECONDS) -> tuple[str, str, bool]:
    """Give a page's title, and its text with a line for each block, without scripts and styles; and whether it is cut:
    past about `most` characters, or after so many seconds of this thread's.
    """
    reader, cut = _Reader(most, thread_time() + seconds), False
    try:
        reader.feed(page)
        reader.close()
    except (_Enough, AssertionError, ValueError):  # the last two are html.parser's, for what is too broken
        cut = True
    lines = (" ".join(line.split()) for line in "".join(reader.parts).split("\n"))
    return " ".join("".join(reader.title).split()), "\n".join(line for line in lines if line), cut


class _Reader(HTMLParser):
    """Gathers what stands between tags."""

    def __init__(self, most: int, until: float) -> None:
        super().__init__(convert_charrefs=True)
        self._left = most
        self.parts: list[str] = []
        self.title: list[str] = []
        self._until = until
        self._dropped = 0
        self._as_it_is = 0
        self._in_title = False

    def updatepos(self, i: int, j: int) -> int:
        """Go on after a step of the parser, if there is time; lines are not counted."""
        if self._left < 0 or thread_time() > self._until:
            raise _Enough
        return j

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a line, or something that is left out."""
        self._dropped += tag in DROPPED
        self._as_it_is += tag == "pre"
        self._in_title = tag == "title" and not self.title
        self._between(tag)

    def handle_endtag(self, tag: str) -> None:
        """End them."""
        self._dropped = max(0, self._dropped - (tag in DROPPED))
        self._as_it_is = max(0, self._as_it_is - (tag == "pre"))
        self._in_title = False
        self._between(tag)

    def handle_data(self, data: str) -> None:
        """Gather text."""
        if self._in_title:
            self.title.append(data)
        elif not self._dropped:
            text = data if self._as_it_is else BLANK.sub(" ", data)
            self._left -= len(text)
            self.parts.append(text)

    def _between(self, tag: str) -> None:
        if tag in BLOCKS:
            self.parts.append("\n")
        elif tag in CELLS:
            self.parts.append(" ")
