"""All that somebody has, to take along: as JSON for programs, as Markdown for people.

It leaves one session after the other, so that a node holds one at a time. What changes meanwhile may be in it or not.
"""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from app.core.model import Session, User
from app.node import Node
from app.state.storage import ConversationTurn

FORMATS: Final = {"json": ("application/json", ".json"), "markdown": ("text/markdown; charset=utf-8", ".md")}
PAGE: Final = 100
RATED: Final = {"up": "👍", "down": "👎"}
NAMES: Final = {"user": "You", "assistant": "Assistant"}


async def exported(
    node: Node, user: User, only: list[str] | None, format: str, still: Callable[[], object]
) -> AsyncIterator[bytes]:
    """Give some sessions of a user's, or all, and what is known of them, piece by piece.

    Before each session `still` is asked, and raises if they are nobody's any more who may have it.
    """
    ids = _ids(node, user) if only is None else _given(only)
    if format == "markdown":
        async for id in ids:
            still()
            yield _markdown(await _session(node, Session(user, id)))
        return
    context = await node.state.contexts.of_user(user) if only is None else None
    head: dict[str, Any] = {"user": user.key, "exported_at": datetime.now(UTC).isoformat()}
    if context is not None:
        head |= {"context": context.values, "tokens": await node.state.rates.used(user)}
    yield msgspec.json.encode(head)[:-1] + b',"sessions":['
    before = b""
    async for id in ids:
        still()
        yield before + msgspec.json.encode(await _session(node, Session(user, id)))
        before = b","
    yield b"]}\n"


async def _given(ids: list[str]) -> AsyncIterator[str]:
    for id in ids:
        yield id


async def _ids(node: Node, user: User) -> AsyncIterator[str]:
    """The sessions of a list, latest first."""
    before, more = None, True
    while more:
        found, more = await node.state.users.sessions(user, query=None, before=before, limit=PAGE)
        for one in found:
            yield one.id
        before = found[-1].id if found else None
        more = more and bool(found)


async def _session(node: Node, session: Session) -> dict[str, Any]:
    """All of one session."""
    history = await node.state.storage.get_conversation_history(session)
    metadata = await node.state.storage.get_session_metadata(session)
    replaced = [(by, ConversationTurn.of(turn).to_dict()) for by, turn in await node.state.sessions.replaced(session)]
    listed = await node.state.users.listed(session)
    return {
        "id": session.id, "title": listed.title, "metadata": metadata, "turns": [turn.to_dict() for turn in history],
        "replaced": [turn | {"metadata": turn["metadata"] | {"by": by}} for by, turn in replaced],
    }  # fmt: skip


def _markdown(session: dict[str, Any]) -> bytes:
    """One session as a document."""
    parts = [f"# {session['title'] or session['id']}\n", *map(_said, session["turns"])]
    if session["replaced"]:
        parts += ["## What was said before it was changed\n", *map(_said, session["replaced"])]
    return "\n".join(parts).encode() + b"\n"


def _said(given: dict[str, Any]) -> str:
    """One turn, and what was thought of it."""
    turn = ConversationTurn.from_dict(given)
    about, rating = turn.metadata.get("model"), turn.metadata.get("rating") or {}
    model = f", {about}" if about else ""
    rated = f"\n{RATED[rating['value']]} {rating.get('note', '')}".rstrip() + "\n" if rating else ""
    return f"**{NAMES[turn.role]}** ({turn.timestamp:%Y-%m-%d %H:%M} UTC{model})\n\n{turn.content}\n{rated}"
