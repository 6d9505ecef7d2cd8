"""Where lines come from, a terminal edited with readline or a pipe; and Ctrl+C, which ends a wait and not the program.

Reading a line blocks, so a thread does it. Nothing can wake that thread, so nobody waits for it when the program
leaves in the middle of a line: it is a daemon, and the terminal is put back here in its stead.
"""

import asyncio
import importlib
import io
import os
import signal
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Final

from rich.cells import cell_len

PASTE_OFF: Final = "\x1b[?2004l"  # readline has pastes marked while it reads
ERASE: Final = "\r\x1b[K"
LOCAL_MODES: Final = 3  # in what `tcgetattr` returns


class Keyboard:
    """The standard input of one program. `edited`: it is a terminal whose screen is ours."""

    def __init__(self, *, edited: bool) -> None:
        self.edited = edited
        self.interrupted = asyncio.Event()
        self.interrupts = 0
        self.prompt = ""  # while a line is being read
        self._line: asyncio.Future[str | None] | None = None
        self._readline = _readline() if edited else None
        self._file = io.open(0, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115, UP020

    @contextmanager
    def held(self) -> Iterator[None]:
        """Have Ctrl+C told here instead of ending the program; put the terminal back on leaving."""
        loop = asyncio.get_running_loop()
        before = termios.tcgetattr(0) if self.edited else None
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            if before is not None:
                termios.tcsetattr(0, termios.TCSADRAIN, before)

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Let nothing that is typed show, where it would stand in the middle of an answer; it waits for the prompt."""
        if not self.edited:
            yield
            return
        before = termios.tcgetattr(0)
        silent = [*before[:LOCAL_MODES], before[LOCAL_MODES] & ~termios.ECHO, *before[LOCAL_MODES + 1 :]]
        termios.tcsetattr(0, termios.TCSADRAIN, silent)
        try:
            yield
        finally:
            termios.tcsetattr(0, termios.TCSADRAIN, before)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Print something above the prompt at which somebody may be typing; the line stands again below it."""
        typed = self._readline.get_line_buffer() if self._readline and self.prompt else ""
        line = self.prompt + "".join(c if c.isprintable() else " " for c in typed)
        if self.prompt:
            print(ERASE if cell_len(line) < os.get_terminal_size().columns else "\n", end="", flush=True)
        yield
        if self.prompt:
            print(line, end="", flush=True)

    async def line(self, prompt: str) -> str | None:
        """Read one line; None at the end of the input, and at Ctrl+C."""
        if self.interrupts and not self.edited:
            return None
        self.interrupted.clear()
        loop = asyncio.get_running_loop()
        line: asyncio.Future[str | None] = loop.create_future()
        self._line = line
        threading.Thread(target=self._read, args=(prompt, line, loop), daemon=True).start()
        self.prompt = prompt if self.edited else ""
        try:
            return await line
        finally:
            self.prompt = ""

    def _interrupt(self) -> None:
        self.interrupts += 1
        self.interrupted.set()
        if self._line is None or self._line.done():
            return
        self._line.set_result(None)
        if self.edited:
            print(PASTE_OFF if self._readline else "", flush=True)

    def _read(self, prompt: str, line: asyncio.Future[str | None], loop: asyncio.AbstractEventLoop) -> None:
        """Read a line in this thread, and hand it over."""
        try:
            read = input(prompt) if self.edited else self._plain(prompt)
        except (EOFError, OSError):
            read = None
            if self.edited:
                print(flush=True)  # the prompt's line stays without one

        def tell() -> None:
            if not line.done():
                line.set_result(read)

        with suppress(RuntimeError):  # the loop is closed: the program leaves
            loop.call_soon_threadsafe(tell)

    def _plain(self, prompt: str) -> str | None:
        if self._file.isatty():
            print(prompt, end="", file=sys.stderr, flush=True)
        return self._file.readline() or None


def _readline() -> ModuleType | None:
    """GNU readline, where this Python has it: importing it is what makes `input` edit."""
    try:
        readline = importlib.import_module("readline")
    except ImportError:
        return None
    readline.parse_and_bind("set enable-bracketed-paste on")  # what is pasted is one text, however many lines it has
    return readline
