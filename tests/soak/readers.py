"""Cheap readers: each on one line after the other, reading some sessions, dropped, slow or sent away as it comes."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Final

from app.core.protocol import Codec, Frame
from tests.soak.line import Line
from tests.soak.tally import Seat, Tally

USER: Final = "ada"
SILENT_SECONDS: Final = 4.0  # then it asks whether the node is there, as a page that becomes visible
LATER_SECONDS: Final = 0.5
PAST: Final = 40


class Reader:
    """One client that only reads. Its life is `live`."""

    def __init__(self, name: str, urls: Sequence[str], tally: Tally) -> None:
        self.name = name
        self._urls = urls
        self._tally = tally
        self._seats: dict[str, Seat] = {}
        self._line: Line | None = None
        self._heard_at = 0.0
        self._resting = False
        self._past: deque[str] = deque(maxlen=PAST)

    def __repr__(self) -> str:
        return "\n  ".join([self.name, *self._past])

    def _note(self, *words: object) -> None:
        self._past.append(f"{time.time():.3f} " + " ".join(map(str, words))[:200])

    def sit(self, session: str, *, late: bool = False) -> Seat:
        """Read a session from now on: from its beginning, or from a snapshot."""
        seat = self._seats[session] = Seat(session, self.name, self._tally, late=late, past=self._past)
        self._note("sits in", session)
        if self._line is not None:
            self._open(self._line, session)
        return seat

    def leave(self, session: str) -> None:
        """Read a session no more."""
        self._seats.pop(session, None)
        if self._line is not None:
            self._line.send(type="close", session=session)

    def drop(self) -> None:
        """Lose the connection, as by a network; it comes back anywhere."""
        if self._line is not None:
            self._line.cut()

    async def rest(self, seconds: float) -> None:
        """Take nothing from the socket for a while."""
        if (line := self._line) is None:
            return
        self._resting = True
        line.rest()
        try:
            await asyncio.sleep(seconds)
        finally:
            line.go_on()
            self._heard_at, self._resting = time.monotonic(), False

    async def live(self) -> None:
        """Read, at any node after another, until cancelled."""
        codec = random.choice(list(Codec))
        while True:
            try:
                line = await Line.to(url := random.choice(self._urls), USER, codec, self._heard)
            except OSError as error:
                self._note("no connection:", repr(error))
                self._tally.tries += 1
                await asyncio.sleep(random.uniform(0, LATER_SECONDS))
                continue
            self._note("connected to", url)
            self._tally.connections += 1
            self._line, self._heard_at = line, time.monotonic()
            try:
                self._resume(line)
                await self._listen(line)
            finally:
                self._note("lost the connection", line.code)
                self._line = None
                line.cut()

    def _resume(self, line: Line) -> None:
        resume = [{"session": id, "cursor": seat.cursor} for id, seat in self._seats.items() if not seat.late]
        line.send(type="hello", resume=resume)
        for id, seat in self._seats.items():
            if seat.late:
                line.send(type="open", session=id)

    async def _listen(self, line: Line) -> None:
        """Return when the line is lost, or silent even when it is asked to say something."""
        while not line.lost.done():
            silent_s = 0.0 if self._resting else time.monotonic() - self._heard_at
            if silent_s > 2 * SILENT_SECONDS:
                return
            if silent_s > SILENT_SECONDS:
                line.send(type="ping")
            await asyncio.wait([line.lost], timeout=SILENT_SECONDS)

    def _heard(self, frame: Frame) -> None:
        self._heard_at = time.monotonic()
        self._note(frame)
        loop, line, seat = asyncio.get_running_loop(), self._line, self._seats.get(frame.get("session", ""))
        match frame["type"]:
            case "batch" | "snapshot" | "reset" if seat is not None:
                seat.take(frame)
            case "ping":
                for id in frame["heads"].keys() & self._seats.keys():
                    self._seats[id].beat(frame["heads"][id])
            case "away" if line is not None:
                loop.call_later(frame["after_ms"] / 1000, line.cut)
            case "error" if frame["retry"] == "later" and "session" in frame and line is not None:
                self._tally.tries += 1
                loop.call_later(frame.get("after_ms", 1000) / 1000, partial(self._open, line, frame["session"]))
            case "error":
                self._tally.fault("stuck", f"{self.name}: {frame}")

    def _open(self, line: Line, session: str) -> None:
        """Open a session on a line that stands."""
        if line is self._line and (seat := self._seats.get(session)) is not None and not seat.gone:
            cursor = {} if seat.late else {"cursor": seat.cursor}
            self._note("opens", session, cursor)
            line.send(type="open", session=session, **cursor)
