"""Server-sent events, of which only the data matters: bytes in, the values of the `data:` lines out."""

from collections.abc import Iterator
from typing import Final

DONE: Final = b"[DONE]"
LINE_BYTES: Final = 4 * 1024 * 1024


class LongLine(ValueError):
    """A line is longer than any of an answer's."""


class Lines:
    """The lines of one stream. Mutable, owned by its reading."""

    def __init__(self) -> None:
        self._rest = b""

    def values(self, data: bytes) -> Iterator[bytes]:
        """Give the values of the lines that are complete with `data`.

        Raises:
            LongLine
        """
        *lines, self._rest = (self._rest + data).replace(b"\r\n", b"\n").split(b"\n")
        if len(self._rest) > LINE_BYTES:
            raise LongLine(f"a line of more than {LINE_BYTES} bytes")
        for line in lines:
            if line.startswith(b"data:") and (value := line[5:].strip()) != DONE:  # else a comment, or an event's name
                yield value
