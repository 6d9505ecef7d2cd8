"""HTTP bodies: a JSON object in, and problem details (RFC 9457) out where it cannot be."""

import asyncio
from http import HTTPStatus
from typing import Any, Final

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

from app.core.errors import BadFrame, ChatError, TooBig
from app.core.protocol import MESSAGE_BYTES, NOT_DECODED, not_decoded

BODY_SECONDS: Final = 10.0


class TooSlow(BadFrame):
    """A body that does not come to its end."""

    status = 408


def problem(error: ChatError, **more: Any) -> JSONResponse:
    """Give an error as problem details."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "detail": error.message,
        "code": error.code,
        "retry": error.retry,
        **more,
    }
    headers = {}
    if error.after_ms is not None:
        body["after_ms"] = error.after_ms
        headers["Retry-After"] = str(-(-error.after_ms // 1000))
    return JSONResponse(body, error.status, headers, "application/problem+json")


async def body_of(request: Request) -> dict[str, Any]:
    """Read a JSON object of at most 64 KiB.

    Raises:
        BadFrame, TooBig, TooSlow
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise BadFrame(f"the body's Content-Type is {kind[:80]!r}; expected application/json")
    if (coding := request.headers.get("content-encoding", "identity").lower()) != "identity":
        raise BadFrame(f"the body's Content-Encoding is {coding[:80]!r}; expected none")
    data = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                data += chunk
                if len(data) > MESSAGE_BYTES:
                    raise TooBig(f"a body of more than {MESSAGE_BYTES} bytes; at most that much is read")
    except TimeoutError:
        raise TooSlow(f"a body that was not there after {BODY_SECONDS:.0f} s") from None
    except ClientDisconnect:
        raise TooSlow("a body that broke off") from None
    try:
        body = msgspec.json.decode(bytes(data))
    except NOT_DECODED as error:
        raise not_decoded("JSON", error) from error
    if not isinstance(body, dict):
        raise BadFrame("the body is an object")
    return body
