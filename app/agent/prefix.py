"""Going on with an answer: the text that stands is given to the model as the beginning of its own message.

How that is asked for is the server's dialect:

- `trailing`: the last message is the assistant's. llama.cpp (its `--prefill-assistant`, the default).
- `continue_final_message`: the same, with `continue_final_message` and no new beginning. vLLM, SGLang.
- `prefix`: the same, with `prefix: true` in the message. DeepSeek (at its `/beta`), Mistral, which repeats it first.

Templates trim white space at the end of a message, so it is not sent, and is taken off what comes.
"""

from itertools import takewhile
from typing import Any

from app.agent.prompt import Message
from app.core.model import Dialect


class Prefix:
    """The text of one answer that stands, as one request gives it. With no text it changes nothing."""

    def __init__(self, text: str, dialect: Dialect) -> None:
        self._dialect = dialect
        self._shown = text.rstrip()
        self._tail = text[len(self._shown) :] if self._shown else ""
        # What the model may say before it says anything new; and what it has said, as long as that is all of it.
        self._known = text if self._shown and dialect == "prefix" else self._tail
        self._heard = ""

    def messages(self, messages: list[Message]) -> list[Message]:
        """The messages of the request."""
        if not self._shown:
            return [dict(message) for message in messages]
        last: dict[str, Any] = {"role": "assistant", "content": self._shown}
        if self._dialect == "prefix":
            last["prefix"] = True
        return [*messages, last]

    def options(self) -> dict[str, Any]:
        """What the body has beside the fields of every dialect."""
        if self._shown and self._dialect == "continue_final_message":
            return {"continue_final_message": True, "add_generation_prompt": False}
        return {}

    def new(self, text: str) -> str:
        """What of a piece is new."""
        if not self._known:
            return text
        self._heard += text
        if len(self._heard) < len(self._known) and self._known.startswith(self._heard):
            return ""
        repeated = _common(self._known, self._heard)
        return self.rest(repeated if repeated >= len(self._shown) else 0)

    def rest(self, repeated: int = 0) -> str:
        """What has been held back, but for what is known to be a repetition."""
        heard, self._heard, self._known = self._heard, "", ""
        return heard[repeated or _common(self._tail, heard) :]


def _common(one: str, other: str) -> int:
    """How many characters at the beginning are the same."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
