"""The events of a response, as OpenAI's Responses API streams them, and what they say.

https://platform.openai.com/docs/api-reference/responses-streaming. Of each event only what we use is decoded; those
that we do not know are passed over. They are numbered, and a response that its provider keeps can be read on after any
number, over another connection: what comes twice is taken once. Numbers may be left out (keep-alives have some), but an
answer that went on unseen, and of which only the end is told, is lost: `Forgotten`.
"""

from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from app.agent.calls import ARGUMENT_BYTES, LISTED, TooManyCalls
from app.agent.flow import Piece, ToolCall, counted
from app.agent.lines import Lines
from app.core.errors import ChatError, ContentRefused, ModelUnavailable

ENDS: Final = ("response.completed", "response.incomplete", "response.failed", "response.cancelled", "error")
REFUSALS: Final = (
    "invalid_prompt", "content_filter", "bio_policy", "misalignment_policy_violation", "image_content_policy_violation",
)  # fmt: skip
USAGE: Final = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens", "total_tokens": "total_tokens"}

NONE: Final = msgspec.Raw(b"null")

T = TypeVar("T")


class NoEvent(ValueError):
    """It is none."""


class Forgotten(Exception):
    """The provider cannot go on with the response from there."""


class Fault(msgspec.Struct):
    """Why a response failed, or is not whole."""

    code: Any = None
    reason: Any = None


class Item(msgspec.Struct):
    """A part of a response: text, thoughts, or a call."""

    type: str = ""
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    status: str | None = None


class Response(msgspec.Struct):
    """A response as it stands."""

    id: str = ""
    output: list[Item] = []
    usage: dict[str, Any] | None = None
    error: Fault | None = None
    incomplete_details: Fault | None = None


class Event(msgspec.Struct):
    """One event, with what is common to many kinds."""

    type: str = ""
    sequence_number: int | None = None
    delta: Any = None
    summary_index: Any = None
    code: Any = None
    error: msgspec.Raw = NONE
    item: msgspec.Raw = NONE
    response: msgspec.Raw = NONE

    @property
    def said(self) -> str:
        """The text that it adds."""
        return self.delta if isinstance(self.delta, str) else ""


class Place(NamedTuple):
    """Where a response can be read on: after the event of that number."""

    id: str
    at: int

    @classmethod
    def parse(cls, text: str) -> "Place":
        """Read `<id> <number>`.

        Raises:
            Forgotten: it is none of ours.
        """
        id, _, at = text.partition(" ")
        if not (id and at.isascii() and at.isdecimal()):
            raise Forgotten(f"no place of a response: {text[:80]!r}")
        return cls(id, int(at))

    def __str__(self) -> str:
        return f"{self.id} {self.at}"


NOWHERE: Final = Place("", -1)


class Reading:
    """One response, read to its end over as many connections as that takes: bytes in, pieces out.

    A piece's place is that of the last thing said or thought. So that whoever takes it up again is told of the calls
    and of the usage too, these are behind every place.
    """

    def __init__(self, place: Place | None = None, *, kept: bool = True) -> None:
        self.over = False
        self._kept = kept  # at its provider: else it has no place
        self._id, self._at = place or NOWHERE
        self._stands = self._at  # the number of the last thing that was given
        self._given = place is not None  # something was, here or before
        self._calls: dict[str, ToolCall] = {}
        self._ended = Piece()
        self._lines = Lines()
        self._first = True  # the next event is the connection's first
        self._wrong: Exception | None = None

    @property
    def place(self) -> Place | None:
        """Where it can be read on, as far as it was read."""
        return Place(self._id, self._at) if self._kept and self._id and self._at >= 0 else None

    def connected(self, *, anew: bool) -> None:
        """Take that what comes next is from another connection, and another response, if that is begun anew."""
        self._lines, self._first, self._wrong = Lines(), True, None
        if anew:
            self.over, self._calls, (self._id, self._at), self._stands = False, {}, NOWHERE, NOWHERE.at

    def piece(self, data: bytes) -> Piece | None:
        """Read what came; then `check` whether anything was wrong with it."""
        texts: list[str] = []
        thoughts: list[str] = []
        lives = False
        try:
            for value in self._lines.values(data):
                event = _decoded(value, Event)
                if self.over or not self._is_new(event):
                    continue
                match event.type:
                    case "response.output_text.delta" | "response.refusal.delta":
                        texts.append(event.said)
                    case "response.reasoning_text.delta" | "response.reasoning_summary_text.delta":
                        thoughts.append(event.said)
                    case "response.reasoning_summary_part.added" if event.summary_index:
                        thoughts.append("\n\n")
                    case "response.function_call_arguments.delta":
                        lives = True
                    case "response.output_item.done":
                        self._gather([_decoded(event.item, Item)])
                        continue
                    case kind if kind in ENDS:
                        self._end(event)
                        continue
                    case _:
                        continue
                self._stands, self._given = self._at, True
        except (ValueError, ChatError, Forgotten) as error:
            self._wrong = error
        if not (texts or thoughts or lives or (self.over and self._wrong is None)):
            return None
        place = str(Place(self._id, self._stands)) if self.place and self._stands >= 0 else ""
        return self._ended._replace(text="".join(texts), reasoning="".join(thoughts), place=place)

    def check(self) -> None:
        """Raise what was wrong.

        Raises:
            ValueError: what came is no event; the connection is of no more use.
            ModelUnavailable, ContentRefused, Forgotten: the response is over.
        """
        if self._wrong is not None:
            error, self._wrong = self._wrong, None
            raise error

    def _is_new(self, event: Event) -> bool:
        """Take an event's number, if it was not seen before."""
        if not self._id and event.response != NONE:
            self._id = _decoded(event.response, Response).id
        number = event.sequence_number
        if number is None:
            return True
        first, self._first = self._first, False
        if number <= self._at:
            return False
        if first and self._at >= 0 and number > self._at + 1 and event.type in ENDS[:2]:
            self.over = True
            raise Forgotten("the response went on unseen")
        self._at = number
        return True

    def _gather(self, items: list[Item]) -> None:
        for item in items:
            if item.type == "function_call" and item.status != "incomplete":
                id = item.call_id or ""
                self._calls[id] = ToolCall(id, item.name or "", item.arguments or "")
        if len(self._calls) > LISTED or sum(len(call.arguments) for call in self._calls.values()) > ARGUMENT_BYTES:
            raise TooManyCalls(f"more than {LISTED} calls in one answer, or {ARGUMENT_BYTES} bytes of arguments")

    def _end(self, event: Event) -> None:
        """Take that the response is over.

        Raises:
            ModelUnavailable, ContentRefused, Forgotten
        """
        self.over = True
        response = _decoded(event.response, Response)
        if event.type in ENDS[:2]:
            if response.incomplete_details and response.incomplete_details.reason == "content_filter":
                raise ContentRefused("the model refused to go on")
            self._gather(response.output)
            known = counted(response.usage or {}, USAGE)
            self._ended = Piece(usage=known or None, calls=tuple(self._calls.values()))
            return
        fault = response.error or (Fault(event.code) if event.error == NONE else _decoded(event.error, Fault))
        if fault.code in REFUSALS:
            raise ContentRefused("the model refused to go on")
        if self._given:  # the same response, asked again, would only say so again
            raise Forgotten(f"the response failed: {str(fault.code)[:80]}")
        raise ModelUnavailable(f"the model failed: {str(fault.code)[:80]}")


def _decoded(value: bytes | msgspec.Raw, kind: type[T]) -> T:
    """What a value says; null says nothing."""
    try:
        return kind() if value == NONE else msgspec.json.decode(value, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NoEvent(f"no event of a response: {error}") from error
