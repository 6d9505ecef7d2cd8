"""Titles of sessions, made by the model after the first answer; until then, and without, the first words are one.

Who ends the first answer that was said whole makes the title, and nobody else: the end itself says so. Where nothing
comes of it, as at a node that drains, the end of an answer that is a minute later says so again. A
person's title is never replaced.
"""

import logging
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from app.agent.flow import tokens_of
from app.agent.llm import Model
from app.agent.prompt import Message, Prompt
from app.core.errors import ChatError
from app.core.model import TITLE_LENGTH, Session, title_of
from app.state.sessions import Sessions

ASKED: Final = (
    "Give the conversation that follows a title: at most six words, in its own language, without quotes. "
    "Say the title, and nothing else."
)
SHOWN: Final = 1000  # characters of each side
MOST: Final = 400  # characters that are waited for
AROUND: Final = " \t*#_`\"'“”„«».:"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a title is made of: what was said and answered in a run, and by which model."""

    run: str
    model: str
    said: str
    answer: str


class Titles:
    """Makes titles."""

    def __init__(self, model: Model, sessions: Sessions) -> None:
        self._model = model
        self._sessions = sessions

    async def make(self, session: Session, exchange: Exchange) -> int:
        """Give a session its title; return how many tokens that took.

        Raises:
            StateUnavailable
        """
        messages: list[Message] = [
            {"role": "system", "content": ASKED},
            {"role": "user", "content": f"{exchange.said[:SHOWN]}\n\n---\n\n{exchange.answer[:SHOWN]}"},
        ]
        text, usage = "", None
        try:
            async with aclosing(self._model.stream(exchange.model, Prompt(messages, 0.0))) as pieces:
                async for piece in pieces:
                    text += piece.text
                    usage = piece.usage or usage
                    if len(text) > MOST:
                        break
        except ChatError as error:
            log.info("no title was made: %s", error)
            return 0
        if title := cleaned(text):
            await self._sessions.entitle(session, exchange.run, title)
        return tokens_of(usage, len(text.encode()))


def cleaned(text: str) -> str:
    """The first line of what a model gave for a title, without what it put around it; '' if that is none."""
    line = next((line for line in text.splitlines() if line.strip(AROUND)), "").strip()
    line = line.removeprefix("Title:").strip(AROUND)
    return title_of(line) if len(line) <= 2 * TITLE_LENGTH else ""
