"""What goes to an MCP server and what comes from it: a program begun here, or one elsewhere over HTTP.

A program has its environment from its table and none of ours, for secrets are there; what it writes to its standard
error goes where ours does. What one elsewhere answers is bounded.
"""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final, TextIO

import anyio
import httpx2
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from app.agent.tools.mcp import Entry

CONNECT_SECONDS: Final = 30.0  # a program that is fetched before it is begun takes that long
SILENT_SECONDS: Final = 300.0  # of a stream of events
ANSWER_BYTES: Final = 4 * 1024 * 1024


class _Ending:
    """What a server sends, and a bell for its end, of which the package tells nobody."""

    def __init__(self, stream: Any, ended: Callable[[], None]) -> None:
        self._stream = stream
        self._ended = ended

    @property
    def last_context(self) -> Any:
        """See `mcp.shared._stream_protocols`."""
        return getattr(self._stream, "last_context", None)

    async def receive(self) -> Any:
        """Give what comes next."""
        return await self._stream.receive()

    def __aiter__(self) -> "_Ending":
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._stream.__anext__()
        except (StopAsyncIteration, anyio.ClosedResourceError):
            self._ended()
            raise

    async def aclose(self) -> None:
        """Close it."""
        await self._stream.aclose()

    async def __aenter__(self) -> "_Ending":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


@asynccontextmanager
async def streams(entry: Entry, ended: Callable[[], None]) -> AsyncIterator[tuple[Any, Any]]:
    """Begin a server here, or reach one elsewhere: what it sends, and what it is sent."""
    if entry.command is not None:
        program, *arguments = entry.command
        errors: TextIO = sys.__stderr__ or sys.stderr
        parameters = StdioServerParameters(command=program, args=arguments, env=entry.env)
        async with stdio_client(parameters, errors) as (read, write):
            yield _Ending(read, ended), write
        return
    assert entry.url is not None
    timeout = httpx2.Timeout(CONNECT_SECONDS, read=SILENT_SECONDS + entry.seconds)
    headers = {"Accept-Encoding": "identity"} | entry.headers
    async with (
        httpx2.AsyncClient(headers=headers, timeout=timeout, event_hooks={"response": [_bound]}) as http,
        streamable_http_client(entry.url, http_client=http) as (read, write),
    ):
        yield _Ending(read, ended), write


async def _bound(response: httpx2.Response) -> None:
    """Read at most `ANSWER_BYTES` of an answer; of a stream of events the package bounds each."""
    if response.headers.get("content-encoding", "identity") != "identity":
        raise httpx2.DecodingError("it is compressed, which was not asked for", request=response.request)
    if not response.headers.get("content-type", "").lower().startswith("text/event-stream"):
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Bounded(response.stream)


class _Bounded(httpx2.AsyncByteStream):
    """The bytes of an answer, up to a bound."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = ANSWER_BYTES
        async for piece in self._stream:
            left -= len(piece)
            if left < 0:
                raise httpx2.ReadError(f"it answers with more than {ANSWER_BYTES} bytes")
            yield piece

    async def aclose(self) -> None:
        """Close it."""
        await self._stream.aclose()
