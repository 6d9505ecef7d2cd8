"""Search, by whatever service one has."""

from datetime import UTC, datetime
from typing import Any, Protocol

from app.agent.request import AgentRequest
from app.agent.tools.tool import Parameters, StatelessTool


class SearchService(Protocol):
    """Something that searches."""

    async def search(self, *, query: str, user_id: str, language: str, expertise_level: str) -> Any:
        """Search for a user; return any JSON value."""


class SearchTool(StatelessTool):
    """Searches with a service, as the user prefers."""

    idempotent = True

    def __init__(self, search_service: SearchService) -> None:
        self.search_service = search_service

    async def execute(self, context: AgentRequest, parameters: Parameters) -> Any:
        """Search; return `results`, `query` and `timestamp` (ISO 8601)."""
        query = parameters["query"]
        results = await self.search_service.search(
            query=query,
            user_id=context.user_id,
            language=context.user_context.get("language", "en"),
            expertise_level=context.user_context.get("expertise_level", "general"),
        )
        return {"results": results, "query": query, "timestamp": datetime.now(UTC).isoformat()}

    def get_tool_schema(self) -> dict[str, Any]:
        """See `StatelessTool`."""
        return {
            "name": "search",
            "description": "Search for information",
            "parameters": {
                "type": "object",
                "properties": {"query": {"type": "string", "description": "Search query"}},
                "required": ["query"],
            },
        }
