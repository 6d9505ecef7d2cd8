"""A run's text on its way to becoming entries.

The model speaks in tokens; the log speaks in deltas, of at most 16 KiB, so that no entry is large.

Control characters but tab and line ends become U+FFFD: none belongs into an answer, a terminal obeys them, and JSON
makes six bytes of each. A provider may cut a surrogate pair in two; its first half waits here for its second.
"""

import re
from typing import Final

from app.core.entries import TEXT_BYTES

SURROGATE: Final = re.compile("[\ud800-\udfff]")
CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Coalescer:
    """The text of one run that is not yet in the log."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._half = ""

    def add(self, text: str) -> None:
        """Gather a piece of text."""
        text = self._half + text
        self._half = ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        if not text:
            return
        text = CONTROL.sub("\ufffd", text)
        if not text.isascii() and SURROGATE.search(text):
            text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        self._parts.append(text)

    def take(self) -> list[str]:
        """Return the gathered text, cut to deltas, and begin anew."""
        if not self._parts:
            return []
        text = "".join(self._parts)
        self._parts.clear()
        return pieces(text, TEXT_BYTES)

    def finish(self) -> list[str]:
        """Return what is left at the end of a run; a lone half of a pair becomes U+FFFD."""
        if self._half:
            self._half = ""
            self._parts.append("\ufffd")
        return self.take()


def pieces(text: str, limit_bytes: int) -> list[str]:
    """Cut a text into pieces of at most `limit_bytes` of UTF-8, never inside a character."""
    data = text.encode()
    if len(data) <= limit_bytes:
        return [text]
    out = []
    while data:
        end = len(head_of(data, limit_bytes))
        out.append(data[:end].decode())
        data = data[end:]
    return out


def head_of(data: bytes, limit_bytes: int) -> bytes:
    """Return at most `limit_bytes` from the front of valid UTF-8, never half a character."""
    end = min(limit_bytes, len(data))
    while end < len(data) and data[end] & 0xC0 == 0x80:
        end -= 1
    return data[:end]
