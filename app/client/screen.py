"""What a person sees: a `Screen`, on which answers grow as Markdown, or `Paper`, plain text for pipes and files.

What stands on a screen for good is never touched again, so it can be scrolled and copied: the finished blocks of a
growing answer are printed, and only its last block is drawn anew, no more of it than the screen is high.

Text from a model, a person or a server goes through `visible` first: it can neither steer the terminal nor be markup.
"""

import sys
from typing import Final, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markdown import Heading, Markdown
from rich.segment import Segment, SegmentLines
from rich.text import Text

ROWS_KEPT: Final = 4  # of the screen's height, for the status and some air
FENCES: Final = ("```", "~~~")
PICTURES: Final = {code: 0x2400 + code for code in range(0x20)} | {0x7F: 0x2421}
SEEN: Final = (
    PICTURES
    | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)
    | dict.fromkeys([0x0D, *range(0x202A, 0x202F), *range(0x2066, 0x206A)])  # CR, and what turns the reading direction
    | {0x09: 0x09, 0x0A: 0x0A}
)
BAD: Final = "red"
DIM: Final = "dim"
WAITING: Final = "yellow"


def visible(text: str) -> str:
    """Make control characters visible instead of effective; only line feeds and tabs stay what they are."""
    return text.translate(SEEN)


def one_line(text: str) -> str:
    """Make a title or a prompt one visible line."""
    return " ".join(visible(text).split())


class LeftHeading(Heading):
    """A heading that begins where the text does."""

    LEVEL_ALIGN = dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6"), "left")


class Answer(Markdown):
    """An answer as Markdown in which nothing is lost: tags are shown, and lines stay lines."""

    elements = Markdown.elements | {"heading_open": LeftHeading}

    def __init__(self, text: str) -> None:
        super().__init__(text, hyperlinks=False)
        for token in self.parsed:
            if token.type == "html_block":
                token.type, token.tag, token.info = "fence", "code", "html"
            for child in token.children or ():
                if child.type == "html_inline":
                    child.type = "text"
                elif child.type == "softbreak":
                    child.type = "hardbreak"


def trimmed(rows: list[list[Segment]]) -> list[list[Segment]]:
    """Cut blanks at the ends of rows, which would be copied with them, and empty rows at either end."""
    for row in rows:
        while row and not row[-1].text.strip() and not (row[-1].style and row[-1].style.bgcolor):
            row.pop()
        if row and not (row[-1].style and row[-1].style.bgcolor):
            row[-1] = Segment(row[-1].text.rstrip(), row[-1].style)
    filled = [index for index, row in enumerate(rows) if row]
    return rows[filled[0] : filled[-1] + 1] if filled else []


def settled(text: str) -> int:
    """How many characters of a growing Markdown text are finished blocks: all but the last one."""
    starts = [token.map[0] for token in Markdown(text).parsed if token.level == 0 and token.map]
    lines = text.split("\n")[: starts[-1]] if starts else []
    return sum(len(line) + 1 for line in lines)


class Sheet(Protocol):
    """What a conversation is shown on."""

    def note(self, words: str, style: str = DIM) -> None:
        """Say something about the conversation."""

    def line(self, words: str) -> None:
        """Give one line of what was asked for."""

    def person(self, text: str) -> None:
        """Show what a person said."""

    def sign(self, words: str) -> None:
        """Say under an answer who gave it."""

    def grow(self, text: str, status: str, style: str = DIM) -> None:
        """Show an answer as far as it is known, and how it stands."""

    def finish(self, text: str) -> None:
        """Show the whole of the answer that grew, or that was there already."""


class Screen:
    """A terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._printed = ""  # what stands for good of the answer that grows
        self._drawn: tuple[object, ...] = ()

    def note(self, words: str, style: str = DIM) -> None:
        """Say something about the conversation."""
        self._console.print(Text(visible(words), style))

    def line(self, words: str) -> None:
        """Give one line of what was asked for."""
        self._console.print(Text(visible(words)))

    def person(self, text: str) -> None:
        """Show what a person said."""
        self._console.print(Text("> " + visible(text), "bold"))

    def sign(self, words: str) -> None:
        """Say under an answer who gave it."""
        self.note(words + "\n")

    def grow(self, text: str, status: str, style: str = DIM) -> None:
        """Show an answer as far as it is known, and how it stands."""
        drawn = (text, status, self._console.size)
        if drawn == self._drawn:
            return
        self._drawn = drawn
        if self._live is None:
            self._live = Live(
                console=self._console, auto_refresh=False, transient=True, vertical_overflow="crop",
                redirect_stdout=False, redirect_stderr=False,
            )  # fmt: skip
            self._live.start()
        rest = self._rest(visible(text))
        if end := settled(rest):
            self._live.update("")
            self._print(rest[:end])
            rest = rest[end:]
        parts: list[RenderableType] = [Text(), Text(visible(status), style, no_wrap=True, overflow="ellipsis")]
        if rest.strip():
            parts = [Text(), self._end_of(rest), *parts]
        self._live.update(Group(*parts), refresh=True)

    def finish(self, text: str) -> None:
        """Show the whole of the answer that grew, or that was there already."""
        if self._live is not None:
            self._live.stop()
        self._print(self._rest(visible(text)))
        self._console.print()
        self._live, self._printed, self._drawn = None, "", ()

    def _rest(self, text: str) -> str:
        """What does not stand yet. A node that took the answer over may begin it again, and then so do we."""
        if not text.startswith(self._printed):
            self.note("Another node begins this answer again.")
            self._printed = ""
        return text[len(self._printed) :]

    def _print(self, blocks: str) -> None:
        rows = trimmed(self._console.render_lines(Answer(blocks), pad=False))
        if rows:
            self._console.print()
            self._console.print(SegmentLines(rows, new_lines=True), end="")
        self._printed += blocks

    def _end_of(self, block: str) -> SegmentLines:
        """Render the end of a block, as much as there is room for; a long one is never rendered as a whole."""
        width, height = self._console.size
        room = max(1, height - ROWS_KEPT)
        opening, _, _ = block.partition("\n")
        lines = block[-room * width :].split("\n")[-room:]
        shown = "\n".join(lines)
        if opening.startswith(FENCES) and len(shown) < len(block):
            shown = f"{opening}\n{shown}"
        return SegmentLines(trimmed(self._console.render_lines(Answer(shown), pad=False))[-room:], new_lines=True)


class Paper:
    """Plain text: answers and what was asked for on the standard output, everything else on the standard error."""

    def __init__(self) -> None:
        self._streams = sys.stdout.isatty()  # else whoever reads it wants whole answers
        self._printed = ""

    def note(self, words: str, style: str = DIM) -> None:
        """Say something about the conversation."""
        print(visible(words), file=sys.stderr, flush=True)

    def line(self, words: str) -> None:
        """Give one line of what was asked for."""
        print(visible(words), flush=True)

    def person(self, text: str) -> None:
        """Show what a person said."""
        print("> " + visible(text), flush=True)

    def sign(self, words: str) -> None:
        """Say under an answer who gave it."""
        self.note(words)

    def grow(self, text: str, status: str, style: str = DIM) -> None:
        """Show an answer as far as it is known, and how it stands."""
        if self._streams:
            self._write(visible(text))

    def finish(self, text: str) -> None:
        """Show the whole of the answer that grew, or that was there already."""
        self._write(visible(text))
        print(end="\n" if text else "", flush=True)
        self._printed = ""

    def _write(self, text: str) -> None:
        if not text.startswith(self._printed):
            print(flush=True)
            self.note("Another node begins this answer again.")
            self._printed = ""
        print(text[len(self._printed) :], end="", flush=True)
        self._printed = text
