"""Asking a model again: what is worth it, how long to wait, and what its failures are called."""

import time
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar

import httpx2
import openai
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from app.agent.http1 import Answer, NotReached
from app.core.errors import ChatError, ContentRefused, ModelTimeout, ModelUnavailable

TRIES: Final = 3
LONGEST_SECONDS: Final = 60.0  # an upstream that wants more patience has failed
CUT: Final = (OSError, openai.OpenAIError, httpx2.HTTPError, ValueError)  # what befalls a request

T = TypeVar("T")


class NotAdmitted(ModelUnavailable):
    """The breaker is open, and nobody waits for it."""


async def patiently(ask: Callable[[], Awaitable[T]], tries: int = TRIES) -> T:
    """Ask up to three times, waiting up to 0.5 s, then 1 s, at random, or as long as the upstream says."""
    backoff = wait_random_exponential(multiplier=0.5, max=8.0)

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        named = _named_s(error)
        return float(backoff(state)) if named is None else named + float(backoff(state)) / 10

    retrying = AsyncRetrying(
        retry=retry_if_exception(worth_it), wait=wait, stop=stop_after_attempt(tries), reraise=True
    )
    return await retrying(ask)


def worth_it(error: BaseException) -> bool:
    """Whether the same again may succeed: connecting, 429 and 5xx, a stream that broke off. Not a long silence."""
    match error:
        case openai.APITimeoutError():
            return isinstance(error.__cause__, httpx2.ConnectTimeout)
        case TimeoutError():
            return isinstance(error, NotReached)
        case openai.APIStatusError():
            again = error.status_code in (408, 409, 429) or error.status_code >= 500
            return again and (_named_s(error) or 0.0) <= LONGEST_SECONDS
        case ContentRefused() | NotAdmitted():
            return False
        case openai.OpenAIError() | httpx2.HTTPError() | ValueError() | OSError() | ModelUnavailable():
            return True
    return False


def failed(error: BaseException) -> bool:
    """Whether it says that the upstream is not well: a stop does not, nor does a request that was refused."""
    if isinstance(error, openai.APIStatusError):
        return error.status_code >= 500
    return isinstance(error, (ModelUnavailable, *CUT))


def refusal(client: openai.AsyncOpenAI, answer: Answer, body: bytes) -> openai.APIStatusError:
    """An answer with a status of 400 or more, as the package tells of it."""
    request = httpx2.Request("POST", client.base_url)
    response = httpx2.Response(answer.status, headers=answer.headers, request=request)
    kind = openai.BadRequestError if answer.status == 400 else openai.APIStatusError
    return kind(f"{answer.status}: {body[:200]!r}", response=response, body=None)


def told(error: Exception) -> ChatError:
    """A failure in the protocol's terms."""
    match error:
        case TimeoutError() | openai.APITimeoutError():
            return ModelTimeout("the model did not answer in time")
        case openai.BadRequestError():
            return ContentRefused("the model refused the request")
    named = _named_s(error)
    after_ms = None if named is None else round(named * 1000)
    return ModelUnavailable("the model cannot be reached, or broke off", after_ms=after_ms)


def _named_s(error: BaseException | None) -> float | None:
    """The seconds that `Retry-After` asks for (RFC 9110, 10.2.3), if it does."""
    if not isinstance(error, openai.APIStatusError):
        return None
    value = error.response.headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
