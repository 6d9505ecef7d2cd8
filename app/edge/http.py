"""The same thing over HTTP: the origin document's `/chat`, turns, and whether the node is well.

Who is asking, and that they may, is decided in `edge.routes`, before any of this runs.
"""

import asyncio
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.core.commands import command_of
from app.core.errors import (
    BadFrame,
    Forbidden,
    ModelTimeout,
    StateUnavailable,
    Unavailable,
)
from app.core.identity import Identity
from app.core.model import Session, Turn, User
from app.core.protocol import kind_of
from app.core.questions import Again, Edit, Question, Say
from app.edge.access import Access, visitor_of
from app.edge.bodies import body_of, problem
from app.node import Node
from app.state.outcomes import Said
from app.stateless import Failed, OnHold, answer, answered, message_name

# By the method, and whether a turn is named.
ASKED: Final[dict[tuple[str, bool], type[Question]]] = {
    ("POST", False): Say,
    ("POST", True): Again,
    ("PUT", True): Edit,
}
PROBE_SECONDS: Final = 0.8  # many a prober gives up after one


class Api:
    """The HTTP routes of one node."""

    def __init__(self, node: Node, access: Access) -> None:
        self._node = node
        self._access = access
        self._waiting: set[asyncio.Task[Turn | None]] = set()  # of `/chat`, for its answer
        self._leaving = asyncio.get_running_loop().create_future()
        self._probing: asyncio.Task[bool] | None = None

    async def answered(self) -> None:
        """Return when no `/chat` waits for its answer."""
        while self._waiting:
            await asyncio.wait(self._waiting)

    def leave(self) -> None:
        """Have each `/chat` that waits say so: this node stops, and the same message id finds the answer elsewhere."""
        if not self._leaving.done():
            self._leaving.set_result(None)

    async def whom(self, request: Request) -> Identity | None:
        """Say who sends a `/chat`: its body may name them, in guest mode."""
        request.state.body = body = await body_of(request)
        if (user_id := body.pop("user_id", None)) is None:
            return await self._access.identify(request)
        if not isinstance(user_id, str):
            raise BadFrame("user_id is text")
        named = self._access.auth.named(user_id, visitor_of(request))
        if request.headers.get("x-user-id", user_id) != user_id:
            raise Forbidden("user_id and X-User-Id name different users")
        return named

    async def chat(self, request: Request, user: User) -> Response:
        """`POST /chat`: say, wait for the end, return the answer. A repeat of a `message_id` returns the same."""
        body: dict[str, Any] = request.state.body
        known = {"session_id": "session", "message": "text", "message_id": "id", "context": "context"}
        frame = {known[key]: value for key, value in body.items() if key in known and value is not None}
        for name in ("session_id", "message"):
            if not isinstance(body.get(name), str):
                seen = f"got {kind_of(body[name])}" if body.get(name) is not None else "it is missing"
                raise BadFrame(f"{name}: expected text, {seen}")
        frame.setdefault("id", message_name())
        say = _say(frame)
        session = Session(user, str(say.session))
        said = await self._said(request, session, say)
        try:
            turn = await self._awaited(session, said.run)
            self._access.authorise(request.state.identity, "chat")  # that took a while
            return JSONResponse(answer(session, said.run, turn))
        except OnHold as held:
            return JSONResponse({"run": held.run, "state": "held"}, 202)
        except Failed as error:
            return problem(error, run=error.run, response=error.text)

    async def turns(self, request: Request, user: User) -> Response:
        """`POST /api/sessions/{id}/turns`: say, and return at once; the answer is followed elsewhere.

        `POST …/turns/{turn}/again`: have a turn answered anew. `PUT …/turns/{turn}`: say it otherwise.
        """
        body = {name: value for name, value in (await body_of(request)).items() if value is not None}
        key = request.headers.get("idempotency-key")
        if key is not None and body.setdefault("id", key) != key:
            raise BadFrame(
                f"Idempotency-Key is {key[:80]!r} and id is {str(body['id'])[:80]!r}; expected them to agree"
            )
        body.setdefault("id", message_name())
        asked = _question(ASKED[request.method, "turn" in request.path_params], request, body)
        session = Session(user, str(asked.session))
        said = await self._said(request, session, asked)
        answer = {"session": session.id, "run": said.run, "at": str(said.at), "duplicate": said.duplicate}
        return JSONResponse(answer, 202)

    async def health(self, request: Request) -> Response:
        """`GET /health`: how this node and what it depends on are."""
        redis = await self._redis()
        status = "healthy" if redis else "unhealthy"
        body = {
            "status": status,
            "timestamp": datetime.now(UTC).isoformat(),
            "node": self._node.settings.node,
            "dependencies": {"redis": "healthy" if redis else "unhealthy"},
            "draining": self._node.draining,
        }
        return JSONResponse(body, 200 if redis else 503)

    async def live(self, request: Request) -> Response:
        """`GET /live`: the process answers."""
        return JSONResponse({"status": "alive"})

    async def ready(self, request: Request) -> Response:
        """`GET /ready`: new clients may come."""
        if self._node.draining:
            return JSONResponse({"status": "draining"}, 503)
        if not await self._redis():
            return JSONResponse({"status": "redis does not answer"}, 503)
        return JSONResponse({"status": "ready"})

    async def _said(self, request: Request, session: Session, asked: Question) -> Said:
        await self._access.limits.turn(session, visitor_of(request).address)
        return await self._node.say(session, asked)

    async def _awaited(self, session: Session, run: str) -> Turn | None:
        """Wait for a run's end, as long as it may take and this node stays; return its turn, see `answered`.

        Raises:
            ModelTimeout, Unavailable
        """
        settings = self._node.settings
        answering = asyncio.create_task(answered(self._node, session, run))
        self._waiting.add(answering)
        answering.add_done_callback(self._waiting.discard)
        try:
            await asyncio.wait(
                [answering, self._leaving], timeout=settings.run_seconds + settings.lease_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )  # fmt: skip
            if answering.done():
                return await answering
            if self._leaving.done():
                stops = "this node stops; the same again is answered by another"
                raise Unavailable(stops, code="unavailable", after_ms=1000)
            raise ModelTimeout("the answer did not come in time")
        finally:
            answering.cancel()

    async def _redis(self) -> bool:
        """Whether Redis answers; it is asked once at a time, however many want to know."""
        if self._probing is None or self._probing.done():
            self._probing = asyncio.create_task(self._probe())
        return await asyncio.shield(self._probing)

    async def _probe(self) -> bool:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await self._node.state.sessions.ping()
        except (StateUnavailable, TimeoutError):
            return False
        return True


def _question(kind: type[Question], request: Request, body: dict[str, Any]) -> Question:
    """Read a question: its fields are in the body, and what it is about in the path."""
    names = {field.name for field in msgspec.structs.fields(kind)} - {"ref", "session", "turn"}
    frame = {name: body[name] for name in names if name in body} | {"session": request.path_params["id"]}
    frame |= {"turn": request.path_params["turn"]} if "turn" in request.path_params else {}
    asked = command_of({"type": str(kind.__struct_config__.tag)} | frame)
    assert isinstance(asked, kind)
    return asked


def _say(frame: dict[str, Any]) -> Say:
    say = command_of({"type": "say"} | frame)
    assert isinstance(say, Say)
    return say
