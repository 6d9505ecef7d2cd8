"""The chat in a terminal, and a session's log as lines: what `python -m app chat` and `tail` do."""

import asyncio
import io
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

from rich.console import Console

from app.client.chat import Chat, connect
from app.client.keyboard import Keyboard
from app.client.link import Refused
from app.client.screen import BAD, Paper, Screen, Sheet, visible
from app.client.talk import Talk
from app.client.words import LOST
from app.core.errors import BadFrame, ChatError, Unavailable
from app.core.model import checked_id

FIRST_SECONDS: Final = 4.0  # how long a node may take to greet
LOOK_SECONDS: Final = 0.05
NAME: Final = re.compile(r"[!-~]{1,128}\Z")


async def chat(url: str, *, user: str, session: str | None) -> int:
    """Chat until /quit or the end of the input; return the exit code.

    Where input or output is no terminal, answers come as plain text, and one that failed makes the exit code 1.
    """
    _forgive()
    console = Console(highlight=False, markup=False, emoji=False)
    is_screen = console.is_terminal and not console.is_dumb_terminal and sys.stdin.isatty() and sys.stdout.isatty()
    sheet: Sheet = Screen(console) if is_screen else Paper()
    keyboard = Keyboard(edited=is_screen)
    try:
        async with _connected(url, user) as link:
            with keyboard.held():
                talk = Talk(link, keyboard, sheet)
                await talk.run(session)
    except (Refused, ChatError) as error:
        sheet.note(_why(error), BAD)
        return 1
    if is_screen:
        return 0
    return 130 if keyboard.interrupts else int(talk.failed)


async def tail(url: str, *, user: str, session: str) -> int:
    """Print each entry of a session, one a line, as it comes, until interrupted; return the exit code."""
    _forgive()
    try:
        async with _connected(url, user) as link:
            watching = asyncio.create_task(_tell(link))
            try:
                await _print(link, checked_id(session, "a session's id"))
            finally:
                watching.cancel()
    except (Refused, ChatError) as error:
        print(_why(error), file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read this has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


async def _print(link: Chat, id: str) -> None:
    """Print what a session holds, then what comes."""
    session = await link.open(id)
    transcript = session.transcript
    for turn in transcript.turns:
        _line(turn["at"], turn["role"], turn)
    if transcript.run is not None:
        _line(str(transcript.at), "running", transcript.run.wire())
    async for frame in session.follow():
        if frame["type"] != "batch":
            _line(frame.get("at", "-"), frame["type"], {"turns": len(frame.get("turns", ()))})
        for entry in frame.get("entries", ()):
            _line(frame["at"], entry["kind"], entry)


def _line(at: str, kind: str, fields: Mapping[str, Any]) -> None:
    """Print one line; `!r` leaves no character in it that could steer a terminal."""
    told = " ".join(f"{visible(key)}={value!r}" for key, value in fields.items() if key not in ("kind", "role", "at"))
    print(f"{visible(at)} {visible(kind)} {told}".rstrip(), flush=True)


async def _tell(link: Chat) -> None:
    """Tell on the standard error when the connection is lost, and when it is back."""
    was = True
    while True:
        if link.connected is not was:
            was = link.connected
            print(f"connected to node {visible(link.welcome['node'])}" if was else LOST, file=sys.stderr, flush=True)
        await asyncio.sleep(LOOK_SECONDS)


@asynccontextmanager
async def _connected(url: str, user: str) -> AsyncIterator[Chat]:
    """Connect, and go on when the node has greeted.

    Raises:
        Refused, ChatError: in words.
    """
    if not NAME.match(user):
        raise BadFrame(f"{user!r} cannot be a name: 1 to 128 visible ASCII characters, no blanks; give --user NAME")
    token = os.environ.get("CHAT_TOKEN")  # an environment is this user's alone, a command line is everybody's
    async with connect(_socket(url), user=None if token else user, token=token) as link:
        try:
            async with asyncio.timeout(FIRST_SECONDS):
                while not link.welcome:  # noqa: ASYNC110 - a chat tells of connections only when asked
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError as error:
            raise Unavailable(f"no node answers at {url}; `python -m app` starts one, or name another URL") from error
        yield link


def _socket(url: str) -> str:
    """The WebSocket's address of a node that is at `url`.

    Raises:
        BadFrame: there cannot be one.
    """
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        secure = {"http": "", "ws": "", "https": "s", "wss": "s"}[parts.scheme]
        host, _ = parts.hostname, parts.port
    except (ValueError, KeyError) as error:
        raise BadFrame(f"{url!r} is no address of a node; expected one like http://127.0.0.1:8000") from error
    if not host:
        raise BadFrame(f"{url!r} names no host; expected an address like http://127.0.0.1:8000")
    return f"ws{secure}://{parts.netloc}/ws"


def _why(error: Refused | ChatError) -> str:
    if isinstance(error, ChatError):
        return error.message
    named = "; with ALLOW_GUESTS=1 a node knows pages only, and no names" if "403" in str(error) else ""
    return f"the node refused: {error}{named}"


def _forgive() -> None:
    """Let no character that the terminal's encoding lacks, or that was typed wrong, end the program."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
