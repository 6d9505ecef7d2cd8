"""The model: an async iterator of pieces, over any OpenAI-compatible upstream.

A stream that ends without a `finish_reason` was cut, whatever the HTTP connection says: servers break off without
an error. Limits on time are the model's: on connecting, on the first token, and between tokens.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol, cast

import httpx2
import openai
from openai import AsyncOpenAI, AsyncStream
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam

from app.agent.prompt import Message
from app.core.errors import ContentRefused, ModelTimeout, ModelUnavailable

RETRIES = 2


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds: to connect, to the first token, from one token to the next."""

    connect_s: float = 5.0
    first_s: float = 60.0
    next_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Piece:
    """What one step of a stream brought: text, or in the end the usage."""

    text: str = ""
    usage: dict[str, Any] | None = None


class Model(Protocol):
    """Something that answers. Iterate to the end, or close the iterator: both release the upstream."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names one may ask for; the first is the default."""

    def prompt_tokens(self, name: str) -> int | None:
        """How much the model of that name can be shown, beside its answer; None where it is not known to be small."""

    def stream(self, name: str, messages: list[Message]) -> AsyncGenerator[Piece, None]:
        """Answer `messages`, piece by piece.

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
        *,
        context_tokens: int | None = None,
        answer_tokens: int | None = None,
    ) -> None:
        self._client = client
        self.names = names
        self._limits = limits
        self._prompt_tokens = context_tokens - (answer_tokens or 0) if context_tokens else None
        self._answer_tokens = answer_tokens

    @classmethod
    async def connect(
        cls,
        *,
        base_url: str | None,
        api_key: str | None,
        name: str | None,
        limits: Limits,
        context_tokens: int | None = None,
        answer_tokens: int | None = None,
    ) -> "OpenAIModel":
        """Reach an upstream; without a `name`, ask it for its first model.

        `context_tokens` is what the model can be shown, question and answer together, and `answer_tokens` what of it
        an answer may take; None where the upstream is not known to be small.

        Raises:
            ModelUnavailable: it has no such list, or cannot be reached.
        """
        client = AsyncOpenAI(
            base_url=base_url,
            api_key=api_key or "none",  # the package insists on one; local servers ignore it
            max_retries=RETRIES,
            timeout=openai.Timeout(limits.next_s, connect=limits.connect_s, read=max(limits.first_s, limits.next_s)),
        )
        if name is not None:
            return cls(client, (name,), limits, context_tokens=context_tokens, answer_tokens=answer_tokens)
        try:
            first = (await client.models.list()).data[0].id
        except (openai.OpenAIError, IndexError) as error:
            await client.close()
            raise ModelUnavailable(f"no model found at {client.base_url}: {error}") from error
        return cls(client, (first,), limits, context_tokens=context_tokens, answer_tokens=answer_tokens)

    @property
    def where(self) -> str:
        """The upstream's address."""
        return str(self._client.base_url)

    def prompt_tokens(self, name: str) -> int | None:
        """How much it can be shown; see `Model.prompt_tokens`."""
        return self._prompt_tokens

    async def close(self) -> None:
        """Close the connections to the upstream."""
        await self._client.close()

    async def stream(self, name: str, messages: list[Message]) -> AsyncGenerator[Piece, None]:
        """Answer `messages`; see `Model.stream`."""
        limit, finished = self._limits.first_s, ""
        try:
            async with asyncio.timeout(limit):
                chunks = await self._begin(name, messages)
            async with aclosing(chunks):
                while True:
                    async with asyncio.timeout(limit):
                        chunk = await anext(chunks, None)
                    if chunk is None:
                        break
                    if (usage := chunk.usage) is not None:
                        yield Piece(
                            usage=usage.model_dump(include={"prompt_tokens", "completion_tokens", "total_tokens"})
                        )
                    for choice in chunk.choices[:1]:
                        finished = choice.finish_reason or finished
                        if choice.delta.content:
                            limit = self._limits.next_s
                            yield Piece(text=choice.delta.content)
        except (TimeoutError, openai.APITimeoutError) as error:
            raise ModelTimeout("the model did not answer in time") from error
        except openai.BadRequestError as error:
            raise ContentRefused("the model refused the request") from error
        except (openai.OpenAIError, httpx2.HTTPError, ValueError) as error:
            raise ModelUnavailable("the model cannot be reached, or broke off") from error
        match finished:
            case "content_filter":
                raise ContentRefused("the model refused to go on")
            case "":
                raise ModelUnavailable("the model broke off without an end")

    async def _begin(self, name: str, messages: list[Message]) -> AsyncStream[ChatCompletionChunk]:
        shown = cast(list[ChatCompletionMessageParam], messages)
        return await self._client.chat.completions.create(
            model=name,
            messages=shown,
            stream=True,
            stream_options={"include_usage": True},
            max_tokens=self._answer_tokens or openai.omit,
        )
