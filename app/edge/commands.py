"""What each command does: one case, one call on the node, one reply.

A caller is a connection: it knows its user, which sessions it follows, and takes frames. Nothing else is remembered
between two commands.
"""

from typing import Protocol

from app.core import entries
from app.core.commands import (
    Answer,
    CarryOn,
    CloseSession,
    Command,
    Context,
    Delete,
    Differs,
    Hello,
    History,
    Open,
    Pause,
    Ping,
    Rate,
    Rename,
    Sessions,
    Set,
    Stop,
    Watch,
)  # fmt: skip
from app.core.errors import ChatError, NotFound
from app.core.model import Cursor, Session, User
from app.core.protocol import Frame, batch_frame, error_frame, replying
from app.core.questions import Again, Edit, Question, Say
from app.edge import frames
from app.edge.follows import Follows
from app.live.follow import Restart
from app.node import Node
from app.state.outcomes import Reset


class Caller(Protocol):
    """A connection, as commands see it."""

    follows: Follows

    @property
    def user(self) -> User:
        """Who it is."""

    def send(self, frame: Frame) -> None:
        """Queue a frame."""

    async def space(self) -> None:
        """Return when the queue of frames is short."""

    def reported(self, run: str) -> bool:
        """Note that the client's text of a run differs; say whether it was noted before."""

    async def watch(self) -> None:
        """Hear of changes in the list."""

    async def turn(self, session: Session) -> None:
        """Count a turn.

        Raises:
            RateLimited, QuotaExceeded, StateUnavailable: it may not be said now.
        """

    async def place(self, session: Session) -> None:
        """Have a place for an answer that is to go on.

        Raises:
            RateLimited, StateUnavailable: it may not now.
        """


async def execute(caller: Caller, node: Node, command: Command) -> None:
    """Carry out a command and reply.

    Raises:
        ChatError: it cannot be; the caller of this sends the error.
    """
    user, ref = caller.user, command.ref

    def ok(**fields: object) -> None:
        caller.send({"type": "ok"} | replying(ref) | fields)

    match command:
        case Hello():
            await _hello(caller, node, command)
        case Open(session=id):
            await _open(caller, Session(user, id), command)
        case CloseSession(session=id):
            caller.follows.leave(Session(user, id))
            ok(session=id)
        case Say() | Again() | Edit():
            await _say(caller, node, command)
        case Stop(session=id, run=run):
            ok(session=id, run=run, at=str(await node.stop(Session(user, id), run)))
        case Answer(session=id, run=run, call=call):
            if command.decision != "deny":  # that may always be said
                await caller.place(Session(user, id))
            stands = await node.answer(Session(user, id), decided(user, command))
            ok(session=id, run=run, call=call, decision=stands.decision, by=stands.by)
        case Pause(session=id, run=run):
            ok(session=id, run=run, at=str(await node.state.holds.pause(Session(user, id), run)))
        case CarryOn(session=id, run=run):
            await caller.place(Session(user, id))
            ok(session=id, run=run, at=str(await node.state.holds.resume(Session(user, id), run)))
        case History(session=id, before=before, limit=limit, turn=of):
            page = await node.state.sessions.history(Session(user, id), before, limit, of=of)
            ok(session=id, turns=[frames.turn(turn) for turn in page.turns], more=page.more)
        case Sessions(query=query, before=before, limit=limit):
            found, more = await node.state.users.sessions(user, query=query, before=before, limit=limit)
            ok(sessions=[frames.listed(one) for one in found], more=more)
        case Watch():
            await caller.watch()
            ok()
        case Rename(session=id, title=title):
            await node.rename(Session(user, id), title.strip())
            ok(session=id)
        case Delete(session=id):
            await node.delete(Session(user, id))
            ok(session=id)
        case Differs():
            await _differs(caller, node, command)
        case Set(session=id, settings=settings):
            ok(session=id, at=str(await node.set(Session(user, id), settings)))
        case Rate(session=id, turn=turn, value=value, note=note):
            ok(session=id, at=str(await node.state.sessions.rate(Session(user, id), turn, value, note)))
        case Context(set=given, version=version):
            known = await node.context(user, given, version)
            ok(context=known.values, version=known.version)
        case Ping():
            ok()


def decided(user: User, command: Answer) -> entries.Answer:
    """A person's decision, as the log tells it."""
    return entries.Answer(
        run=command.run, call=command.call, decision=command.decision, by=user.key, arguments=command.arguments,
        reason=command.reason,
    )  # fmt: skip


async def _hello(caller: Caller, node: Node, hello: Hello) -> None:
    """Greet, then follow again what the client followed: connect and resume in one round trip."""
    caller.send(frames.welcome(node, caller.user) | replying(hello.ref))
    for resume in hello.resume:
        await caller.space()
        try:
            again = Open(session=resume.session, cursor=resume.cursor, ref=hello.ref)
            await _open(caller, Session(caller.user, again.session), again)
        except ChatError as error:
            caller.send(error_frame(error, hello.ref, resume.session))


async def _open(caller: Caller, session: Session, command: Open) -> None:
    """Follow a session: `ok` with the head, then a batch from the cursor, or a snapshot."""
    follower = await caller.follows.enter(session)
    follower.turns = command.turns
    try:
        if command.cursor is not None:
            cursor = Cursor.parse(command.cursor)
            outcome = await follower.room.read(cursor)
        else:
            outcome = Reset("")
        if isinstance(outcome, Reset):
            restart = await follower.restart(outcome)
            caller.send({"type": "ok"} | replying(command.ref, session.id) | {"at": str(restart.snapshot.at)})
            _restarted(caller, session, restart)
        else:
            follower.cursor = outcome.batch.at
            caller.send({"type": "ok"} | replying(command.ref, session.id) | {"at": str(outcome.head)})
            caller.send(batch_frame(session.id, outcome.batch))
    except BaseException:
        caller.follows.leave(session)
        raise
    follower.begin()


def _restarted(caller: Caller, session: Session, restart: Restart) -> None:
    for frame in frames.restarted(session, restart):
        caller.send(frame)


async def _say(caller: Caller, node: Node, asked: Question) -> None:
    """Have something answered. The session is open from then on, from just before what was said."""
    session = Session(caller.user, asked.session or asked.id)
    caller.follows.admit(session)
    await caller.turn(session)
    said = await node.say(session, asked)
    if caller.follows.follower(session) is None:
        follower = await caller.follows.enter(session)
        follower.cursor = said.before
        follower.begin()
    reply = {"type": "ok", "session": session.id, "run": said.run, "at": str(said.at), "duplicate": said.duplicate}
    caller.send(reply | replying(asked.ref))


async def _differs(caller: Caller, node: Node, command: Differs) -> None:
    """Count a text that is not the log's, and give the client the session anew, once a run."""
    session = Session(caller.user, command.session)
    if not await node.state.sessions.knows(session, command.run):
        raise NotFound(f"no run {command.run!r} in this session")
    if caller.reported(command.run):
        caller.send({"type": "ok"} | replying(command.ref, session.id))
        return
    node.differing += 1
    follower = await caller.follows.enter(session)
    try:
        restart = await follower.restart(Reset("differs"))
    except BaseException:
        caller.follows.leave(session)
        raise
    caller.send({"type": "ok"} | replying(command.ref, session.id))
    _restarted(caller, session, restart)
    follower.begin()
