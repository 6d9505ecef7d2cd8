"""What people decide on calls: held to what the tool takes, and the first decision stands."""

from app.agent.tools.tool import ToolError
from app.agent.tools.toolbox import Toolbox
from app.core.entries import Answer
from app.core.errors import BadFrame
from app.core.model import Session
from app.state.holds import Holds
from app.state.sessions import Sessions


class Decisions:
    """Those that come in at one node."""

    def __init__(self, holds: Holds, sessions: Sessions, toolbox: Toolbox) -> None:
        self._holds = holds
        self._sessions = sessions
        self._toolbox = toolbox

    async def settle(self, session: Session, answer: Answer) -> Answer:
        """Settle a call that waits for a person; return the decision that stands.

        Raises:
            BadFrame: other arguments are given, and the tool does not take them.
            NotFound, RunOver, StateUnavailable
        """
        if answer.decision == "edit":
            await self._check(session, answer)
        return await self._holds.answer(session, answer)

    async def _check(self, session: Session, answer: Answer) -> None:
        """Hold the arguments that a person gives to the tool's schema, if the tool is here."""
        run = (await self._sessions.snapshot(session, turns=0)).run
        asks = run["asks"] if run and run["id"] == answer.run else []
        try:
            for ask in asks:
                if ask["call"] == answer.call and (tool := self._toolbox.find(ask["name"])) is not None:
                    self._toolbox.checked(tool, answer.arguments)
        except ToolError as error:
            raise BadFrame(f"answer: {error}") from error
