"""A server that the nodes of one machine share: started by the first, stopped by the last.

Who uses it is a shared lock on a file, which the kernel lets go of however a process ends. So a node that is killed
leaves nothing to clean up: the next node finds the server answering and adopts it, or finds it silent and replaces
it; and whoever leaves and is alone (the exclusive lock is to be had) stops it. A server that dies is started again by
whichever of its users sees it first. Starting and stopping are serialised by a second lock.

The files are in one folder a server: `starting.lock`, `users.lock`, `pid`, `log`.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 10.0
HUNG_SECONDS: Final = 2.0  # what a silent server gets to end by itself
LOOK_SECONDS: Final = 0.02
WATCH_SECONDS: Final = 0.5
AGAIN_SECONDS: Final = 5.0

log = logging.getLogger(__name__)


class NotStarted(Exception):
    """The server did not come up; the message has the last lines of its log."""


@dataclass(frozen=True, slots=True)
class Child:
    """How to run one shared server.

    `command` gives its command line, `answers` says whether it serves, `stop` asks it to end. All are called with
    the starting lock held.
    """

    folder: Path
    command: Callable[[], Sequence[str]]
    answers: Callable[[], Awaitable[bool]]
    stop: Callable[[], Awaitable[None]] | None = None

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """Use the server: it answers on entry, and the last to leave stops it.

        Raises:
            NotStarted: it does not come up.
            OSError: the folder cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.folder / "users.lock").open("a") as users:
            async with self._alone():
                fcntl.flock(users, fcntl.LOCK_SH)
                if not await self.answers():
                    await self._replace()
            leaving = asyncio.Event()
            watching = asyncio.create_task(self._watch(leaving))
            try:
                yield
            finally:
                leaving.set()  # a cancel alone may get lost: Python 3.11's wait_for, in redis-py, can swallow it
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
                async with self._alone():
                    if _locked(users):  # nobody else holds the shared lock
                        await self._end(answering=await self.answers())

    async def _watch(self, leaving: asyncio.Event) -> None:
        """Start the server again when it has died. One that is only silent may be busy: it stays."""
        while not leaving.is_set():
            await asyncio.sleep(WATCH_SECONDS)
            if self._pid() is not None:
                continue
            try:
                async with self._alone():
                    if not await self.answers():
                        log.warning("the server in %s has died, and is started again", self.folder)
                        await self._replace()
            except (NotStarted, OSError) as error:
                log.warning("the server in %s does not come back: %s", self.folder, error)
                await asyncio.sleep(AGAIN_SECONDS)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Hold the starting lock; others wait."""
        seconds = START_SECONDS + STOP_SECONDS
        with (self.folder / "starting.lock").open("a") as starting:
            try:
                async with asyncio.timeout(seconds):
                    while not _locked(starting):  # noqa: ASYNC110 - another process holds it
                        await asyncio.sleep(LOOK_SECONDS)
            except TimeoutError as error:
                raise NotStarted(f"another process has held {starting.name} for {seconds:.0f} s") from error
            yield

    async def _replace(self) -> None:
        """Start the server, after ending one that is there and does not answer."""
        await self._end(answering=False)
        with (self.folder / "log").open("ab") as words:
            process = subprocess.Popen(  # noqa: ASYNC220, S603 - our own command; a fork, no wait
                self.command(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                start_new_session=True,
            )
        try:
            (self.folder / "pid").write_text(str(process.pid))
            await self._up(process)
        except BaseException:
            process.kill()
            process.wait()
            raise
        process.returncode = 0  # it is on its own from here: it may outlive us, and nobody is to be warned of that

    async def _up(self, process: subprocess.Popen[bytes]) -> None:
        """Return when it answers."""
        try:
            async with asyncio.timeout(START_SECONDS):
                while not await self.answers():
                    if process.poll() is not None:
                        raise NotStarted(self._last_words())
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError as error:
            raise NotStarted(self._last_words()) from error

    async def _end(self, *, answering: bool) -> None:
        """Ask it to end; after a while, make it."""
        pid = self._pid()
        if answering and self.stop is not None:
            await self.stop()
        elif pid is not None:
            _tell(pid, signal.SIGTERM)
        if pid is not None and not await self._left(pid, STOP_SECONDS if answering else HUNG_SECONDS):
            _tell(pid, signal.SIGKILL)
            await self._left(pid, STOP_SECONDS)
        (self.folder / "pid").unlink(missing_ok=True)

    async def _left(self, pid: int, seconds: float) -> bool:
        """Whether the process has gone within so many seconds."""
        for _ in range(int(seconds / LOOK_SECONDS)):
            if self._pid() != pid:
                return True
            await asyncio.sleep(LOOK_SECONDS)
        return False

    def _pid(self) -> int | None:
        """The server's process, if the one that the file names lives, and is in fact of this folder."""
        try:
            pid = int((self.folder / "pid").read_text())
            if pid <= 1:
                return None
            _reap(pid)
            os.kill(pid, 0)
            ours = self._ours(pid)
        except (OSError, ValueError, OverflowError):
            return None
        return pid if ours else None

    def _ours(self, pid: int) -> bool:
        """Whether a process works in this folder; one that has ended works nowhere. Without a /proc, believe it."""
        return not Path("/proc/self").exists() or Path(os.readlink(f"/proc/{pid}/cwd")) == self.folder.resolve()

    def _last_words(self) -> str:
        lines = (self.folder / "log").read_text(errors="replace").strip().splitlines()
        return "; ".join(line.strip() for line in lines[-2:])[:300] or "it said nothing"


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _reap(pid: int) -> None:
    """Collect a child of ours that has ended; one that was adopted is not ours to collect."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _tell(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # a process that is gone is what was wanted
        os.kill(pid, number)
