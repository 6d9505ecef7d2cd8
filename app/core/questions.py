"""What a person may have answered: something new (`say`), a turn anew (`again`), a turn said otherwise (`edit`).

Each has an id, its idempotency key, and becomes a run.
"""

import hashlib
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from app.core.errors import BadFrame, TooLong
from app.core.model import checked_id
from app.core.protocol import CONTEXT_BYTES, TEXT_BYTES

Ref = str | None
Name = Annotated[str, Meta(min_length=1, max_length=64)]  # of a run or a turn
ModelName = Annotated[str, Meta(min_length=1, max_length=200)]
WhenBusy = Literal["queue", "interrupt", "reject"]


class Say(msgspec.Struct, frozen=True, tag_field="type", tag="say"):
    """Speak, and have it answered. Without `session` its id names the session too."""

    id: str
    text: str
    ref: Ref = None
    session: str | None = None
    model: ModelName | None = None
    context: dict[str, Any] | None = None
    when_busy: WhenBusy = "queue"

    def __post_init__(self) -> None:
        checked_id(self.id, "say: id")
        if self.session is not None:
            checked_id(self.session, "say: session")
        _check("say", self.text, self.context)


class Again(msgspec.Struct, frozen=True, tag_field="type", tag="again"):
    """Have a person's turn answered once more; what followed it leaves the history when that begins."""

    session: str
    id: str
    turn: Name
    ref: Ref = None
    model: ModelName | None = None
    when_busy: WhenBusy = "interrupt"

    def __post_init__(self) -> None:
        checked_id(self.session, "again: session")
        checked_id(self.id, "again: id")


class Edit(msgspec.Struct, frozen=True, tag_field="type", tag="edit"):
    """Say a person's turn otherwise, in its place; it and what followed it leave the history when that begins."""

    session: str
    id: str
    turn: Name
    text: str
    ref: Ref = None
    model: ModelName | None = None
    context: dict[str, Any] | None = None
    when_busy: WhenBusy = "interrupt"

    def __post_init__(self) -> None:
        checked_id(self.session, "edit: session")
        checked_id(self.id, "edit: id")
        _check("edit", self.text, self.context)


Question = Say | Again | Edit


def kind_of_question(question: Question) -> str:
    """Name it as frames do."""
    return str(question.__struct_config__.tag)


def fingerprint(question: Question) -> str:
    """Digest what makes a repeated message id the same request: equal from either codec."""
    text, context, turn = (getattr(question, name, None) for name in ("text", "context", "turn"))
    parts = [kind_of_question(question), text, context, question.model, turn]
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()


def _check(name: str, text: str, context: dict[str, Any] | None) -> None:
    """Hold a turn's text and context to their bounds.

    Raises:
        BadFrame: a text of blanks only.
        TooLong: a text over 32 KiB, or a context over 8 KiB.
    """
    if not text.strip():
        raise BadFrame(f"{name}: a text has at least one character that is not blank")
    if (size := len(text.encode())) > TEXT_BYTES:
        raise TooLong(f"a text of {size} bytes; at most {TEXT_BYTES} are taken")
    if context is not None and (size := len(msgspec.json.encode(context))) > CONTEXT_BYTES:
        raise TooLong(f"a context of {size} bytes; at most {CONTEXT_BYTES} are taken")
