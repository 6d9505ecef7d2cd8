"""The HTTP routes, as OpenAPI 3.1 says them: `GET /openapi.json`. A test holds it to the routes that there are."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from app.core.errors import BY_CODE
from app.core.model import ID
from app.core.protocol import CONTEXT_BYTES, NOTE_BYTES, TEXT_BYTES
from app.edge.export import FORMATS
from app.edge.operators import KEY_LENGTH
from app.edge.routes import Guarded, Open

Schema = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
SHORT: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": 1000}
MODEL: Final = "#/components/schemas/Model"
NUMBER: Final[Schema] = {"type": "integer"}
NAMED: Final[Schema] = {"type": "string", "pattern": f"^{ID.pattern.removesuffix(chr(92) + 'Z')}$"}
SAID: Final[Schema] = {
    "type": "string", "pattern": r"[^\s\u001c-\u001f]", "maxLength": TEXT_BYTES // 4,
    "description": f"at most {TEXT_BYTES} bytes of UTF-8, so that more characters may fit",
}  # fmt: skip
CONTEXT: Final[Schema] = {
    "type": "object", "additionalProperties": {"$ref": "#/components/schemas/Value"},
    "description": f"at most {CONTEXT_BYTES} bytes as compact JSON",
}  # fmt: skip
VALUE: Final[Schema] = {
    "anyOf": [
        {"type": ["string", "boolean", "null"]},
        {"type": "number", "minimum": -(2**63), "maximum": 2**64 - 1},
        {"type": "array", "items": {"$ref": "#/components/schemas/Value"}},
        {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/Value"}},
    ]
}
PROBLEM: Final = "#/components/schemas/Problem"
ID_OF_SESSION: Final = {"name": "id", "in": "path", "required": True, "schema": NAMED}
REASON: Final[Schema] = {"type": "string", "maxLength": 2000}
NAMED_TURN: Final = SHORT | {"maxLength": 64}
RUN: Final = {"name": "run", "in": "path", "required": True, "schema": NAMED}
ID_OF_TURN: Final = {"name": "turn", "in": "path", "required": True, "schema": NAMED}


def _map(required: Iterable[str] = (), **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": sorted(required)}


def _one_of(*maps: Schema) -> Schema:
    """One of these, and nothing of the others."""
    return {"oneOf": [one | {"additionalProperties": False} for one in maps]}


OF_RUN: Final = _map(("session", "run", "at"), session=TEXT, run=TEXT, at=TEXT)
DECISION: Final = _one_of(
    _map(("decision",), decision={"enum": ["allow", "deny"]}, reason=REASON),
    _map(("decision", "arguments"), decision={"enum": ["edit"]}, arguments=CONTEXT, reason=REASON),
)
WHO: Final = _map(("user", "role"), user=TEXT, role={"enum": ["user", "operator"]}, name=TEXT, expires_at=NUMBER)
STATUS: Final = _map(("status",), status=TEXT)
CHAT: Final = _map(
    ("session_id", "message"), session_id=NAMED, message=SAID, message_id=NAMED, context=CONTEXT, user_id=TEXT
)
CHATTED: Final = _map(
    ("response", "session_id", "metadata", "timestamp"), response=TEXT, session_id=TEXT, metadata={"type": "object"},
    timestamp={"type": "string", "format": "date-time"},
)  # fmt: skip
TURN: Final = _map(
    ("text",),
    text=SAID,
    id=NAMED,
    model={"$ref": MODEL},
    context=CONTEXT,
    when_busy={"enum": ["queue", "interrupt", "reject"]},
)
AGAIN: Final = _map((), id=NAMED, model={"$ref": MODEL}, when_busy={"enum": ["queue", "interrupt", "reject"]})
ACCEPTED: Final = _map(("session", "run", "at", "duplicate"), session=TEXT, run=TEXT, at=TEXT,
                       duplicate={"type": "boolean"})  # fmt: skip
KNOWN: Final = _map(("context", "version"), context={"type": "object"}, version=NUMBER)
RECORD: Final = _map(("at", "what", "by", "node"), at=NUMBER, what=TEXT, by=TEXT, node=TEXT)


def _query(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "query", "schema": schema}


LIMIT: Final = _query("limit", {"type": "integer", "minimum": 1, "maximum": 100})
FORMAT: Final = _query("format", {"enum": list(FORMATS)})
LISTED: Final[Schema] = {"type": "array", "items": {"type": "object"}}
YES_OR_NO: Final[Schema] = {"type": "boolean"}

# Of each route: what it does, its parameters, its body, what it answers (status and body; None: none, or no JSON),
# and with which problems.
Told = tuple[str, list[Schema], Schema | None, dict[int, Schema | None], tuple[int, ...]]
ROUTES: Final[dict[tuple[str, str], Told]] = {
    ("GET", "/"): ("The page.", [], None, {200: None, 303: None}, (403,)),
    ("GET", "/sign-in"): ("Where invitations lead to.", [], None, {200: None, 303: None}, ()),
    ("GET", "/openapi.json"): ("This.", [], None, {200: {"type": "object"}}, ()),
    ("POST", "/chat"): (
        "Say, and wait for the answer.", [], CHAT, {200: CHATTED},
        (400, 404, 408, 409, 410, 413, 429, 502, 503, 504),
    ),
    ("POST", "/api/sessions/{id}/turns"): (
        "Say, and return at once.",
        [ID_OF_SESSION],
        TURN, {202: ACCEPTED}, (400, 404, 408, 409, 413, 429, 503),
    ),
    ("POST", "/api/sessions/{id}/turns/{turn}/again"): (
        "Have a person's turn answered anew, in place of what followed it.", [ID_OF_SESSION, ID_OF_TURN],
        AGAIN, {202: ACCEPTED}, (400, 404, 408, 409, 413, 429, 503),
    ),
    ("PUT", "/api/sessions/{id}/turns/{turn}"): (
        "Say a person's turn otherwise, in its place and in that of what followed it.", [ID_OF_SESSION, ID_OF_TURN],
        TURN, {202: ACCEPTED}, (400, 404, 408, 409, 413, 429, 503),
    ),
    ("PUT", "/api/sessions/{id}/turns/{turn}/rating"): (
        "Say what one thinks of an answer; without a value, take that back.", [ID_OF_SESSION, ID_OF_TURN],
        _map((), value={"enum": ["up", "down"]}, note={"type": "string", "maxLength": NOTE_BYTES // 4}),
        {200: _map(("session", "turn", "at"), session=TEXT, turn=TEXT, at=TEXT)}, (400, 404, 408, 413, 429, 503),
    ),
    ("POST", "/api/sign-in"): (
        "Exchange a token or an invitation for the page's cookie.", [],
        _one_of(_map(("token",), token=SHORT), _map(("invite",), invite=SHORT)), {200: WHO},
        (400, 401, 403, 408, 413, 429, 503),
    ),
    ("DELETE", "/api/sign-in"): ("Sign out.", [], None, {204: None}, (503,)),
    ("GET", "/api/me"): ("Who one is.", [], None, {200: WHO}, (429, 503)),
    ("DELETE", "/api/me"): ("Take away all that there is of oneself, and sign out.", [], None, {204: None}, (429, 503)),
    ("POST", "/api/ticket"): (
        "One `hello`, from wherever one is.", [], None,
        {201: _map(("ticket", "seconds"), ticket=TEXT, seconds={"type": "number"})}, (429, 503),
    ),
    ("GET", "/api/sessions"): (
        "One's list, latest first.", [_query("query", TEXT | {"maxLength": 200}), _query("before", NAMED), LIMIT], None,
        {200: _map(("sessions", "more"), sessions=LISTED, more=YES_OR_NO)}, (400, 404, 429, 503),
    ),
    ("PATCH", "/api/sessions/{id}"): (
        "Give a session a title, or settings.", [ID_OF_SESSION],
        _map(
            title={"type": "string", "pattern": r"[^\s\u001c-\u001f]", "maxLength": 200},
            model={"$ref": MODEL}, temperature={"type": "number", "minimum": 0, "maximum": 2},
            prompt={"type": "string", "maxLength": 2000},
        ),
        {200: _map(("session", "at"), session=TEXT, at=TEXT)}, (400, 404, 408, 413, 429, 503),
    ),
    ("DELETE", "/api/sessions/{id}"): (
        "Remove a session, for good.", [ID_OF_SESSION], None, {204: None}, (400, 429, 503),
    ),
    ("GET", "/api/sessions/{id}/turns"): (
        "A page of a session's history, oldest first; or of the turns whose place `turn` took.",
        [ID_OF_SESSION, _query("before", NAMED_TURN), _query("turn", NAMED_TURN), LIMIT],
        None, {200: _map(("turns", "more"), turns=LISTED, more=YES_OR_NO)}, (400, 404, 429, 503),
    ),
    ("GET", "/api/sessions/{id}/prompt"): (
        "What a model would be asked, if this were said now.", [ID_OF_SESSION, _query("text", TEXT)], None,
        {200: _map(("model", "temperature", "prompt", "messages"), model=TEXT, temperature={"type": "number"},
                   prompt=TEXT, messages=LISTED)}, (400, 429, 503),
    ),
    ("GET", "/api/sessions/{id}/export"): (
        "All of one session.", [ID_OF_SESSION, FORMAT], None, {200: None}, (400, 429, 503),
    ),
    ("POST", "/api/sessions/{id}/runs/{run}/stop"): (
        "End a run, whether it runs, waits in the queue or waits for a person.", [ID_OF_SESSION, RUN], None,
        {200: OF_RUN}, (400, 404, 429, 503),
    ),
    ("POST", "/api/sessions/{id}/runs/{run}/pause"): (
        "Hold a run, at the next safe point.", [ID_OF_SESSION, RUN], None, {200: OF_RUN}, (400, 404, 409, 429, 503),
    ),
    ("POST", "/api/sessions/{id}/runs/{run}/resume"): (
        "Carry on a run that was paused.", [ID_OF_SESSION, RUN], None, {200: OF_RUN}, (400, 404, 409, 429, 503),
    ),
    ("POST", "/api/sessions/{id}/runs/{run}/calls/{call}"): (
        "Decide on a call that waits for a person. The first decision stands, and is returned.",
        [ID_OF_SESSION, RUN, {"name": "call", "in": "path", "required": True, "schema": NAMED}],
        DECISION,
        {200: _map(("session", "run", "call", "decision", "by"), session=TEXT, run=TEXT, call=TEXT, decision=TEXT,
                   by=TEXT)},
        (400, 404, 409, 413, 429, 503),
    ),
    ("GET", "/api/export"): ("All that one has.", [FORMAT], None, {200: None}, (400, 429, 503)),
    ("GET", "/api/usage"): (
        "How many tokens one's answers took, by day (UTC), and how many a day they may (0: as many as they like).", [],
        None, {200: _map(("days", "tokens_a_day"), days=LISTED, tokens_a_day=NUMBER)}, (429, 503),
    ),
    ("GET", "/api/context"): ("What is known of oneself.", [], None, {200: KNOWN}, (429, 503)),
    ("PATCH", "/api/context"): (
        "Change some of it; null removes a value. With If-Match (the ETag), if nothing else was changed.", [],
        {
            "type": "object", "maxProperties": 8, "additionalProperties": {"$ref": "#/components/schemas/Value"},
            "propertyNames": {"pattern": r"^(?!last_seen$|total_interactions$|last_activity$|message_count$"
                              r"|expertise_level$|preferred_style$|language$|instructions$)[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$"},
        },
        {200: KNOWN}, (400, 408, 409, 413, 429, 503),
    ),
    ("POST", "/api/revoke"): (
        "Sign somebody out everywhere.", [],
        _one_of(
            _map(("user",), user={"type": "string", "minLength": KEY_LENGTH, "maxLength": KEY_LENGTH}),
            _map(("name",), name=SHORT, issuer=SHORT), _map(("token",), token=SHORT),
        ),
        {204: None},
        (400, 408, 413, 429, 503),
    ),
    ("GET", "/api/audit"): (
        "What was done, newest first.",
        [{"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 200}}], None,
        {200: _map(("records",), records={"type": "array", "items": RECORD})}, (400, 429, 503),
    ),
    ("GET", "/health"): ("How this node and what it depends on are.", [], None, {200: STATUS, 503: STATUS}, ()),
    ("GET", "/live"): ("Whether the process answers.", [], None, {200: STATUS}, ()),
    ("GET", "/ready"): ("Whether new clients may come.", [], None, {200: STATUS, 503: STATUS}, ()),
}  # fmt: skip


def document(doors: Iterable[Open | Guarded], models: Sequence[str]) -> dict[str, Any]:
    """Describe routes, and which models there are."""
    paths: dict[str, dict[str, Any]] = {}
    for door in doors:
        paths.setdefault(door.path, {})[door.method.lower()] = _operation(door)
    problem = _map(
        ("title", "status", "detail", "code", "retry"), type=TEXT, title=TEXT, status=NUMBER, detail=TEXT,
        code={"enum": sorted(BY_CODE)}, retry={"enum": ["no", "now", "later", "sign_in", "resync"]}, after_ms=NUMBER,
    )  # fmt: skip
    schemes = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "AUTH=jwt: a JSON Web Token"},
        "name": {"type": "apiKey", "in": "header", "name": "X-User-Id", "description": "AUTH=guest: a program's name"},
        "cookie": {"type": "apiKey", "in": "cookie", "name": "chat_login", "description": "a page"},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "chat", "version": "chat.v1", "description": "The WebSocket is at /ws: docs/protocol.md."},
        "paths": paths,
        "components": {
            "schemas": {"Problem": problem, "Model": {"enum": list(models)}, "Value": VALUE},
            "securitySchemes": schemes,
        },
    }


def _operation(door: Open | Guarded) -> dict[str, Any]:
    summary, parameters, body, answers, problems = ROUTES[door.method, door.path]
    more = (401, 403, 503) if isinstance(door, Guarded) else (403,)
    operation: dict[str, Any] = {"summary": summary, "responses": {}}
    for status in sorted({*problems, *more} - answers.keys()):
        described = {"application/problem+json": {"schema": {"$ref": PROBLEM}}}
        operation["responses"][str(status)] = {"description": "a problem", "content": described}
    for status, schema in answers.items():
        content = {"content": {"application/json": {"schema": schema}}} if schema else {}
        operation["responses"][str(status)] = {"description": summary} | content
    if parameters:
        operation["parameters"] = parameters
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    if isinstance(door, Guarded):
        operation["security"] = [{"bearer": []}, {"name": []}, {"cookie": []}]
    return operation
