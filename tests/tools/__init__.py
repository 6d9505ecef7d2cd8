"""Tests of the tools that a model may have called."""

from datetime import UTC, datetime
from typing import Any

from app.agent.request import AgentRequest
from app.agent.tools.tool import StatelessTool
from app.agent.tools.toolbox import Toolbox


def asked(user: str = "ada", session: str = "now", /, **known: Any) -> AgentRequest:
    """A question of a user (as keys name them), of whom this is known."""
    return AgentRequest(user, session, "?", datetime.now(UTC), known, {}, [])


async def called(tool: StatelessTool, request: AgentRequest | None = None, /, **given: Any) -> Any:
    """What a node's toolbox makes of a call with these arguments."""
    box = Toolbox([tool])
    return await box.call(tool, request or asked(), box.checked(tool, given))
