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
| `{b}:replaced:<session>` | list | session | `say`, `end`: turns that `again` and `edit` took out of the history |
| `{b}:leases` | sorted set | for ever; a member: run | every script of a run's writer, `say`, `claim`, `delete` |
| `{b}:live:<session>` | channel | | entries as they are appended |
| `{b}:gone` | sorted set | `GONE_SECONDS`; a member: as long | `delete`: digests of what was said in what was deleted |
| `{u<user>}:sessions` | sorted set | session, the latest | `listed` |
| `{u<user>}:live` | channel | | hints: a session of the list changed |
| `{u<user>}:context` | hash | `CONTEXT_DAYS` | `context`, `seen`: preferences, and how often the user spoke |
| `{u<user>}:metadata:<id>` | hash | `METADATA_HOURS` | `context`: what is derived of a session |
| `{u<user>}:counted:<run>` | string | a minute | `seen`: that a run was counted |
| `{u<user>}:stale` | channel | | what is kept of the user's context is stale |
| `{u<user>}:rate:<what>`, `{a<address>}:rate:<what>` | string | until all is given back | `rate`, `turn`: limits |
| `{u<user>}:running` | hash | a day | `turn`, `ran`: places among the running answers, by session |
| `{u<user>}:quota` | hash | 31 days | `spend`: tokens used, by day |
| `{u<user>}:sockets` | hash | a week | `sockets`: how many, by node |
| `login:<digest>`, `invite:<digest>`, `ticket:<digest>` | string | its own | `Credentials`: whom it vouches for |
| `{nodes}:alive` | sorted set | `DEAD_SECONDS` | `pulse`: nodes, by their last sign of life |
| `{nodes}:revoked` | sorted set | `REVOKED_DAYS` | `revoke`: users and tokens, by when |
| `{nodes}:ended` | sorted set | `ENDED_SECONDS` | `revoke`: sign-ins that were ended, by when |
| `{nodes}:issuers` | set | for ever | `Pulse`: of whose tokens any counted |
| `audit:<incarnation>:<whose>` | stream | `AUDIT_DAYS` | `Audit`: who did what; the last `AUDIT_ENTRIES` |
| `bell` | channel | | a lease was given up: look now |
| `node:<incarnation>` | channel | | hints to one node: look at a run of yours now |

A session's lifetime is `HISTORY_DAYS` after its last activity. `{b}` is one of 256 buckets, `{b000}` to `{b255}`:
all keys of a script share one hash tag, hence one slot of a Cluster, and the index of leases is atomic with the
sessions that it indexes. A user's keys share `{u<user>}`. Nothing atomic crosses tags. Redis has channels by server,
not by database; where the database is not 0, their names end with its number (`channel_in`).
"""

import hashlib
from functools import lru_cache
from typing import Final

from app.core.model import Session, User

BELL: Final = "bell"
ALIVE: Final = "{nodes}:alive"
REVOKED: Final = "{nodes}:revoked"
ENDED: Final = "{nodes}:ended"
ISSUERS: Final = "{nodes}:issuers"
KNOWN: Final = 8192


@lru_cache(KNOWN)
def session_keys(session: Session) -> "SessionKeys":
    """The keys of a session, worked out once while it is in use."""
    return SessionKeys(session)


class SessionKeys:
    """The keys of one session, and its channel."""

    __slots__ = ("gone", "head", "ids", "leases", "live", "log", "queue", "replaced", "run", "said", "turns")

    def __init__(self, session: Session) -> None:
        tag, name = f"{{b{session.bucket:03d}}}", session.name
        self.head = f"{tag}:head:{name}"
        self.log = f"{tag}:log:{name}"
        self.run = f"{tag}:run:{name}"
        self.turns = f"{tag}:turns:{name}"
        self.said = f"{tag}:said:{name}"
        self.ids = f"{tag}:ids:{name}"
        self.queue = f"{tag}:queue:{name}"
        self.replaced = f"{tag}:replaced:{name}"
        self.leases = leases(session.bucket)
        self.gone = f"{tag}:gone"
        self.live = f"{tag}:live:{name}"

    @property
    def all(self) -> tuple[str, ...]:
        """All keys, in the order in which `scripts/prelude.lua` names them."""
        return (
            self.head, self.log, self.leases, self.run, self.turns, self.said, self.ids, self.queue, self.gone,
            self.replaced,
        )  # fmt: skip

    @property
    def few(self) -> tuple[str, ...]:
        """The first of them: all that is touched for every few tokens."""
        return (self.head, self.log, self.leases)

    @property
    def own(self) -> tuple[str, ...]:
        """Those that live and expire with the session."""
        return (self.head, self.log, self.run, self.turns, self.said, self.ids, self.queue, self.replaced)


def channel_in(database: int, channel: str) -> str:
    """Name a channel as Redis has it: those of one database are no other one's."""
    return f"{channel}@{database}" if database else channel


def user_sessions(user: User) -> str:
    """Key of a user's list of sessions, by last activity."""
    return f"{user_tag(user)}:sessions"


def user_live(user: User) -> str:
    """Channel on which a user's nodes hear that the list changed."""
    return f"{user_tag(user)}:live"


def user_context(user: User) -> str:
    """Key of what is known of a user."""
    return f"{user_tag(user)}:context"


def session_metadata(session: Session) -> str:
    """Key of what is derived of a session."""
    return f"{user_tag(session.user)}:metadata:{session.id}"


def counted_run(user: User, run: str) -> str:
    """Key that says that a user's run was counted."""
    return f"{user_tag(user)}:counted:{run}"


def user_stale(user: User) -> str:
    """Channel on which nodes hear that a user's context has changed."""
    return f"{user_tag(user)}:stale"


def user_running(user: User) -> str:
    """Key of a user's places among the running answers."""
    return f"{user_tag(user)}:running"


def user_quota(user: User) -> str:
    """Key of what a user has used, by day."""
    return f"{user_tag(user)}:quota"


def user_sockets(user: User) -> str:
    """Key of how many sockets of a user's each node has."""
    return f"{user_tag(user)}:sockets"


def user_tag(user: User) -> str:
    """What the keys of a user share, as an owner of limits."""
    return f"{{u{user.key}}}"


def address_tag(address: str) -> str:
    """What the keys of an address share: a digest, so that none stands in Redis."""
    return f"{{a{hashlib.sha256(address.encode()).hexdigest()[:22]}}}"


def rate(tag: str, what: str) -> str:
    """Key of one limit of an owner."""
    return f"{tag}:rate:{what}"


def credential(kind: str, secret: str) -> str:
    """Key of what a secret vouches for: by its digest, so that whoever reads Redis cannot sign in."""
    return f"{kind}:{hashlib.sha256(secret.encode()).hexdigest()}"


def audit(incarnation: str, whose: str) -> str:
    """Key of what was done at a node, by operators or by users."""
    return f"audit:{incarnation}:{whose}"


def leases(bucket: int) -> str:
    """Key of a bucket's index of leases."""
    return f"{{b{bucket:03d}}}:leases"


def node_channel(incarnation: str) -> str:
    """Channel on which one node hears that a run of its own needs a look."""
    return f"node:{incarnation}"
