"""A server that the nodes of one machine share: started by the first, stopped by the last.

Who uses it is a shared lock on a file, which the kernel lets go of however a process ends. So a node that is killed
leaves nothing to clean up: the next node finds the server answering and adopts it, or finds it silent and replaces
it; and whoever leaves and is alone (the exclusive lock is to be had) stops it. Starting and stopping are serialised
by a second lock.

The files are in one folder a server: `starting.lock`, `users.lock`, `pid`, `log`.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 0.02


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
            try:
                yield
            finally:
                async with self._alone():
                    if _only(users):
                        await self._end()

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Hold the starting lock; others wait."""
        with (self.folder / "starting.lock").open("a") as starting:
            async with asyncio.timeout(START_SECONDS + STOP_SECONDS):
                while not _locked(starting):  # noqa: ASYNC110 - another process holds it
                    await asyncio.sleep(LOOK_SECONDS)
            yield

    async def _replace(self) -> None:
        """Start the server, after ending one that is there and does not answer."""
        await self._end()
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(  # noqa: ASYNC220, S603 - our own command; a fork, no wait
                self.command(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        (self.folder / "pid").write_text(str(process.pid))
        try:
            async with asyncio.timeout(START_SECONDS):
                while not await self.answers():
                    if process.poll() is not None:
                        raise NotStarted(self._last_words())
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError as error:
            raise NotStarted(self._last_words()) from error

    async def _end(self) -> None:
        """Ask it to end; after a while, make it."""
        pid = self._pid()
        if pid is None:
            return
        with _gone():
            if self.stop is not None and await self.answers():
                await self.stop()
            else:
                os.kill(pid, signal.SIGTERM)
            for _ in range(int(STOP_SECONDS / LOOK_SECONDS)):
                _reap(pid)
                os.kill(pid, 0)
                await asyncio.sleep(LOOK_SECONDS)
            os.kill(pid, signal.SIGKILL)
        (self.folder / "pid").unlink(missing_ok=True)

    def _pid(self) -> int | None:
        """The server's process, if the one that the file names is in fact of this folder."""
        try:
            pid = int((self.folder / "pid").read_text())
            ours = Path(f"/proc/{pid}/cwd").resolve() == self.folder.resolve() if Path("/proc/self").exists() else True
        except (OSError, ValueError):
            return None
        return pid if ours else None

    def _last_words(self) -> str:
        lines = (self.folder / "log").read_text(errors="replace").strip().splitlines()
        return "; ".join(line.strip() for line in lines[-2:])[:300] or "it said nothing"


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _only(users: IO[str]) -> bool:
    """Whether nobody else holds the shared lock; if so it is ours alone."""
    return _locked(users)


def _reap(pid: int) -> None:
    """Collect a child of ours that has ended; one that was adopted is not ours to collect."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


@contextmanager
def _gone() -> Iterator[None]:
    """A process that is gone is what was wanted."""
    with contextlib.suppress(ProcessLookupError):
        yield
