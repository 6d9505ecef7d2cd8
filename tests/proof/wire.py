"""The wire between a node and Redis, on which a call or its answer may get lost."""

from collections.abc import Generator, Sequence
from enum import Enum
from typing import Any

from tests.proof.world import World


class Fate(Enum):
    """What becomes of a call."""

    ANSWERED = "answered"
    UNSENT = "unsent"  # it is lost, and made again later
    UNHEARD = "unheard"  # its answer is lost, and it is made again later


class Again:
    """What a call awaits that is to be made again."""

    def __await__(self) -> Generator[None]:
        yield


class Wire:
    """Where `app.state.script.Scripts` is in a node: calls go to the world, and may get lost on the way."""

    def __init__(self, world: World) -> None:
        self.fates: list[Fate] = []  # of the next calls; then all are answered
        self._world = world

    def channel(self, name: str) -> str:
        """Name a channel: there is one database."""
        return name

    async def run(self, name: str, keys: Sequence[str], *arguments: Any) -> list[Any]:
        """Run a script until its answer is heard."""
        while True:
            fate = self.fates.pop(0) if self.fates else Fate.ANSWERED
            if fate is not Fate.UNSENT:
                answer = self._world.call(name, tuple(keys), arguments)
            if fate is Fate.ANSWERED:
                return answer
            await Again()
            self._world.pass_time(1)
