"""What one may want of a run that is under way, over HTTP: that it stops, waits, goes on, or makes a call.

Fields are those of the commands of the same names, and so are the errors.
"""

from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.core.commands import Answer, CarryOn, Pause, Stop, command_of
from app.core.model import Session, User
from app.edge.access import Access
from app.edge.bodies import body_of
from app.edge.commands import decided
from app.edge.routes import Guarded
from app.node import Node

T = TypeVar("T", bound=msgspec.Struct)


class Carried:
    """The routes of one node."""

    def __init__(self, node: Node, access: Access) -> None:
        self._node = node
        self._limits = access.limits

    @property
    def doors(self) -> list[Guarded]:
        """All of them."""
        run = "/api/sessions/{id}/runs/{run}"
        return [
            Guarded("POST", f"{run}/stop", "chat", self.stop),
            Guarded("POST", f"{run}/pause", "chat", self.pause),
            Guarded("POST", f"{run}/resume", "chat", self.resume),
            Guarded("POST", f"{run}/calls/{{call}}", "chat", self.answer),
        ]

    async def stop(self, request: Request, user: User) -> Response:
        """`POST …/stop`: ask a run to end."""
        asked = _command(Stop, request)
        at = await self._node.stop(Session(user, asked.session), asked.run)
        return JSONResponse({"session": asked.session, "run": asked.run, "at": str(at)})

    async def pause(self, request: Request, user: User) -> Response:
        """`POST …/pause`: hold a run, at the next safe point."""
        asked = _command(Pause, request)
        at = await self._node.state.holds.pause(Session(user, asked.session), asked.run)
        return JSONResponse({"session": asked.session, "run": asked.run, "at": str(at)})

    async def resume(self, request: Request, user: User) -> Response:
        """`POST …/resume`: carry on a run that was paused."""
        asked = _command(CarryOn, request)
        await self._limits.place(Session(user, asked.session))
        at = await self._node.state.holds.resume(Session(user, asked.session), asked.run)
        return JSONResponse({"session": asked.session, "run": asked.run, "at": str(at)})

    async def answer(self, request: Request, user: User) -> Response:
        """`POST …/calls/{call}`: decide on a call that waits for a person; the decision that stands is returned."""
        body = await body_of(request)
        given = {name: body[name] for name in ("decision", "arguments", "reason") if body.get(name) is not None}
        asked = _command(Answer, request, call=request.path_params["call"], **given)
        if asked.decision != "deny":
            await self._limits.place(Session(user, asked.session))
        stands = await self._node.answer(Session(user, asked.session), decided(user, asked))
        told = {"session": asked.session, "run": asked.run, "call": asked.call}
        return JSONResponse(told | {"decision": stands.decision, "by": stands.by})


def _command(kind: type[T], request: Request, **fields: Any) -> T:
    """Read a command on the run that the path names."""
    named = {"session": request.path_params["id"], "run": request.path_params["run"]}
    read = command_of({"type": str(kind.__struct_config__.tag)} | named | fields)
    assert isinstance(read, kind)
    return read
