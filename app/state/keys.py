"""Every key and channel in Redis: name, type, lifetime, who writes it.

| key | type | lifetime | written by |
|---|---|---|---|
| `{b}:head:<session>` | hash | session | every script that appends |
| `{b}:log:<session>` | stream | session | every script that appends; trimmed by `end` |
| `{b}:run:<session>` | hash | run, at most session | `say`, `end`, `claim`, `attempt`, `release` |
| `{b}:turns:<session>` | list | session | `say`, `end`: the last `HISTORY_TURNS` |
| `{b}:said:<session>` | hash | session | `say`, `stop`: by message id, and `r:<run>` by run |
| `{b}:ids:<session>` | list | session | `say`: the last 1,000 message ids |
| `{b}:queue:<session>` | list | session | `say`, `end`, `stop`: turns that wait |
| `{b}:leases` | sorted set | for ever; a member: run | every script of a run's writer, `say`, `claim`, `delete` |
| `{b}:live:<session>` | channel | | entries as they are appended |
| `{b}:gone` | sorted set | `GONE_SECONDS`; a member: as long | `delete`: digests of what was said in what was deleted |
| `{u<user>}:sessions` | sorted set | session, the latest | `listed` |
| `{u<user>}:live` | channel | | hints: a session of the list changed |
| `bell` | channel | | a lease was given up: look now |
| `node:<incarnation>` | channel | | hints to one node: look at a run of yours now |

A session's lifetime is `HISTORY_DAYS` after its last activity. `{b}` is one of 256 buckets, `{b000}` to `{b255}`:
all keys of a script share one hash tag, hence one slot of a Cluster, and the index of leases is atomic with the
sessions that it indexes. A user's keys share `{u<user>}`. Nothing atomic crosses tags.
"""

from functools import lru_cache
from typing import Final

from app.core.model import Session, User

BELL: Final = "bell"
KNOWN: Final = 8192


@lru_cache(KNOWN)
def session_keys(session: Session) -> "SessionKeys":
    """The keys of a session, worked out once while it is in use."""
    return SessionKeys(session)


class SessionKeys:
    """The keys of one session, and its channel."""

    __slots__ = ("gone", "head", "ids", "leases", "live", "log", "queue", "run", "said", "turns")

    def __init__(self, session: Session) -> None:
        tag, name = f"{{b{session.bucket:03d}}}", session.name
        self.head = f"{tag}:head:{name}"
        self.log = f"{tag}:log:{name}"
        self.run = f"{tag}:run:{name}"
        self.turns = f"{tag}:turns:{name}"
        self.said = f"{tag}:said:{name}"
        self.ids = f"{tag}:ids:{name}"
        self.queue = f"{tag}:queue:{name}"
        self.leases = leases(session.bucket)
        self.gone = f"{tag}:gone"
        self.live = f"{tag}:live:{name}"

    @property
    def all(self) -> tuple[str, ...]:
        """All keys, in the order in which `scripts/prelude.lua` names them."""
        return (self.head, self.log, self.leases, self.run, self.turns, self.said, self.ids, self.queue, self.gone)

    @property
    def few(self) -> tuple[str, ...]:
        """The first of them: all that is touched for every few tokens."""
        return (self.head, self.log, self.leases)

    @property
    def own(self) -> tuple[str, ...]:
        """Those that live and expire with the session."""
        return (self.head, self.log, self.run, self.turns, self.said, self.ids, self.queue)


def user_sessions(user: User) -> str:
    """Key of a user's list of sessions, by last activity."""
    return f"{{u{user.key}}}:sessions"


def user_live(user: User) -> str:
    """Channel on which a user's nodes hear that the list changed."""
    return f"{{u{user.key}}}:live"


def leases(bucket: int) -> str:
    """Key of a bucket's index of leases."""
    return f"{{b{bucket:03d}}}:leases"


def node_channel(incarnation: str) -> str:
    """Channel on which one node hears that a run of its own needs a look."""
    return f"node:{incarnation}"
