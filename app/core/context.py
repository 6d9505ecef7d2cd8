"""What is known of a user, or of a session, beside the log: named values, and what is counted.

Values are JSON, each under a name of its own, so that two who change different ones do not get into each other's way.
A version counts the changes: who names the one that they have seen changes nothing that they have not.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from app.core.errors import BadFrame
from app.core.protocol import CONTEXT_BYTES, kind_of

NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\Z")
NAMES: Final = 64
COUNTED: Final = ("last_seen", "total_interactions", "last_activity", "message_count")  # by the server
SETTINGS: Final = ("model", "temperature", "prompt")  # of a session
TEXTS: Final = {"expertise_level": 64, "preferred_style": 64, "language": 64, "instructions": 4096}  # characters


class Context(NamedTuple):
    """Named values, as they stood at a version (0: never changed); when their owner spoke last (ms), and how often."""

    values: dict[str, Any]
    version: int = 0
    spoke_at: int = 0
    times: int = 0


def changes(given: Mapping[str, Any]) -> dict[str, str]:
    """Write changes as they are stored: each value as JSON, and empty where `None` removes it.

    Raises:
        BadFrame: a name or a value that cannot be.
    """
    if len(given) > NAMES:
        raise BadFrame(f"set: {len(given)} values; at most {NAMES} are kept")
    return {name: _written(name, value) for name, value in given.items()}


def too_long(size: int) -> str:
    """Say that a context is too long."""
    return f"a context of {size} bytes with its names; at most {CONTEXT_BYTES} are kept"


def _written(name: str, value: Any) -> str:
    if not NAME.match(name):
        raise BadFrame(f"set: a name is 1 to 64 of A-Z a-z 0-9 _ . -, not {name[:80]!r}")
    if name in COUNTED:
        raise BadFrame(f"set: {name} is counted by the server")
    if value is None:
        return ""
    if name in TEXTS and not (isinstance(value, str) and len(value) <= TEXTS[name]):
        seen = f"{len(value)} characters" if isinstance(value, str) else kind_of(value)
        raise BadFrame(f"set: {name}: expected text of at most {TEXTS[name]} characters, got {seen}")
    try:
        return msgspec.json.encode(value, order="deterministic").decode()
    except (TypeError, ValueError, RecursionError) as error:
        raise BadFrame(f"set: {name}: cannot be written as JSON: {error}") from error
