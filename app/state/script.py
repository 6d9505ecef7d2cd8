"""Running the Lua scripts in `scripts/`: by SHA-1, with the text where a server does not know it yet.

Every script may be repeated with the same arguments, so an attempt whose answer was lost is simply made again, within
one limit on the whole. (`delete` removes whatever is there by then.) Two versions of the code can thus run side by side
during a deploy.
"""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Sequence
from importlib.resources import files
from typing import Any, Final

from redis.asyncio.retry import Retry
from redis.exceptions import ConnectionError as Broken
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as NoAnswer

from app.core.errors import StateUnavailable
from app.state.connect import Pipe, backoff
from app.state.keys import channel_in

TOTAL_SECONDS: Final = 5.0
RETRY_MS: Final = 1000
ON_SESSIONS: Final = (
    "answer", "append", "attempt", "claim", "delete", "end", "history", "hold", "meta", "pause", "put", "rating",
    "read", "release", "renew", "restore", "resume", "say", "set", "snapshot", "stop", "work",
)  # fmt: skip
PRELUDE: Final = dict.fromkeys(ON_SESSIONS, "prelude") | dict.fromkeys(("rate", "turn"), "gcra")

log = logging.getLogger(__name__)


def _refused(name: str, error: RedisError) -> StateUnavailable:
    log.error("redis: %s refused: %s", name, error)
    return StateUnavailable("the state store refuses to work; try again", after_ms=RETRY_MS)


class Scripts:
    """The scripts, ready to run over one pipe."""

    def __init__(self, pipe: Pipe, database: int = 0) -> None:
        self._pipe = pipe
        self._database = database
        self._known = _read()

    def channel(self, name: str) -> str:
        """Name a channel for a script that publishes there."""
        return channel_in(self._database, name)

    async def run(self, name: str, keys: Sequence[str], *arguments: Any) -> list[Any]:
        """Run the script `name` and return its answer, strings as bytes.

        Raises:
            StateUnavailable: Redis did not answer, or would not write.
        """
        text, sha = self._known[name]
        command = ("EVALSHA", sha, len(keys), *keys, *arguments)
        try:
            answer: list[Any] = await self._pipe.call(*command)
        except RedisError as error:
            answer = await self._again(name, command, text, error)
        return answer

    async def command(self, name: str, command: tuple[Any, ...]) -> Any:
        """Send one idempotent command, again where its answer was lost.

        Raises:
            StateUnavailable: Redis did not answer, or refused.
        """
        try:
            return await self._pipe.call(*command)
        except RedisError as error:
            return await self._again(name, command, None, error)

    async def _again(self, name: str, command: tuple[Any, ...], text: str | None, first: RedisError) -> Any:
        """Send a command again, where its answer was lost or Redis did not know the script."""
        if not isinstance(first, NoScriptError | Broken | NoAnswer):
            raise _refused(name, first) from first
        retry = Retry(backoff(), retries=8, supported_errors=(Broken, NoAnswer))

        async def attempt() -> Any:
            try:
                return await self._pipe.call(*command)
            except NoScriptError:
                return await self._pipe.call("EVAL", text, *command[2:])

        async def failed(error: Exception) -> None:
            log.info("redis: %s again: %s", name, error)

        try:
            async with asyncio.timeout(TOTAL_SECONDS):
                return await retry.call_with_retry(attempt, failed)
        except (Broken, NoAnswer, TimeoutError) as error:
            raise StateUnavailable("the state store does not answer; try again", after_ms=RETRY_MS) from error
        except ResponseError as error:
            raise _refused(name, error) from error

    async def keys(self, pattern: str) -> AsyncIterator[list[bytes]]:
        """Give all keys of a pattern, some at a time; one may come twice. All of Redis is looked through.

        Raises:
            StateUnavailable
        """
        cursor = b"0"
        while True:
            cursor, found = await self.command("keys", ("SCAN", cursor, "MATCH", pattern, "COUNT", 1000))
            if found:
                yield found
            if cursor == b"0":
                return

    async def look(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Send commands that only read, in one write, once.

        Raises:
            StateUnavailable: Redis did not answer all of them.
        """
        try:
            return await self._pipe.calls(commands)
        except RedisError as error:
            raise StateUnavailable("the state store does not answer; try again", after_ms=RETRY_MS) from error


def _read() -> dict[str, tuple[str, str]]:
    """Read all scripts, at the start: a node needs no file later, and none that was put there after it."""
    folder = files("app.state") / "scripts"
    preludes = {prelude: (folder / f"{prelude}.lua").read_text() for prelude in set(PRELUDE.values())}
    known = {}
    for file in folder.iterdir():
        name = file.name.removesuffix(".lua")
        if file.name.endswith(".lua") and name not in preludes:
            text = preludes.get(PRELUDE.get(name, ""), "") + file.read_text()
            known[name] = (text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
    return known
