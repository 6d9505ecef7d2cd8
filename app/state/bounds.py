"""What is bounded, and how much: nothing in Redis grows without end."""

from dataclasses import dataclass
from typing import Final

ENTRIES: Final = 256  # of one read
LOG_ENTRIES: Final = 2000
MESSAGE_IDS: Final = 1000
GONE_SECONDS: Final = 600  # what a deleted session heard is known: longer than any frame is on its way
ATTEMPTS: Final = 3
DEAD_SECONDS: Final = 10.0  # without a sign of life, after which a node's sockets count no more
REVOKED_DAYS: Final = 3650  # longer than any token is good
ENDED_SECONDS: Final = 600  # until each node has heard that a sign-in was ended
AUDIT_DAYS: Final = 90
AUDIT_ENTRIES: Final = 10_000  # of each node's life
LAPSED: Final = 16  # looked at in one bucket at a time
TITLE_MS: Final = 60_000  # a title that has not come by then may be made by another
QUEUE_BYTES: Final = 384 * 1024  # of JSON: a snapshot with them and a whole answer is within a frame's bound


@dataclass(frozen=True, slots=True)
class Bounds:
    """The knobs that scripts need. Seconds, and counts."""

    lease_s: float = 6.0
    run_s: float = 600.0
    session_s: float = 7 * 86_400.0
    turns: int = 100
    window: int = 10
