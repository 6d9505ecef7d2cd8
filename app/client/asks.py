"""Calls that wait for the person at the terminal."""

from app.client.commands import Commands
from app.client.screen import WAITING, Sheet, one_line
from app.client.session import Session
from app.core.protocol import Frame


class Asks:
    """What the open session's answer wants to do, and may not yet. What was decided here is not asked again."""

    def __init__(self, link: Commands, sheet: Sheet) -> None:
        self._link = link
        self._sheet = sheet
        self._decided: set[str] = set()

    def open(self, session: Session, run: str) -> list[Frame]:
        """The calls of a run that wait."""
        running = session.transcript.run
        asks = running.asks if running is not None and running.id == run else []
        return [ask for ask in asks if f"{run} {ask['call']}" not in self._decided]

    def tell(self, session: Session, run: str, text: str) -> None:
        """Say, after the text so far, what the first of them would do."""
        self._sheet.finish(text)
        for ask in self.open(session, run)[:1]:
            wanted = f"{one_line(ask['name'])} {one_line(str(ask['arguments']))}"
            self._sheet.note(f"It wants to call {wanted}. /allow or /deny", WAITING)

    async def decide(self, session: Session, decision: str) -> str | None:
        """Decide on the first of them, `allow` or `deny`; return its run, or None where nothing waits.

        Raises:
            ChatError: the run is over.
        """
        run = session.transcript.run.id if session.transcript.run is not None else ""
        for ask in self.open(session, run)[:1]:
            stands = await self._link.answer(session.id, run, ask["call"], decision)
            self._decided.add(f"{run} {ask['call']}")
            if stands["decision"] != decision:
                self._sheet.note(f"Somebody was first: {stands['decision']}.")
            return run
        return None
