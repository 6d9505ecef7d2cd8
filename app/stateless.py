"""The programmatic door: the origin document's `StatelessAgent`, on the same road as every other message.

An agent has no state of its own: what it was told, and what it answered, is in the session's log, so any other agent,
node or reader goes on from there; and a message that comes again, under the same id, has the same recorded answer.
"""

import secrets
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, Final

from app.agent.tools.tool import StatelessTool
from app.core.commands import command_of
from app.core.entries import Batch, End, Gone, Hold, decode
from app.core.errors import BY_CODE, Internal, ModelTimeout, ModelUnavailable, NotFound
from app.core.model import Cursor, Session, Turn, User
from app.core.questions import Say
from app.live.follow import Restart
from app.live.tail import tail
from app.node import Node

ISSUER: Final = "guest:name"  # who vouches for a user that is a plain name: as `X-User-Id` names them


class LetGo(NotFound):
    """It was there."""

    status = 410


class Failed(ModelUnavailable):
    """A run failed: `run`, with what it had said until then as `text`."""

    def __init__(self, turn: Turn) -> None:
        late = turn.code == ModelTimeout.code
        super().__init__("the answer took too long" if late else "the answer failed", code=turn.code)
        self.run, self.text = turn.run, turn.text
        self.status = ModelTimeout.status if late else ModelUnavailable.status
        self.retry = "later" if late else BY_CODE.get(self.code, Internal).retry


class OnHold(Exception):
    """A run waits for a person; `run` is its id. Its answer can be asked for again."""

    def __init__(self, run: str) -> None:
        super().__init__(f"run {run} waits for a person")
        self.run = run


class StatelessAgent:
    """Answers messages at one node, as one of its models (None: the default, or the session's own)."""

    def __init__(self, model_name: str | None, node: Node) -> None:
        self.state_storage = node.state.storage
        self._model = model_name
        self._node = node
        self._tools: tuple[str, ...] = ()

    async def process_message(
        self,
        user_id: str | User,
        session_id: str,
        message: str,
        context: dict[str, Any] | None = None,
        *,
        message_id: str | None = None,
    ) -> dict[str, Any]:
        """Answer a message; return `response`, `session_id`, `metadata` (see `answer`) and `timestamp` (ISO 8601).

        With the `message_id` of an earlier call it waits for that run, or returns what that recorded.

        Raises:
            BadFrame, TooLong: it cannot be said.
            IdReused, QueueFull: it may not be.
            Failed: the run failed.
            LetGo: it was answered, and the history does not have it any more.
            OnHold: it waits for a person who is to allow a call, or has paused it.
            StateUnavailable
        """
        user = user_id if isinstance(user_id, User) else User.of(ISSUER, user_id)
        said = {"text": message, "session": session_id, "id": message_id or message_name()}
        more = {"context": context, "model": self._model}
        say = command_of({"type": "say"} | said | {name: value for name, value in more.items() if value})
        assert isinstance(say, Say)
        session = Session(user, session_id)
        run = (await self._node.say(session, say, self._tools)).run
        return answer(session, run, await answered(self._node, session, run))


class StatelessToolAgent(StatelessAgent):
    """One that may have tools of its own called, beside the node's. Another node goes on with them if it has them."""

    def __init__(self, model_name: str | None, node: Node, tools: Sequence[StatelessTool]) -> None:
        """Raises WrongTools where a tool is not right, or another one at this node has its name."""
        super().__init__(model_name, node)
        self.tools = {str(tool.get_tool_schema()["name"]): tool for tool in tools}
        self._tools = node.toolbox.further(tools)


def message_name() -> str:
    """A new message id."""
    return f"m-{secrets.token_hex(12)}"


async def answered(node: Node, session: Session, run: str) -> Turn | None:
    """Wait for a run's end, and return its turn as the history has it; None if the history has let it go.

    Raises:
        OnHold: it waits for a person.
    """
    state = await node.state.sessions.snapshot(session, turns=100)
    if state.run and state.run["id"] == run and state.run["state"] == "held":
        raise OnHold(run)
    waiting = {one["run"] for one in state.queued} | {state.run["id"] if state.run else ""}
    if run in waiting:
        async with tail(node.hub, session, state.at) as pulls, aclosing(pulls):
            async for pulled in pulls:
                if isinstance(pulled, Restart) or _rests(run, pulled):
                    return await answered(node, session, run)
    turn = next((turn for turn in reversed(state.turns) if turn.id == run), None)
    if turn is None and await node.state.sessions.stopped_in_queue(session, run):
        return Turn(run, "assistant", "", run, at=str(state.at), state="stopped")
    return turn


def answer(session: Session, run: str, turn: Turn | None) -> dict[str, Any]:
    """Give a run's turn as the origin document has it.

    `metadata`: `model`, `tokens_used`, `processing_time` (seconds), `tools_used`, `run`, and `state` if it was stopped.

    Raises:
        Failed, LetGo
    """
    if turn is None:
        raise LetGo("this message was answered or stopped, and the history does not have the answer")
    if turn.state == "failed":
        raise Failed(turn)
    metadata = {
        "model": turn.model,
        "tokens_used": turn.usage or {},
        "processing_time": (turn.timing or {}).get("total_ms", 0) / 1000,
        "tools_used": list(dict.fromkeys(call["name"] for call in turn.calls)),
        "run": run,
    } | ({"state": turn.state} if turn.state else {})
    at = datetime.fromtimestamp(Cursor.parse(turn.at).ms / 1000, UTC)
    return {"response": turn.text, "session_id": session.id, "metadata": metadata, "timestamp": at.isoformat()}


def _rests(run: str, batch: Batch) -> bool:
    """Say whether a batch ends or holds `run`, or ends its session."""
    return any(
        isinstance(entry, Gone) or (isinstance(entry, End | Hold) and entry.run == run)
        for entry in map(decode, batch.entries)
    )
