"""One connection to Redis that needs no event loop, and hears every publish in its place; and the scripts on it.

It speaks RESP3, so that what a script publishes comes over the same connection, before the answer to the next command:
what was heard is exactly what the last script said, and nothing is waited for.

The scripts are those of `app/state/scripts`, with one change: their clock. `clock` of the prelude gives the time that
a call brings along as its last key, so that time is set, and a failure can be made again.
"""

import socket
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import hiredis

from app.state.script import ON_SESSIONS
from tests.servers import ROOT

SCRIPTS: Final = ROOT / "app" / "state" / "scripts"
READ_BYTES: Final = 1 << 16
CLOCK: Final = """local function clock()
  time = time or redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
"""
SET_CLOCK: Final = """local function clock()
  return tonumber(KEYS[#KEYS])
end
"""


class Heard(NamedTuple):
    """One publish."""

    channel: str
    data: bytes


class Line:
    """The connection. `heard` is what was published since it was last emptied."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader()
        self.heard: list[Heard] = []
        self.ask(("HELLO", 3))
        self._send(("PSUBSCRIBE", "*"))  # answered by a push
        self.ask(("PING",))

    def ask(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Send commands in one write and return their answers; an error that Redis tells is raised."""
        self._send(*commands)
        answers: list[Any] = []
        while len(answers) < len(commands):
            value = self._reader.gets()
            if value is False:
                self._reader.feed(self._socket.recv(READ_BYTES))
            elif not isinstance(value, hiredis.PushNotification):
                answers.append(value)
            elif value[0] == b"pmessage":
                self.heard.append(Heard(value[2].decode(), value[3]))
        for answer in answers:
            if isinstance(answer, hiredis.ReplyError):
                raise answer
        return answers

    def _send(self, *commands: tuple[Any, ...]) -> None:
        self._socket.sendall(b"".join([hiredis.pack_command(command) for command in commands]))

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def sources() -> dict[str, str]:
    """The texts of the scripts on a session, and of their prelude, by their files' names without `.lua`."""
    return {name: (SCRIPTS / f"{name}.lua").read_text() for name in ("prelude", *sorted(ON_SESSIONS))}


def loaded(line: Line, texts: Mapping[str, str]) -> dict[str, bytes]:
    """Load scripts as `app.state.script` puts them together, but for their clock; return the SHA-1 of each."""
    assert texts["prelude"].count(CLOCK) == 1
    prelude, names = texts["prelude"].replace(CLOCK, SET_CLOCK), sorted(ON_SESSIONS)
    shas = line.ask(*(("SCRIPT", "LOAD", prelude + texts[name]) for name in names))
    return dict(zip(names, shas, strict=True))
