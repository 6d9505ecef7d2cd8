"""What the server says, as frames: the shapes of `docs/protocol.md` from this process's values."""

from typing import Any

import msgspec

from app.core import protocol
from app.core.model import Session, Turn, User
from app.core.protocol import Frame
from app.live.follow import Restart
from app.node import Node
from app.state.outcomes import Listed, Snapshot


def welcome(node: Node, user: User) -> Frame:
    """Greet a client, and announce what holds here."""
    return {
        "type": "welcome",
        "version": protocol.VERSION,
        "node": node.settings.node,
        "nodes": list(node.settings.nodes),
        "heartbeat_ms": protocol.HEARTBEAT_MS,
        "limits": {
            "message_bytes": protocol.MESSAGE_BYTES,
            "text_bytes": protocol.TEXT_BYTES,
            "context_bytes": protocol.CONTEXT_BYTES,
            "sessions": protocol.SESSIONS,
            "queued": protocol.QUEUED,
        },
        "history_days": node.settings.history_days,
        "features": [
            "again",
            "hold",
            *(["trial"] if node.trial else []),
            *(["sign_in"] if node.settings.auth == "jwt" else []),
        ],
        "user": user.key,
        "models": list(node.model.names),
    }


def snapshot(session: str, state: Snapshot) -> Frame:
    """Show a session as it stands."""
    frame: Frame = {
        "type": "snapshot",
        "session": session,
        "at": str(state.at),
        "title": state.title,
        "turns": [turn(one) for one in state.turns],
        "more": state.more,
        "queued": list(state.queued),
    }
    if state.run is not None:
        frame["run"] = state.run
    if state.settings:
        frame["settings"] = state.settings
    return frame


def restarted(session: Session, restart: Restart) -> list[Frame]:
    """Begin a session again: why (unless it is new to this client), and the snapshot."""
    why = [{"type": "reset", "session": session.id, "why": restart.reset.why}] if restart.reset.why else []
    return [*why, snapshot(session.id, restart.snapshot)]


def turn(one: Turn) -> dict[str, Any]:
    """Show a turn."""
    shown: dict[str, Any] = msgspec.to_builtins(one)
    return shown


def listed(one: Listed) -> Frame:
    """Show a line of the list of sessions."""
    return {"id": one.id, "title": one.title, "state": one.state, "at": str(one.at)}
