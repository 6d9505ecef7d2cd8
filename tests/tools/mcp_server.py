"""A small MCP server, of the package's own class, for tests: over stdio, or with `--http PORT` over streamable HTTP.

With `--old` it knows nothing of the protocol's newest version, and is shaken hands with as those before.
"""

import argparse
import asyncio
import os
from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.runner import serve_loop
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    METHOD_NOT_FOUND,
    BlobResourceContents,
    EmbeddedResource,
    ImageContent,
    InputRequiredResult,
    ListRootsRequest,
    TextContent,
    TextResourceContents,
    ToolAnnotations,
)

READS = ToolAnnotations(read_only_hint=True)
REPEATS = ToolAnnotations(idempotent_hint=True)


def made(*, old: bool) -> MCPServer:
    """Make the server."""
    cancelled: list[float] = []

    async def refuse(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        if ctx.method == "server/discover":
            raise MCPError(METHOD_NOT_FOUND, "Method not found")
        return await call_next(ctx)

    server = MCPServer("its own name", log_level="ERROR", middleware=[refuse] if old else [])

    @server.tool(annotations=READS, structured_output=False)
    def echo(text: str) -> str:
        """Say it again."""
        return text

    @server.tool(annotations=REPEATS)
    def add(a: int, b: int) -> dict[str, int]:
        """Add two numbers."""
        return {"sum": a + b}

    @server.tool()
    def fail(why: str) -> str:
        """Fail."""
        raise ToolError(why)

    @server.tool()
    async def slow(seconds: float) -> str:
        """Take a while."""
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            cancelled.append(seconds)
            raise
        return "at last"

    @server.tool()
    def cancellations() -> list[float]:
        """Which slow calls were cancelled."""
        return cancelled

    @server.tool()
    def around(context: Context) -> dict[str, Any]:
        """Tell what the server knows of who calls."""
        asked = context.request_context
        return {
            "process": os.getpid(),
            "environment": dict(os.environ),
            "headers": dict(asked.request.headers) if asked.request is not None else {},
            "meta": dict(asked.meta or {}),
        }

    @server.tool(structured_output=False)
    def picture() -> list[TextContent | ImageContent | EmbeddedResource]:
        """Give more than text."""
        return [
            TextContent(text="here"),
            ImageContent(data="AAAAAAAAAAA=", mime_type="image/png"),
            EmbeddedResource(resource=TextResourceContents(uri="file:///a", text="words")),
            EmbeddedResource(resource=BlobResourceContents(uri="file:///b", blob="AAAA", mime_type="x/y")),
        ]

    @server.tool(structured_output=False)
    async def ask(context: Context) -> str | InputRequiredResult:
        """Ask the client for its folders, as either version of the protocol has it."""
        if not old:
            return InputRequiredResult(input_requests={"folders": ListRootsRequest()})
        return str(await context.session.list_roots())

    @server.tool()
    async def grow(context: Context) -> str:
        """Have one tool more, and say so."""
        server.add_tool(echo, name="grown", structured_output=False)
        await context.notify_tools_changed()
        await context.session.send_tool_list_changed()
        return "done"

    return server


async def serve_old(server: MCPServer) -> None:
    """Serve the handshake alone over stdio: the package's own loop for that does not know of what came after."""
    inner = server._lowlevel_server
    async with stdio_server() as (read, write):
        await serve_loop(inner, read, write, lifespan_state={}, init_options=inner.create_initialization_options())


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--http", type=int)
    parser.add_argument("--old", action="store_true")
    given = parser.parse_args()
    server = made(old=given.old)
    if given.http is not None:
        server.run("streamable-http", port=given.http)
    elif given.old:
        asyncio.run(serve_old(server))
    else:
        server.run("stdio")


if __name__ == "__main__":
    main()
