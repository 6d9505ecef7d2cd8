"""Tools that a model may have called: what people write one with, and those that are built in."""

from app.agent.request import AgentRequest
from app.agent.tools.search import SearchTool
from app.agent.tools.tool import StatelessTool, ToolError, tool

__all__ = ["AgentRequest", "SearchTool", "StatelessTool", "ToolError", "tool"]
