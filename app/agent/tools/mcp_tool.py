"""A tool of an MCP server: what a model is told of it, and what comes of a call."""

import logging
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import msgspec
from mcp_types import (
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ResourceLink,
    TextContent,
    TextResourceContents,
    Tool,
)

from app.agent.marks import broken
from app.agent.request import AgentRequest
from app.agent.tools.declared import SEEN
from app.agent.tools.mcp import Entry
from app.agent.tools.mcp_schema import WrongSchema, plain
from app.agent.tools.tool import Parameters, StatelessTool, ToolError
from app.agent.tools.toolbox import clean

TOOLS: Final = 64  # of a server
NAME_CHARACTERS: Final = 64
DESCRIPTION_CHARACTERS: Final = 1_000
SCHEMA_BYTES: Final = 16 * 1024
OTHER: Final = re.compile(r"[^A-Za-z0-9_-]")

Call = Callable[[str, Parameters], Awaitable[Any]]

log = logging.getLogger(__name__)


class RemoteTool(StatelessTool):
    """One tool of a server, under the server's name here."""

    checks = True

    def __init__(self, entry: Entry, tool: Tool, call: Call) -> None:
        """Read what the server says of it; `call` is how it is called, by the name that it has there.

        Raises:
            WrongSchema
        """
        parameters = plain(tool.input_schema)
        if (size := len(msgspec.json.encode(parameters))) > SCHEMA_BYTES:
            raise WrongSchema(f"they have {size} bytes; at most {SCHEMA_BYTES} are taken")
        hints = tool.annotations
        reads = hints is not None and hints.read_only_hint is True
        repeats = reads or (hints is not None and hints.idempotent_hint is True)
        self.approval = entry.approval == "always" or (entry.approval == "writes" and not reads)
        # A hint is only the server's word. Who lets it be called unasked has taken that: a server that lies gains a
        # second call of what it could have done twice at the first. Where a person is asked, they allowed one call,
        # and after a takeover no hint makes that two.
        self.idempotent = repeats and not self.approval
        self.seconds = entry.seconds
        self._there = tool.name
        self._call = call
        self._schema = {
            "name": OTHER.sub("_", f"{prefix(entry)}{tool.name}")[:NAME_CHARACTERS],
            "description": str(broken(clean(tool.description or "")))[:DESCRIPTION_CHARACTERS],
            "parameters": parameters,
        }

    def get_tool_schema(self) -> dict[str, Any]:
        """See `StatelessTool`."""
        return self._schema

    async def execute(self, context: AgentRequest, parameters: Parameters) -> Any:
        """Call it; the server is sent the parameters, and nothing of the request."""
        return await self._call(self._there, parameters)


def prefix(entry: Entry) -> str:
    """What the names of a server's tools begin with here, and no other server's."""
    return f"{entry.name}__"


def offered(entry: Entry, listed: Iterable[Tool], call: Call) -> dict[str, RemoteTool]:
    """Those of a server's tools that are wanted and can be had, by their names here; of one name the first."""
    wanted = [tool for tool in listed if entry.tools is None or tool.name in entry.tools]
    if missing := set(entry.tools or ()) - {tool.name for tool in wanted}:
        log.warning("MCP server %s has no tool %s", entry.name, ", ".join(sorted(missing)))
    if len(wanted) > TOOLS:
        log.warning("MCP server %s has %d tools; the first %d are taken", entry.name, len(wanted), TOOLS)
    found: dict[str, RemoteTool] = {}
    for tool in wanted[:TOOLS]:
        try:
            made = RemoteTool(entry, tool, call)
        except WrongSchema as error:
            log.warning("MCP server %s: tool %r is left out: its parameters: %s", entry.name, tool.name[:SEEN], error)
            continue
        name = made.get_tool_schema()["name"]
        if found.setdefault(name, made) is not made:
            log.warning("MCP server %s: tool %r is left out: another is %s", entry.name, tool.name[:SEEN], name)
    return found


def returned(result: CallToolResult) -> Any:
    """What came of a call: what has structure as it is, else text, and of all else what it is and how large.

    Raises:
        ToolError: the server says that it failed.
    """
    parts = [_part(one) for one in result.content]
    text = "\n".join(part for part in parts if isinstance(part, str))
    if result.is_error:
        raise ToolError(text or "it failed")
    if result.structured_content is not None:
        return result.structured_content
    return text if all(isinstance(part, str) for part in parts) else parts


def _part(block: ContentBlock) -> str | dict[str, Any]:
    """One part of a result: its text, or what stands for its bytes."""
    match block:
        case TextContent():
            return block.text
        case ResourceLink():
            return {"type": block.type, "mimeType": block.mime_type, "uri": block.uri, "bytes": block.size}
        case EmbeddedResource():
            resource = block.resource
            if isinstance(resource, TextResourceContents):
                return resource.text
            return {"type": block.type, "mimeType": resource.mime_type, "bytes": _bytes(resource.blob)}
    return {"type": block.type, "mimeType": block.mime_type, "bytes": _bytes(block.data)}


def _bytes(data: str) -> int:
    """How many bytes are in base64 (RFC 4648, 4)."""
    return len(data) * 3 // 4 - data[-2:].count("=")
