"""One call of a script, held to its contract.

The contracts are in `saying.py`, `writing.py`, `holding.py` and `reading.py`, one function a script, with the name of
its file: what it may answer, given what we believe of its session, and what we believe from then on. Each takes the
arguments apart as the script's header names them. For each call there is one right answer, and one right thing to
publish.
"""

from dataclasses import dataclass
from typing import Any, Final

from app.core.model import Cursor, Session
from app.state.keys import SessionKeys
from tests.proof.believed import Believed
from tests.proof.laws import ORDER, law
from tests.proof.line import Heard
from tests.proof.running import Running

ANSWER: Final = "a script answers what its contract says"
QUIET: Final = "what is refused, or done already, is told to nobody"
HANDS: Final = "who is handed a run is handed all of it, under a right that is newer than any before"


@dataclass(slots=True)
class Call:
    """What a script was asked for one session, what it answered, and what it published."""

    script: str
    args: tuple[Any, ...]
    answer: list[Any]
    heard: list[Heard]
    session: Session
    clock: int  # ms

    def agrees(self, *expected: Any) -> None:
        """Hold the script to its answer."""
        law(ANSWER, plain(expected) == self.answer, self.script, self.answer, "and not", expected)

    def refuses(self, *expected: Any) -> None:
        """Hold the script to its answer, and to having told nobody anything."""
        law(QUIET, self.heard == [], self.script, self.args, self.answer, self.heard)
        self.agrees(*expected)

    def hints(self, *expected: tuple[str, str]) -> None:
        """Hold the script to what it told nodes."""
        told = [(heard.channel, heard.data.decode()) for heard in self.heard if heard.channel != self.live]
        law(ANSWER, told == list(expected), self.script, "told", told, "and not", expected)

    @property
    def live(self) -> str:
        """The session's channel."""
        return SessionKeys(self.session).live

    @property
    def published(self) -> bytes:
        """The one message for the session's readers."""
        return self.publishes(1)[0]

    def publishes(self, count: int) -> list[bytes]:
        """So many messages for the session's readers."""
        told = [heard.data for heard in self.heard if heard.channel == self.live]
        law(ORDER, len(told) == count, self.script, self.answer, "published", told)
        return told


def plain(value: Any) -> Any:
    """A value as Redis gives it: texts and cursors as bytes; a list is so already."""
    match value:
        case Cursor() | str():
            return str(value).encode()
        case tuple():
            return [plain(part) for part in value]
    return value


def hinted(now: Running | None) -> list[tuple[str, str]]:
    """What the node of a run that is to stop is told, if it has one."""
    return [(f"node:{now.incarnation}", f"stop {now.run}")] if now is not None and now.incarnation else []


def handed(told: Believed, call: Call, index: int, now: Running | None, window: int) -> Any:
    """Hold a part of an answer, which hands out the run `now` or none, to what we believe; return it."""
    if now is None:
        return None
    part = call.answer[index] if index < len(call.answer) else None
    law(HANDS, part is not None, "nothing is handed, and not", now)
    assert part is not None
    run, fence, request, left_ms, turns, attempt, model = part
    law(HANDS, (run, int(fence), int(attempt)) == (now.run.encode(), now.fence, now.attempt), part, "and not", now)
    law(HANDS, model == now.model.encode(), model, "and not", now)
    law(HANDS, (request, turns) == (now.question.request, told.turns[-window:]), part, "and not", told.turns[-window:])
    law(HANDS, int(left_ms) == now.deadline - call.clock, left_ms, "ms left, and not", now.deadline - call.clock)
    return part
