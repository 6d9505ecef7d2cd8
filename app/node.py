"""The objects of one process, and their lives: start, serve, stop. No HTTP.

Two of these in one process on one Redis are a cluster of two.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from app.agent.beat import Beat
from app.agent.decisions import Decisions
from app.agent.llm import Model
from app.agent.prompts import Defaults, Prompts
from app.agent.request import RequestContextBuilder
from app.agent.rescue import Rescue
from app.agent.run import Means, Pace
from app.agent.runner import Over, Runner
from app.agent.titles import Exchange, Titles
from app.agent.tools.builtin import builtins
from app.agent.tools.tool import StatelessTool
from app.agent.tools.toolbox import Source, Toolbox
from app.aside import GIVE_UP_SECONDS, Aside
from app.config import Settings
from app.core.context import Context
from app.core.entries import Answer
from app.core.errors import BadFrame, StateUnavailable
from app.core.model import Cursor, Session, User
from app.core.protocol import HEARTBEAT_MS
from app.core.questions import Again, Question, kind_of_question
from app.live.hub import Hub
from app.state.bounds import Bounds
from app.state.keys import BELL
from app.state.outcomes import Said
from app.state.state import Ears, State

START_SECONDS: Final = 5.0

log = logging.getLogger(__name__)


class Node:
    """One node: what it holds is lost without harm at any moment."""

    def __init__(
        self, settings: Settings, model: Model, tasks: asyncio.TaskGroup, *, trial: bool = False,
        tools: Sequence[StatelessTool] = (), sources: Sequence[Source] = (),
    ) -> None:  # fmt: skip
        self.settings = settings
        self.model = model
        self.trial = trial  # the model is for trying out only, and people are told how to connect a real one
        self.incarnation = secrets.token_hex(8)
        self.differing = 0  # texts that readers reported to differ from the log: must stay 0
        self.draining = self._drained = False
        self._patience: asyncio.Timeout | None = None
        bounds = Bounds(
            lease_s=settings.lease_seconds, run_s=settings.run_seconds, session_s=settings.history_days * 86_400,
            turns=settings.history_turns, window=settings.window_turns,
        )  # fmt: skip
        self.state = state = State(
            settings.redis_url, incarnation=self.incarnation, name=settings.node, bounds=bounds,
            context_s=settings.context_days * 86_400, metadata_s=settings.metadata_hours * 3600,
            ears=Ears(self._heard, self._missed),
        )  # fmt: skip
        self.hub = Hub(state.sessions)
        self.hub.hear(state.bus)
        self.aside = Aside(tasks)
        self.asks = RequestContextBuilder(state.storage)
        self.toolbox = Toolbox([*builtins(settings.builtin_tools, state.users, state.sessions), *tools], sources)
        self._decisions = Decisions(state.holds, state.sessions, self.toolbox)
        defaults = Defaults(window=settings.window_turns, temperature=settings.model_temperature)
        self.prompts = Prompts(self.asks, model, self.toolbox, defaults)
        pace = Pace(
            lease_s=settings.lease_seconds, flush_s=settings.flush_ms / 1000, hold_s=settings.hold_days * 86_400,
            steps=settings.tool_steps,
        )  # fmt: skip
        means = Means(
            state.runs, model, self.prompts, self.toolbox, settings.node, pace, Beat(pace.flush_s),
            lambda: state.pulse.now,
        )  # fmt: skip
        self.runner = Runner(means, tasks, ended=self._ended)
        self._titles = Titles(model, state.sessions)
        self.rescue = Rescue(
            state.runs, self.runner, can={name: model.abilities(name).takeover for name in model.names},
            lease_s=settings.lease_seconds, paused=lambda: self.draining,
        )  # fmt: skip

    async def reach(self) -> None:
        """Return when Redis answers on both connections.

        Raises:
            StateUnavailable: it does not.
        """
        try:
            async with asyncio.timeout(START_SECONDS):
                await self.state.bus.subscribe(self.state.own)
                await self.state.bus.subscribe(BELL)
        except TimeoutError as error:
            raise StateUnavailable(f"no Redis answers at REDIS_URL within {START_SECONDS:.0f} s") from error
        await self.state.pulse.beat(whole=True)

    async def say(self, session: Session, asked: Question, tools: Sequence[str] = ()) -> Said:
        """Accept a question; its answer is produced here. It may have called these `tools`, beside those of the node.

        Raises:
            BadFrame: no such model.
            NotFound: no such turn.
            IdReused, Busy, QueueFull, StateUnavailable
        """
        model = asked.model or self.model.names[0]
        if model not in self.model.names:
            raise BadFrame(
                f"{kind_of_question(asked)}: model: {model!r}; expected one of {', '.join(self.model.names)}"
            )
        said = await self.state.sessions.say(
            session, asked, run="r-" + secrets.token_hex(12), model=model, models=self.model.names, tools=tools
        )
        self.runner.carry(said.carry)
        if not said.duplicate:
            self._tell(session, "here")
            if not isinstance(asked, Again):
                self.aside.do(self.state.contexts.spoke(session.user, said.run))
        return said

    async def stop(self, session: Session, run: str) -> Cursor:
        """Ask a run to end, and return the log's head; raises as `Sessions.stop` does."""
        at = await self.state.sessions.stop(session, run)
        self._tell(session, "changed")
        return at

    async def answer(self, session: Session, answer: Answer) -> Answer:
        """Settle a call that waits for a person, as `Decisions.settle` does; return the decision that stands."""
        stands = await self._decisions.settle(session, answer)
        self.aside.do(self.state.audit.record(stands.decision, session.user, session=session.id))
        return stands

    def model_of(self, settings: dict[str, Any]) -> str:
        """The model that a session asks where none is named: its own, if it has one that is here."""
        own = settings.get("model")
        return own if own in self.model.names else self.model.names[0]

    async def set(self, session: Session, settings: dict[str, Any]) -> Cursor:
        """Change a session's settings, and return the log's head.

        Raises:
            BadFrame: no such model.
        """
        if settings.get("model") not in (None, "", *self.model.names):
            raise BadFrame(f"set: model: {settings['model']!r}; expected one of {', '.join(self.model.names)}")
        return await self.state.sessions.set(session, settings)

    async def context(self, user: User, given: dict[str, Any] | None, version: int | None) -> Context:
        """Read what is known of a user, once `given` is changed in it.

        Raises:
            BadFrame, Conflict, TooLong
        """
        if not given:
            return await self.state.contexts.of_user(user)
        return await self.state.contexts.change_user(user, given, version)

    async def rename(self, session: Session, title: str) -> None:
        """Give a session a title, and tell its user's lists."""
        await self.state.sessions.rename(session, title)
        self._tell(session, "changed")

    async def delete(self, session: Session) -> None:
        """Remove a session for good, and take it out of its user's list."""
        if await self.state.sessions.delete(session):
            self.aside.do(self.state.audit.record("deleted", session.user, session=session.id))
        await self.state.users.changed(session, "gone")
        self.aside.do(self.state.rates.ended(session, self.state.pulse.now))

    async def erase(self, user: User) -> None:
        """Take away all that there is of a user, for good, and sign them out.

        Raises:
            StateUnavailable: not all of it was; it may be tried again.
        """
        for session in await self.state.eraser.sessions(user):
            await self.state.sessions.delete(session)
            await self.state.users.changed(session, "gone")
        await self.aside.settle()
        for token in await self.state.eraser.rest(user):
            await self.state.pulse.end(token)
        await self.state.rates.forget(user, today=self.settings.limits == "off" or not self.settings.rate_tokens)
        await self.state.audit.forget(user)
        await self.state.audit.record("erased", None)

    async def compare(self) -> None:
        """Compare every room with its log, once a heartbeat, until cancelled."""
        while True:
            await self.hub.compare(HEARTBEAT_MS / 1000)

    def close(self) -> None:
        """Begin and claim no more, and hand over at once what can go on elsewhere without a trace."""
        if not self.draining:
            self.draining = True
            self.runner.close()

    async def drain(self) -> None:
        """Close, go on with the answers under way up to `DRAIN_SECONDS`, then give them up."""
        self.close()
        if self._drained:
            return
        self._drained = True
        try:
            async with asyncio.timeout(self.settings.drain_seconds) as self._patience:
                await self.runner.idle()
        except TimeoutError:
            log.info("%d answers are left to other nodes", self.runner.running)
        self.runner.give_up()
        try:
            async with asyncio.timeout(GIVE_UP_SECONDS):
                await self.runner.idle()
        except TimeoutError:
            log.warning("%d answers could not be given up, and wait for their leases to lapse", self.runner.running)

    def hurry(self) -> None:
        """End a drain's wait: give up at once what is still under way."""
        if self._patience is not None and not self._patience.expired():
            self._patience.reschedule(asyncio.get_running_loop().time())

    def _heard(self, channel: str, data: bytes) -> None:
        if channel == BELL:
            self.rescue.ring(data.decode())
            return
        if channel != self.state.own:
            if not self.state.storage.heard(channel):
                self.hub.heard(channel, data)
            return
        verb, _, run = data.decode().partition(" ")
        if verb == "stop":
            self.runner.look(run)

    def _missed(self) -> None:
        self.hub.missed()
        self.state.storage.missed()

    def _tell(self, session: Session, how: str) -> None:
        """Tell the user's lists: they are hints, and the heads stay the truth."""
        self.aside.do(self.state.users.changed(session, how))

    def _ended(self, over: Over) -> None:
        self._tell(over.session, "changed")
        if not over.at:
            return
        self.aside.do(self.state.rates.spend(over.session.user, over.tokens))
        if not over.goes_on:
            self.aside.do(self.state.rates.ended(over.session, over.at))
        if over.exchange is not None and not self.draining:
            self.aside.do(self._entitle(over.session, over.exchange))

    async def _entitle(self, session: Session, exchange: Exchange) -> None:
        """Give a session its title, and tell its user's lists."""
        tokens = await self._titles.make(session, exchange)
        await self.state.rates.spend(session.user, tokens)
        await self.state.users.changed(session, "changed")


@asynccontextmanager
async def running(
    settings: Settings, model: Model, *, trial: bool = False, tools: Sequence[StatelessTool] = (),
    sources: Sequence[Source] = (),
) -> AsyncIterator[Node]:  # fmt: skip
    """Run a node: connected on entry, drained on exit. It has these `tools`, and those of `sources`.

    Raises:
        StateUnavailable: Redis cannot be reached.
        WrongTools: two tools have one name, or one is not right.
    """
    failure: Exception | None = None
    async with asyncio.TaskGroup() as group:
        node = Node(settings, model, group, trial=trial, tools=tools, sources=sources)
        loops = [
            group.create_task(loop())
            for loop in (
                *(source.run for source in sources),
                node.state.pipe.run,
                node.state.bus.run,
                node.compare,
                node.rescue.run,
                node.state.pulse.run,
            )
        ]
        try:
            await node.reach()
            yield node
            await node.drain()
            await node.aside.close()
        except Exception as error:  # noqa: BLE001
            failure = error  # carried past the group, which would wrap it
        finally:
            node.runner.abandon()
            for task in loops:
                task.cancel()
    if failure is not None:
        raise failure
