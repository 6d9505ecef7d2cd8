"""What is known of users and of sessions beside the log: preferences, and what is derived.

A damaged value is reported, counted and left out: what else is known stays known.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from app.core.context import SETTINGS, Context, changes, too_long
from app.core.errors import Conflict, TooLong
from app.core.model import Session, User
from app.core.protocol import CONTEXT_BYTES
from app.state.keys import counted_run, session_keys, session_metadata, user_context, user_stale
from app.state.script import Scripts
from app.state.stored import settings_of, value_of

COUNTED_MS: Final = 60_000  # longer than a script is tried again


class Contexts:
    """All of them. Every method raises StateUnavailable where Redis does not answer."""

    def __init__(self, scripts: Scripts, *, context_s: float, metadata_s: float, damaged: Counter[str]) -> None:
        self._damaged = damaged
        self._scripts = scripts
        self._context_ms = int(context_s * 1000)
        self._metadata_ms = int(metadata_s * 1000)

    async def of_user(self, user: User) -> Context:
        """Read what is known of a user."""
        return self._read("context", await self._scripts.command("context", ("HGETALL", user_context(user))))

    async def change_user(self, user: User, given: Mapping[str, Any], version: int | None = None) -> Context:
        """Change some of a user's values (`None` removes one), if they have a version, and return all.

        Raises:
            BadFrame: a name or a value that cannot be.
            Conflict: they have another version.
            TooLong: more than 8 KiB.
        """
        return await self._change("context", user_context(user), user, given, version, self._context_ms)

    async def spoke(self, user: User, run: str) -> None:
        """Count that a user has spoken, once for each run."""
        keys = (user_context(user), counted_run(user, run))
        await self._scripts.run("seen", keys, self._context_ms, COUNTED_MS)

    async def of_session(self, session: Session) -> Context:
        """Read what is known of a session, its settings included; these, and what is counted, stand in its head."""
        fields = ("spoken", "spoke_at", *(f"s:{name}" for name in SETTINGS))
        stored, (times, spoke_at, *settings) = await self._scripts.look(
            [("HGETALL", session_metadata(session)), ("HMGET", session_keys(session).head, *fields)]
        )
        found = self._read("metadata", stored)
        return Context(
            found.values | settings_of(settings, self._damaged), found.version, int(spoke_at or 0), int(times or 0)
        )

    async def change_session(self, session: Session, given: Mapping[str, Any], version: int | None = None) -> Context:
        """Change some of a session's values; as `change_user`."""
        key = session_metadata(session)
        return await self._change("metadata", key, session.user, given, version, self._metadata_ms)

    async def _change(
        self, kind: str, key: str, user: User, given: Mapping[str, Any], version: int | None, ttl_ms: int
    ) -> Context:
        pairs = [part for pair in changes(given).items() for part in pair]
        seen = "" if version is None else version
        status, found = await self._scripts.run(
            "context", (key,), self._scripts.channel(user_stale(user)), seen, CONTEXT_BYTES, ttl_ms, *pairs
        )
        if status == b"too_long":
            raise TooLong(too_long(found))
        context = self._read(kind, found)
        if status == b"conflict":
            raise Conflict(f"version {context.version}; expected {version}: read it again, and change that")
        return context

    def _read(self, kind: str, stored: list[bytes]) -> Context:
        fields = dict(zip(stored[::2], stored[1::2], strict=True))
        values: dict[str, Any] = {}
        for field, text in fields.items():
            if field.startswith(b"v:") and (value := value_of(kind, text, self._damaged)) is not None:
                values[field[2:].decode(errors="replace")] = value
        version, spoke_at, times = (int(fields.get(name, b"0")) for name in (b"version", b"spoke_at", b"times"))
        return Context(values, version, spoke_at, times)
