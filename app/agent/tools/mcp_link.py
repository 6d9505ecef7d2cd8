"""One MCP server: a connection to it that is kept, and calls over that.

Rules: one task opens the connection, holds it and closes it; calls come from any. What the server does, or does not,
ends its connection and nothing else: then its tools are gone, and it is tried again after a while at random that grows.
Its list of tools is read when it says that it changed, after a call that went wrong, and once a minute, which shows
too whether a server that keeps no connection open is still there. What it asks of us (a model, a person, our files)
is refused: we offer none of it.
"""

import asyncio
import logging
import random
from contextlib import AsyncExitStack, suppress
from typing import Any, Final

import anyio
from mcp.client.client import Client
from mcp.client.session import IncomingMessage
from mcp.client.subscriptions import SubscriptionLost
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CONNECTION_CLOSED,
    REQUEST_TIMEOUT,
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    Implementation,
    InputRequiredResult,
    Tool,
    ToolListChangedNotification,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import TypeAdapter, ValidationError

from app.agent.tools.declared import SEEN
from app.agent.tools.mcp import Entry
from app.agent.tools.mcp_streams import CONNECT_SECONDS, streams
from app.agent.tools.mcp_tool import RemoteTool, offered, prefix, returned
from app.agent.tools.tool import Parameters, ToolError
from app.core.protocol import VERSION

FIRST_SECONDS: Final = 1.0
LONGEST_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 60.0
PAUSE_SECONDS: Final = 0.2
PAGES: Final = 16  # of a list of tools
RESULT: Final[TypeAdapter[CallToolResult | InputRequiredResult]] = TypeAdapter(CallToolResult | InputRequiredResult)

log = logging.getLogger(__name__)


class Link:
    """A connection to a server, whether or not it is there."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self._client: Client | None = None
        self._listed: list[Tool] = []
        self._look = asyncio.Event()
        self._over = asyncio.Event()
        self._there = asyncio.Event()  # its tools are known
        self._patience = CONNECT_SECONDS + entry.seconds  # a server may be deaf while it works
        self.tools: tuple[RemoteTool, ...] = ()

    async def keep(self) -> None:
        """Hold a connection, and open another when it is gone, until cancelled."""
        loop, most = asyncio.get_running_loop(), FIRST_SECONDS
        while True:
            began = loop.time()
            try:
                await self._hold()
                why = "it has closed"
            except Exception as error:  # noqa: BLE001 - whatever a server does ends its connection and nothing else
                why = _first(error)
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise asyncio.CancelledError  # it came while an error was on its way, which took its place
            if loop.time() - began > LONGEST_SECONDS:
                most = FIRST_SECONDS
            wait_s = random.uniform(most / 2, most)
            most = min(most * 2, LONGEST_SECONDS)
            log.warning("MCP server %s is not connected: %s; again in %.1f s", self._entry.name, why, wait_s)
            await asyncio.sleep(wait_s)

    async def come(self, name: str) -> None:
        """Return when the server's tools are known, if one of them could have this name."""
        if name.startswith(prefix(self._entry)):
            await self._there.wait()

    async def call(self, tool: str, parameters: Parameters) -> Any:
        """Call a tool by the name that it has there; a cancelled call is cancelled there too.

        Raises:
            ToolError, TimeoutError
        """
        entry = self._entry
        if self._client is None:
            raise ToolError(f"{entry.name} is not connected")
        request = CallToolRequest(params=CallToolRequestParams(name=tool, arguments=parameters))
        try:
            # Not `Client.call_tool`: that holds results against a schema of the server's, however long it takes.
            result = await self._client.session.send_request(request, RESULT, entry.seconds)
        except MCPError as error:
            self._look.set()
            if error.code == REQUEST_TIMEOUT:
                raise TimeoutError from error
            gone = error.code == CONNECTION_CLOSED
            raise ToolError(f"{entry.name} is not connected" if gone else f"{entry.name}: {error.message}") from error
        except ValidationError as error:
            raise ToolError(f"{entry.name} gave an answer that is not of the protocol") from error
        if isinstance(result, InputRequiredResult):
            raise ToolError(f"{entry.name} asks for what it is not given")
        return returned(result)

    async def _hold(self) -> None:
        """Connect, and hold the connection until it is over."""
        self._over.clear()
        client = Client(
            streams(self._entry, self._ended),
            cache=None,
            client_info=Implementation(name="chat", version=VERSION),
            message_handler=self._told,
            read_timeout_seconds=self._patience,
        )
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await stack.enter_async_context(client)
            except TimeoutError as error:
                raise TimeoutError(f"it did not answer within {CONNECT_SECONDS:g} s") from error
            self._client = client
            try:
                await self._read(client)
                self._there.set()
                log.info("MCP server %s is connected: %d tools", self._entry.name, len(self.tools))
                if client.protocol_version in MODERN_PROTOCOL_VERSIONS and _tells(client):
                    with suppress(MCPError, SubscriptionLost, TimeoutError):
                        await stack.enter_async_context(client.listen(tools_list_changed=True))
                        self._look.set()  # it may have changed before we listened
                while not self._over.is_set():
                    with anyio.move_on_after(LOOK_SECONDS):
                        await self._look.wait()
                    self._look.clear()
                    began = anyio.current_time()
                    if not self._over.is_set():
                        await self._read(client)
                    # However often it says that its tools changed, a tenth of the time is spent on that.
                    took_s = anyio.current_time() - began
                    with anyio.move_on_after(min(max(PAUSE_SECONDS, 9 * took_s), LOOK_SECONDS)):
                        await self._over.wait()
            finally:
                self._gone()  # before what closing takes

    async def _read(self, client: Client) -> None:
        """Have the tools that the server lists now."""
        if client.server_capabilities.tools is None:
            return
        listed: list[Tool] = []
        cursor = None
        with anyio.fail_after(self._patience):  # for the package's limit does not hold while it cannot write
            for _ in range(PAGES):
                page = await client.list_tools(cursor=cursor)
                listed += page.tools
                cursor = page.next_cursor
                if cursor is None:
                    break
        if listed != self._listed:
            found = await asyncio.to_thread(offered, self._entry, listed, self.call)  # milliseconds for each
            self._listed = listed
            self.tools = tuple(found.values())

    async def _told(self, message: IncomingMessage) -> None:
        """Look again when the server says that its tools changed."""
        if isinstance(message, ToolListChangedNotification):
            self._look.set()

    def _ended(self) -> None:
        """Let the connection go: nothing comes from the server any more."""
        self._over.set()
        self._look.set()

    def _gone(self) -> None:
        """Have no tools without a connection."""
        self._client = None
        self._there.clear()
        self._listed = []
        self.tools = ()


def _tells(client: Client) -> bool:
    """Whether a server tells of changes in its list of tools."""
    tools = client.server_capabilities.tools
    return tools is not None and tools.list_changed is True


def _first(error: BaseException) -> str:
    """The first of what went wrong, as part of one line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return " ".join(f"{type(error).__name__}: {error}".split())[:SEEN]
