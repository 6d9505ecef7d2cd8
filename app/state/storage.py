"""What an agent remembers, as the origin document has it: six operations on typed values.

`RedisStateStorage` keeps them where the chat does: a conversation is a session's log and history, a user's context and
a session's metadata are beside it. So what is written here is seen by every reader, and the other way round.
"""

import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Self

from app.core.context import COUNTED, Context
from app.core.errors import BadFrame
from app.core.model import Session, Turn, User, checked_id
from app.state.contexts import Contexts
from app.state.sessions import Sessions

PAGE: Final = 100
ROLES: Final = ("user", "assistant")


@dataclass(frozen=True, slots=True)
class ConversationTurn:
    """What was said by one side. `timestamp` is aware; `metadata` has the turn's `id`, `run`, and more."""

    role: str
    content: str
    timestamp: datetime
    metadata: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Give it as JSON has it."""
        return {
            "role": self.role, "content": self.content, "timestamp": self.timestamp.isoformat(),
            "metadata": self.metadata,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` gave.

        Raises:
            BadFrame: a field is missing or wrong.
        """
        role, content, said, metadata = (data.get(name) for name in ("role", "content", "timestamp", "metadata"))
        try:
            timestamp = datetime.fromisoformat(said)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise BadFrame(f"timestamp: expected ISO 8601, got {str(said)[:40]!r}") from None
        if role not in ROLES or not isinstance(content, str) or not isinstance(metadata or {}, dict):
            raise BadFrame(f"expected a role ({' or '.join(ROLES)}), a content that is text, and a map as metadata")
        aware = timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)
        return cls(role, content, aware, dict(metadata or {}))

    @classmethod
    def of(cls, turn: Turn) -> Self:
        """Show a turn of the history."""
        known = {"id": turn.id, "run": turn.run, "state": turn.state, "code": turn.code, "model": turn.model,
                 "usage": turn.usage, "timing": turn.timing, "temperature": turn.temperature,
                 "prompt": turn.prompt, "reasoning": turn.reasoning or None,
                 "calls": list(turn.calls) or None, "replaced": list(turn.replaced) or None,
                 "rating": turn.rating}  # fmt: skip
        at = datetime.fromtimestamp(int(turn.at.partition("-")[0]) / 1000, UTC)
        return cls(turn.role, turn.text, at, {name: value for name, value in known.items() if value is not None})


class StateStorage(ABC):
    """Where an agent's state is, outside of any process."""

    @abstractmethod
    async def get_conversation_history(self, session: Session) -> list[ConversationTurn]:
        """Read a session's history, oldest first: its last `HISTORY_TURNS`."""

    @abstractmethod
    async def append_conversation_turn(self, session: Session, turn: ConversationTurn) -> None:
        """Put a turn at the end of a session's history, once for each `metadata["id"]`.

        Raises:
            BadFrame: no such role, or no such id.
            Busy: an answer is under way there.
        """

    @abstractmethod
    async def get_user_context(self, user: User) -> dict[str, Any]:
        """Read what is known of a user; with `last_seen` and `total_interactions`, which are counted."""

    @abstractmethod
    async def update_user_context(self, user: User, context: Mapping[str, Any], *, version: int | None = None) -> None:
        """Change some of a user's values (`None` removes one); what is counted is passed over.

        Raises:
            BadFrame, TooLong
            Conflict: the values have another version than `version`.
        """

    @abstractmethod
    async def get_session_metadata(self, session: Session) -> dict[str, Any]:
        """Read what is derived of a session; with `last_activity` and `message_count`, which are counted."""

    @abstractmethod
    async def update_session_metadata(
        self, session: Session, metadata: Mapping[str, Any], *, version: int | None = None
    ) -> None:
        """Change some of a session's values; as `update_user_context`."""


class RedisStateStorage(StateStorage):
    """The chat's own."""

    def __init__(self, sessions: Sessions, contexts: Contexts) -> None:
        self._sessions = sessions
        self._contexts = contexts

    async def get_conversation_history(self, session: Session) -> list[ConversationTurn]:
        """See `StateStorage`."""
        turns: list[Turn] = []
        more = True
        while more:
            page = await self._sessions.history(session, turns[0].id if turns else None, PAGE)
            turns, more = [*page.turns, *turns], page.more
        return [ConversationTurn.of(turn) for turn in turns]

    async def append_conversation_turn(self, session: Session, turn: ConversationTurn) -> None:
        """See `StateStorage`."""
        if turn.role not in ROLES:
            raise BadFrame(f"role: expected {' or '.join(ROLES)}, got {turn.role[:40]!r}")
        id = checked_id(str(turn.metadata.get("id") or f"put-{secrets.token_hex(12)}"), "a turn's id")
        await self._sessions.put(session, Turn(id=id, role=turn.role, text=turn.content, run=id))

    async def get_user_context(self, user: User) -> dict[str, Any]:
        """See `StateStorage`."""
        return shown(await self._contexts.of_user(user), "last_seen", "total_interactions")

    async def update_user_context(self, user: User, context: Mapping[str, Any], *, version: int | None = None) -> None:
        """See `StateStorage`."""
        await self._contexts.change_user(user, _settable(context), version)

    async def get_session_metadata(self, session: Session) -> dict[str, Any]:
        """See `StateStorage`."""
        return shown(await self._contexts.of_session(session), "last_activity", "message_count")

    async def update_session_metadata(
        self, session: Session, metadata: Mapping[str, Any], *, version: int | None = None
    ) -> None:
        """See `StateStorage`."""
        await self._contexts.change_session(session, _settable(metadata), version)


def shown(context: Context, when: str, how_often: str) -> dict[str, Any]:
    """Give values, and what is counted beside them, if there is something."""
    if not context.times:
        return context.values
    seen = datetime.fromtimestamp(context.spoke_at / 1000, UTC).isoformat()
    return context.values | {when: seen, how_often: context.times}


def _settable(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in COUNTED}
