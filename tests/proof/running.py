"""Runs as we believe they are: what was asked, who writes what of it, and whether it waits for a person."""

from dataclasses import dataclass, field
from typing import Any

from app.core.model import START, Cursor
from tests.proof.standing import Standing


@dataclass(slots=True)
class Waiting:
    """What was asked, and what its run needs. `at` is the id of its turn's entry, once it has one."""

    id: str
    run: str
    text: str
    model: str
    record: bytes
    request: bytes
    json_bytes: int
    at: Cursor = START
    kind: str = "say"
    turn: str = ""  # that `again` and `edit` are about
    entry: bytes = b""  # of its turn

    @property
    def about(self) -> str:
        """The turn that its run answers."""
        return self.turn if self.kind == "again" else self.id


@dataclass(frozen=True, slots=True)
class Held:
    """For whom a run waits and until when, who let it, and how it is ended meanwhile."""

    why: str
    by: str  # incarnation
    until: int
    left: int  # ms of its time, which stands still
    end: bytes
    turn: bytes
    partial: bool


@dataclass(slots=True)
class Running:
    """The run under way. `stands` is what the log has of it; `count` and `last` are its writer's appends."""

    question: Waiting
    fence: int
    incarnation: str
    began: Cursor
    model: str
    stands: Standing = field(default_factory=Standing)
    attempt: int = 1
    count: int = 0
    last: tuple[Cursor, Cursor] = (START, START)
    place: str = ""  # where its upstream can be taken up
    how: str = ""  # what a claim found is to be done
    wanted: str = ""  # '1' for an end, or 'pause'
    given_up: bool = False
    held: Held | None = None
    open: str | None = None  # what its record knows of calls
    asks: dict[str, bytes] | None = None  # calls, and what was answered
    decided: dict[str, bytes] = field(default_factory=dict)  # what was answered about calls that have begun since
    used: bytes | None = None
    lease: int = 0  # until when
    deadline: int = 0
    replaced: list[str] = field(default_factory=list)  # whose place its answer takes

    @property
    def run(self) -> str:
        """Its id."""
        return self.question.run

    @property
    def between(self) -> bool:
        """Whether it is between two steps: nothing that was said is to be said anew."""
        return self.stands.open == "idempotent" or bool(self.stands.pending) or (
            self.held is not None and not self.held.partial
        )  # fmt: skip

    def offered(self, clock: int) -> None:
        """Believe that any node may claim it now, that this is no attempt, and that its time goes on."""
        if self.held is not None and not self.given_up:
            self.deadline = clock + self.held.left
        self.given_up, self.lease, self.incarnation = True, 0, ""

    def shown(self) -> dict[str, Any]:
        """Give it as a snapshot shows it."""
        names: dict[str, Any] = {"id": self.run, "turn": self.question.about}
        return names | self.stands.shown() | ({"replaced": self.replaced} if self.replaced else {})
