"""The kinds of entry in a session's log.

An entry is encoded once, at its producer, as a msgpack map `{kind, …}`; nodes pass those bytes on and decode them
only for the JSON codec, for merging neighbouring text, and for folding. A reader skips a kind that it does not
know, and moves its cursor.

Public names here are the protocol's words (`docs/protocol.md`), one class a kind.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal, NamedTuple

import msgpack
import msgspec

from app.core.model import Cursor

EMPTY_SHA256: Final = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # of a text without bytes
TEXT_BYTES: Final = 16 * 1024  # one delta's text; what a coalescer gives at most in one entry


class Turn(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="turn"):
    """A person's message; `queued` while its run has to wait."""

    id: str
    text: str
    run: str
    queued: bool = False


class Cut(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="cut"):
    """A turn and what follows left the history; with `keep`, only what follows. `replaced`: ids of all that left."""

    turn: str
    keep: bool = False
    replaced: tuple[str, ...] = ()


class Run(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="run"):
    """A run began (`new`) or goes on (`restart`, `continue`, `resume`) on a node."""

    run: str
    turn: str
    attempt: int
    how: str
    node: str
    model: str


class Delta(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="delta"):
    """A piece of the answer's text."""

    run: str
    text: str


class Reasoning(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="reasoning"):
    """A piece of the model's thinking."""

    run: str
    text: str


class Tool(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="tool"):
    """A tool's call, and later its result or error."""

    run: str
    call: str
    name: str = ""
    arguments: Any = None
    result: Any = None
    error: Any = None


class Ask(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="ask"):
    """A call that waits for a person until `until`."""

    run: str
    call: str
    name: str
    arguments: Any = None
    until: Any = None


class Answer(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="answer"):
    """What was decided on a call: by a person (`by` is their user), or else `expiry`, `stop` or `say`.

    `arguments`: those that it is to be made with instead; `reason`: why not.
    """

    run: str
    call: str
    decision: str
    by: str = ""
    arguments: Any = None
    reason: str = ""


class Hold(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="hold"):
    """A run waits for a person; nothing of it is in memory."""

    run: str
    why: str = ""
    until: Any = None


class End(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="end"):
    """A run is over: `done`, `stopped` or `failed`.

    `length` (bytes of UTF-8) and `sha256` (hex) are those of the deltas that stand: whoever has other text reports it.
    """

    run: str
    state: str
    length: int
    sha256: str
    code: str | None = None
    usage: dict[str, Any] | None = None
    timing: dict[str, Any] | None = None


class Meta(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="meta"):
    """The session's title, or one of its settings, changed; a setting that is empty text has its default again."""

    title: str | None = None
    model: str | None = None
    temperature: float | Literal[""] | None = None
    prompt: str | None = None


class Rating(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="rating"):
    """A person rated an answer; without a value, they took that back."""

    turn: str
    value: Literal["up", "down"] | None = None
    note: str = ""


class Gone(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="gone"):
    """The session was deleted."""


Entry = Turn | Cut | Run | Delta | Reasoning | Tool | Ask | Answer | Hold | End | Meta | Rating | Gone


class Batch(NamedTuple):
    """Consecutive entries of one log: `after` is the entry before the first, `at` is the last.

    `ids` and `entries` (encoded) run in parallel. An empty batch has `after == at`.
    """

    after: Cursor
    at: Cursor
    ids: tuple[Cursor, ...]
    entries: tuple[bytes, ...]

    def following(self, cursor: Cursor) -> "Batch | None":
        """Return the part that follows `cursor`, or None if `cursor` is not in this batch."""
        if cursor == self.after:
            return self
        if cursor not in self.ids:
            return None
        index = self.ids.index(cursor) + 1
        return Batch(cursor, self.at, self.ids[index:], self.entries[index:])


def encode(entry: Entry) -> bytes:
    """Encode an entry as it is stored, published and sent."""
    return msgspec.msgpack.encode(entry)


def decode(data: bytes) -> Entry | None:
    """Decode a stored entry; None for a kind that this version does not know.

    Raises:
        ValueError: `data` is not an entry.
    """
    return entry_of(msgpack.unpackb(data))


def entry_of(fields: dict[str, Any]) -> Entry | None:
    """Give the entry that `fields` (a map with `kind`) describe; None for an unknown kind.

    Raises:
        ValueError: the kind is known and a field of it is missing or wrong.
    """
    if fields.get("kind") not in KINDS:
        return None
    try:
        entry: Entry = msgspec.convert(fields, Entry)
        return entry
    except msgspec.ValidationError as error:
        raise ValueError(f"not a {fields.get('kind')!r} entry: {error}") from error


KINDS: Final = frozenset(
    str(kind.__struct_config__.tag)
    for kind in (Turn, Cut, Run, Delta, Reasoning, Tool, Ask, Answer, Hold, End, Meta, Rating, Gone)
)


def split(concatenated: bytes) -> Iterator[bytes]:
    """Cut a publish's payload, encoded entries one after another, into entries."""
    unpacker = msgpack.Unpacker(max_buffer_size=len(concatenated) or 1)
    unpacker.feed(concatenated)
    start = 0
    while start < len(concatenated):
        unpacker.skip()
        end = unpacker.tell()
        yield concatenated[start:end]
        start = end


def merged(entries: Iterable[bytes]) -> list[dict[str, Any]]:
    """Decode entries for a reader who catches up: neighbouring text of one run becomes one entry."""
    out: list[dict[str, Any]] = []
    texts: list[str] = []  # of the last of `out`, while it is text
    last: tuple[str, str] | None = None
    for data in entries:
        entry: dict[str, Any] = msgpack.unpackb(data)
        kind = entry["kind"]
        this = (kind, entry["run"]) if kind in ("delta", "reasoning") else None
        if this is not None and this == last:
            texts.append(entry["text"])
            continue
        if last is not None:
            out[-1]["text"] = "".join(texts)
        out.append(entry)
        last, texts = this, [entry["text"]] if this else []
    if last is not None:
        out[-1]["text"] = "".join(texts)
    return out
