"""What may happen where a model has things called and people are asked: rules of the machine.

Calls are begun, settle, get lost with their node; a run is held, decided on, paused and carried on, expires, is ended
by what is said. Each rule here brings about what few random steps would.
"""

from collections.abc import Sequence
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from app.core import entries
from app.core.model import Session
from tests.proof.line import Line
from tests.proof.node import MODELS
from tests.proof.running import Running
from tests.proof.scene import NODES, Scene, chosen
from tests.proof.wire import Fate
from tests.proof.world import SESSIONS

places = st.integers(0, NODES - 1)
sessions = st.sampled_from(SESSIONS)
picks = st.integers(0, 9)
decisions = st.sampled_from(("allow", "deny", "edit"))
calls = st.sampled_from(("look", "book", "pay", "pay", "look pay", "book pay", "pay pay"))
wants = st.sampled_from(("pause", "look", "book", "pay", "look pay", "pay pay", "pay pay"))
models = st.sampled_from(MODELS)
intrusions = st.sampled_from(
    ("queue", "interrupt", "stop", "again", "again behind", "edit", "pause", "resume", "first", "last")
)
fates: st.SearchStrategy[tuple[Fate, ...]] = st.sampled_from(
    (
        (), (), (), (Fate.UNHEARD,), (Fate.UNSENT,), (Fate.ANSWERED, Fate.UNHEARD), (Fate.ANSWERED, Fate.UNSENT),
        (Fate.ANSWERED, Fate.ANSWERED, Fate.UNSENT), (Fate.UNHEARD, Fate.UNHEARD),
    )
)  # fmt: skip

answered = precondition(lambda self: self.scene.answering)
held = precondition(lambda self: self.scene.held)


class Waits(RuleBasedStateMachine):
    """What becomes of calls, and of runs that wait."""

    line: ClassVar[Line]
    shas: ClassVar[dict[str, bytes]]

    def __init__(self) -> None:
        super().__init__()
        self.scene = Scene(self.line, self.shas)
        self.world = self.scene.world

    @rule(
        place=places, session=sessions, model=models, turns=st.sampled_from((0, 1, 2, 4, 4)), called=wants,
        behind=st.sampled_from(("", "", "say", "edit", "both")), early=st.sampled_from((0, 0, 1, 2)),
        steps=st.integers(0, 4), then=st.one_of(st.just(""), intrusions), fates=fates,
    )  # fmt: skip
    def wait(
        self, place: int, session: Session, model: str, turns: int, called: str, behind: str, early: int, steps: int,
        then: str, fates: Sequence[Fate],
    ) -> None:  # fmt: skip
        """After some turns a model has things called, or somebody wants a pause, until the run waits for a person.

        Meanwhile others speak, and wait `behind`; and on some calls somebody decides `early`. Then somebody breaks in.
        """
        self._talk(place, session, model, turns)
        node = self.scene.nodes[place]
        for pen in [pen for pen in node.pens.values() if pen.answers and pen.carry.writer.session == session]:
            if called == "pause":
                node.begin(node.only(node.holds.pause(session, pen.carry.writer.run)), ())
            self.scene.write(pen, "word" if called == "pause" else called, fates)
            if behind in ("edit", "both"):
                self.scene.ask_about(place, session, chosen(self.scene.turns(session), turns), "else", "queue")
            if behind in ("say", "both"):
                self.scene.say(place, session, "", model, "queue")
            now = self.world.told[session].run
            if now is not None:
                for call in now.stands.undecided[-early:] if early else ():
                    self._answers(place, session, now, call, "allow" if early == 1 else "deny", ())
            for _ in range(steps):
                if pen.carried:
                    self.scene.write(pen, "step", fates)
            now = self.world.told[session].run
            if then and now is not None and now.held is not None:
                self._breaks_in(place, session, now, then, fates)

    @answered
    @rule(pick=picks, called=calls, steps=st.integers(0, 3), then=st.sampled_from(("", "", "word")), fates=fates)
    def work(self, pick: int, called: str, steps: int, then: str, fates: Sequence[Fate]) -> None:
        """A model has things called; some settle, people are asked about others; and it speaks on with that."""
        pen = chosen(self.scene.answering, pick)
        for deed in (called, *["step"] * steps, then):
            if deed and pen.carried:
                self.scene.write(pen, deed, fates)

    @answered
    @rule(pick=picks, steps=st.integers(1, 3), fates=fates)
    def step(self, pick: int, steps: int, fates: Sequence[Fate]) -> None:
        """Calls settle, one after another; then the run waits, if there is anything to wait for."""
        pen = chosen(self.scene.answering, pick)
        for _ in range(steps):
            if pen.carried:
                self.scene.write(pen, "step", fates)

    @answered
    @rule(pick=picks, place=places, word=st.booleans(), back=st.booleans(), fates=fates)
    def hold(self, pick: int, place: int, word: bool, back: bool, fates: Sequence[Fate]) -> None:
        """Somebody wants a pause, and the run is held where it can be; or it is taken `back`, when that was heard."""
        pen, node = chosen(self.scene.answering, pick), self.scene.nodes[place]
        node.begin(node.only(node.holds.pause(pen.carry.writer.session, pen.carry.writer.run)), ())
        for deed in ("word" if word else "renew", "resume" if back else "", "step", "step"):
            if deed == "resume":
                node.begin(node.only(node.holds.resume(pen.carry.writer.session, pen.carry.writer.run)), ())
            elif deed and pen.carried:
                self.scene.write(pen, deed, fates)

    @precondition(lambda self: any(now.stands.asked for _, now in self.scene.under_way))
    @rule(place=places, pick=picks, call=picks, decision=decisions, fates=fates)
    def decide(self, place: int, pick: int, call: int, decision: str, fates: Sequence[Fate]) -> None:
        """Somebody decides on a call, maybe after others."""
        session, now = chosen([one for one in self.scene.under_way if one[1].stands.asked], pick)
        self._answers(place, session, now, chosen(list(now.stands.asked), call), decision, fates)

    @rule(place=places, session=sessions, pick=picks, decision=decisions, fates=fates)
    def decide_late(self, place: int, session: Session, pick: int, decision: str, fates: Sequence[Fate]) -> None:
        """Somebody decides on what nobody was asked, or in a run that is over, waits or never was."""
        node, run = self.scene.nodes[place], chosen(self.scene.runs(session), pick)
        answer = entries.Answer(run=run, call="nobody's", decision=decision, by="ada")
        node.begin(node.only(node.holds.answer(session, answer)), fates)

    @held
    @rule(place=places, pick=picks, decision=decisions, claims=st.booleans(), then=st.sampled_from(("", "step", "end")),
          fates=fates)  # fmt: skip
    def carry_on(self, place: int, pick: int, decision: str, claims: bool, then: str, fates: Sequence[Fate]) -> None:
        """All is decided, or the pause is over; a node has heard of it, and goes on."""
        session, now = chosen(self.scene.held, pick)
        for call in list(now.stands.undecided):
            self._answers(place, session, now, call, decision, ())
        node = self.scene.nodes[place]
        node.begin(node.only(node.holds.resume(session, now.run)), fates)
        if claims:
            self.scene.claim(node, session, now.run, fates)
        pen = node.pens.get(now.run) if claims else None
        if pen is not None and then and (pen.answers or then == "end"):
            self.scene.write(pen, then, fates)

    @held
    @rule(place=places, pick=picks, how=intrusions, aged=st.booleans(), fates=fates)
    def break_in(self, place: int, pick: int, how: str, aged: bool, fates: Sequence[Fate]) -> None:
        """Somebody says something else to a run that waits, or ends it."""
        session, now = chosen(self.scene.held, pick)
        if aged:
            self.world.age(session)
        self._breaks_in(place, session, now, how, fates)

    @rule(place=places, session=sessions, pick=picks, what=st.sampled_from(("pause", "resume")), fates=fates)
    def let(self, place: int, session: Session, pick: int, what: str, fates: Sequence[Fate]) -> None:
        """Somebody wants any run to pause, or to go on."""
        node, run = self.scene.nodes[place], chosen(self.scene.runs(session), pick)
        asked = node.holds.pause(session, run) if what == "pause" else node.holds.resume(session, run)
        node.begin(node.only(asked), fates)

    def _breaks_in(self, place: int, session: Session, now: Running, how: str, fates: Sequence[Fate]) -> None:
        node = self.scene.nodes[place]
        turns = [line.split(b" ", 2)[1].decode() for line in self.world.told[session].turns]
        undecided = now.stands.undecided
        match how:
            case "stop":
                node.begin(node.only(node.sessions.stop(session, now.run)), fates)
            case "pause" | "resume":
                asked = node.holds.pause if how == "pause" else node.holds.resume
                node.begin(node.only(asked(session, now.run)), fates)
            case "first" | "last":
                for call in undecided[:1] if how == "first" else undecided[-1:]:
                    self._answers(place, session, now, call, "allow", fates)
            case "again" | "again behind":
                self.scene.ask_about(place, session, turns[0], None, "interrupt" if how == "again" else "queue", fates)
            case "edit":
                self.scene.ask_about(place, session, turns[-1], "else", "interrupt", fates)
            case _:
                self.scene.say(place, session, "", "restarts", how, fates)

    def _talk(self, place: int, session: Session, model: str, turns: int) -> None:
        """Say something, and have all but the last answered."""
        for _ in range(turns):
            self.scene.say(place, session, "", model, "queue")
            for pen in list(self.scene.nodes[place].pens.values()):
                self.scene.write(pen, "end")
        self.scene.say(place, session, "", model, "queue")

    def _answers(
        self, place: int, session: Session, now: Running, call: str, decision: str, fates: Sequence[Fate]
    ) -> None:
        node, arguments = self.scene.nodes[place], {"thing": "else"} if decision == "edit" else None
        answer = entries.Answer(run=now.run, call=call, decision=decision, by=f"ada-{place}", arguments=arguments)
        node.begin(node.only(node.holds.answer(session, answer)), fates)
