"""When a run's text becomes entries.

The model speaks in tokens; the log speaks in deltas. The first text of a run goes out at once, so that a person
sees it begin; after that, text is gathered for `flush_s` and goes out as one delta (of at most 16 KiB, so that no
entry is large). Time is an argument: the owner asks `due(now)` how long to wait, and calls `take(now)` then.

Control characters but tab and line ends become U+FFFD: none belongs into an answer, a terminal obeys them, and JSON
makes six bytes of each. A provider may cut a surrogate pair in two; its first half waits here for its second.
"""

import re
from typing import Final

from app.core.entries import TEXT_BYTES

CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Coalescer:
    """The text of one run that is not yet in the log. Bounded by its owner, who stops adding at `full`."""

    def __init__(self, flush_s: float, full_bytes: int) -> None:
        self._flush_s = flush_s
        self._full_bytes = full_bytes
        self._parts: list[str] = []
        self._half = ""
        self._bytes = 0
        self._last_at: float | None = None

    def add(self, text: str) -> None:
        """Gather a piece of text."""
        text = self._half + text
        self._half = ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        if not text:
            return
        text = CONTROL.sub("\ufffd", text)
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
            size = len(text.encode())
        self._parts.append(text)
        self._bytes += size

    @property
    def empty(self) -> bool:
        """Whether no text waits."""
        return not self._parts

    @property
    def full(self) -> bool:
        """Whether the owner must stop adding until the log has taken some."""
        return self._bytes >= self._full_bytes

    def due(self, now: float) -> float | None:
        """Return in how many seconds the text is to go out: 0 at once, None if there is none."""
        if not self._parts:
            return None
        if self._last_at is None or self._bytes >= TEXT_BYTES:
            return 0.0
        return max(0.0, self._last_at + self._flush_s - now)

    def take(self, now: float) -> list[str]:
        """Return the gathered text, cut to deltas, and begin anew."""
        if not self._parts:
            return []
        text = "".join(self._parts)
        self._parts.clear()
        self._bytes = 0
        self._last_at = now
        return list(pieces(text, TEXT_BYTES))

    def finish(self, now: float) -> list[str]:
        """Return what is left at the end of a run; a lone half of a pair becomes U+FFFD."""
        if self._half:
            self._half = ""
            self._parts.append("\ufffd")
        return self.take(now)


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
