"""A model that is none: it says plainly that it is a demonstration, and how to get a real one."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from types import MappingProxyType
from typing import Final

from app.agent.flow import Piece
from app.agent.llm import Abilities
from app.agent.prompt import Prompt
from app.core.breaker import Breaker

NAME: Final = "demonstration"
WORD_SECONDS: Final = 0.03


class Responder:
    """Answers without a model, so that the rest can be tried."""

    names = (NAME,)
    breakers: Mapping[str, Breaker] = MappingProxyType({})

    def abilities(self, name: str) -> Abilities:
        """What it can; see `llm.Model`."""
        return Abilities()

    async def stream(self, name: str, prompt: Prompt) -> AsyncGenerator[Piece, None]:
        """Answer a prompt; see `llm.Model`."""
        asked = str(prompt.messages[-1]["content"])
        text = (
            "This is a demonstration: no language model is connected, so nobody has understood what you wrote. "
            f"You wrote {len(asked.split())} words, beginning with: {asked[:200]}\n\n"
            "To talk to a real model, set OPENAI_BASE_URL (Ollama, vLLM, llama-server) or OPENAI_API_KEY, "
            "and start again."
        )
        for word in text.split(" "):
            yield Piece(text=word + " ")
            await asyncio.sleep(WORD_SECONDS)
