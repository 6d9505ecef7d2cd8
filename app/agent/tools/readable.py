"""The text of an HTML page, for somebody who reads and does not click.

A page is somebody else's: reading it has a limit on time, for html.parser is quadratic in pages that are made for that.
"""

import re
from html.parser import HTMLParser
from time import monotonic
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


class TooSlow(Exception):
    """A page takes too long to read."""


def readable(page: str, seconds: float = SECONDS) -> tuple[str, str]:
    """Give a page's title and its text: a line for each block, without scripts and styles.

    Raises:
        TooSlow
    """
    reader = _Reader(monotonic() + seconds)
    try:
        reader.feed(page)
        reader.close()
    except AssertionError:  # html.parser's word for some broken declarations; what was read till then stands
        pass
    lines = (" ".join(line.split()) for line in "".join(reader.parts).split("\n"))
    return " ".join("".join(reader.title).split()), "\n".join(line for line in lines if line)


class _Reader(HTMLParser):
    """Gathers what stands between tags."""

    def __init__(self, until: float) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.title: list[str] = []
        self._until = until
        self._dropped = 0
        self._as_it_is = 0
        self._in_title = False

    def updatepos(self, i: int, j: int) -> int:
        """Go on after each step of the parser, while there is time; lines are not counted."""
        if monotonic() > self._until:
            raise TooSlow
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
            self.parts.append(data if self._as_it_is else BLANK.sub(" ", data))

    def _between(self, tag: str) -> None:
        if tag in BLOCKS:
            self.parts.append("\n")
        elif tag in CELLS:
            self.parts.append(" ")
