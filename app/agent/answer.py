"""The text of a run as the log has it: what is encoded, its length and its digest, within an answer's bounds."""

import hashlib
from typing import Final

from app.core import entries
from app.core.coalesce import head_of, pieces
from app.core.errors import TooLong
from app.core.protocol import ANSWER_BYTES

ANSWER_ENTRIES: Final = 20_000


class Answer:
    """The text that stands. Mutable, owned by its run."""

    def __init__(self, run: str) -> None:
        self._run = run
        self.clear()

    def clear(self) -> None:
        """Begin anew: a restart."""
        self._texts: list[str] = []
        self._hash = hashlib.sha256()
        self.length = self._entries = 0

    def stands(self, text: str) -> None:
        """Take in text that is in the log already."""
        if text:
            self._add(text, text.encode())

    def add(self, texts: list[str]) -> list[bytes]:
        """Count text towards the answer, and encode it.

        Raises:
            TooMuch: it is past the answer's bound.
        """
        added: list[bytes] = []
        for text in texts:
            data = text.encode()
            if self.length + len(data) > ANSWER_BYTES or self._entries >= ANSWER_ENTRIES:
                data = head_of(data, ANSWER_BYTES - self.length) if self._entries < ANSWER_ENTRIES else b""
                if data:
                    added.append(self._add(data.decode(), data))
                raise TooMuch(added)
            if text:
                added.append(self._add(text, data))
        return added

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self._texts)

    @property
    def sha256(self) -> str:
        """The digest of its UTF-8, in hex."""
        return self._hash.hexdigest()

    def deltas(self) -> list[bytes]:
        """All of it, encoded anew in as few entries as may be."""
        text = self.text
        parts = pieces(text, entries.TEXT_BYTES) if text else []
        return [entries.encode(entries.Delta(run=self._run, text=part)) for part in parts]

    def _add(self, text: str, data: bytes) -> bytes:
        self._texts.append(text)
        self._hash.update(data)
        self.length += len(data)
        self._entries += 1
        return entries.encode(entries.Delta(run=self._run, text=text))


class TooMuch(TooLong):
    """The answer is at its bound; `added` is what of the text was still encoded."""

    def __init__(self, added: list[bytes]) -> None:
        super().__init__(f"an answer has at most {ANSWER_BYTES} bytes, in {ANSWER_ENTRIES} pieces")
        self.added = added
