"""The events of an answer: lines of server-sent JSON, as OpenAI's chat completions stream them.

https://platform.openai.com/docs/api-reference/chat-streaming. Of each chunk only what we use is decoded.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from app.agent.calls import Part
from app.agent.lines import Lines, LongLine


class Delta(msgspec.Struct):
    """What was said, or thought, or is wanted."""

    content: str | None = None
    reasoning_content: str | None = None  # DeepSeek, vLLM, llama.cpp
    reasoning: Any = None  # OpenRouter, Ollama; not always text
    tool_calls: list[Part] | None = None

    @property
    def thought(self) -> str:
        """What of it is thinking."""
        return self.reasoning_content or (self.reasoning if isinstance(self.reasoning, str) else "")


class Choice(msgspec.Struct):
    """One of several answers; there is one."""

    delta: Delta = msgspec.field(default_factory=Delta)
    finish_reason: str | None = None


class Chunk(msgspec.Struct):
    """One event."""

    choices: list[Choice] = []
    usage: dict[str, Any] | None = None
    error: Any = None


class NoChunk(ValueError):
    """It is none, or it tells of an error."""


CHUNK: Final = msgspec.json.Decoder(Chunk)


class Events:
    """Bytes in, chunks out."""

    def __init__(self) -> None:
        self._lines = Lines()

    def chunks(self, data: bytes) -> Iterator[Chunk]:
        """Give the chunks of the lines that are complete with `data`.

        Raises:
            NoChunk
        """
        try:
            values = list(self._lines.values(data))
        except LongLine as error:
            raise NoChunk(str(error)) from error
        for value in values:
            try:
                chunk = CHUNK.decode(value)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise NoChunk(f"no chunk of an answer: {error}") from error
            if chunk.error is not None:
                raise NoChunk("the upstream told of an error")
            yield chunk
