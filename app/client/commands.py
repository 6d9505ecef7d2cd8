"""The commands of a chat that ask one thing and have one reply: each may be asked again on the next connection."""

from typing import Any

from app.client.link import Link, LinkLost
from app.core.protocol import Frame


class Commands:
    """Every method raises ChatError where the server refuses."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def rate(self, session: str, turn: str, value: str | None, note: str = "") -> None:
        """Say what one thinks of an answer: `up`, `down`, or nothing any more."""
        await self.certainly({"type": "rate", "session": session, "turn": turn, "value": value, "note": note})

    async def stop(self, session: str, run: str) -> None:
        """End a run."""
        await self.certainly({"type": "stop", "session": session, "run": run})

    async def answer(
        self, session: str, run: str, call: str, decision: str, *, arguments: dict[str, Any] | None = None,
        reason: str = "",
    ) -> Frame:  # fmt: skip
        """Settle a call that waits for a person: `allow`, `deny`, or `edit` with other arguments.

        The first decision stands: returns `{decision, by}`.
        """
        settled = {"session": session, "run": run, "call": call, "decision": decision, "arguments": arguments}
        return await self.certainly({"type": "answer"} | settled | ({"reason": reason} if reason else {}))

    async def pause(self, session: str, run: str) -> None:
        """Hold a run, at the next safe point."""
        await self.certainly({"type": "pause", "session": session, "run": run})

    async def resume(self, session: str, run: str) -> None:
        """Carry on a run that was paused."""
        await self.certainly({"type": "resume", "session": session, "run": run})

    async def history(
        self, session: str, *, before: str | None = None, limit: int = 50, turn: str | None = None
    ) -> Frame:
        """Read turns before a turn, or of those whose place `turn` took; returns `{turns, more}`."""
        return await self.certainly(
            {"type": "history", "session": session, "limit": limit, "before": before, "turn": turn}
        )

    async def list_sessions(self, **fields: Any) -> Frame:
        """List one's sessions (`query`, `before`, `limit`); returns `{sessions, more}`."""
        return await self.certainly({"type": "sessions"} | fields)

    async def rename(self, session: str, title: str) -> None:
        """Give a session a title."""
        await self.certainly({"type": "rename", "session": session, "title": title})

    async def delete(self, session: str) -> None:
        """Remove a session, for good."""
        await self.certainly({"type": "delete", "session": session})

    async def renew(self, token: str) -> None:
        """Show a new token of the same user, before the old one is over; raises ChatError if it does not count."""
        await self._link.ask({"type": "hello", "token": token})

    async def ping(self) -> None:
        """Ask whether the server is there."""
        await self._link.ask({"type": "ping"})

    async def certainly(self, frame: Frame) -> Frame:
        """Ask until there is a reply; every command here may be repeated."""
        while True:
            try:
                return await self._link.ask(frame)
            except LinkLost:
                continue
