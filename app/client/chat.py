"""A chat, as a program uses it: say, stop, follow; connections come and go beneath.

    async with connect(["ws://127.0.0.1:8001/ws", "ws://127.0.0.1:8002/ws"], user="ada") as chat:
        said = await chat.say("Hello!", session="greetings")
        print((await said.answer())["text"])

A chat keeps each open session's transcript, and with it its cursor. When a connection is lost it goes to the next
node, resumes every session from its cursor, and sends again what was said and has not been answered, under the same
message id. Calls wait for a connection and for their reply.
"""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from app.client.commands import Commands
from app.client.link import Link, LinkLost
from app.client.says import Says, repeats
from app.client.session import Said, Session
from app.client.who import Token, Who
from app.core.errors import ChatError
from app.core.model import Cursor
from app.core.protocol import Codec, Frame

AGAIN: Final = ("now", "later", "resync")


class Chat(Commands):
    """The client. Made by `connect`, which owns its connection."""

    def __init__(self, urls: Sequence[str], who: Who, codec: Codec) -> None:
        self.sessions: dict[str, Session] = {}
        self.listed: dict[str, Frame] = {}  # sessions that changed since `watch`
        self.welcome: Frame = {}
        self.connections = 0  # how often a connection was made
        self.differs = 0  # answers whose text was not the log's: must stay 0
        super().__init__(Link(urls, who, codec, welcomed=self._welcomed, heard=self._heard))
        self._says = Says()
        self._tasks: set[asyncio.Task[None]] = set()
        self._watching = False

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self._link.connected

    @property
    def moves(self) -> int:
        """How often a node that goes away has sent this chat to another."""
        return self._link.moves

    async def run(self) -> None:
        """Keep a connection until cancelled, or refused for good.

        Raises:
            Refused: the server wants no such client.
        """
        await self._link.run()

    async def open(self, session: str) -> Session:
        """Open a session and return it once its content is here.

        Raises:
            ChatError: the server refused it.
        """
        state = self.sessions.setdefault(session, Session(session))
        if state.transcript.at is None:
            try:
                await self._reopen(state)
            except ChatError:
                self.sessions.pop(session, None)
                raise
        await state.until(lambda: state.transcript.at is not None)
        return state

    async def close(self, session: str) -> None:
        """Follow a session no more."""
        self.sessions.pop(session, None)
        with suppress(LinkLost):  # the next connection does not open it
            await self._link.ask({"type": "close", "session": session})

    async def say(
        self,
        text: str,
        *,
        session: str | None = None,
        id: str | None = None,
        model: str | None = None,
        context: dict[str, Any] | None = None,
        when_busy: str | None = None,
    ) -> Said:
        """Speak, and open the session. Sent again under the same id until its run has ended.

        Raises:
            ChatError: the server refused it.
        """
        id = id or secrets.token_hex(8)
        optional = {"model": model, "context": context, "when_busy": when_busy}
        return await self._ask({"type": "say", "session": session or id, "id": id, "text": text} | optional)

    async def again(self, session: str, turn: str, *, id: str | None = None, model: str | None = None) -> Said:
        """Have a person's turn answered once more, in place of all that followed it; as `say`."""
        id = id or secrets.token_hex(8)
        return await self._ask({"type": "again", "session": session, "id": id, "turn": turn, "model": model})

    async def edit(self, session: str, turn: str, text: str, *, id: str | None = None) -> Said:
        """Say a person's turn otherwise, in its place and in that of all that followed it; as `say`."""
        id = id or secrets.token_hex(8)
        return await self._ask({"type": "edit", "session": session, "id": id, "turn": turn, "text": text})

    async def watch(self) -> None:
        """Keep `listed` in step with one's list of sessions."""
        self._watching = True
        await self.certainly({"type": "watch"})

    def drop(self) -> None:
        """Cut the connection without a word, as a network would; the chat comes back by itself."""
        self._link.drop()

    async def _ask(self, fields: Frame) -> Said:
        """Ask something that is answered, until it is accepted or refused, and keep it until its run has ended."""
        frame = {key: value for key, value in fields.items() if value is not None}
        state = self.sessions.setdefault(frame["session"], Session(frame["session"]))
        self._says.keep(frame)
        try:
            reply = await self.certainly(frame)
        except ChatError:
            self._says.drop(frame["id"])
            raise
        said = Said(state, reply)
        self._says.accepted(frame["id"], said)
        return said

    async def _reopen(self, state: Session) -> None:
        """Open a session from its cursor, or anew; what comes until the `ok` does not count."""
        try:
            await self._link.ask(_open(state))
        except LinkLost:
            return  # the next connection opens it

    def _welcomed(self) -> list[Frame]:
        """What to send first on a new connection: resume, then what was said and not answered."""
        self.connections += 1
        resume: list[Frame] = []
        fresh: list[Frame] = []
        for state in self.sessions.values():
            state.transcript.reconnected()
            at = state.transcript.at
            state.behind = at is not None
            if at is not None:
                resume.append({"session": state.id, "cursor": str(at)})
            elif not self._says.of(state.id):
                fresh.append({"type": "open", "session": state.id})
        first: Frame = {"type": "hello", "ref": "hello", "resume": resume}
        watch: list[Frame] = [{"type": "watch"}] if self._watching else []
        return [first, *watch, *fresh, *self._says.repeats()]

    async def _heard(self, frame: Frame) -> None:
        """Take a frame that answers no call."""
        match frame["type"]:
            case "welcome":
                self.welcome = frame
            case "ok" if repeats(frame):
                await self._says.replied(frame)
            case "ok" if "at" in frame and "run" not in frame:  # an `open`'s: what follows counts again
                if (state := self.sessions.get(frame["session"])) is not None:
                    state.behind = False
            case "error":
                await self._refused(frame)
            case "batch" | "reset" | "snapshot":
                await self._apply(frame)
            case "session":
                self.listed[frame["id"]] = frame
            case "ping":
                await self._compare(frame["heads"])

    async def _apply(self, frame: Frame) -> None:
        state = self.sessions.get(frame["session"])
        if state is None or (state.behind and frame["type"] == "batch"):
            return
        outcome = await state.take(frame)
        if outcome == "behind":
            await self._again(state)
            return
        if frame["type"] == "snapshot":
            for say in self._says.lacking(state):
                await self._link.tell(say)
        for entry in frame.get("entries", ()):
            if entry["kind"] == "end":
                self._says.ended(entry["run"])
                await self._verify(state, entry)
            if entry["kind"] == "gone":
                self._says.gone(state.id)

    async def _refused(self, error: Frame) -> None:
        """Take an error that answers no call: try again where it says so, else let go."""
        state = self.sessions.get(error.get("session", ""))
        if error["retry"] in AGAIN and (repeats(error) or (state is not None and state.behind)):
            task = asyncio.create_task(self._try_again(error, state))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif repeats(error):
            await self._says.refused(error)

    async def _try_again(self, error: Frame, state: Session | None) -> None:
        await asyncio.sleep(error.get("after_ms", 1000) / 1000)
        with suppress(LinkLost):  # the next connection resumes
            for say in self._says.again([error["ref"]]) if repeats(error) else ():
                await self._link.tell(say)
            if not repeats(error) and state is not None:
                await self._again(state)

    async def _again(self, state: Session) -> None:
        await self._link.tell(_open(state))

    async def _verify(self, state: Session, end: Frame) -> None:
        """Compare one's own text with the log's; report it where they differ."""
        turn = state.turn(end["run"])
        if turn is None:
            return
        digest = hashlib.sha256(turn["text"].encode()).hexdigest()
        if digest != end["sha256"]:
            self.differs += 1
            await self._link.tell({"type": "differs", "session": state.id, "run": end["run"], "sha256": digest})

    async def _compare(self, heads: dict[str, str]) -> None:
        """Open again each session whose head is not one's cursor."""
        for id, head in heads.items():
            state = self.sessions.get(id)
            if state is not None and not state.behind and state.transcript.at not in (None, Cursor.parse(head)):
                await self._again(state)


def _open(state: Session) -> Frame:
    """The `open` of a session from its cursor, or anew. What comes until its `ok` does not count."""
    state.behind = True
    at = state.transcript.at
    return {"type": "open", "session": state.id} | ({"cursor": str(at)} if at is not None else {})


@asynccontextmanager
async def connect(
    urls: str | Sequence[str], *, user: str | None = None, codec: Codec | str = Codec.MSGPACK,
    cookie: str | None = None, token: Token | None = None,
) -> AsyncIterator[Chat]:  # fmt: skip
    """Connect to any of `urls`, and stay connected.

    `user` names a program in guest mode; `token` is a JSON Web Token, or gives one for each connection that is made, so
    that one which has expired is followed by another. Raises `Refused` where the server wants no such client.
    """
    who = Who(user, cookie, token)
    chat = Chat([urls] if isinstance(urls, str) else urls, who, Codec(codec))
    body = asyncio.current_task()
    running = asyncio.create_task(chat.run())
    refused: list[BaseException] = []

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and body is not None:
            refused.append(error)
            body.cancel()

    running.add_done_callback(ended)
    try:
        yield chat
    except asyncio.CancelledError:
        if refused and body is not None and body.uncancel() == 0:
            raise refused[0] from None
        raise
    finally:
        running.remove_done_callback(ended)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
