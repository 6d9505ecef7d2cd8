"""The commands of `chat.v1`: what a client may ask, each a value.

A command is right by construction: ids match, texts fit, cursors parse. The validator checks shapes, and
`__post_init__` what it cannot say; a `ChatError` raised there reaches the caller as it is.
To add one: a class here with the frame's `type` as its tag, its case in `edge.commands`, its row in
`docs/protocol.md`, a test in both codecs.
"""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from app.core.complaint import complaint
from app.core.errors import BadFrame, TooLong, UnknownCommand
from app.core.model import Cursor, checked_id
from app.core.protocol import ARGUMENT_BYTES, NOTE_BYTES, PROMPT_BYTES, SESSIONS, check
from app.core.questions import Again, Edit, Name, Ref, Say


class Resume(msgspec.Struct, frozen=True):
    """A session to follow again from a cursor; checked as an `open`, each on its own."""

    session: str
    cursor: str


class Hello(msgspec.Struct, frozen=True, tag_field="type", tag="hello"):
    """Say who one is and which sessions to follow again."""

    ref: Ref = None
    ticket: str | None = None
    token: str | None = None
    resume: Annotated[tuple[Resume, ...], Meta(max_length=SESSIONS)] = ()


class Open(msgspec.Struct, frozen=True, tag_field="type", tag="open"):
    """Follow a session, from a cursor or from a snapshot."""

    session: str
    ref: Ref = None
    cursor: str | None = None
    turns: Annotated[int, Meta(ge=0, le=100)] = 50

    def __post_init__(self) -> None:
        checked_id(self.session, "open: session")
        if self.cursor is not None:
            Cursor.parse(self.cursor)


class CloseSession(msgspec.Struct, frozen=True, tag_field="type", tag="close"):
    """Stop following a session."""

    session: str
    ref: Ref = None

    def __post_init__(self) -> None:
        checked_id(self.session, "close: session")


class Stop(msgspec.Struct, frozen=True, tag_field="type", tag="stop"):
    """End a run, running or queued."""

    session: str
    run: Name
    ref: Ref = None

    def __post_init__(self) -> None:
        checked_id(self.session, "stop: session")


class Answer(msgspec.Struct, frozen=True, tag_field="type", tag="answer"):
    """Decide on a call that waits for a person."""

    session: str
    run: Name
    call: Name
    decision: Literal["allow", "deny", "edit"]
    ref: Ref = None
    arguments: dict[str, Any] | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        checked_id(self.session, "answer: session")
        if self.decision == "edit" and self.arguments is None:
            raise BadFrame("answer: arguments is missing; expected with decision edit")
        if self.decision != "edit" and self.arguments is not None:
            raise BadFrame(f"answer: arguments: expected with decision edit only, not with {self.decision}")
        if (size := len(msgspec.json.encode((self.arguments, self.reason)))) > ARGUMENT_BYTES:
            raise TooLong(f"arguments and a reason of {size} bytes; at most {ARGUMENT_BYTES} are taken")


class Pause(msgspec.Struct, frozen=True, tag_field="type", tag="pause"):
    """Hold a run, at the next safe point."""

    session: str
    run: Name
    ref: Ref = None

    def __post_init__(self) -> None:
        checked_id(self.session, "pause: session")


class CarryOn(msgspec.Struct, frozen=True, tag_field="type", tag="resume"):
    """Carry on a run that was paused."""

    session: str
    run: Name
    ref: Ref = None

    def __post_init__(self) -> None:
        checked_id(self.session, "resume: session")


class History(msgspec.Struct, frozen=True, tag_field="type", tag="history"):
    """Read turns, newest last, before a turn; with `turn`, those that it replaced."""

    session: str
    ref: Ref = None
    before: Name | None = None
    turn: Name | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 50

    def __post_init__(self) -> None:
        checked_id(self.session, "history: session")


class Sessions(msgspec.Struct, frozen=True, tag_field="type", tag="sessions"):
    """List one's sessions, latest activity first."""

    ref: Ref = None
    query: Annotated[str, Meta(max_length=200)] | None = None
    before: str | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 50

    def __post_init__(self) -> None:
        if self.before is not None:
            checked_id(self.before, "sessions: before")


class Watch(msgspec.Struct, frozen=True, tag_field="type", tag="watch"):
    """Hear of changes in one's list of sessions."""

    ref: Ref = None


class Rename(msgspec.Struct, frozen=True, tag_field="type", tag="rename"):
    """Give a session a title."""

    session: str
    title: Annotated[str, Meta(max_length=200)]
    ref: Ref = None

    def __post_init__(self) -> None:
        checked_id(self.session, "rename: session")
        if not self.title.strip():
            raise BadFrame("rename: a title has at least one character that is not blank")


class Delete(msgspec.Struct, frozen=True, tag_field="type", tag="delete"):
    """Remove a session, for good."""

    session: str
    ref: Ref = None

    def __post_init__(self) -> None:
        checked_id(self.session, "delete: session")


class Differs(msgspec.Struct, frozen=True, tag_field="type", tag="differs"):
    """Report that one's text of a run is not the log's."""

    session: str
    run: Name
    sha256: Annotated[str, Meta(max_length=64)]
    ref: Ref = None

    def __post_init__(self) -> None:
        checked_id(self.session, "differs: session")


class Set(msgspec.Struct, frozen=True, tag_field="type", tag="set"):
    """Change a session's settings; empty text gives one its default again."""

    session: str
    ref: Ref = None
    model: Annotated[str, Meta(max_length=200)] | None = None
    temperature: float | str | None = None
    prompt: str | None = None

    def __post_init__(self) -> None:
        checked_id(self.session, "set: session")
        if (size := len((self.prompt or "").encode())) > PROMPT_BYTES:
            raise TooLong(f"a prompt of {size} bytes; at most {PROMPT_BYTES} are taken")
        if not (self.temperature in (None, "") or (isinstance(self.temperature, float) and 0 <= self.temperature <= 2)):
            raise BadFrame(f"set: temperature: expected a number from 0 to 2, got {str(self.temperature)[:80]}")

    @property
    def settings(self) -> dict[str, Any]:
        """Those that are given."""
        given = {"model": self.model, "temperature": self.temperature, "prompt": self.prompt}
        return {name: value for name, value in given.items() if value is not None}


class Rate(msgspec.Struct, frozen=True, tag_field="type", tag="rate"):
    """Say what one thinks of an answer; without `value`, take that back."""

    session: str
    turn: Name
    ref: Ref = None
    value: Literal["up", "down"] | None = None
    note: str = ""

    def __post_init__(self) -> None:
        checked_id(self.session, "rate: session")
        if (size := len(self.note.encode())) > NOTE_BYTES:
            raise TooLong(f"a note of {size} bytes; at most {NOTE_BYTES} are taken")


class Context(msgspec.Struct, frozen=True, tag_field="type", tag="context"):
    """Read what is known of oneself; with `set`, change some of it first (`None` removes a value)."""

    ref: Ref = None
    set: dict[str, Any] | None = None
    version: Annotated[int, Meta(ge=0)] | None = None


class Ping(msgspec.Struct, frozen=True, tag_field="type", tag="ping"):
    """Ask whether the server is there."""

    ref: Ref = None


Command = (
    Hello
    | Open
    | CloseSession
    | Say
    | Again
    | Edit
    | Stop
    | Answer
    | Pause
    | CarryOn
    | History
    | Sessions
    | Watch
    | Rename
    | Delete
    | Differs
    | Set
    | Rate
    | Context
    | Ping
)
COMMANDS: Final[dict[str, type[Command]]] = {
    str(kind.__struct_config__.tag): kind
    for kind in (
        Hello, Open, CloseSession, Say, Again, Edit, Stop, Answer, Pause, CarryOn, History, Sessions, Watch, Rename,
        Delete, Differs, Set, Rate, Context, Ping,
    )
}  # fmt: skip


def command_of(frame: Any) -> Command:
    """Read a frame as a command.

    Raises:
        BadFrame: not a map, too deep, no type, or a field is missing or wrong.
        BadCursor: a cursor is malformed.
        TooLong: the text or the context is over its bound.
        UnknownCommand: no such type.
    """
    check(frame)
    name = frame.get("type")
    if not isinstance(name, str):
        raise BadFrame("a frame has a 'type' that is text")
    if name not in COMMANDS:
        raise UnknownCommand(f"{name[:40]!r} is not a command; known are {', '.join(sorted(COMMANDS))}")
    fields = {key: value for key, value in frame.items() if value is not None}
    try:
        return msgspec.convert(fields, COMMANDS[name])
    except msgspec.ValidationError as error:
        raise BadFrame(complaint(name, COMMANDS[name], fields, str(error))) from error
