"""One WebSocket: frames in, in order; frames out, as the socket takes them.

A connection remembers who it is and which sessions it follows, and nothing else that it could not lose.

Commands are read one at a time, and the next only when the queue of what goes out is short. Followers that lag, and
changes of one's list, are owed: the outbox pulls them, one at a time, when it has nothing else to send.
"""

import asyncio
import logging
from typing import Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from app.core.commands import Hello, command_of
from app.core.errors import ChatError, Expired, Internal, Revoked, StateUnavailable
from app.core.identity import Identity
from app.core.model import Session, User
from app.core.protocol import Close, Codec, Frame, error_frame
from app.edge import frames
from app.edge.access import Access, visitor_of
from app.edge.badge import NOBODY, Badge, closing
from app.edge.commands import execute
from app.edge.expiry import Expiry
from app.edge.follows import Follows
from app.edge.inbox import Inbox
from app.edge.outbox import Outbox
from app.edge.socket import Socket
from app.node import Node

REPORTED: Final = 256
BURST: Final = 64
HELLO_SECONDS: Final = 5.0
CLOSE_SECONDS: Final = 2.0
OVER_SECONDS: Final = 0.5  # where their rights are over, who reads slowly is not waited for
AGAIN_SECONDS: Final = 1.0

log = logging.getLogger(__name__)


class Connection:
    """One client, as long as its socket lives."""

    def __init__(
        self,
        socket: WebSocket,
        codec: Codec,
        node: Node,
        access: Access,
        expiry: Expiry,
        identity: Identity | None,
    ) -> None:
        self.gone = asyncio.get_running_loop().create_future()
        self._badge = Badge(access)
        self._came_with = identity
        self._socket = socket
        self._codec = codec
        self._node = node
        self._limits = access.limits
        self._address = visitor_of(socket).address
        self._expiry = expiry
        self._watching = False
        self._reported: list[str] = []
        self._changed: dict[str, None] = {}
        self.outbox = Outbox(socket, codec, Socket.of(socket.scope), self)
        self.follows = Follows(node.hub, self.outbox, codec)
        self._inbox = Inbox(codec, access.limits, self._address)
        self._code = Close.NO_HELLO
        self._ending = False
        self._close_s = CLOSE_SECONDS
        self._life: asyncio.Timeout

    async def run(self) -> None:
        """Serve until the socket is gone, or is to be closed."""
        try:
            async with asyncio.timeout(HELLO_SECONDS) as self._life:
                await self._arrive()
                await self._receive()
        except TimeoutError:
            await self._close()
        except WebSocketDisconnect:
            pass
        finally:
            self._ending = True
            self.follows.leave_all()
            if self._watching:
                self._node.hub.unwatch(self.user, self)
            if self._badge.user is not None:
                self._node.aside.do(self._limits.disconnect(self._badge.user))
            self.outbox.stop()
            self.gone.set_result(None)

    def send_away(self, after_s: float) -> None:
        """Send the client elsewhere after a while: this node drains."""
        if self._badge.user is not None:
            self.send({"type": "away", "after_ms": round(after_s * 1000), "why": "deploy"})

    def end(self, code: int) -> None:
        """Have the socket closed with `code`, after what is queued."""
        if not self._ending:
            self._ending, self._code = True, code
            self._life.reschedule(asyncio.get_running_loop().time())

    # What commands ask of a caller

    @property
    def user(self) -> User:
        """Who it is: nobody, before it has said so."""
        return self._badge.user or NOBODY

    def send(self, frame: Frame) -> None:
        """Queue a frame."""
        self.outbox.send(frame)

    async def space(self) -> None:
        """Return when the queue of frames is short."""
        await self.outbox.space()

    def reported(self, run: str) -> bool:
        """Note a report; see `commands.Caller`."""
        before = run in self._reported
        self._reported = [*self._reported, run][-REPORTED:]
        return before

    async def watch(self) -> None:
        """Hear of changes in the list."""
        if not self._watching:
            await self._node.hub.watch(self.user, self)
            self._watching = True

    async def turn(self, session: Session) -> None:
        """Count a turn; see `commands.Caller`."""
        await self._limits.turn(session, self._address)

    async def place(self, session: Session) -> None:
        """Have a place for an answer; see `commands.Caller`."""
        await self._limits.place(session)

    def changed(self, session: str) -> None:
        """Tell of a session of the list when the queue is empty."""
        if not self._ending:
            self._changed[session] = None
            self.outbox.wake()

    def beat(self) -> None:
        """Send a heartbeat: of each session the cursor up to which entries are on this socket, or before this frame
        in its queue. A client that has said nothing for long is asked whether it is there.
        """
        straight = Socket.of(self._socket.scope)
        there = straight is None or straight.beat()
        if there and self._badge.user is not None:
            self.send({"type": "ping", "heads": self.follows.heads()})

    # In

    async def _receive(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code") or 1005)
            text, data = message.get("text"), message.get("bytes")
            await self._take(text if text is not None else data or b"")
            await self.space()

    async def _take(self, message: bytes | str) -> None:
        try:
            values = await self._inbox.take(message, self._badge.user)
        except ChatError as error:
            self.send(error_frame(error))
            if self._inbox.over is not None:
                self.end(self._inbox.over)
            return
        for index, value in enumerate(values):
            await self.space()
            await self._answer(value)
            if index % BURST == BURST - 1:
                await asyncio.sleep(0)  # others have their turn, too

    async def _answer(self, value: object) -> None:
        ref = value.get("ref") if isinstance(value, dict) else None
        session = value.get("session") if isinstance(value, dict) else None
        try:
            command = command_of(value)
            if isinstance(command, Hello) and (command.ticket or command.token) is not None:
                await self._introduce(command)
            self._authorise()
            await execute(self, self._node, command)
        except ChatError as error:
            self.send(error_frame(error, ref, session if isinstance(session, str) else None))
        except WebSocketDisconnect:
            raise
        except Exception:
            log.exception("a command failed in a way that we do not know")
            self.send(error_frame(Internal("something failed here; it has been logged"), ref))

    # Who it is

    def _authorise(self) -> None:
        """See that a frame may be taken; one that comes after the end of its sender's time closes the connection."""
        try:
            self._badge.authorise()
        except (Expired, Revoked):
            self.end(Close.SIGN_IN)
            raise

    async def _arrive(self) -> None:
        """Be who the upgrade said, if it said so, and greet."""
        identity, self._came_with = self._came_with, None
        if identity is None:
            return
        try:
            await self._badge.become(identity)
        except ChatError as error:
            self.send(error_frame(error))
            self.end(closing(error))
        else:
            self._known()
            self.send(frames.welcome(self._node, self.user))

    async def _introduce(self, hello: Hello) -> None:
        try:
            await self._badge.introduce(hello)
        except ChatError as error:
            if (code := self._badge.closes(error)) is not None:
                self.end(code)
            raise
        self._known()

    def _known(self) -> None:
        """Stay, now that it is known who it is, until that is over."""
        self._life.reschedule(None)
        self._expiry.add(self, self._badge.expires_at)

    def check(self) -> None:
        """Have the socket closed if who it was is so no more, with nothing of what it was owed: see `Expiring`."""
        try:
            self._badge.authorise()
        except ChatError as error:
            if self._badge.user is not None and not self._ending:
                self.follows.leave_all()
                self._changed.clear()
                self.outbox.clear()
                self.send(error_frame(error))
                self._close_s = OVER_SECONDS
                self.end(Close.SIGN_IN)

    async def _close(self) -> None:
        """Send what is queued, and the code; a socket that takes neither is dropped."""
        self._ending = True
        try:
            async with asyncio.timeout(self._close_s):
                await self.outbox.sent()
                await self._socket.close(self._code)
        except (TimeoutError, WebSocketDisconnect, RuntimeError):
            log.info("a socket was dropped without a close frame")
            if (straight := Socket.of(self._socket.scope)) is not None:
                straight.drop()

    # What the outbox asks for

    def owes(self) -> bool:
        """Whether a follower lags, or the list has changed."""
        return self.follows.owes or bool(self._changed)

    async def pull(self) -> None:
        """Queue what one laggard, or one change of the list, brings."""
        if self.follows.owes:
            await self.follows.pull()
            return
        id = next(iter(self._changed))
        del self._changed[id]
        await self._list(id)

    async def _list(self, id: str) -> None:
        try:
            listed = await self._node.state.users.listed(Session(self.user, id))
        except StateUnavailable:
            asyncio.get_running_loop().call_later(AGAIN_SECONDS, self.changed, id)
            return
        self.send({"type": "session"} | frames.listed(listed))
