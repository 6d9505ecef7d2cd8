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
from app.core.errors import BadFrame, ChatError, Internal, RateLimited, StateUnavailable, Unauthorized
from app.core.model import START, Session, User
from app.core.protocol import SESSIONS, Close, Codec, Frame, decode, error_frame
from app.edge import frames
from app.edge.commands import execute, restarted
from app.edge.outbox import Outbox
from app.edge.socket import Socket
from app.live.follow import Follower, Restart
from app.live.room import Shared, Standing
from app.node import Node

UNDECODABLE: Final = 20
REPORTED: Final = 256
BURST: Final = 64
HELLO_SECONDS: Final = 5.0
CLOSE_SECONDS: Final = 2.0
AGAIN_SECONDS: Final = 1.0

log = logging.getLogger(__name__)


class Connection:
    """One client, as long as its socket lives."""

    def __init__(self, socket: WebSocket, codec: Codec, node: Node, user: User | None) -> None:
        self.user = user or User("")
        self.gone = asyncio.get_running_loop().create_future()
        self._known = user is not None
        self._socket = socket
        self._codec = codec
        self._node = node
        self._followers: dict[str, Follower] = {}
        self._lagging: dict[str, Follower] = {}
        self._watching = False
        self._reported: list[str] = []
        self._changed: dict[str, None] = {}
        self.outbox = Outbox(socket, codec, Socket.of(socket.scope), self)
        self._undecodable = 0
        self._code = Close.NO_HELLO
        self._ending = False
        self._life: asyncio.Timeout

    async def run(self) -> None:
        """Serve until the socket is gone, or is to be closed."""
        try:
            async with asyncio.timeout(None if self._known else HELLO_SECONDS) as self._life:
                if self._known:
                    self.send(frames.welcome(self._node, self.user))
                await self._receive()
        except TimeoutError:
            await self._close()
        except WebSocketDisconnect:
            pass
        finally:
            self._ending = True
            for session in [follower.room.session for follower in self._followers.values()]:
                self.leave(session)
            if self._watching:
                self._node.hub.unwatch(self.user, self)
            self.outbox.stop()
            self.gone.set_result(None)

    def send_away(self, after_s: float) -> None:
        """Send the client elsewhere after a while: this node drains."""
        if self._known:
            self.send({"type": "away", "after_ms": round(after_s * 1000), "why": "deploy"})

    def end(self, code: int) -> None:
        """Have the socket closed with `code`, after what is queued."""
        if not self._ending:
            self._ending, self._code = True, code
            self._life.reschedule(asyncio.get_running_loop().time())

    # What commands ask of a caller

    def send(self, frame: Frame) -> None:
        """Queue a frame."""
        self.outbox.send(frame)

    async def space(self) -> None:
        """Return when the queue of frames is short."""
        await self.outbox.space()

    async def enter(self, session: Session) -> Follower:
        """Follow a session; see `commands.Caller`."""
        self.admit(session)
        room = await self._node.hub.join(session)
        self.leave(session)
        follower = self._followers[session.id] = Follower(room, START, self)
        return follower

    def admit(self, session: Session) -> None:
        """Hold the number of open sessions to its bound; see `commands.Caller`."""
        if session.id not in self._followers and len(self._followers) >= SESSIONS:
            raise RateLimited(f"{SESSIONS} sessions are open; close one first")

    def reported(self, run: str) -> bool:
        """Note a report; see `commands.Caller`."""
        before = run in self._reported
        self._reported = [*self._reported, run][-REPORTED:]
        return before

    def follower(self, session: Session) -> Follower | None:
        """The follower of a session, if it is open here."""
        return self._followers.get(session.id)

    def leave(self, session: Session) -> None:
        """Follow a session no more."""
        follower = self._followers.pop(session.id, None)
        if follower is not None:
            follower.end()
            self._lagging.pop(session.id, None)
            self._node.hub.leave(follower.room)

    async def watch(self) -> None:
        """Hear of changes in the list."""
        if not self._watching:
            await self._node.hub.watch(self.user, self)
            self._watching = True

    # What rooms ask of a sink

    @property
    def ready(self) -> bool:
        """Whether a frame would go out at once."""
        return self.outbox.idle

    def deliver(self, shared: Shared) -> None:
        """Take a frame that a room hands over."""
        self.outbox.push(shared.frame(self._codec), shared.framed(self._codec))

    def lag(self, standing: Standing) -> None:
        """Pull this follower, if it is still one, when the queue is empty."""
        id = standing.room.session.id
        if (follower := self._followers.get(id)) is standing and follower is not None:
            self._lagging[id] = follower
            self.outbox.wake()

    def changed(self, session: str) -> None:
        """Tell of a session of the list when the queue is empty."""
        self._changed[session] = None
        self.outbox.wake()

    def beat(self) -> None:
        """Send a heartbeat: of each session the cursor up to which entries are on this socket, or before this frame
        in its queue. A client that has said nothing for long is asked whether it is there.
        """
        straight = Socket.of(self._socket.scope)
        there = straight is None or straight.beat()
        if there and self._known:
            live = {id: one.cursor for id, one in self._followers.items() if one in one.room.followers}
            self.send({"type": "ping", "heads": {id: str(cursor) for id, cursor in live.items()}})

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
            values = decode(message, self._codec)
        except ChatError as error:
            self.send(error_frame(error))
            self._undecodable += isinstance(error, BadFrame)
            if self._undecodable >= UNDECODABLE:
                self.end(Close.NOT_OURS)
            return
        self._undecodable = 0
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
            if isinstance(command, Hello) and command.ticket is not None:
                self.end(Close.NOT_YOU)
                raise Unauthorized("this ticket is not one of ours")
            if not self._known:
                raise Unauthorized("nobody is signed in here; take the cookie from GET /, or send X-User-Id")
            await execute(self, self._node, command)
        except ChatError as error:
            self.send(error_frame(error, ref, session if isinstance(session, str) else None))
        except WebSocketDisconnect:
            raise
        except Exception:
            log.exception("a command failed in a way that we do not know")
            self.send(error_frame(Internal("something failed here; it has been logged"), ref))

    async def _close(self) -> None:
        """Send what is queued, and the code; a socket that takes neither is dropped."""
        self._ending = True
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.outbox.sent()
                await self._socket.close(self._code)
        except (TimeoutError, WebSocketDisconnect, RuntimeError):
            log.info("a socket was dropped without a close frame")
            if (straight := Socket.of(self._socket.scope)) is not None:
                straight.drop()

    # What the outbox asks for

    def owes(self) -> bool:
        """Whether a follower lags, or the list has changed."""
        return bool(self._lagging or self._changed)

    async def pull(self) -> None:
        """Queue what one laggard, or one change of the list, brings."""
        if not self._lagging:
            id = next(iter(self._changed))
            del self._changed[id]
            await self._list(id)
            return
        id = next(iter(self._lagging))
        follower = self._lagging.pop(id)
        try:
            pulled = await follower.pull()
        except StateUnavailable:
            asyncio.get_running_loop().call_later(AGAIN_SECONDS, self.lag, follower)
            return
        if pulled is None or self._followers.get(id) is not follower:
            return
        if isinstance(pulled, Restart):
            restarted(self, follower.room.session, pulled)
        else:
            self.deliver(pulled)
        if follower.cursor != follower.room.head:
            self._lagging[id] = follower

    async def _list(self, id: str) -> None:
        try:
            listed = await self._node.users.listed(Session(self.user, id))
        except StateUnavailable:
            asyncio.get_running_loop().call_later(AGAIN_SECONDS, self.changed, id)
            return
        self.send({"type": "session"} | frames.listed(listed))
