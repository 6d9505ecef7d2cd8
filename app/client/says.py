"""What was said and is not answered yet: kept until its run ends, and said again where it may have been lost.

A repeat has the same message id, so it makes no second run; its reply is known by its ref.
"""

from collections.abc import Iterable
from typing import Final

from app.client.link import error_of
from app.client.session import Said, Session
from app.core.protocol import Frame

REPEAT: Final = "say-"  # begins the ref of a repeated `say`


class Says:
    """The says of one chat, by message id."""

    def __init__(self) -> None:
        self._frames: dict[str, Frame] = {}
        self._said: dict[str, Said] = {}

    def keep(self, say: Frame) -> None:
        """Keep a `say` from before it is sent."""
        self._frames[say["id"]] = say

    def accepted(self, id: str, said: Said) -> None:
        """Note a `say` that was accepted; drop it if its run is over already."""
        if said.run in said.session.ends:
            self.drop(id)
        else:
            self._said[id] = said

    def drop(self, id: str) -> None:
        """Forget a `say` that needs no repeat."""
        self._frames.pop(id, None)
        self._said.pop(id, None)

    def ended(self, run: str) -> None:
        """Forget the `say` whose run has ended."""
        for id in [id for id, said in self._said.items() if said.run == run]:
            self.drop(id)

    def gone(self, session: str) -> None:
        """Forget what was said in a session that was deleted."""
        for say in self.of(session):
            self.drop(say["id"])

    def of(self, session: str) -> list[Frame]:
        """What was said in a session."""
        return [say for say in self._frames.values() if say["session"] == session]

    def repeats(self) -> list[Frame]:
        """All of it, to be said again."""
        return [_repeat(say) for say in self._frames.values()]

    def lacking(self, session: Session) -> list[Frame]:
        """What a session's snapshot lacks, to be said again."""
        known = {turn["id"] for turn in (*session.transcript.turns, *session.transcript.queued)}
        return [_repeat(say) for say in self.of(session.id) if say["id"] not in known]

    async def replied(self, reply: Frame) -> None:
        """Take the reply to a repeat: the run is a new one where Redis had lost the first."""
        said = self._said.get(reply["ref"].removeprefix(REPEAT))
        if said is not None and said.run != reply["run"]:
            said.run, said.at = reply["run"], reply["at"]
            await said.session.ring()

    async def refused(self, error: Frame) -> None:
        """Take the refusal of a repeat: whoever waits for the answer is told."""
        id = error["ref"].removeprefix(REPEAT)
        said = self._said.get(id)
        self.drop(id)
        if said is not None:
            said.refused = error_of(error)
            await said.session.ring()

    def again(self, refs: Iterable[str]) -> list[Frame]:
        """The repeats with these refs, as far as they are still wanted."""
        return [_repeat(self._frames[id]) for ref in refs if (id := ref.removeprefix(REPEAT)) in self._frames]


def repeats(frame: Frame) -> bool:
    """Whether a frame answers a repeat."""
    return str(frame.get("ref", "")).startswith(REPEAT)


def _repeat(say: Frame) -> Frame:
    return say | {"ref": REPEAT + str(say["id"])}
