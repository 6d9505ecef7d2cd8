"""What is one's own, over HTTP: sessions and their turns, what is known of oneself, and all of it to take along.

Fields are those of the commands of the same names, and so are the errors.
"""

import re
from functools import partial
from typing import Any, Final, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from app.core.commands import History, Rate, Rename, Sessions, Set, command_of
from app.core.context import Context
from app.core.errors import BadFrame
from app.core.model import Session, User, checked_id
from app.core.protocol import check
from app.edge import frames
from app.edge.access import Access
from app.edge.bodies import body_of
from app.edge.export import FORMATS, exported
from app.edge.routes import Guarded
from app.node import Node

T = TypeVar("T", bound=msgspec.Struct)

ETAG: Final = re.compile(r'"(\d{1,15})"\Z')


class Own:
    """The routes of one node."""

    def __init__(self, node: Node, access: Access) -> None:
        self._node = node
        self._access = access

    @property
    def doors(self) -> list[Guarded]:
        """All of them."""
        return [
            Guarded("GET", "/api/sessions", "chat", self.sessions),
            Guarded("PATCH", "/api/sessions/{id}", "chat", self.change),
            Guarded("DELETE", "/api/sessions/{id}", "chat", self.delete),
            Guarded("GET", "/api/sessions/{id}/turns", "chat", self.turns),
            Guarded("PUT", "/api/sessions/{id}/turns/{turn}/rating", "chat", self.rate),
            Guarded("GET", "/api/sessions/{id}/prompt", "chat", self.prompt),
            Guarded("GET", "/api/sessions/{id}/export", "chat", self.export_one),
            Guarded("GET", "/api/export", "chat", self.export),
            Guarded("GET", "/api/usage", "chat", self.usage),
            Guarded("GET", "/api/context", "chat", self.context),
            Guarded("PATCH", "/api/context", "chat", self.change_context),
        ]

    async def sessions(self, request: Request, user: User) -> Response:
        """`GET /api/sessions`: one's list, latest first."""
        asked = _command(Sessions, request, "query", "before", "limit")
        found, more = await self._node.state.users.sessions(
            user, query=asked.query, before=asked.before, limit=asked.limit
        )
        return JSONResponse({"sessions": [frames.listed(one) for one in found], "more": more})

    async def turns(self, request: Request, user: User) -> Response:
        """`GET /api/sessions/{id}/turns`: a page of a session's history, oldest first; or of what `turn` replaced."""
        asked = _command(History, request, "before", "limit", "turn", session=request.path_params["id"])
        page = await self._node.state.sessions.history(
            Session(user, asked.session), asked.before, asked.limit, of=asked.turn
        )
        return JSONResponse({"turns": [frames.turn(turn) for turn in page.turns], "more": page.more})

    async def rate(self, request: Request, user: User) -> Response:
        """`PUT /api/sessions/{id}/turns/{turn}/rating`: say what one thinks of an answer."""
        body, named = await body_of(request), request.path_params
        given = {name: body[name] for name in ("value", "note") if body.get(name) is not None}
        asked = _read(Rate, given | {"session": named["id"], "turn": named["turn"]})
        at = await self._node.state.sessions.rate(Session(user, asked.session), asked.turn, asked.value, asked.note)
        return JSONResponse({"session": asked.session, "turn": asked.turn, "at": str(at)})

    async def change(self, request: Request, user: User) -> Response:
        """`PATCH /api/sessions/{id}`: give it a title, or settings."""
        body, id = await body_of(request), request.path_params["id"]
        settings = {name: body[name] for name in ("model", "temperature", "prompt") if body.get(name) is not None}
        asked = _read(Set, {"session": id} | settings)
        titled = _read(Rename, {"session": id, "title": body["title"]}) if body.get("title") is not None else None
        session = Session(user, asked.session)
        if titled is not None:
            await self._node.rename(session, titled.title.strip())
        return JSONResponse({"session": session.id, "at": str(await self._node.set(session, asked.settings))})

    async def delete(self, request: Request, user: User) -> Response:
        """`DELETE /api/sessions/{id}`: for good."""
        await self._node.delete(_session(request, user))
        return Response(status_code=204)

    async def prompt(self, request: Request, user: User) -> Response:
        """`GET /api/sessions/{id}/prompt`: what a model would be asked, if `text` were said there now."""
        session = _session(request, user)
        asked = await self._node.asks.build_context(session, request.query_params.get("text", ""))
        model = self._node.model_of(asked.session_context)
        prompt = self._node.prompts.of(asked, model)
        shown: dict[str, Any] = {"model": model, "temperature": prompt.temperature, "prompt": prompt.fingerprint}
        return JSONResponse(shown | {"messages": prompt.messages})

    async def export_one(self, request: Request, user: User) -> Response:
        """`GET /api/sessions/{id}/export`: all of one session, as JSON or Markdown."""
        session = _session(request, user)
        return self._exported(request, user, [session.id])

    async def export(self, request: Request, user: User) -> Response:
        """`GET /api/export`: all that one has, as JSON or Markdown."""
        return self._exported(request, user, None)

    async def usage(self, request: Request, user: User) -> Response:
        """`GET /api/usage`: how many tokens one's answers took, by day, and how many a day they may."""
        used, most = await self._node.state.rates.used(user), self._node.settings
        days = [{"day": day, "tokens": tokens} for day, tokens in used.items()]
        return JSONResponse({"days": days, "tokens_a_day": most.rate_tokens if most.limits == "on" else 0})

    async def context(self, request: Request, user: User) -> Response:
        """`GET /api/context`: what is known of oneself; its version is the `ETag`."""
        return _known(await self._node.context(user, None, None))

    async def change_context(self, request: Request, user: User) -> Response:
        """`PATCH /api/context`: change some of it (`null` removes a value); with `If-Match`, if that is its version."""
        given, said = await body_of(request), request.headers.get("if-match")
        match = ETAG.match(said) if said is not None else None
        if said is not None and match is None:
            raise BadFrame(f'If-Match: expected "<version>" as in ETag, got {said[:40]!r}')
        check(given)
        return _known(await self._node.context(user, given, int(match[1]) if match else None))

    def _exported(self, request: Request, user: User, only: list[str] | None) -> Response:
        format = request.query_params.get("format", "json")
        if format not in FORMATS:
            raise BadFrame(f"format: expected {' or '.join(FORMATS)}, got {format[:40]!r}")
        kind, suffix = FORMATS[format]
        name = f"chat-{only[0]}{suffix}" if only else f"chat{suffix}"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        still = partial(self._access.authorise, request.state.identity, "chat")
        body = exported(self._node, user, only, format, still)
        return StreamingResponse(body, headers=headers, media_type=kind)


def _command(kind: type[T], request: Request, *names: str, **more: str) -> T:
    """Read a command whose fields are in the query."""
    fields: dict[str, Any] = {name: request.query_params[name] for name in names if name in request.query_params}
    if str(fields.get("limit", "")).isdecimal():
        fields["limit"] = int(fields["limit"][:6])
    return _read(kind, fields | more)


def _read(kind: type[T], fields: dict[str, Any]) -> T:
    read = command_of({"type": str(kind.__struct_config__.tag)} | fields)
    assert isinstance(read, kind)
    return read


def _session(request: Request, user: User) -> Session:
    return Session(user, checked_id(request.path_params["id"], "a session's id"))


def _known(context: Context) -> Response:
    headers = {"ETag": f'"{context.version}"'}
    return JSONResponse({"context": context.values, "version": context.version}, headers=headers)
