"""The nouns: cursor, session, writer, turn.

A cursor is an entry's id, `<ms>-<seq>`: the order, the duplicate check and a reader's place in one value. It is
always compared as two integers; as text, `…-9` would come after `…-10`.

A session is named by its user and its id, and a user is a digest of who vouched for whom. So no id can break a
key, two identities never clash, and a caller cannot name another's session: the user is not theirs to say.
"""

import base64
import hashlib
import re
from typing import Any, Final, Literal, NamedTuple, Self

import msgspec

from app.core.errors import BadCursor, BadFrame

Takeover = Literal["restart", "continue", "resume", "fail"]  # how an answer goes on when its producer is gone
Dialect = Literal["trailing", "continue_final_message", "prefix"]  # how a model is asked to continue

BUCKETS: Final = 256
ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")
CURSOR: Final = re.compile(r"(0|[1-9][0-9]{0,14})-(0|[1-9][0-9]{0,14})\Z")
TITLE_LENGTH: Final = 80


class Cursor(NamedTuple):
    """How far a reader is in a session's log: the id of the last entry that it has.

    `ms` is Redis's clock when the entry was appended; `seq` counts entries from 1, without a gap.
    """

    ms: int
    seq: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `<ms>-<seq>`.

        Raises:
            BadCursor: `text` is anything else.
        """
        if not (match := CURSOR.match(text)):
            raise BadCursor(f"a cursor is two integers joined by '-', not {text[:40]!r}")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.ms}-{self.seq}"


START: Final = Cursor(0, 0)


class User(NamedTuple):
    """One identity, as it appears in keys: 22 characters that nobody can choose."""

    key: str

    @classmethod
    def of(cls, issuer: str, subject: str) -> Self:
        """Name the user for whom `issuer` vouches as `subject`."""
        digest = hashlib.sha256(f"{issuer}\0{subject}".encode()).digest()
        return cls(base64.urlsafe_b64encode(digest)[:22].decode())


class Session(NamedTuple):
    """One conversation of one user."""

    user: User
    id: str

    @property
    def name(self) -> str:
        """`<user>/<id>`: how keys and channels call it."""
        return f"{self.user.key}/{self.id}"

    @property
    def bucket(self) -> int:
        """The bucket (0 to 255) in which all of its keys live, for ever the same."""
        return hashlib.sha256(self.name.encode()).digest()[0] % BUCKETS


class Writer(NamedTuple):
    """The right to write one run: compared whole by every script that writes.

    `fence` grows with each claim; `incarnation` is the name of the node's life that holds the lease.
    """

    session: Session
    run: str
    fence: int
    incarnation: str


class Turn(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was said by one side, as it stands in the history. `at` is its entry's cursor, whose ms dates it."""

    id: str
    role: str
    text: str
    run: str
    at: str = ""
    state: str | None = None
    code: str | None = None
    model: str | None = None
    usage: dict[str, Any] | None = None
    timing: dict[str, Any] | None = None
    temperature: float | None = None
    prompt: str | None = None  # the fingerprint of what was asked
    reasoning: str = ""  # what the model thought
    calls: tuple[dict[str, Any], ...] = ()  # of tools: {call, name, arguments, result or error}
    replaced: tuple[str, ...] = ()  # ids of the turns whose place it took
    rating: dict[str, str] | None = None  # a person's: `value` (up, down), and a `note`


class Request(msgspec.Struct, frozen=True, omit_defaults=True):
    """What any node needs to carry a run: stored with it, and with a queued turn until its run begins."""

    turn: str
    run: str
    text: str
    model: str
    context: dict[str, Any] | None = None
    tools: tuple[str, ...] = ()  # that it may have called, beside those of the node


def checked_id(value: str, name: str) -> str:
    """Return `value` if it may name a session or a message.

    Raises:
        BadFrame: it may not.
    """
    if not ID.match(value):
        raise BadFrame(
            f"{name} must be 1 to 64 of A-Z a-z 0-9 _ . - and begin with a letter or digit, not {value[:80]!r}"
        )
    return value


def title_of(text: str) -> str:
    """Derive a session's title from its first turn: one line of at most 80 characters."""
    return " ".join(text.split())[:TITLE_LENGTH].rstrip()
