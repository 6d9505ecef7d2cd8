"""Vercel's resumable-stream: `bench/peers/resumable`. One answer is one stream of server-sent events."""

from typing import Final

import msgspec

from bench.sockets import Events, Refused
from bench.systems import Reader
from bench.systems.node import NodePeer
from bench.tokens import Answer

TRIES: Final = 10


class ResumableReader(Reader):
    """Its client: it remembers how many characters of the stream it has."""

    def __init__(self, session: str, answer: Answer | None) -> None:
        super().__init__(session, answer)
        self._characters = 0

    async def follow(self, port: int) -> None:
        """Ask for the stream after the characters that are there; again, where the producer is too busy to reply."""
        for left in reversed(range(TRIES)):
            self.socket = events = Events(self._take)
            try:
                await events.open(port, f"/stream/{self.session}?skip={self._characters}", {})
                return
            except Refused:
                if not left:
                    raise

    async def connect(self, port: int) -> None:
        """There is no connection without a stream."""
        await self.follow(port)

    def _take(self, data: bytes) -> None:
        if self.answer is None:
            return
        if not data:
            self.answer.end()
            return
        self._characters += len("data: \n\n") + len(data)
        self.answer.take(msgspec.json.decode(data)["text"])


class Resumable(NodePeer):
    """Who reads at another node than the producer's is sent each piece over pub/sub."""

    name = "resumable"
    title = "Vercel resumable-stream (SSE)"
    folder = "resumable"
    about = 100
    begins_first = True

    def reader(self, session: str, answer: Answer | None = None) -> ResumableReader:
        """A client of one session."""
        return ResumableReader(session, answer)
