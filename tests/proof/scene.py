"""Who is there: nodes, readers, what was said; and what is asked of them. The rules of the machine play with these."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Final, TypeVar
from unittest.mock import patch

import msgspec

from app.core.model import Session
from app.core.questions import Again, Edit, Question, Say
from app.state.stored import member_of
from tests.proof.line import Line
from tests.proof.node import MODELS, Node
from tests.proof.pen import FALLBACK, Pen
from tests.proof.reader import Reader
from tests.proof.running import Running
from tests.proof.wire import Fate
from tests.proof.world import SESSIONS, World

NODES: Final = 3
A_THIRD: Final = "a text that fills a third of what may wait here"
PAGE: Final = 1300  # bytes: more than a batch, or the turns of a snapshot
BOUNDS: Final[Mapping[str, int]] = {
    "sessions.QUEUED": 4, "sessions.QUEUE_BYTES": 150, "sessions.MESSAGE_IDS": 7, "sessions.ENTRIES": 18,
    "sessions.BATCH_BYTES": 1200, "sessions.SNAPSHOT_BYTES": 200, "sessions.LOG_ENTRIES": 14,
    "runs.LOG_ENTRIES": 14, "runs.ATTEMPTS": 3,
}  # fmt: skip

T = TypeVar("T")


@contextmanager
def small_bounds() -> Iterator[None]:
    """Have the scripts called with small bounds, so that each is met again and again."""
    with ExitStack() as stack:
        for name, bound in BOUNDS.items():
            stack.enter_context(patch(f"app.state.{name}", bound))
        yield


def chosen(some: Sequence[T], pick: int) -> T:
    """One of some."""
    return some[pick % len(some)]


class Scene:
    """Three nodes, two sessions, four readers."""

    def __init__(self, line: Line, shas: Mapping[str, bytes]) -> None:
        self.world = World(line, shas)
        self.said: list[tuple[Session, Question, str]] = []  # with the model that is to answer
        self._born = self._pieces = 0
        self.nodes = [self.born() for _ in range(NODES)]
        self.readers = [Reader(self.world, session, self.born().sessions) for session in SESSIONS * 2]

    def born(self) -> Node:
        """A new node."""
        self._born += 1
        return Node(self.world, self._born)

    def die(self, place: int) -> None:
        """Have a node die, and come back as another."""
        self.nodes[place].die()
        self.nodes[place] = self.born()

    @property
    def pens(self) -> list[Pen]:
        """The runs that are carried, rightly or not."""
        return [pen for node in self.nodes for pen in node.pens.values()]

    @property
    def answering(self) -> list[Pen]:
        """Those of them that are not only to be ended."""
        return [pen for pen in self.pens if pen.answers]

    @property
    def lost(self) -> list[Callable[[Sequence[Fate]], None]]:
        """What got lost, and is to be asked again."""
        asked = [partial(node.go_on, asked) for node in self.nodes for asked in node.asking]
        return [*asked, *(pen.go_on for pen in self.pens if pen.waits is not None)]

    @property
    def under_way(self) -> list[tuple[Session, Running]]:
        """The runs that have begun, and not ended."""
        return [(session, told.run) for session, told in self.world.told.items() if told.run is not None]

    @property
    def held(self) -> list[tuple[Session, Running]]:
        """Those of them that wait for a person."""
        return [(session, now) for session, now in self.under_way if now.held is not None]

    def runs(self, session: Session) -> list[str]:
        """Runs of a session: under way, waiting, over, one that never was."""
        told = self.world.told[session]
        now = [told.run.run] if told.run is not None else []
        over = [one.run for one in told.said.values() if one.run in told.over]
        return [*now, *(one.run for one in told.waiting), *over[-2:], "never", *sorted(told.orphans)]

    def say(self, place: int, session: Session, text: str, model: str, busy: Any, fates: Sequence[Fate] = ()) -> None:
        """Say something new through a node."""
        number, node = len(self.said), self.nodes[place]
        named = model if number % 2 else None
        say = Say(id=f"m{number}", text=f"{number % 10}{text}", session=session.id, model=named, when_busy=busy)
        self.said.append((session, say, model))
        node.begin(node.say(session, say, f"r{number}", model), fates)

    def ask_about(
        self, place: int, session: Session, turn: str, text: str | None, busy: Any, fates: Sequence[Fate] = ()
    ) -> None:
        """Have a turn answered again, or said otherwise, through a node."""
        number, node = len(self.said), self.nodes[place]
        fields: dict[str, Any] = {"id": f"m{number}", "session": session.id, "turn": turn, "when_busy": busy}
        asked = Again(**fields) if text is None else Edit(text=f"{number % 10}{text}", **fields)
        self.said.append((session, asked, MODELS[number % 4]))
        node.begin(node.say(session, asked, f"r{number}", MODELS[number % 4]), fates)

    def turns(self, session: Session) -> list[str]:
        """Turns of a session: in the history, replaced, one that never was."""
        told = self.world.told[session]
        lines = [*told.turns[::-1], *(line for _, line in told.replaced[-2:])]
        return [*(line.split(b" ", 2)[1].decode() for line in lines), "nobody's"]

    def say_again(self, node: Node, said: tuple[Session, Question, str], more: str, fates: Sequence[Fate]) -> None:
        """Ask again what was asked, or something else under its id. Who sends again knows no run."""
        session, asked, model = said
        self._born += 1
        again = msgspec.structs.replace(asked, model=(asked.model or "") + more or None)
        node.begin(node.say(session, again, f"r-{self._born}", model), fates)

    def claim(self, node: Node, session: Session, run: str, fates: Sequence[Fate] = ()) -> None:
        """Have a node take a run over, if it can be had."""
        node.begin(node.claim(member_of(session, run)), fates)

    def write(self, pen: Pen, deed: str, fates: Sequence[Fate] = ()) -> None:
        """Have a run's writer do something, or go on with what it waits for. While calls are open it does not speak."""
        if pen.answer.open and deed not in ("end", "release", "renew"):
            deed = "step"
        match deed:
            case "word":
                pen.begin(lambda: pen.append(self.words()), fates)
            case "words":
                pen.begin(lambda: pen.append(self.words(20)), fates)
            case "page":
                pen.begin(lambda: pen.append(self.words(1, PAGE)), fates)
            case "thought":
                pen.begin(lambda: pen.append([], self.words()), fates)
            case "restart" | "continue" if pen.model != "fails":
                pen.begin(lambda: pen.again(deed), fates)
            case "other":
                pen.begin(lambda: pen.again("restart" if pen.answer.partial else "continue", FALLBACK), fates)
            case "look" | "book" | "pay" | "look pay" | "pay pay" | "book pay":
                self._pieces += 1
                texts, id = self.words() if self._pieces % 2 else [], f"c{self._pieces}-"
                pen.begin(lambda: pen.call(texts, deed.split(), id), fates)
            case "step":
                pen.begin(pen.step, fates)
            case "end":
                pen.begin(lambda: pen.end(self.words()), fates)
            case "release":
                pen.begin(pen.release, fates)
            case _:
                pen.begin(pen.renew, fates)

    def words(self, size: int = 1, length: int = 0) -> list[str]:
        """Pieces of text, each like no other."""
        self._pieces += size
        return [f"{self._pieces - index} ".ljust(length, ".") for index in range(size)]

    def finish(self, rounds: int) -> None:
        """Let all nodes die, and one honest node end what they leave."""
        for node in self.nodes:
            node.die()
        last = self.born()
        for _ in range(rounds):
            for session, now in self.under_way:
                self.world.pass_time(max(2_000, now.lease - self.world.clock))
                self.claim(last, session, now.run)
            for pen in list(last.pens.values()):
                self.write(pen, "end")
