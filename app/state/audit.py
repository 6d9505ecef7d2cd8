"""What was done to whose access and data, and by whom: two bounded streams for each life of a node.

What operators did has one of its own: whatever users do, as often as they like, takes nothing of it away.
"""

import logging
from typing import Any, Final

from app.core.errors import StateUnavailable
from app.core.model import User
from app.state.bounds import AUDIT_DAYS, AUDIT_ENTRIES
from app.state.keys import audit
from app.state.script import Scripts

PAGE: Final = 200
OPERATED: Final = ("revoked", "invited", "drained")

log = logging.getLogger(__name__)


class Audit:
    """The records of this node, and those of all."""

    def __init__(self, scripts: Scripts, incarnation: str, *, node: str) -> None:
        self._scripts = scripts
        self._incarnation = incarnation
        self._node = node

    async def record(self, what: str, by: User | None, **about: str) -> None:
        """Note what was done, and by whom. That it could not be noted is logged, and hinders nobody."""
        fields = {"what": what, "by": by.key if by else "", "node": self._node} | about
        flat = [part for pair in fields.items() for part in pair]
        key = audit(self._incarnation, "operators" if what in OPERATED else "users")
        lifetime = ("PEXPIRE", key, AUDIT_DAYS * 86_400_000)
        try:
            await self._scripts.look([("XADD", key, "MAXLEN", "~", AUDIT_ENTRIES, "*", *flat), lifetime])
        except StateUnavailable:
            log.error("not in the audit, since Redis does not answer: %s", fields)

    async def newest(self, limit: int = PAGE) -> list[dict[str, Any]]:
        """Read the newest records of all nodes, newest first: `at` (ms), `what`, `by`, `node`, and what it was about.

        Raises:
            StateUnavailable
        """
        keys = await self._keys()
        pages = await self._scripts.look([("XREVRANGE", key, "+", "-", "COUNT", limit) for key in keys])
        records = [_record(*entry) for page in pages for entry in page]
        return sorted(records, key=lambda record: record["at"], reverse=True)[:limit]

    async def forget(self, user: User) -> None:
        """Take away what a user did.

        Raises:
            StateUnavailable
        """
        for key in await self._keys():
            lines = await self._scripts.command("audit", ("XRANGE", key, "-", "+"))
            theirs = [id for id, fields in lines if _record(id, fields)["by"] == user.key]
            if theirs:
                await self._scripts.command("forget", ("XDEL", key, *theirs))

    async def _keys(self) -> set[bytes]:
        return {key async for some in self._scripts.keys("audit:*") for key in some}


def _record(id: bytes, fields: list[bytes]) -> dict[str, Any]:
    words = [field.decode(errors="replace") for field in fields]
    return {"at": int(id.split(b"-")[0])} | dict(zip(words[::2], words[1::2], strict=True))
