"""One step of a run: the calls that the model wants are made, several at once, and what comes of each is written.

Rules: a call is in the log before it is made, so that whoever takes the run over knows that it may have been. What has
settled is never made again. A call about which a person is asked is not made before they allow it. Calls that may not
be made twice are waited for by a node that drains; the others are left to the next one.
"""

import asyncio
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from app.agent.answer import Answer, TooMuch
from app.agent.calls import CALLS
from app.agent.flow import ToolCall
from app.agent.request import AgentRequest
from app.agent.steps import Call
from app.agent.tools.tool import StatelessTool, ToolError
from app.agent.tools.toolbox import Toolbox
from app.agent.watch import Watch
from app.agent.writing import Writing
from app.core import entries
from app.core.entries import Entry
from app.core.errors import ChatError, ModelTimeout
from app.state.runs import Doing

ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
SEEN: Final = 64
DENIED: Final = {"expiry": "nobody decided in time", "stop": "it was stopped", "say": "something else was said"}


class Working:
    """The calls of one run. Owned by it. `usage` tells what the run has used so far."""

    def __init__(
        self, answer: Answer, writing: Writing, watch: Watch, toolbox: Toolbox, request: AgentRequest,
        further: tuple[str, ...], usage: Callable[[], dict[str, Any]],
    ) -> None:  # fmt: skip
        self.failure: ChatError | None = None
        self._answer = answer
        self._writing = writing
        self._watch = watch
        self._toolbox = toolbox
        self._request = request
        self._further = further
        self._usage = usage

    async def take(self, wanted: Iterable[ToolCall], rest: list[bytes], until: int) -> None:
        """Write the calls that a model wants, after the `rest` of what it said; people are asked until a time.

        Raises:
            FencedOut, StateUnavailable
        """
        told: list[Entry] = []
        wrong: list[Entry] = []  # told last, so that all of them are of one step
        run, known = self._writing.writer.run, {call.id for call in self._answer.steps.calls()}
        for place, one in enumerate(wanted):
            id = one.id if ID.match(one.id) and one.id not in known else f"c{len(known) + 1}"
            while id in known:
                id += "x"
            known.add(id)
            name = one.name[:SEEN]
            tool = self._tool(name)
            try:
                if place >= CALLS:
                    raise ToolError(f"at most {CALLS} calls are made of one answer")
                if tool is None:
                    raise ToolError(f"there is no tool {name!r}")
                given = self._toolbox.arguments(tool, one.arguments)
            except ToolError as error:
                told.append(entries.Tool(run=run, call=id, name=name, arguments=one.arguments[:SEEN]))
                wrong.append(entries.Tool(run=run, call=id, error=str(error)))
            else:
                kind = entries.Ask if tool.approval else entries.Tool
                more = {"until": until} if tool.approval else {}
                told.append(kind(run=run, call=id, name=name, arguments=given, **more))
        await self._tell(told + wrong, rest)

    async def through(self) -> None:
        """Make all calls that may be made; return when they have settled, or the run is called off, or `failure`.

        Raises:
            FencedOut, StateUnavailable
        """
        calls: dict[asyncio.Task[Any], Call] = {}
        try:
            await self._decided()
            for call in self._answer.open:
                if call.begun:
                    calls[self._made(call)] = call
            while calls and not self.failure:
                if done := [task for task in calls if task.done()]:
                    await self._tell([self._outcome(calls.pop(task), task) for task in done])
                elif self._watch.late:
                    self.failure = ModelTimeout("the run's time is over")
                elif self._writing.stop or (self._watch.given_up and self._doing().open != "once"):
                    return
                elif not await self._watch.renewed():
                    await self._watch.rest()
        finally:
            for task in calls:
                task.cancel()
            await asyncio.gather(*calls, return_exceptions=True)

    async def _decided(self) -> None:
        """Begin what was allowed, and settle what was not; not where a pause is wanted: then it is for later."""
        told: list[Entry] = []
        run = self._writing.writer.run
        decided = [call for call in self._answer.open if call.asks and call.decision is not None]
        if decided:
            await self._writing.renew()
        for call in [] if self._watch.given_up or self._writing.wanted else decided:
            decision = call.decision
            assert decision is not None
            entry = entries.Tool(run=run, call=call.id, name=call.name, arguments=call.arguments)
            if decision.decision == "edit":
                entry = entries.Tool(run=run, call=call.id, name=call.name, arguments=decision.arguments)
            if decision.decision == "deny":
                reason = decision.reason or DENIED.get(decision.by, "")
                error = f"not allowed{': ' if reason else ''}{reason}"
                entry = entries.Tool(run=run, call=call.id, name=call.name, arguments=call.arguments, error=error)
            told.append(entry)
        if told:
            await self._tell(told)

    def _made(self, call: Call) -> asyncio.Task[Any]:
        """Begin a call."""
        task = asyncio.create_task(self._result(call))
        task.add_done_callback(lambda _: self._watch.bell.ring())
        return task

    async def _result(self, call: Call) -> Any:
        tool = await self._toolbox.awaited(call.name, self._further)
        if tool is None:
            raise ToolError(f"there is no tool {call.name!r} at this node")
        return await self._toolbox.call(tool, self._request, self._toolbox.checked(tool, call.arguments))

    def _outcome(self, call: Call, task: asyncio.Task[Any]) -> Entry:
        """What came of a call, as an entry."""
        run, error = self._writing.writer.run, task.exception()
        if error is None:
            return entries.Tool(run=run, call=call.id, result=task.result())
        if not isinstance(error, ToolError):
            raise error
        return entries.Tool(run=run, call=call.id, error=str(error))

    async def _tell(self, told: list[Entry], rest: Iterable[bytes] = ()) -> None:
        """Write entries of calls; past the answer's bound, fail the run."""
        added = list(rest)
        try:
            added += self._answer.tell(told)
        except TooMuch as error:
            self.failure = error
            added += error.added
        for call in self._answer.steps.calls():
            if call.settled and call.stored is None:
                call.stored = self._writing.count + 1
        await self._writing.work(added, self._doing())

    def _doing(self) -> Doing:
        """What the run's record is to know."""
        calls = self._answer.open
        begun = [self._tool(call.name) for call in calls if call.begun]
        once = any(tool is None or not tool.idempotent for tool in begun)
        return Doing(
            open="once" if once else "idempotent" if begun else "",
            settled=any(call.settled for call in self._answer.steps.calls()),
            asked=tuple(call.id for call in calls if call.asks),
            usage=self._usage(),
        )

    def _tool(self, name: str) -> StatelessTool | None:
        return self._toolbox.get(name, self._further)
