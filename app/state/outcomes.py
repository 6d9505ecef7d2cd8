"""What the scripts answer: values, also where the answer is no."""

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from app.core.entries import Batch
from app.core.model import Cursor, Request, Turn, Writer


@dataclass(frozen=True, slots=True)
class Carry:
    """A run put into this node's hands: the right to write it, and all that answering it needs.

    `turns` are the newest of the history and end with the question. `left_s` is the time until its deadline.
    `log` has the run's entries as they stand. `how` says what is to be done: answer (`new`, `restart`), go on after
    them (`continue`; `resume`, where the upstream is at `place`), or end the run with them: `stopped`, or the code of
    its failure. `usage` is what it has used before.
    """

    writer: Writer
    request: Request
    left_s: float
    turns: tuple[Turn, ...]
    attempt: int = 1
    how: str = "new"
    log: tuple[bytes, ...] = ()
    place: str = ""
    usage: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Said:
    """A turn is in the log. `before` is the cursor before it, `at` the last entry that its first `say` appended."""

    run: str
    before: Cursor
    at: Cursor
    duplicate: bool
    carry: Carry | None


Wanted = Literal["", "stop", "pause"]  # what somebody wants of a run: that it ends, or is held


class Appended(NamedTuple):
    """Entries are in the log, now or since an earlier try."""

    after: Cursor
    at: Cursor
    wanted: Wanted


@dataclass(frozen=True, slots=True)
class Renewed:
    """The lease goes on."""

    wanted: Wanted


@dataclass(frozen=True, slots=True)
class Held:
    """The run waits for a person, and is nobody's meanwhile."""


@dataclass(frozen=True, slots=True)
class Decided:
    """No call waits for a person any more: their `answer` entries, encoded."""

    answers: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ToStop:
    """The run is not held: somebody wants it to end."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The run is over, now or since an earlier try; `carry` is the next queued one, begun with the same lease.

    `titles`: the session has no title of its own, and it is for the caller to make it.
    """

    at: Cursor
    carry: Carry | None
    titles: bool = False


@dataclass(frozen=True, slots=True)
class Fenced:
    """Somebody else writes this run now, or nobody does: produce no more."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Redis forgot appends of this writer that it had confirmed (a failover): the text must be written anew.

    `count` is how many appends Redis remembers: the next one's count.
    """

    count: int


@dataclass(frozen=True, slots=True)
class Again:
    """Another attempt has begun, now or since an earlier try."""

    attempt: int
    wanted: Wanted


@dataclass(frozen=True, slots=True)
class UsedUp:
    """There were as many attempts as there may be."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What Redis had forgotten is back; it remembers `count` appends now."""

    count: int


@dataclass(frozen=True, slots=True)
class Moved:
    """Something came after what Redis has forgotten: the old ids are taken."""


@dataclass(frozen=True, slots=True)
class Reset:
    """A cursor that is not in the log: `expired`, `trimmed` or `lost`. Begin again from a snapshot."""

    why: str


@dataclass(frozen=True, slots=True)
class Read:
    """A part of the log, and the log's head when it was read."""

    batch: Batch
    head: Cursor


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A session as it stands at `at`. `run` is a run as the protocol shows it."""

    at: Cursor
    title: str
    turns: tuple[Turn, ...]
    more: bool
    queued: tuple[dict[str, Any], ...]
    run: dict[str, Any] | None
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page:
    """Some turns, oldest first; `more`: there are older ones."""

    turns: tuple[Turn, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class Listed:
    """A session in a list: `state` is idle, running, held or gone."""

    id: str
    title: str
    state: str
    at: Cursor
