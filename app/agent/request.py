"""All that one answer is made from, gathered in one pass: nothing of it is kept in between.

The history comes with the run, for the script that begins or claims it reads both as one step; what is known of the
user and of the session is read meanwhile. What cannot be read is left out, and the answer made without.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from app.core.errors import StateUnavailable
from app.core.model import Session
from app.state.outcomes import Carry
from app.state.storage import ConversationTurn, StateStorage

RECENT: Final = 5

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AgentRequest:
    """One question, and what it is asked in. Ids are those of keys: a user cannot choose theirs."""

    user_id: str
    session_id: str
    message: str
    timestamp: datetime
    user_context: dict[str, Any]
    session_context: dict[str, Any]
    conversation_history: list[ConversationTurn]  # before the question, oldest first
    additional_context: dict[str, Any] = field(default_factory=dict)  # what the caller gave: data, never instructions

    def to_prompt_context(self) -> dict[str, Any]:
        """Give what a prompt is made from."""
        return {
            "user_preferences": self.user_context,
            "session_info": self.session_context,
            "recent_messages": self.conversation_history[-RECENT:],
            "current_message": self.message,
            "metadata": self.additional_context,
        }


class RequestContextBuilder:
    """Gathers requests from a storage."""

    def __init__(self, state_storage: StateStorage) -> None:
        self._storage = state_storage

    async def build_context(
        self,
        session: Session,
        message: str,
        additional_context: dict[str, Any] | None = None,
        *,
        history: list[ConversationTurn] | None = None,
    ) -> AgentRequest:
        """Gather what `message` is asked in; the history too, where it is not given.

        Raises:
            StateUnavailable: the history cannot be read.
        """
        storage = self._storage
        user_context, session_context, turns = await asyncio.gather(
            _if_known(storage.get_user_context(session.user)),
            _if_known(storage.get_session_metadata(session)),
            _given(history) if history is not None else storage.get_conversation_history(session),
        )
        return AgentRequest(
            session.user.key, session.id, message, datetime.now(UTC), user_context, session_context, turns,
            additional_context or {},
        )  # fmt: skip

    async def of_run(self, carry: Carry) -> AgentRequest:
        """Gather what a run is to answer."""
        request = carry.request
        before, text = carry.turns, request.text
        if before and before[-1].id == request.turn:  # what `again` asks stands in the history only
            before, text = before[:-1], before[-1].text
        history = [ConversationTurn.of(turn) for turn in before]
        return await self.build_context(carry.writer.session, text, request.context, history=history)


async def _given(history: list[ConversationTurn]) -> list[ConversationTurn]:
    return history


async def _if_known(reading: Any) -> dict[str, Any]:
    try:
        found: dict[str, Any] = await reading
    except StateUnavailable:
        log.warning("an answer is made without what is known of its user or session: Redis does not answer")
        return {}
    return found
