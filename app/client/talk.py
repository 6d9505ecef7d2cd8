"""What one person does at one terminal: read a line, do what it says, show what comes of it.

Ctrl+C ends whatever is being waited for: an answer is stopped by it, and at the prompt it leaves. Beside the loop,
while nothing else is on the sheet, a watch tells of the connection, and of what is said in the open session elsewhere.
"""

import asyncio
import secrets
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final, TypeVar

from app.client import words
from app.client.asks import Asks
from app.client.chat import Chat
from app.client.keyboard import Keyboard
from app.client.link import LinkLost
from app.client.screen import BAD, DIM, WAITING, Sheet, one_line
from app.client.session import Said, Session
from app.core.errors import ChatError
from app.core.model import checked_id
from app.core.protocol import Frame

DRAW_SECONDS: Final = 1 / 12
WATCH_SECONDS: Final = 0.25
CLOSE_SECONDS: Final = 1.0
PROMPT: Final = "> "

T = TypeVar("T")


class Interrupted(Exception):
    """Ctrl+C came before the reply."""


class Talk:
    """What one person does at one terminal: the session that is open, and what of it was shown."""

    def __init__(self, link: Chat, keyboard: Keyboard, sheet: Sheet) -> None:
        self.failed = False
        self._link = link
        self._keyboard = keyboard
        self._sheet = sheet
        self._session: Session | None = None
        self._following: asyncio.Task[None] | None = None
        self._served: dict[str, Frame] = {}  # by run: who answered
        self._shown: set[str] = set()  # the turns that stand on the sheet
        self._listed: list[str] = []
        self._asks = Asks(link, sheet)
        self._busy = False  # an answer is on the sheet

    async def run(self, session: str | None) -> None:
        """Obey line by line, until one says to leave.

        Raises:
            ChatError: there cannot be such a session.
        """
        self._greet()
        watching = asyncio.create_task(self._watch())
        try:
            if session is not None:
                await (self._open(session) if self._keyboard.edited else self._enter(session))
            while (line := await self._keyboard.line(PROMPT)) is not None:
                if line.split() == ["/quit"]:
                    return
                await self._obey(line)
        finally:
            watching.cancel()

    def _greet(self) -> None:
        welcome = self._link.welcome
        self._sheet.note(f"{welcome['models'][0]} on node {welcome['node']}. /help says what else there is.")
        if "trial" in welcome["features"]:
            self._sheet.note(words.TRIAL)

    async def _obey(self, line: str) -> None:
        try:
            if line.startswith("/"):
                await self._do(line.split(maxsplit=1))
            elif line.strip():
                await self._say(line.strip())
        except ChatError as error:
            self.failed = True
            self._sheet.note(f"{error.message} ({error.code})", BAD)
        except Interrupted:
            self._sheet.note("Not waiting for it any more; it may still be done when there is a connection.")

    async def _do(self, typed: list[str]) -> None:
        match [word.strip() for word in typed], self._session:
            case ["/help"], _:
                self._sheet.note(words.HELP)
            case ["/new"], _:
                await self._leave()
            case ["/sessions"], _:
                await self._list()
            case ["/open", which], _:
                await self._open(which)
            case ["/rename", title], Session(id=id):
                await self._unless_interrupted(self._link.rename(id, title))
                self._sheet.note("Renamed.")
            case ["/delete"], Session(id=id) as session:
                title = one_line(session.transcript.title) or id
                answer = await self._keyboard.line(f"Delete “{title}” for good, on every device? [y/N] ")
                if answer is not None and answer.strip().lower() in ("y", "yes"):
                    await self._leave()
                    await self._unless_interrupted(self._link.delete(id))
                    self._sheet.note("Deleted.")
            case ["/allow" | "/deny" as decision], Session() as session:
                await self._go_on(session, await self._unless_interrupted(self._asks.decide(session, decision[1:])))
            case ["/rename", _] | ["/delete"], None:
                self._sheet.note("No conversation is open.")
            case [command, *_], _:
                self._sheet.note(f"{command} does nothing here, or wants something after it.\n{words.HELP}")

    async def _go_on(self, session: Session, run: str | None) -> None:
        """Show what an answer does with a decision."""
        if run is None:
            self._sheet.note("Nothing waits for you.")
        else:
            await self._show(Said(session, {"run": run, "at": "", "duplicate": True}))

    async def _list(self) -> None:
        found = await self._unless_interrupted(self._link.list_sessions())
        self._listed = [one["id"] for one in found["sessions"]]
        for number, one in enumerate(found["sessions"], 1):
            state = "" if one["state"] == "idle" else f" ({one['state']})"
            mark = "*" if self._session is not None and one["id"] == self._session.id else " "
            self._sheet.line(f"{number:>3}{mark} {one_line(one['title']) or 'New conversation'}{state}  {one['id']}")
        if not found["sessions"]:
            self._sheet.note("None yet. Write something.")
        if found["more"]:
            self._sheet.note("There are older ones, too.")

    async def _open(self, which: str) -> None:
        number = int(which) if which.isdecimal() else 0
        session = await self._enter(self._listed[number - 1] if 0 < number <= len(self._listed) else which)
        transcript = session.transcript
        if transcript.more:
            self._sheet.note("… and what was said before.")
        self._catch_up(session)
        if transcript.run is not None:
            await self._show(Said(session, {"run": transcript.run.id, "at": "", "duplicate": True}))
        elif not transcript.turns:
            self._sheet.note(f"Nothing was said in {session.id} yet.")

    async def _enter(self, id: str) -> Session:
        """Open a session in place of the one that is open."""
        checked_id(id, "a conversation's id")
        await self._leave()
        try:
            session = await self._unless_interrupted(self._link.open(id))
        except (ChatError, Interrupted):
            self._link.sessions.pop(id, None)
            raise
        self._session = session
        self._following = asyncio.create_task(self._follow(session))
        await asyncio.sleep(0)  # it has begun
        return session

    async def _leave(self) -> None:
        left, self._session = self._session, None
        if left is None or self._following is None:
            return
        self._following.cancel()
        self._shown.clear()
        with suppress(LinkLost, ChatError, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._link.close(left.id)

    async def _say(self, text: str) -> None:
        if self._session is None or self._session.transcript.gone:
            await self._enter(secrets.token_hex(8))
        assert self._session is not None
        id = secrets.token_hex(8)
        self._shown.add(id)
        said = await self._unless_interrupted(self._link.say(text, session=self._session.id, id=id))
        await self._show(said)

    async def _show(self, said: Said) -> None:
        """Show an answer as it grows. Ctrl+C stops it; a second one looks away, where the stop does not get through."""
        self._keyboard.interrupted.clear()
        answer = asyncio.create_task(said.answer())
        stopping: asyncio.Task[None] | None = None
        self._busy = True
        try:
            with self._keyboard.quiet():
                while not answer.done():
                    text, status, style = self._look(said, stopping)
                    if stopping is None and self._asks.open(said.session, said.run):
                        self._asks.tell(said.session, said.run, text)
                        return
                    self._sheet.grow(text, status, style)
                    if self._keyboard.interrupted.is_set():
                        self._keyboard.interrupted.clear()
                        if stopping is not None:
                            self._sheet.finish(text)
                            self._sheet.note("The answer goes on without you; it is shown here when it is whole.")
                            return
                        stopping = asyncio.create_task(self._stop(said))
                    await asyncio.wait([answer], timeout=DRAW_SECONDS)
                self._finish(said, answer)
        finally:
            self._busy = False
            answer.cancel()

    def _look(self, said: Said, stopping: object) -> tuple[str, str, str]:
        """An answer's text so far, how it stands in words, and their style."""
        run = said.session.transcript.run
        if run is None or run.id != said.run:
            text, status = "", "waiting for the answer before it …" if run is not None else "sent …"
        else:
            text, status = run.text, f"{words.of_origin(run.model, run.wire())} · Ctrl+C stops"
        if not self._link.connected:
            return text, words.LOST, WAITING
        return text, "stopping …" if stopping is not None else status, DIM

    def _finish(self, said: Said, answer: asyncio.Task[Frame]) -> None:
        try:
            turn = answer.result()
        except LookupError:
            self._sheet.finish("")
            self._sheet.note("There is no answer: it was stopped before it began, or the conversation was deleted.")
            return
        except ChatError:
            self._sheet.finish("")
            raise
        self._answered(turn)

    def _answered(self, turn: Frame) -> None:
        """Show a whole answer, how it ended, and who gave it."""
        self._shown.add(turn["id"])
        self._sheet.finish(turn["text"])
        state = turn.get("state")
        self.failed = self.failed or state == "failed"
        if ended := words.of_end(turn):
            self._sheet.note(ended, BAD if state == "failed" else DIM)
        self._sheet.sign(words.of_origin(turn.get("model", ""), self._served.get(turn["run"], {})))

    async def _stop(self, said: Said) -> None:
        with suppress(ChatError):  # it was over before
            await self._link.stop(said.session.id, said.run)

    async def _follow(self, session: Session) -> None:
        """Note who answers in the open session."""
        if (run := session.transcript.run) is not None:
            self._served[run.id] = run.wire()
        async for frame in session.follow():
            for entry in frame.get("entries", ()):
                if entry["kind"] == "run":
                    self._served[entry["run"]] = entry
            if run := frame.get("run"):
                self._served[run["id"]] = run

    def _catch_up(self, session: Session) -> None:
        """Show the turns that are not shown yet, of whoever said them."""
        for turn in session.transcript.turns:
            if turn["id"] in self._shown:
                continue
            if turn["role"] == "user":
                self._shown.add(turn["id"])
                self._sheet.person(turn["text"])
            else:
                self._answered(turn)

    async def _watch(self) -> None:
        """Tell of the connection, and of what is said elsewhere, while no answer is on the sheet."""
        was = True
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            session, connected = self._session, self._link.connected
            if self._busy and self._keyboard.edited:
                continue
            if connected is not was:
                was = connected
                with self._keyboard.aside():
                    self._sheet.note(f"connected to node {self._link.welcome['node']}" if was else words.LOST, WAITING)
            if session is None or not self._keyboard.prompt:
                continue
            if any(turn["id"] not in self._shown for turn in session.transcript.turns):
                with self._keyboard.aside():
                    self._catch_up(session)

    async def _unless_interrupted(self, asked: Coroutine[Any, Any, T]) -> T:
        """Wait for a reply, as long as it takes.

        Raises:
            Interrupted: Ctrl+C came first.
        """
        self._keyboard.interrupted.clear()
        asking = asyncio.create_task(asked)
        interrupted = asyncio.create_task(self._keyboard.interrupted.wait())
        try:
            with self._keyboard.quiet():
                await asyncio.wait([asking, interrupted], return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                raise Interrupted
            return asking.result()
        finally:
            asking.cancel()
            interrupted.cancel()
