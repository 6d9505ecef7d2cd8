"""Bad inputs of every kind, each drawn from a random number generator: messages, frames that are none, requests.

None may leave anything behind in a node, and none is right by accident: what is drawn at random is changed until
something in it must be wrong.
"""

import random
from collections.abc import Callable
from typing import Any, Final

from app.core.protocol import FRAME_BYTES, MESSAGE_BYTES, Codec
from tests.contract.wire import pack

Message = bytes | str

RIGHT: Final[dict[str, dict[str, Any]]] = {  # commands whose fields are then made wrong
    "hello": {"resume": [{"session": "s", "cursor": "1-1"}], "token": "x"},
    "open": {"session": "s", "cursor": "1-1", "turns": 5},
    "close": {"session": "s"},
    "say": {"session": "s", "id": "m", "text": "Hello.", "model": "script-1", "context": {}, "when_busy": "queue"},
    "again": {"session": "s", "id": "m-a", "turn": "t", "model": "script-1", "when_busy": "queue"},
    "edit": {"session": "s", "id": "m-e", "turn": "t", "text": "x", "context": {}, "when_busy": "reject"},
    "rate": {"session": "s", "turn": "t", "value": "up", "note": "x"},
    "stop": {"session": "s", "run": "r"},
    "answer": {"session": "s", "run": "r", "call": "c", "decision": "edit", "arguments": {"a": 1}, "reason": "x"},
    "pause": {"session": "s", "run": "r"},
    "resume": {"session": "s", "run": "r"},
    "history": {"session": "s", "before": "m", "limit": 5},
    "sessions": {"query": "x", "before": "s", "limit": 5},
    "watch": {"ref": "r"},
    "rename": {"session": "s", "title": "Mine"},
    "delete": {"session": "s"},
    "differs": {"session": "s", "run": "r", "sha256": "0" * 64},
    "set": {"session": "s", "model": "script-1", "temperature": 0.5, "prompt": "Be mine."},
    "context": {"set": {"x": 1}, "version": 0},
    "ping": {"ref": "r"},
}
NO_IDS: Final = ("", "/", "a/b", "s\n", "é", ".a", "\0", "a" * 65, "s" * 9000)
WRONG: Final[list[Any]] = [
    None, True, 5, -1.5, "x", [], [[]], {}, {"type": None}, {"type": 5}, {"type": "soap"}, {"type": "Ping"},
    {"type": "open"}, {"type": "say", "id": "m", "text": " \t"}, {"type": "say", "id": "m", "text": "x" * 32_769},
    {"type": "open", "session": "s", "cursor": "x"}, {"type": "open", "session": "s", "cursor": "9" * 17 + "-1"},
    {"type": "answer", "session": "s", "run": "r", "call": "c", "decision": "edit"}, {"type": "pause"},
    {"type": "stop", "session": "s", "run": ""}, {"type": "history", "session": "s", "limit": -1},
    {"type": "again", "session": "s", "id": "m", "turn": ""}, {"type": "rate", "session": "s", "turn": "t", "value": 1},
    {"type": "edit", "session": "s", "id": "m", "turn": "t", "text": " "},
    {"type": "set", "session": "s", "temperature": 3.5}, {"type": "context", "set": {"a b": 1}},
    {"type": "context", "set": {"last_seen": 1}}, {"type": "hello", "resume": 5},
    {"type": "rename", "session": "s", "title": " "},
]  # fmt: skip


def noise(rng: random.Random, codec: Codec) -> Message:
    """Bytes, or text, of any kind."""
    data = b"\xc1" + rng.randbytes(rng.randrange(200))  # 0xc1 is never used in msgpack
    return data if codec is Codec.MSGPACK else "\xc1" + data.decode("latin-1")


def other_kind(rng: random.Random, codec: Codec) -> Message:
    """What the other codec would send."""
    return pack({"type": "ping"}, Codec.JSON if codec is Codec.MSGPACK else Codec.MSGPACK)


def cut(rng: random.Random, codec: Codec) -> Message:
    """A command that breaks off."""
    type = rng.choice(sorted(RIGHT))
    message = pack({"type": type} | RIGHT[type], codec)
    return message[: rng.randrange(len(message))]


def wrong(rng: random.Random, codec: Codec) -> Message:
    """A value that is no command."""
    return pack(rng.choice(WRONG), codec)


def wrong_field(rng: random.Random, codec: Codec) -> Message:
    """A command, one field of which no command takes."""
    type = rng.choice(sorted(RIGHT))
    return pack({"type": type} | RIGHT[type] | {rng.choice(sorted(RIGHT[type])): [5]}, codec)


def wrong_id(rng: random.Random, codec: Codec) -> Message:
    """A command that names what can be no session."""
    type = rng.choice([type for type in sorted(RIGHT) if "session" in RIGHT[type]])
    return pack({"type": type} | RIGHT[type] | {"session": rng.choice(NO_IDS)}, codec)


def too_big(rng: random.Random, codec: Codec) -> Message:
    """A message of more than may be."""
    return b"\x00" * (MESSAGE_BYTES + 1) if codec is Codec.MSGPACK else " " * (MESSAGE_BYTES + 1)


USUAL: Final = (noise, other_kind, cut, wrong, wrong_field, wrong_id)


def message(rng: random.Random, codec: Codec) -> Message:
    """A message of any of these kinds."""
    return (too_big if rng.randrange(200) == 0 else rng.choice(USUAL))(rng, codec)


def framed(opcode: int, payload: bytes, *, first: int = 0x80, masked: bool = True) -> bytes:
    """A client's WebSocket frame (RFC 6455, 5.2) of less than 64 KiB; `first`: FIN and the reserved bits."""
    size, mask = len(payload), b"\1\2\3\4"
    head = bytes((first | opcode, (masked << 7) | (size if size < 126 else 126)))
    head += size.to_bytes(2, "big") if size >= 126 else b""
    return head + (mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload)) if masked else payload)


def _long(size: int) -> bytes:
    return b"\x82\xff" + size.to_bytes(8, "big") + b"\1\2\3\4" + b"x" * 100


FRAMES: Final[dict[str, Callable[[random.Random], bytes]]] = {  # each of which ends its connection
    "a reserved bit": lambda rng: framed(2, b"x", first=rng.choice([0x90, 0xA0, 0xC0, 0xF0])),
    "a reserved opcode": lambda rng: framed(rng.choice([3, 4, 5, 6, 7, 11, 12, 13, 14, 15]), b"x"),
    "not masked": lambda rng: framed(rng.choice([1, 2, 9]), b"x", masked=False),
    "a long ping": lambda rng: framed(rng.choice([8, 9, 10]), b"x" * rng.randrange(126, 400)),
    "a ping in parts": lambda rng: framed(rng.choice([8, 9, 10]), b"x", first=0),
    "a part of nothing": lambda rng: framed(0, b"x", first=rng.choice([0, 0x80])),
    "a message within another": lambda rng: framed(2, b"x", first=0) + framed(2, b"x"),
    "not UTF-8": lambda rng: framed(1, b"\xff" + rng.randbytes(20)),
    "not UTF-8, in parts": lambda rng: framed(1, b"\xc3", first=0) + framed(0, b"\x28"),
    "half a close code": lambda rng: framed(8, b"\x03"),
    "no close code": lambda rng: framed(8, rng.choice([0, 999, 1004, 1005, 1006, 1015, 2999, 5000]).to_bytes(2, "big")),
    "a close that is no text": lambda rng: framed(8, b"\x03\xe8\xff\xfe"),
    "over the bound": lambda rng: _long(FRAME_BYTES + 1 + rng.randrange(2**62)),
    "a negative length": lambda rng: _long(2**63 + rng.randrange(2**62)),
}
CODES: Final = {1002, 1007, 1009}

JSON: Final = b"Content-Type: application/json\r\n"
HEAD: Final = b"Host: 127.0.0.1\r\nX-User-Id: ada\r\nConnection: close\r\n"
KEY: Final = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
UPGRADE: Final = b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
OURS: Final = b"Sec-WebSocket-Protocol: chat.v1.json\r\n"
PATHS: Final = (
    b"/chat",
    b"/api/sessions/s/turns",
    b"/api/sessions/%ff%00/turns",
    b"/api/context",
    b"/%00",
    b"/static/..",
)


def _request(line: bytes, fields: bytes = b"", body: bytes = b"") -> bytes:
    return line + b" HTTP/1.1\r\n" + HEAD + fields + b"\r\n" + body


def _body(rng: random.Random) -> bytes:
    body = rng.choice([rng.randbytes(60), b"", b"null", b'{"last_seen":5}', b'{"last_seen":[],"text":[]}', b"[" * 9000])
    line = rng.choice([b"POST ", b"PATCH ", b"PUT ", b"BREW "]) + rng.choice(PATHS)
    return _request(line, JSON + b"Content-Length: %d\r\n" % len(body), body)


def _chunked(body: bytes) -> bytes:
    return _request(b"POST /chat", JSON + b"Transfer-Encoding: chunked\r\n", body)


def _upgrade(fields: bytes = KEY + OURS, line: bytes = b"GET /ws", body: bytes = b"") -> bytes:
    return _request(line, UPGRADE + fields, body).replace(b"Connection: close", b"Connection: Upgrade")


REQUESTS: Final[dict[str, Callable[[random.Random], bytes]]] = {  # each of which is refused
    "a body": _body,
    "noise": lambda rng: b"\xff" + rng.randbytes(40) + b"\r\n\r\n",
    "a chunk that is none": lambda rng: _chunked(rng.choice([b"zz\r\n", b"2\r\n{}\r\nzz\r\n", b"f" * 17 + b"\r\n{}"])),
    "a body over the bound": lambda rng: _chunked(b"11000\r\n" + b" " * 0x11000 + b"\r\n0\r\n\r\n"),
    "two lengths": lambda rng: _request(b"POST /chat", JSON + b"Content-Length: 1\r\nContent-Length: 2\r\n", b"{}"),
    "a length that is none": lambda rng: _request(b"POST /chat", JSON + b"Content-Length: -1\r\n", b"{}"),
    "a long head": lambda rng: _request(b"GET /live", b"X: " + b"x" * 17_000 + b"\r\n"),
    "no host": lambda rng: b"GET /live HTTP/1.1\r\nConnection: close\r\n\r\n",
    "no such path": lambda rng: _request(b"GET /%%%02x%%zz" % rng.randrange(128, 256)),
    "HTTP/2": lambda rng: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an upgrade without a protocol": lambda rng: _upgrade(KEY),
    "an upgrade without a key": lambda rng: _upgrade(OURS),
    "an upgrade elsewhere": lambda rng: _upgrade(line=b"GET /chat"),
    "an upgrade by POST": lambda rng: _upgrade(line=b"POST /ws"),
    "an upgrade with a body": lambda rng: _upgrade(KEY + OURS + b"Content-Length: 2\r\n", body=b"{}"),
    "an upgrade with a long field": lambda rng: _upgrade(KEY + OURS + b"X: " + b"x" * 9000 + b"\r\n"),
    "an upgrade with many fields": lambda rng: _upgrade(KEY + OURS + b"X: 1\r\n" * 200),
    "an upgrade with a long path": lambda rng: _upgrade(line=b"GET /ws?" + b"x" * 9000),
}  # fmt: skip


def broken_off(rng: random.Random) -> bytes:
    """What has a beginning only, whatever it would have been."""
    unfinished = _request(b"POST /chat", JSON + b"Content-Length: 99\r\n", b"{}")
    whole = rng.choice([unfinished, _chunked(b"9\r\n{}"), _body(rng), _upgrade() + framed(1, b"{}")])
    return whole[: rng.randrange(1, len(whole) + 1)]
