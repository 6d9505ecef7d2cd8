"""What may happen, in any order: the rules by which the scripts are tried.

Each rule is one thing that somebody does or that befalls the whole, or a few that often come together; a call in it may
get lost, or its answer, and is then made again later. What must be true is not said here: each call is held to its
contract, each publish to the laws of the log, each reader to the log, and after each call all of Redis to what was
told. In the end whatever was accepted must end, by one honest node.
"""

from collections.abc import Sequence
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from app.core.model import START, Cursor, Session, Turn
from app.state.bounds import GONE_SECONDS
from tests.proof.laws import law
from tests.proof.node import MODELS
from tests.proof.scene import A_THIRD, chosen
from tests.proof.waits import Waits, answered, fates, picks, places, sessions
from tests.proof.wire import Fate

ENDS: Final = "whatever was accepted ends"
ROUNDS: Final = 250
LEASE_MS: Final = 6_000

texts = st.sampled_from(("", A_THIRD))
busies: st.SearchStrategy[Any] = st.sampled_from(("queue", "interrupt", "reject"))
deeds = st.sampled_from(
    ("word", "word", "words", "page", "thought", "renew", "restart", "continue", "other", "look", "book", "pay", "end")
)
afters = st.one_of(st.just("renew"), deeds)
losses = st.sampled_from(("word", "word", "look", "pay"))

carried = precondition(lambda self: self.scene.pens)


class Machine(Waits):
    """All that may happen."""

    # What people do.

    @rule(place=places, session=sessions, text=texts, model=st.sampled_from(MODELS), busy=busies, fates=fates)
    def say(self, place: int, session: Session, text: str, model: str, busy: Any, fates: Sequence[Fate]) -> None:
        """Somebody says something new."""
        self.scene.say(place, session, text, model, busy, fates)

    @rule(place=places, session=sessions, texts=st.lists(texts, min_size=2, max_size=5), busy=busies)
    def crowd(self, place: int, session: Session, texts: list[str], busy: Any) -> None:
        """Many speak at once."""
        for index, text in enumerate(texts):
            self.scene.say(place, session, text, chosen(MODELS, place + index), busy)

    @rule(place=places, session=sessions, turns=st.integers(1, 5))
    def talk(self, place: int, session: Session, turns: int) -> None:
        """All goes well for a while."""
        for _ in range(turns):
            self.scene.say(place, session, "", MODELS[0], "queue")
            for pen in list(self.scene.nodes[place].pens.values()):
                self.scene.write(pen, "end")

    @precondition(lambda self: self.scene.said)
    @rule(place=places, pick=picks, more=st.sampled_from(("", "", "!")), fates=fates)
    def say_again(self, place: int, pick: int, more: str, fates: Sequence[Fate]) -> None:
        """Somebody sends what was said once more, to any node; or something else under its id."""
        self.scene.say_again(self.scene.nodes[place], chosen(self.scene.said[::-1], pick), more, fates)

    @rule(place=places, session=sessions, pick=picks, fates=fates)
    def stop(self, place: int, session: Session, pick: int, fates: Sequence[Fate]) -> None:
        """Somebody wants a run to end."""
        node = self.scene.nodes[place]
        node.begin(node.only(node.sessions.stop(session, chosen(self.scene.runs(session), pick))), fates)

    @rule(place=places, session=sessions, title=st.sampled_from(("one", "two", None)), fates=fates)
    def rename(self, place: int, session: Session, title: str | None, fates: Sequence[Fate]) -> None:
        """Somebody gives a session a title, or deletes it."""
        node = self.scene.nodes[place]
        asked = node.sessions.rename(session, title) if title is not None else node.sessions.delete(session)
        node.begin(node.only(asked), fates)

    @rule(place=places, session=sessions, pick=picks, fates=fates)
    def entitle(self, place: int, session: Session, pick: int, fates: Sequence[Fate]) -> None:
        """The model has made a title, for whichever run."""
        node, titled = self.scene.nodes[place], self.world.told[session].titled.partition(" ")[2]
        run = chosen([titled or "nobody's", titled or "nobody's", *self.scene.runs(session)], pick)
        node.begin(node.only(node.sessions.entitle(session, run, f"Of {run}")), fates)

    @rule(
        place=places, session=sessions, fates=fates,
        settings=st.sampled_from(
            (
                {"prompt": "one"}, {"prompt": ""}, {"model": MODELS[-1]}, {"model": ""},
                {"prompt": "two", "model": MODELS[1]},
            )
        ),
    )  # fmt: skip
    def arrange(self, place: int, session: Session, settings: dict[str, Any], fates: Sequence[Fate]) -> None:
        """Somebody changes how a session is answered."""
        node = self.scene.nodes[place]
        node.begin(node.only(node.sessions.set(session, settings)), fates)

    @rule(place=places, session=sessions, pick=picks, text=st.one_of(st.none(), texts), busy=busies,
          times=st.integers(1, 3), fates=fates)  # fmt: skip
    def ask_about(
        self, place: int, session: Session, pick: int, text: str | None, busy: Any, times: int, fates: Sequence[Fate]
    ) -> None:
        """Somebody wants a turn answered again, or says it otherwise; and once more, and gets all of it at once."""
        for _ in range(times):
            self.scene.ask_about(place, session, chosen(self.scene.turns(session), pick), text, busy, fates)
            for pen in list(self.scene.nodes[place].pens.values()) if times > 1 else ():
                self.scene.write(pen, "end")

    @rule(
        place=places, session=sessions, pick=picks, value=st.sampled_from(("up", "down", None)),
        note=st.sampled_from(("", "why")), fates=fates,
    )  # fmt: skip
    def rate(self, place: int, session: Session, pick: int, value: Any, note: str, fates: Sequence[Fate]) -> None:
        """Somebody rates an answer, or takes that back."""
        node, turn = self.scene.nodes[place], chosen(self.scene.turns(session), pick)
        node.begin(node.only(node.sessions.rate(session, turn, value, note)), fates)

    @rule(
        place=places, session=sessions, role=st.sampled_from(("user", "assistant")), pick=st.integers(0, 5), fates=fates
    )
    def put(self, place: int, session: Session, role: str, pick: int, fates: Sequence[Fate]) -> None:
        """Somebody brings a turn from elsewhere, maybe once more."""
        node, id = self.scene.nodes[place], f"brought-{role}-{pick}"
        node.begin(node.only(node.sessions.put(session, Turn(id=id, role=role, text=f"{id}.", run=id))), fates)

    # What those do who carry a run, or want one.

    @answered
    @rule(pick=picks)
    def answer(self, pick: int) -> None:
        """The model says a word."""
        self.scene.write(chosen(self.scene.answering, pick), "word")

    @answered
    @rule(pick=picks, deeds=st.lists(deeds, min_size=1, max_size=6), fates=fates)
    def write(self, pick: int, deeds: list[str], fates: Sequence[Fate]) -> None:
        """The model speaks, breaks off and is asked once more, is silent, or has said all."""
        pen = chosen(self.scene.answering, pick)
        for deed in deeds:
            if pen.carried:
                self.scene.write(pen, deed, fates)

    @carried
    @rule(pick=picks, deed=st.sampled_from(("end", "release")), fates=fates)
    def leave(self, pick: int, deed: str, fates: Sequence[Fate]) -> None:
        """The answer is to be no more than it is; or its node drains."""
        self.scene.write(chosen(self.scene.pens, pick), deed, fates)

    @carried
    @rule(pick=picks, by_say=st.booleans(), fates=fates)
    def ask_again(self, pick: int, by_say: bool, fates: Sequence[Fate]) -> None:
        """A node asks for what it carries already: by a say that is sent again, or by a late bell."""
        pen = chosen(self.scene.pens, pick)
        writer, turn = pen.carry.writer, pen.carry.request.turn
        said = [said for said in self.scene.said if (said[0], said[1].id) == (writer.session, turn)]
        if by_say and said:
            self.scene.say_again(pen.node, said[0], "", fates)
        else:
            self.scene.claim(pen.node, writer.session, writer.run, fates)

    @rule(place=places, session=sessions, pick=picks, fates=fates)
    def claim(self, place: int, session: Session, pick: int, fates: Sequence[Fate]) -> None:
        """A node wants a run that it heard of."""
        self.scene.claim(self.scene.nodes[place], session, chosen(self.scene.runs(session), pick), fates)

    @precondition(lambda self: self.scene.under_way)
    @rule(place=places, pick=picks, times=st.integers(1, 2), writes=st.booleans(), asks=st.booleans(), fates=fates)
    def take_over(self, place: int, pick: int, times: int, writes: bool, asks: bool, fates: Sequence[Fate]) -> None:
        """A lease runs out, and a node finds it, and goes on; maybe once more. Or somebody asks it the same again."""
        session, now = chosen(self.scene.under_way, pick)
        for index in range(times):
            node = chosen(self.scene.nodes, place + index)
            self.world.pass_time(max(0, now.lease - self.world.clock))
            self.scene.claim(node, session, now.run, fates)
            for said in self.scene.said if asks else ():
                if (said[0], said[1].id) == (session, now.question.id):
                    self.scene.say_again(node, said, "", ())
            if writes and now.run in node.pens and node.pens[now.run].answers:
                self.scene.write(node.pens[now.run], "word")

    # What goes wrong.

    @precondition(lambda self: self.scene.lost)
    @rule(pick=picks, fates=fates)
    def go_on(self, pick: int, fates: Sequence[Fate]) -> None:
        """What was lost is asked again."""
        chosen(self.scene.lost, pick)(fates)

    @precondition(lambda self: self.world.calls)
    @rule(
        pick=st.integers(0, 5),
        script=st.sampled_from(
            ("any", "say", "append", "restore", "end", "claim", "meta", "set", "put", "work", "hold", "answer")
        ),
    )
    def late(self, pick: int, script: str) -> None:
        """A call that everybody had given up arrives after all; nobody hears its answer."""
        calls = list(self.world.calls)[::-1]
        self.world.call(*chosen([call for call in calls if call[0] == script] or calls, pick))

    @rule(ms=st.sampled_from((1, 5_999, 6_000, 60_000, 60_001, GONE_SECONDS * 1000, -1, -7_000)))
    def time_passes(self, ms: int) -> None:
        """Time passes, or Redis's clock steps back."""
        self.world.pass_time(ms)

    @rule(place=places, session=sessions, what=st.sampled_from(("dies", "dies", "ages", "expires")))
    def befall(self, place: int, session: Session, what: str) -> None:
        """A node dies, and comes back as another; or half of a session's lifetime passes, or all of it."""
        match what:
            case "dies":
                self.scene.die(place)
            case "ages":
                self.world.age(session)
            case _:
                self.world.expire(session)

    @rule(new=st.booleans(), takes_ms=st.sampled_from((0, 3_000, 9_000)))
    def fail_over(self, new: bool, takes_ms: int) -> None:
        """A replica catches up; or Redis dies, and the replica takes its place after a while."""
        if new or self.world.moment is None:
            self.world.remember()
        else:
            self.world.fail_over()
            self.world.pass_time(takes_ms)

    @answered
    @rule(pick=picks, place=places, deed=losses, said=st.booleans(), then=afters, late=st.booleans(), fates=fates)
    def lose(self, pick: int, place: int, deed: str, said: bool, then: str, late: bool, fates: Sequence[Fate]) -> None:
        """Redis dies with what its replica had not got: two appends, and what was said between. The writer goes on.

        If that takes it too long (`late`), another takes over before it has put back what was lost.
        """
        pen = chosen(self.scene.answering, pick)
        self.world.remember()
        for _ in range(2):
            if pen.carried and pen.waits is None:
                self.scene.write(pen, deed)
            if said:
                self.scene.say(place, pen.carry.writer.session, "", MODELS[0], "queue")
        self.world.fail_over()
        if pen.carried:
            self.scene.write(pen, then, (Fate.ANSWERED, Fate.UNSENT) if late else fates)
        if late:
            self.world.pass_time(LEASE_MS)
            self.scene.claim(self.scene.nodes[place], pen.carry.writer.session, pen.carry.writer.run)
        if late and pen.carried:
            self.scene.write(pen, then, fates)

    # What readers do.

    @rule(pick=picks, hears=st.booleans())
    def read(self, pick: int, hears: bool) -> None:
        """A reader catches up; its node hears what is published from then on, or does not."""
        reader = chosen(self.scene.readers, pick)
        reader.hears = hears
        reader.do(reader.read())

    @rule(session=sessions, pick=st.integers(0, 20), ms=st.sampled_from((0, 0, -1, 1)), seq=st.sampled_from((0, 0, 1)))
    def read_from(self, session: Session, pick: int, ms: int, seq: int) -> None:
        """Somebody reads from a cursor of long ago, of elsewhere, or of nowhere."""
        cursors = [START, self.world.told[session].trim, *reversed(self.world.cursors)]
        reader, at = self.scene.readers[0], chosen(cursors, pick)
        reader.do(reader.ask(session, Cursor(max(0, at.ms + ms), at.seq + seq)))

    @answered
    @rule(pick=picks, said=st.lists(st.sampled_from(("words", "page")), min_size=1, max_size=2))
    def lag(self, pick: int, said: list[str]) -> None:
        """A model says much, and somebody reads all of the log."""
        pen = chosen(self.scene.answering, pick)
        session, reader = pen.carry.writer.session, self.scene.readers[0]
        for deed in said:
            if pen.carried:
                self.scene.write(pen, deed)
        reader.do(reader.ask(session, self.world.told[session].trim))

    @rule(session=sessions, pick=picks, limit=st.integers(1, 4), others=st.booleans())
    def look_back(self, session: Session, pick: int, limit: int, others: bool) -> None:
        """Somebody reads older turns, or what was replaced."""
        ids, reader = self.scene.turns(session), self.scene.readers[0]
        by = [by for by, _ in self.world.told[session].replaced]
        for of in dict.fromkeys([*by, *ids]) if others else [None]:
            reader.do(reader.look_back(session, chosen([None, None, *ids], pick), limit, of))

    def teardown(self) -> None:
        """Whatever was accepted ends; unless a law is broken already."""
        if not self.world.broken:
            self.scene.finish(ROUNDS)
            law(ENDS, all(told.run is None and not told.waiting for told in self.world.told.values()), self.world.told)
