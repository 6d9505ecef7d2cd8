"""Reading a page of the Internet: the tool `fetch`.

A URL may come from whoever wrote what the model reads. So, at each step of the way: http and https alone, GET, no
credentials, the two ports of the web, public addresses (see `network`), no proxy, no cookies, certificates verified.
What comes back is bounded in time and in size, is text, and is data.
"""

import asyncio
import re
import ssl
from collections.abc import Collection
from contextlib import aclosing
from typing import Any, Final

import httpcore2
import httpx2

from app.agent.request import AgentRequest
from app.agent.tools.network import Allowed, Pinned, Resolve, public, resolved
from app.agent.tools.readable import readable
from app.agent.tools.tool import Parameters, StatelessTool, ToolError
from app.core.coalesce import head_of

SECONDS: Final = 20.0
REDIRECTS: Final = 5
BODY_BYTES: Final = 1024 * 1024
TEXT_BYTES: Final = 12 * 1024  # so that the result is within a toolbox's bound
TITLE_LENGTH: Final = 200
URL_LENGTH: Final = 2000
PORTS: Final = frozenset({80, 443})
MOVED: Final = frozenset({301, 302, 303, 307, 308})
TEXT: Final = re.compile(r"text/[\w.+-]+|application/(?:(?:[\w.-]+\+)?(?:json|xml))")
PAGE: Final = ("text/html", "application/xhtml+xml")
CHARSET: Final = re.compile(r"charset\s*=\s*[\"']?([\w-]+)", re.I)
CHARSETS: Final = re.compile(  # decoders that take time in proportion to what they read, unlike punycode's
    r"utf-?(8|16|32)([lb]e)?|us-ascii|ascii|latin-?\d|iso-?8859-?\d+|(windows-|cp)\d+|shift_jis|euc-(jp|kr)|gbk|gb2312"
    r"|gb18030|big5|koi8-[ru]"
)
HEADERS: Final = (
    (b"Accept", b"text/html, application/xhtml+xml, text/*, application/json, application/xml;q=0.9"),
    (b"Accept-Encoding", b"identity"),
    (b"User-Agent", b"chat-fetch/1"),
)
FAILED: Final = (
    httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException, httpcore2.UnsupportedProtocol, OSError,
)  # fmt: skip


class Fetch(StatelessTool):
    """Fetches the text of a URL. The arguments of the constructor are for tests."""

    idempotent = True
    seconds = SECONDS

    def __init__(
        self,
        *,
        resolve: Resolve = resolved,
        allowed: Allowed = public,
        ports: Collection[int] = PORTS,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._network = Pinned(resolve, allowed)
        self._ports = ports
        self._tls = tls or httpx2.create_ssl_context(trust_env=False)

    async def execute(self, context: AgentRequest, parameters: Parameters) -> Any:
        """Give the final `url`, the `status`, the `title` and `text`, and whether the text is `cut`."""
        url = self._checked(_parsed(parameters["url"]))
        for _ in range(REDIRECTS + 1):
            try:
                status, headers, body = await self._got(url)
            except FAILED as error:
                raise ToolError(f"{url.host} cannot be read: {type(error).__name__}") from error
            if body is not None:
                return {"url": str(url), "status": status} | await _text_of(headers, body)
            url = self._checked(_parsed(headers["location"], url))
        raise ToolError(f"more than {REDIRECTS} redirects")

    def get_tool_schema(self) -> dict[str, Any]:
        """See `StatelessTool`."""
        url = {"type": "string", "minLength": 1, "maxLength": URL_LENGTH, "description": "http:// or https://"}
        return {
            "name": "fetch",
            "description": "Read the text of a public web page",
            "parameters": {
                "type": "object",
                "properties": {"url": url},
                "required": ["url"],
                "additionalProperties": False,
            },
        }

    def _checked(self, url: httpx2.URL) -> httpx2.URL:
        """Hold a URL to what may be fetched; its addresses are checked when it is dialled."""
        if url.scheme not in ("http", "https"):
            raise ToolError(f"expected http:// or https://, got {url.scheme[:20]!r}")
        if not url.host:
            raise ToolError("the URL names no host")
        if url.userinfo:
            raise ToolError("a URL with a name or password in it is not fetched")
        if (port := url.port or (443 if url.scheme == "https" else 80)) not in self._ports:
            raise ToolError(f"port {port} is not fetched from; only {', '.join(map(str, sorted(self._ports)))}")
        return url

    async def _got(self, url: httpx2.URL) -> tuple[int, httpx2.Headers, bytes | None]:
        """Ask for a URL; its body up to one byte past the bound, or None where the answer is to go elsewhere."""
        asked = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        headers = [(b"Host", url.netloc), *HEADERS]
        async with (
            httpcore2.AsyncConnectionPool(ssl_context=self._tls, network_backend=self._network) as pool,
            pool.stream("GET", asked, headers=headers) as response,
        ):
            told = httpx2.Headers(response.headers)
            if response.status in MOVED and "location" in told:
                return response.status, told, None
            _refused(told)
            body = bytearray()
            async with aclosing(response.aiter_stream()) as parts:
                async for part in parts:
                    body += part
                    if len(body) > BODY_BYTES:
                        break
            return response.status, told, bytes(body[: BODY_BYTES + 1])


def _parsed(text: str, base: httpx2.URL | None = None) -> httpx2.URL:
    """Read a URL, without its fragment."""
    if len(text) > URL_LENGTH:
        raise ToolError(f"a URL has at most {URL_LENGTH} characters")
    try:
        url = base.join(text) if base else httpx2.URL(text.strip())
        return url.copy_with(fragment=None)
    except (httpx2.InvalidURL, ValueError) as error:
        raise ToolError(f"{text[:80]!r} is not a URL") from error


def _kind(headers: httpx2.Headers) -> str:
    return str(headers.get("content-type", "")).partition(";")[0].strip().lower()


def _refused(headers: httpx2.Headers) -> None:
    """Refuse what is not plain text.

    Raises:
        ToolError
    """
    if (encoding := headers.get("content-encoding", "identity").strip().lower()) not in ("", "identity"):
        raise ToolError(f"its content is encoded as {encoding[:40]!r}, though it was asked for as it is")
    if not TEXT.fullmatch(kind := _kind(headers)):
        raise ToolError(f"its content is {kind[:80] or 'of no known type'}; only text is read")


async def _text_of(headers: httpx2.Headers, body: bytes) -> dict[str, Any]:
    """What a person would read of it."""
    named = CHARSET.search(headers.get("content-type", "")) or CHARSET.search(body[:1024].decode("latin-1"))
    charset = named[1].lower() if named and CHARSETS.fullmatch(named[1].lower()) else "utf-8"
    try:
        text = body[:BODY_BYTES].decode(charset, "replace").removeprefix("\ufeff")
    except LookupError:
        text = body[:BODY_BYTES].decode(errors="replace")
    title, cut = "", False
    if _kind(headers) in PAGE:
        title, text, cut = await asyncio.to_thread(readable, text, TEXT_BYTES)
    data = text.encode(errors="replace")
    cut = cut or len(body) > BODY_BYTES or len(data) > TEXT_BYTES
    return {"title": title[:TITLE_LENGTH], "text": head_of(data, TEXT_BYTES).decode(), "cut": cut}
