"""A model behind OpenAI's Responses API, whose provider keeps the answer: no token of it is generated twice.

https://platform.openai.com/docs/guides/background. With `background` the provider goes on by itself, whoever listens,
and every event of a response has a number. So the place in an answer is its id and that number, and what breaks is only
a connection: it is read on from there, here, or, when this node has died, at another one that knows the place. The
place is told of as soon as there is one, before the first token.

A try that fails before its first token is made again, as everywhere: at the same response, unless that is what failed.
A request whose answer never came may have begun a response that nobody knows of; there the provider alone could help.

What is not wanted any more must be cancelled: to close the connection does not end it.
"""

import logging
from asyncio import timeout
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from functools import partial
from typing import Any, Final

import openai
from openai import AsyncAPIResponse, AsyncOpenAI, AsyncStream
from openai.types.responses import ResponseStreamEvent

from app.agent.client import reached
from app.agent.flow import Piece, PlaceLost, Pumped, pieces
from app.agent.llm import Abilities, Limits
from app.agent.patience import Patience
from app.agent.prompt import Prompt
from app.agent.responses_events import Forgotten, Place, Reading
from app.agent.responses_input import asked
from app.agent.retry import CUT, patiently, told, worth_it
from app.core.breaker import Breaker
from app.core.errors import ModelUnavailable

CANCEL_SECONDS: Final = 2.0  # a run waits for it, and may not lose its lease meanwhile
FORGOTTEN: Final = (400, 404, 405, 410, 422)  # what a provider answers that does not have the response, or its stream

log = logging.getLogger(__name__)


class ResponsesModel:
    """An upstream that speaks the Responses API, reached through the `openai` package."""

    def __init__(
        self,
        client: AsyncOpenAI,
        names: tuple[str, ...],
        limits: Limits,
        abilities: Abilities,
        breaker: Breaker | None = None,
        *,
        background: bool = True,
        effort: str | None = None,
    ) -> None:
        self.names = names
        self._client = client
        self._limits = limits
        self._abilities = abilities
        self._patience = Patience(breaker or Breaker(), limits.first_s, waits=not abilities.fallback)
        self._background = background
        self._effort = effort

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
        background: bool = True,
        effort: str | None = None,
    ) -> "ResponsesModel":
        """Reach an upstream; without a `name`, ask it for its first model. `effort`: how much it is to think.

        Raises:
            ModelUnavailable: it has no such list, or cannot be reached.
        """
        patient = openai.Timeout(None, connect=limits.connect_s)  # the other limits are on tokens, not on bytes
        client, found = await reached(base_url=base_url, api_key=api_key, name=name, timeout=patient)
        can = abilities or Abilities()
        return cls(client, (found,), limits, can, breaker, background=background, effort=effort)

    @property
    def where(self) -> str:
        """The upstream's address."""
        return str(self._client.base_url)

    @property
    def breakers(self) -> Mapping[str, Breaker]:
        """Its upstream's breaker; see `llm.Model`."""
        return {self.where: self._patience.breaker}

    def abilities(self, name: str) -> Abilities:
        """What it can; see `llm.Model`."""
        return self._abilities

    async def close(self) -> None:
        """Close the connections to the upstream."""
        await self._client.close()

    async def ask(self, name: str, prompt: Prompt) -> "Kept":
        """Answer a prompt, or go on with an answer at its place; return when the first piece, or its place, is there.

        Raises:
            ModelUnavailable, ModelTimeout, ContentRefused
            PlaceLost: the answer that stands cannot be gone on with.
        """
        try:
            stands = prompt.place or prompt.prefix  # with a prefix alone nobody here can go on
            place = Place.parse(prompt.place if self._background else "") if stands else None
        except Forgotten as error:
            raise PlaceLost(str(error)) from error
        reading = Reading(place, kept=self._background)
        flow = Kept(reading, partial(self._pieces, self._body(name, prompt), reading), self._cancel)
        try:
            await flow.first()
        except BaseException:
            await flow.close()
            raise
        return flow

    async def stream(self, name: str, prompt: Prompt) -> AsyncGenerator[Piece, None]:
        """Answer a prompt; see `llm.Model`."""
        async with aclosing(pieces(await self.ask(name, prompt))) as answer:
            async for piece in answer:
                yield piece

    async def cancel(self, name: str, place: str) -> None:
        """Tell the provider that nobody wants the answer at a place any more; what fails is logged. Twice is once."""
        with suppress(Forgotten):
            await self._cancel(Place.parse(place).id)

    def _body(self, name: str, prompt: Prompt) -> dict[str, Any]:
        body = {"model": name, "stream": True, "store": self._background} | asked(prompt)
        if self._background:
            body["background"] = True
        if self._effort is not None:
            body["reasoning"] = {"effort": self._effort, "summary": "auto"}
        elif prompt.temperature is not None:  # models that reason refuse it
            body["temperature"] = prompt.temperature
        if self._abilities.answer_tokens:
            body["max_output_tokens"] = self._abilities.answer_tokens
        return body

    async def _pieces(
        self, body: dict[str, Any], reading: Reading, begun: Callable[[Place], None]
    ) -> AsyncGenerator[Piece, None]:
        """Give the pieces of one response, over as many connections as that takes; raises in the protocol's terms."""
        begin = partial(self._begun, body, reading, begun)
        try:
            first, rest = await self._patience.begun(begin)
            while True:
                try:
                    async with aclosing(rest):
                        piece: Piece | None = first
                        while piece is not None:
                            yield piece
                            async with timeout(self._limits.next_s):
                                piece = await anext(rest, None)
                        return
                except (*CUT, ModelUnavailable) as error:
                    if not (reading.place and not reading.over and worth_it(error)):
                        raise
                    log.info("response %s: read on, for it broke off: %r", reading.place.id, error)
                async with timeout(self._limits.next_s):
                    first, rest = await patiently(begin)
        except Forgotten as error:
            raise PlaceLost(str(error)) from error
        except CUT as error:
            raise told(error) from error

    async def _begun(
        self, body: dict[str, Any], reading: Reading, begun: Callable[[Place], None]
    ) -> tuple[Piece, AsyncGenerator[Piece, None]]:
        """Connect, to a new response or to the one that is being read; return when the next piece is there."""
        rest = self._connection(body, reading, begun)
        try:
            return await anext(rest), rest
        except BaseException:
            await rest.aclose()
            raise

    async def _connection(
        self, body: dict[str, Any], reading: Reading, begun: Callable[[Place], None]
    ) -> AsyncGenerator[Piece, None]:
        """Give the pieces that come over one connection: at least one, or else it raises what befell it."""
        known = None if reading.over else reading.place  # before its first token, one that failed is begun anew
        reading.connected(anew=known is None)
        try:
            async with self._asked(body, known) as response:
                if known is not None:
                    begun(known)
                async for data in response.iter_bytes():
                    piece = reading.piece(data)
                    if reading.place is not None:
                        begun(reading.place)
                    if piece is not None:
                        yield piece
                    reading.check()
                    if reading.over:
                        return
        except openai.APIStatusError as error:
            if known and error.status_code in FORGOTTEN:
                raise Forgotten(f"the provider does not have the response: {error.status_code}") from error
            raise
        raise ModelUnavailable("the model broke off without an end")

    def _asked(
        self, body: dict[str, Any], known: Place | None
    ) -> AbstractAsyncContextManager[AsyncAPIResponse[AsyncStream[ResponseStreamEvent]]]:
        responses = self._client.responses.with_streaming_response
        if known is None:
            return responses.create(**body)
        return responses.retrieve(known.id, stream=True, starting_after=known.at)

    async def _cancel(self, id: str) -> None:
        try:
            async with timeout(CANCEL_SECONDS):
                await self._client.responses.cancel(id)
        except CUT as error:
            log.warning("response %s could not be cancelled, and may go on at its provider: %r", id, error)


class Kept(Pumped):
    """A `Flow` whose answer goes on at its provider, whoever listens: `close` lets go of it, `cancel` ends it."""

    def __init__(
        self,
        reading: Reading,
        pieces: Callable[[Callable[[Place], None]], AsyncGenerator[Piece, None]],
        cancel: Callable[[str], Awaitable[None]],
    ) -> None:
        super().__init__(pieces(self._begun))
        self._reading = reading
        self._id = ""
        self._cancel: Callable[[str], Awaitable[None]] | None = cancel

    async def cancel(self) -> None:
        """Have the provider stop, if it has begun and is not done; before or after `close`. What fails is logged."""
        cancel, self._cancel = self._cancel, None
        if cancel is not None and self._id and not self._reading.over:
            await cancel(self._id)

    def _begun(self, place: Place) -> None:
        """Take that there is a response; tell of its place, once."""
        if place.id != self._id:
            self._id = place.id
            self._pieces.append(Piece(place=str(place)))
            self._ring()
