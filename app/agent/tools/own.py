"""Finding again what one said before: the tool `search_chats`.

Whose chats are searched stands in the request, never in what the model gives. What is read is bounded: the newest
sessions, of each the newest turns, and only until there are enough hits.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from app.agent.request import AgentRequest
from app.agent.tools.tool import Parameters, StatelessTool, ToolError
from app.core.errors import NotFound, StateUnavailable
from app.core.model import Session, Turn, User
from app.state.outcomes import Listed
from app.state.sessions import Sessions
from app.state.users import Users

SESSIONS: Final = 50
TURNS: Final = 100
HITS: Final = 10
AT_ONCE: Final = 8
EXCERPT: Final = 300
BEFORE: Final = 100  # characters of an excerpt before the hit
QUERY: Final = 200

Hit = dict[str, Any]


class OwnSessions(StatelessTool):
    """Searches the chats of who asks, but not the one in which they ask."""

    idempotent = True

    def __init__(self, users: Users, sessions: Sessions) -> None:
        self._users = users
        self._sessions = sessions

    async def execute(self, context: AgentRequest, parameters: Parameters) -> Any:
        """Give what was found, latest first: `session`, `title`, `turn`, `role`, `at`, `excerpt`."""
        words = parameters["query"].casefold().split()
        if not words:
            raise ToolError("query: expected a word")
        user = User(context.user_id)
        try:
            listed, _ = await self._users.sessions(user, query=None, before=None, limit=SESSIONS + 1)
            others = [one for one in listed if one.id != context.session_id][:SESSIONS]
            hits: list[Hit] = []
            for start in range(0, len(others), AT_ONCE):
                some = others[start : start + AT_ONCE]
                found = await asyncio.gather(*(self._search(user, one, words) for one in some))
                hits += [hit for in_one in found for hit in in_one]
                if len(hits) >= HITS:
                    break
        except StateUnavailable as error:
            raise ToolError("chats cannot be read now; try again later") from error
        return {"hits": hits[:HITS]}

    def get_tool_schema(self) -> dict[str, Any]:
        """See `StatelessTool`."""
        query = {"type": "string", "minLength": 1, "maxLength": QUERY, "description": "Words, all of which must occur"}
        return {
            "name": "search_chats",
            "description": "Search the user's earlier chats",
            "parameters": {
                "type": "object",
                "properties": {"query": query},
                "required": ["query"],
                "additionalProperties": False,
            },
        }

    async def _search(self, user: User, listed: Listed, words: Sequence[str]) -> list[Hit]:
        try:
            page = await self._sessions.history(Session(user, listed.id), None, TURNS)
        except NotFound:  # deleted meanwhile
            return []
        return await asyncio.to_thread(hits_in, listed, page.turns, words)


def hits_in(listed: Listed, turns: Sequence[Turn], words: Sequence[str]) -> list[Hit]:
    """Find turns in which all words occur, latest first; where there is none, the session by its title."""
    found: list[Hit] = [
        {"session": listed.id, "title": listed.title, "turn": turn.id, "role": turn.role,
         "at": _moment(int(turn.at.partition("-")[0])), "excerpt": excerpt(turn.text, place)}
        for turn in reversed(turns)
        if (place := _place(turn.text, words)) is not None
    ][:HITS]  # fmt: skip
    if not found and _place(listed.title, words) is not None:
        found = [{"session": listed.id, "title": listed.title, "turn": None, "role": None,
                  "at": _moment(listed.at.ms), "excerpt": listed.title}]  # fmt: skip
    return found


def excerpt(text: str, place: int) -> str:
    """What stands around a place of a text, on one line."""
    start = max(0, place - BEFORE)
    part = " ".join(text[start : start + EXCERPT - 2].split())
    return ("…" if start else "") + part + ("…" if start + EXCERPT - 2 < len(text) else "")


def _place(text: str, words: Sequence[str]) -> int | None:
    """Where the first of the words stands in a text, if all do."""
    folded = text.casefold()
    if not all(word in folded for word in words):
        return None
    place = folded.index(words[0])  # folding may lengthen what comes before
    return place if text.isascii() else bisect_left(range(place + 1), place, key=lambda end: len(text[:end].casefold()))


def _moment(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat()
