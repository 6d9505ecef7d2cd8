"""The model: an async iterator of pieces, over any OpenAI-compatible upstream.

A stream that ends without a `finish_reason` was cut, whatever the HTTP connection says: servers break off without
an error. Limits on time are the model's: on connecting, on the first token, and between tokens.

Before its first token a try that failed is made again, after a while at random that grows, or that the upstream names
(`Retry-After`). This is the only layer that does so; what fails later is the run's to decide. A breaker for each
upstream counts those failures, and holds everybody back while it is open.
"""

import time
from asyncio import sleep, timeout
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import urlsplit

import msgspec
import openai
from openai import AsyncOpenAI

from app.agent.events import Events, NoChunk
from app.agent.http1 import Pool, proxied
from app.agent.prefix import Prefix
from app.agent.prompt import Message
from app.agent.retry import CUT, failed, patiently, refusal, told
from app.core.breaker import Breaker
from app.core.errors import ContentRefused, ModelUnavailable
from app.core.model import Dialect, Takeover

USAGE: Final = ("prompt_tokens", "completion_tokens", "total_tokens")
EXTRA: Final = ("continue_final_message", "add_generation_prompt")  # what the package does not know


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds: to connect, to the first token, from one token to the next."""

    connect_s: float = 5.0
    first_s: float = 60.0
    next_s: float = 30.0


class Piece(NamedTuple):
    """What one step of a stream brought: text, in the end the usage, or only that the model is at work."""

    text: str = ""
    usage: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a model can.

    `context_tokens` is how much it can be shown, its answer included, and `answer_tokens` what of that an answer may
    take; None where it is not known to be small. `takeover` is how its answers go on at another node, and `prefix` how
    it is asked to continue one. One that `buffers` keeps what comes while it is not asked, and gives it as one piece.
    """

    takeover: Takeover = "restart"
    prefix: Dialect = "trailing"
    context_tokens: int | None = None
    answer_tokens: int | None = None
    buffers: bool = False

    @property
    def prompt_tokens(self) -> int | None:
        """How much it can be shown, beside its answer."""
        return self.context_tokens - (self.answer_tokens or 0) if self.context_tokens else None


class Silence:
    """How long a model may go on without a token."""

    def __init__(self, seconds: float) -> None:
        self.broken(seconds)

    def broken(self, seconds: float) -> None:
        """Take that it spoke; the next token is due within so many seconds of being waited for."""
        self._seconds = seconds
        self._until: float | None = None

    @property
    def left_s(self) -> float:
        """What is left of them, from when it was first asked for."""
        now = time.monotonic()
        if self._until is None:
            self._until = now + self._seconds
        return self._until - now


class Model(Protocol):
    """Something that answers. Iterate to the end, or close the iterator: both release the upstream."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names one may ask for; the first is the default."""

    @property
    def breakers(self) -> Mapping[str, Breaker]:
        """The breakers of its upstreams, by their addresses."""

    def abilities(self, name: str) -> Abilities:
        """What the model of that name can."""

    def stream(self, name: str, messages: list[Message], prefix: str = "") -> AsyncGenerator[Piece, None]:
        """Answer `messages`, piece by piece; with a `prefix`, go on after it.

        Raises:
            ModelUnavailable, ModelTimeout, ContentRefused
        """


class OpenAIModel:
    """An OpenAI-compatible upstream, reached through the `openai` package."""

    def __init__(
        self,
        client: AsyncOpenAI,
        names: tuple[str, ...],
        limits: Limits,
        abilities: Abilities,
        breaker: Breaker | None = None,
    ) -> None:
        self.names = names
        self._client = client
        self._limits = limits
        self._abilities = replace(abilities, buffers=True)
        self._breaker = breaker or Breaker()
        url = urlsplit(str(client.base_url))
        self._path = f"{url.path}chat/completions"
        known = client.default_headers | client.auth_headers
        headers = {name: value for name, value in known.items() if isinstance(value, str)}
        self._pool = None if proxied(url) else Pool(url, headers, limits.connect_s)

    @classmethod
    async def connect(
        cls,
        *,
        base_url: str | None,
        api_key: str | None,
        name: str | None,
        limits: Limits,
        abilities: Abilities | None = None,
        breaker: Breaker | None = None,
    ) -> "OpenAIModel":
        """Reach an upstream; without a `name`, ask it for its first model.

        Raises:
            ModelUnavailable: it has no such list, or cannot be reached.
        """
        client = AsyncOpenAI(
            base_url=base_url,
            api_key=api_key or "none",  # the package insists on one; local servers ignore it
            max_retries=0,
            timeout=openai.Timeout(limits.next_s, connect=limits.connect_s, read=max(limits.first_s, limits.next_s)),
        )
        can = abilities or Abilities()
        if name is not None:
            return cls(client, (name,), limits, can, breaker)
        try:
            first = (await client.models.list()).data[0].id
        except (openai.OpenAIError, IndexError, AttributeError) as error:  # it takes a page for text, and trips over it
            await client.close()
            raise ModelUnavailable(f"no model found at {client.base_url}: {error}") from error
        return cls(client, (first,), limits, can, breaker)

    @property
    def where(self) -> str:
        """The upstream's address."""
        return str(self._client.base_url)

    @property
    def breakers(self) -> Mapping[str, Breaker]:
        """Its upstream's breaker; see `Model.breakers`."""
        return {self.where: self._breaker}

    def abilities(self, name: str) -> Abilities:
        """What it can; see `Model.abilities`."""
        return self._abilities

    async def close(self) -> None:
        """Close the connections to the upstream."""
        if self._pool is not None:
            self._pool.close()
        await self._client.close()

    async def stream(self, name: str, messages: list[Message], prefix: str = "") -> AsyncGenerator[Piece, None]:
        """Answer `messages`; see `Model.stream`."""
        said = Prefix(prefix, self._abilities.prefix)
        body: dict[str, Any] = {"model": name, "messages": said.messages(messages), "stream": True}
        body |= {"stream_options": {"include_usage": True}} | said.options()
        if self._abilities.answer_tokens:
            body["max_tokens"] = self._abilities.answer_tokens

        async def begin() -> tuple[Piece | None, AsyncGenerator[Piece, None]]:
            await self._breaker_closes()
            pieces = self._pieces(body)
            try:
                async with timeout(self._limits.first_s):
                    first = await anext(pieces, None)
            except BaseException as error:
                await pieces.aclose()
                self._breaker.failed(time.monotonic()) if failed(error) else self._breaker.let_go()
                raise
            self._breaker.succeeded()
            return first, pieces

        try:
            piece, pieces = await patiently(begin)
            async with aclosing(pieces):
                while piece is not None:
                    yield Piece(said.new(piece.text), piece.usage) if piece.text else piece
                    piece = await anext(pieces, None)
        except CUT as error:
            raise told(error) from error
        if rest := said.rest():
            yield Piece(rest)

    async def _breaker_closes(self) -> None:
        """Return when a try may be made."""
        while wait := self._breaker.admit(time.monotonic()):  # noqa: ASYNC110 - time passes by itself
            await sleep(wait)

    async def _pieces(self, body: dict[str, Any]) -> AsyncGenerator[Piece, None]:
        """Ask once, and give what has come since the last time; raises whatever befalls the request."""
        finished, events = "", Events()
        silence = Silence(max(self._limits.first_s, self._limits.next_s))  # the first token has a limit of its own
        async with self._asked(body) as take:
            while data := await take(silence.left_s):
                texts: list[str] = []
                thinks, usage, wrong = False, None, None
                try:
                    for chunk in events.chunks(data):
                        usage = chunk.usage or usage
                        for choice in chunk.choices[:1]:
                            finished = choice.finish_reason or finished
                            texts.append(choice.delta.content or "")
                            thinks = thinks or bool(choice.delta.reasoning_content or choice.delta.reasoning)
                except NoChunk as error:
                    wrong = error  # after what came before it
                if (text := "".join(texts)) or thinks or usage:
                    silence.broken(self._limits.next_s)
                    yield Piece(text, {name: usage[name] for name in USAGE if name in usage} if usage else None)
                if wrong is not None:
                    raise wrong
        match finished:
            case "content_filter":
                raise ContentRefused("the model refused to go on")
            case "":
                raise ModelUnavailable("the model broke off without an end")

    @asynccontextmanager
    async def _asked(self, body: dict[str, Any]) -> AsyncIterator[Callable[[float], Awaitable[bytes]]]:
        """Ask once, directly or through the proxy that the environment names; give what takes the answer's body.

        It returns what came within so many seconds, and nothing at the end.
        """
        if self._pool is None:
            completions = self._client.chat.completions.with_streaming_response
            known = {key: value for key, value in body.items() if key not in EXTRA}
            extra = {key: value for key, value in body.items() if key in EXTRA}
            async with completions.create(**known, extra_body=extra) as response:
                stream = response.iter_bytes()

                async def take(seconds: float) -> bytes:
                    async with timeout(seconds):
                        return await anext(stream, b"")

                yield take
            return
        line = await self._pool.post(self._path, msgspec.json.encode(body))
        try:
            if line.answer.status >= 400:
                raise refusal(self._client, line.answer, await line.whole())
            yield line.take
        finally:
            self._pool.done(line)
