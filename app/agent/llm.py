"""The model: pieces of an answer, from any OpenAI-compatible upstream.

Limits on time are the model's: on connecting, on the first token, and between tokens.

Before its first token a try that failed is made again, after a while at random that grows, or that the upstream names
(`Retry-After`). This is the only layer that does so; what fails later is the run's to decide. A breaker for each
upstream counts those failures, and holds everybody back while it is open.
"""

from asyncio import timeout
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import msgspec
import openai
from openai import AsyncOpenAI

from app.agent.client import reached
from app.agent.direct import Direct, Reading
from app.agent.flow import Flow, Piece, Pumped, pieces
from app.agent.http1 import Pool, proxied
from app.agent.patience import Patience
from app.agent.prefix import Prefix
from app.agent.prompt import Prompt
from app.agent.retry import CUT, refusal, told
from app.core.breaker import Breaker
from app.core.model import Dialect, Takeover

EXTRA: Final = ("continue_final_message", "add_generation_prompt")  # what the package does not know


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds: to connect, to the first token, from one token to the next."""

    connect_s: float = 5.0
    first_s: float = 60.0
    next_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a model can.

    `context_tokens` is how much it can be shown, its answer included, and `answer_tokens` what of that an answer may
    take; None where it is not known to be small. `takeover` is how its answers go on at another node, and `prefix` how
    it is asked to continue one. `titles`: whether it makes titles; `tools`: whether it calls any; `thoughts`: whether
    it is then given back what it thought. `fallback`: who is asked in its place, where it fails before its first token.
    Prices are those of a million tokens.
    """

    takeover: Takeover = "restart"
    prefix: Dialect = "trailing"
    context_tokens: int | None = None
    answer_tokens: int | None = None
    titles: bool = False
    tools: bool = True
    thoughts: bool = False
    fallback: tuple[str, ...] = ()
    temperature: float | None = None
    input_price: float | None = None
    output_price: float | None = None

    def priced(self, usage: dict[str, Any]) -> dict[str, Any]:
        """Usage with its `cost`, where prices are known."""
        if self.input_price is None and self.output_price is None:
            return usage
        asked, said = usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)
        cost = (asked * (self.input_price or 0.0) + said * (self.output_price or 0.0)) / 1_000_000
        return usage | {"cost": round(cost, 8)}

    @property
    def prompt_tokens(self) -> int | None:
        """How much it can be shown, beside its answer."""
        return self.context_tokens - (self.answer_tokens or 0) if self.context_tokens else None


class Model(Protocol):
    """Something that answers. Iterate to the end, or close the iterator: both release the upstream."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names one may ask for; the first is the default."""

    @property
    def breakers(self) -> Mapping[str, Breaker]:
        """The breakers of its upstreams, by their addresses."""

    def abilities(self, name: str) -> Abilities:
        """What the model of that name can; one that is not here can what is usual."""

    def stream(self, name: str, prompt: Prompt) -> AsyncGenerator[Piece, None]:
        """Answer a prompt, piece by piece.

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
        self._abilities = abilities
        self._patience = Patience(breaker or Breaker(), limits.first_s, waits=not abilities.fallback)
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
        patient = openai.Timeout(limits.next_s, connect=limits.connect_s, read=max(limits.first_s, limits.next_s))
        client, found = await reached(base_url=base_url, api_key=api_key, name=name, timeout=patient)
        return cls(client, (found,), limits, abilities or Abilities(), breaker)

    @property
    def where(self) -> str:
        """The upstream's address."""
        return str(self._client.base_url)

    @property
    def breakers(self) -> Mapping[str, Breaker]:
        """Its upstream's breaker; see `Model.breakers`."""
        return {self.where: self._patience.breaker}

    def abilities(self, name: str) -> Abilities:
        """What it can; see `Model.abilities`."""
        return self._abilities

    async def close(self) -> None:
        """Close the connections to the upstream."""
        if self._pool is not None:
            self._pool.close()
        await self._client.close()

    async def ask(self, name: str, prompt: Prompt) -> Flow:
        """Answer a prompt; return when the first piece is there.

        Raises:
            ModelUnavailable, ModelTimeout, ContentRefused
        """
        said = Prefix(prompt.prefix, self._abilities.prefix)
        body: dict[str, Any] = {"model": name, "messages": said.messages(prompt.messages), "stream": True}
        body |= {"stream_options": {"include_usage": True}} | said.options()
        if prompt.temperature is not None:
            body["temperature"] = prompt.temperature
        if prompt.tools:
            body["tools"] = [{"type": "function", "function": schema} for schema in prompt.tools]
            body |= {} if prompt.may_call else {"tool_choice": "none"}
        if self._abilities.answer_tokens:
            body["max_tokens"] = self._abilities.answer_tokens

        async def begin() -> Flow:
            return await self._begun(body, Reading(said, self._limits.first_s, self._limits.next_s))

        try:
            return await self._patience.begun(begin)
        except CUT as error:
            raise told(error) from error

    async def stream(self, name: str, prompt: Prompt) -> AsyncGenerator[Piece, None]:
        """Answer a prompt; see `Model.stream`."""
        async with aclosing(pieces(await self.ask(name, prompt))) as answer:
            async for piece in answer:
                yield piece

    async def _begun(self, body: dict[str, Any], reading: Reading) -> Flow:
        """Ask once, directly or through the proxy that the environment names; return when the first piece is there."""
        flow: Direct | Pumped
        if self._pool is None:
            flow = Proxied(self._proxied(body, reading))
        else:
            line = await self._pool.post(self._path, msgspec.json.encode(body))
            flow = Direct(line, self._pool, reading)
        try:
            if isinstance(flow, Direct) and line.answer.status >= 400:
                raise refusal(self._client, line.answer, await line.whole())
            await flow.first()
        except BaseException:
            await flow.close()
            raise
        return flow

    async def _proxied(self, body: dict[str, Any], reading: Reading) -> AsyncGenerator[Piece, None]:
        """Ask once, by the `openai` package; raises whatever befalls the request."""
        completions = self._client.chat.completions.with_streaming_response
        known = {key: value for key, value in body.items() if key not in EXTRA}
        extra = {key: value for key, value in body.items() if key in EXTRA}
        async with completions.create(**known, extra_body=extra) as response:
            stream = response.iter_bytes()
            while True:
                async with timeout(reading.silence.left_s):
                    data = await anext(stream, b"")
                if not data:
                    break
                if (piece := reading.piece(data)) is not None:
                    yield piece
                reading.check()
        if (rest := reading.end()) is not None:
            yield rest


class Proxied(Pumped):
    """The answer of an upstream that is read through a proxy."""

    def take(self) -> Piece | None:
        """See `Flow`."""
        try:
            return super().take()
        except CUT as error:
            raise told(error) from error
