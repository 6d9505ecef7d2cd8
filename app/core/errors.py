"""Every error that a caller can meet, in one tree.

    ChatError(code, retry)
    ├── ClientError           the caller's fault
    │   ├── BadFrame          bad_frame         not a frame, or a field is missing or wrong
    │   ├── BadCursor         bad_cursor        not `<ms>-<seq>`
    │   ├── TooBig            too_big           a message over its bound
    │   ├── TooLong           too_long          a text or a context over its bound
    │   ├── UnknownCommand    unknown_command
    │   ├── Unauthorized      unauthorized      nobody is signed in here
    │   │   ├── Expired                         somebody was, until then
    │   │   └── Revoked                         somebody was, until an operator signed them out
    │   ├── Forbidden         forbidden
    │   ├── NotFound          not_found         a run, turn or session that isn't there
    │   ├── IdReused          id_reused         the same message id with other content
    │   ├── Conflict          conflict          something else was changed meanwhile, or is to be done first
    │   ├── RunOver           run_over          the run has ended
    │   ├── Busy              busy              a run is under way, and the caller said `reject`
    │   ├── QueueFull         queue_full
    │   ├── RateLimited       rate_limited      too many of something; `after_ms` says how long
    │   │   └── TooMany                         at the same time
    │   └── QuotaExceeded     quota_exceeded    a day's share is used up
    └── Unavailable           ours, or a dependency's, for now
        ├── StateUnavailable  unavailable       Redis did not answer
        ├── ModelUnavailable  model_unavailable the upstream failed or broke off
        ├── ModelTimeout      model_timeout     a limit on time ran out
        ├── ContentRefused    content_refused   the upstream will not answer this
        └── Internal          internal          a defect of ours; details are in our log only

A message says what was seen and what was expected; never an internal detail. A failed run is not an exception
to a client: it is an `end` entry.
"""

from typing import Final, Literal

Retry = Literal["no", "now", "later", "sign_in", "resync"]


class ChatError(Exception):
    """An error with a place in the protocol.

    `code` and `retry` are the protocol's words; `after_ms` is how long to wait, where that is known.
    """

    code: str = "internal"
    retry: Retry = "no"
    status: int = 500

    def __init__(self, message: str, *, code: str | None = None, after_ms: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.code
        self.after_ms = after_ms


class ClientError(ChatError):
    """The caller's fault: the same again would fail again."""

    code = "bad_frame"
    status = 400


class BadFrame(ClientError):
    """Not a frame, or a field of it is missing or wrong."""


class BadCursor(ClientError):
    """A cursor that is not two integers joined by `-`."""

    code = "bad_cursor"


class TooBig(ClientError):
    """A message over its bound."""

    code = "too_big"
    status = 413


class TooLong(ClientError):
    """A text, a context or an answer over its bound."""

    code = "too_long"
    status = 413


class UnknownCommand(ClientError):
    """A frame whose type no server of this version knows."""

    code = "unknown_command"


class Unauthorized(ClientError):
    """Nobody is signed in here."""

    code = "unauthorized"
    retry: Retry = "sign_in"
    status = 401


class Expired(Unauthorized):
    """Who was signed in here is so no more: their time is over."""


class Revoked(Unauthorized):
    """Who was signed in here is so no more: an operator said so."""


class Forbidden(ClientError):
    """Known or not, this caller may not."""

    code = "forbidden"
    status = 403


class NotFound(ClientError):
    """A run, turn or session that isn't there."""

    code = "not_found"
    status = 404


class IdReused(ClientError):
    """The same message id with other content; the first run stands."""

    code = "id_reused"
    status = 409


class Conflict(ClientError):
    """What was to be changed is not what the caller has seen."""

    code = "conflict"
    status = 409


class RunOver(ClientError):
    """The run has ended."""

    code = "run_over"
    status = 409


class Busy(ClientError):
    """A run is under way, and the caller wanted no queue."""

    code = "busy"
    retry: Retry = "later"
    status = 409


class QueueFull(ClientError):
    """As many turns wait as may."""

    code = "queue_full"
    retry: Retry = "later"
    status = 429


class RateLimited(ClientError):
    """Too many of something."""

    code = "rate_limited"
    retry: Retry = "later"
    status = 429


class TooMany(RateLimited):
    """Too many of something at the same time, rather than too often."""


class QuotaExceeded(ClientError):
    """A day's share of something is used up."""

    code = "quota_exceeded"
    retry: Retry = "later"
    status = 429


class Unavailable(ChatError):
    """Ours or a dependency's fault, for now."""

    code = "unavailable"
    retry: Retry = "later"
    status = 503


class StateUnavailable(Unavailable):
    """Redis did not answer in time, or refused to write."""


class ModelUnavailable(Unavailable):
    """The upstream failed, or its stream broke off."""

    code = "model_unavailable"
    status = 502


class ModelTimeout(Unavailable):
    """The upstream let a limit on time run out."""

    code = "model_timeout"
    status = 504


class ContentRefused(Unavailable):
    """The upstream will not answer this."""

    code = "content_refused"
    retry: Retry = "no"
    status = 502


class Internal(ChatError):
    """A defect of ours. Its details go to our log, never to a stranger."""

    code = "internal"
    retry: Retry = "later"


BY_CODE: Final[dict[str, type[ChatError]]] = {
    kind.code: kind
    for kind in (
        BadFrame, BadCursor, TooBig, TooLong, UnknownCommand, Unauthorized, Forbidden, NotFound, IdReused, Conflict,
        RunOver, Busy, QueueFull, RateLimited, QuotaExceeded, Unavailable, ModelUnavailable, ModelTimeout,
        ContentRefused, Internal,
    )
}  # fmt: skip
