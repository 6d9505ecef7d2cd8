"""The wire protocol `chat.v1`: frames to and from bytes, in two codecs.

`chat.v1.json` is text, `chat.v1.msgpack` is binary; frames and keys are the same. One WebSocket message is one
frame or an array of frames. Bytes become plain values here (`decode`), plain values become commands in
`core.commands`; what goes out is a dict, or a `batch` whose entries are already encoded.

Nothing that arrives can cost more than its size: no extension types, no deep nesting, no numbers that the other
codec cannot say.
"""

import math
from enum import StrEnum
from itertools import chain
from typing import Any, Final

import msgpack
import msgspec

from app.core.entries import Batch, merged
from app.core.errors import BadFrame, ChatError, TooBig

VERSION: Final = "chat.v1"
MESSAGE_BYTES: Final = 64 * 1024
TEXT_BYTES: Final = 32 * 1024
CONTEXT_BYTES: Final = 8 * 1024
ANSWER_BYTES: Final = 256 * 1024
ARGUMENT_BYTES: Final = 16 * 1024  # of a call
NOTE_BYTES: Final = 4 * 1024  # of a rating
PROMPT_BYTES: Final = 8 * 1024
SESSIONS: Final = 50
QUEUED: Final = 10
FRAME_BYTES: Final = 1024 * 1024
BATCH_BYTES: Final = 256 * 1024
SNAPSHOT_BYTES: Final = 512 * 1024
HEARTBEAT_MS: Final = 25_000
DEPTH: Final = 32
FRAMES: Final = 1000  # of one message
VALUES: Final = 8192  # of one frame, at one depth
FEW: Final = 16  # fields
TEXT: Final = {str}
EXTENSION: Final = object()
KINDS: Final = {str, int, float, bool, type(None), list, dict}
ESCAPED: Final = bytes(range(0x20)) + b'"\\'

NOT_DECODED: Final = (ValueError, RecursionError, msgspec.MsgspecError, msgpack.exceptions.UnpackException)

Frame = dict[str, Any]


class Codec(StrEnum):
    """A subprotocol: how frames become bytes."""

    MSGPACK = "chat.v1.msgpack"
    JSON = "chat.v1.json"


class Close:
    """Close codes. 4000–4499 and 1001, 1006, 1011–1013: come back with your cursors. 4500–4999: do not."""

    GONE = 1001
    BROKEN = 1011
    SIGN_IN = 4001
    NO_HELLO = 4002
    TOO_MANY = 4003
    TOO_SLOW = 4008
    TOO_OFTEN = 4029
    NOT_YOU = 4500
    NOT_OURS = 4501
    MAY_NOT = 4507


def returns(code: int | None) -> bool:
    """Say whether a client that was closed with `code` (None: no close frame) reconnects."""
    return code is None or code in (1000, 1001, 1005, 1006, 1011, 1012, 1013) or 4000 <= code <= 4499


def decode(message: bytes | str, codec: Codec) -> list[Any]:
    """Read one WebSocket message as what should be frames: `check` each.

    Raises:
        TooBig: over 64 KiB.
        BadFrame: not of this codec, an empty array, or one of more than `FRAMES`.
    """
    size = len(message) if isinstance(message, bytes) else len(message.encode("utf-8", "surrogatepass"))
    if size > MESSAGE_BYTES:
        raise TooBig(f"a message of {size} bytes; at most {MESSAGE_BYTES} are read")
    if isinstance(message, bytes) is not (codec is Codec.MSGPACK):
        kind = "binary" if isinstance(message, bytes) else "text"
        raise BadFrame(f"a {kind} message; {codec.value} was agreed on")
    try:
        if codec is Codec.MSGPACK:
            value = msgpack.unpackb(message, ext_hook=_extension, max_array_len=VALUES, max_map_len=VALUES)
        else:
            value = msgspec.json.decode(message)
    except NOT_DECODED as error:
        raise not_decoded(codec.value.removeprefix("chat.v1."), error) from error
    frames = value if isinstance(value, list) else [value]
    if not frames:
        raise BadFrame("an empty array; expected a frame or an array of frames")
    if len(frames) > FRAMES:
        raise BadFrame(f"an array of {len(frames)} frames; at most {FRAMES} are taken at a time")
    return frames


def not_decoded(what: str, error: Exception) -> BadFrame:
    """Say why bytes are not what they should be."""
    if isinstance(error, RecursionError | msgpack.exceptions.StackError):
        return BadFrame(f"not {what} that is read: nested too deep; at most {DEPTH} levels are")
    return BadFrame(f"not {what}: {str(error)[:120] or 'malformed'}")


def check(frame: Any) -> None:
    """Hold what was decoded to what a frame is.

    Raises:
        BadFrame: not a map, nested too deep, or with a value that the other codec could not say.
    """
    if not isinstance(frame, dict):
        raise BadFrame(f"a frame is a map with a 'type', not {kind_of(frame)}")
    if not _plain(frame):
        _check(frame)


def encode(frame: Frame, codec: Codec) -> bytes | str:
    """Write one frame as a WebSocket message."""
    if codec is Codec.MSGPACK:
        packed: bytes = msgpack.packb(frame)
        return packed
    return msgspec.json.encode(frame).decode()


def framed(message: bytes | str) -> bytes:
    """Write a message as a server's WebSocket frame (RFC 6455, 5.2): one, whole, not masked."""
    payload, opcode = (message.encode(), 0x81) if isinstance(message, str) else (message, 0x82)
    size = len(payload)
    if size < 126:
        return bytes((opcode, size)) + payload
    if size < 65_536:
        return bytes((opcode, 126)) + size.to_bytes(2, "big") + payload
    return bytes((opcode, 127)) + size.to_bytes(8, "big") + payload


def encode_batch(session: str, batch: Batch, codec: Codec) -> bytes | str:
    """Write a batch frame. In msgpack the entries' bytes go in as they are; in both, neighbouring text is merged
    where there is more than one entry.
    """
    if codec is Codec.MSGPACK and len(batch.entries) == 1:
        head = {"type": "batch", "session": session, "after": str(batch.after), "at": str(batch.at)}
        # The map's header (0x84) becomes that of five pairs; the fifth is `entries`, an array of one.
        packed: bytes = msgpack.packb(head)
        return b"\x85" + packed[1:] + b"\xa7entries\x91" + batch.entries[0]
    return encode(batch_frame(session, batch), codec)


def batch_frame(session: str, batch: Batch) -> Frame:
    """Give a batch as a frame, its entries decoded and neighbouring text merged."""
    return {
        "type": "batch",
        "session": session,
        "after": str(batch.after),
        "at": str(batch.at),
        "entries": merged(batch.entries),
    }


def json_bytes(encoded: bytes) -> int:
    """Estimate, never too low, how long the JSON of an encoded entry is: a control character takes six bytes."""
    plain = encoded.translate(None, ESCAPED)
    return len(encoded) + 5 * (len(encoded) - len(plain))


def error_frame(error: ChatError, ref: Any = None, session: str | None = None) -> Frame:
    """Give an error as the frame that answers `ref`."""
    frame: Frame = {"type": "error", "code": error.code, "message": error.message, "retry": error.retry}
    if error.after_ms is not None:
        frame["after_ms"] = error.after_ms
    return frame | replying(ref, session)


def replying(ref: Any, session: str | None = None) -> Frame:
    """Give the fields that tie a frame to the command that it answers."""
    return ({"ref": ref} if isinstance(ref, str) else {}) | ({"session": session} if session is not None else {})


def _extension(code: int, data: bytes) -> object:
    """Stand for a value of an extension type, without making one: `_check` refuses it."""
    return EXTENSION


def _plain(frame: dict[Any, Any]) -> bool:
    """Say of most frames, for little, that nothing in them can be wrong: few fields, and all of them text."""
    return len(frame) <= FEW and TEXT.issuperset(map(type, frame)) and TEXT.issuperset(map(type, frame.values()))


def _check(value: Any) -> None:
    """Refuse what the other codec could not say: deep nesting, bytes, extension types, NaN and infinities.

    Level by level, and by kinds: what a stranger sends may be one of many thousand values, and none costs a call.
    """
    level: list[Any] = [value]
    for _ in range(DEPTH):
        if not level:
            return
        kinds = set(map(type, level))
        if strange := kinds - KINDS:
            seen = next(one for one in level if type(one) in strange)
            raise BadFrame(f"expected text, number, boolean, null, array or map, not {kind_of(seen)}")
        if int in kinds:
            numbers = [one for one in level if type(one) is int]
            if min(numbers) < -(2**63) or max(numbers) >= 2**64:
                raise BadFrame("a whole number fits in 64 bits")
        if float in kinds and not all(map(math.isfinite, [one for one in level if type(one) is float])):
            raise BadFrame("a number is finite, not NaN or infinite")
        maps = [one for one in level if type(one) is dict] if dict in kinds else []
        if set(map(type, chain.from_iterable(maps))) - {str}:
            seen = next(key for key in chain.from_iterable(maps) if type(key) is not str)
            raise BadFrame(f"a key is text, not {kind_of(seen)}")
        lists = [one for one in level if type(one) is list] if list in kinds else []
        if (count := sum(map(len, lists)) + sum(map(len, maps))) > VALUES:
            raise BadFrame(f"{count} values at one depth; at most {VALUES} are taken")
        level = [*chain.from_iterable(lists), *chain.from_iterable(map(dict.values, maps))]
    if level:
        raise BadFrame(f"nested deeper than {DEPTH}")


def kind_of(value: Any) -> str:
    """Name a value's type in the protocol's words, not Python's."""
    names = {str: "text", bytes: "bytes", list: "an array", dict: "a map", bool: "a boolean", type(None): "null"}
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "a number"
    return names.get(type(value), "an extension type")
