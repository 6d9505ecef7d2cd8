"""The `openai` package's client of one upstream, without its own retries."""

import openai
from openai import AsyncOpenAI

from app.core.errors import ModelUnavailable


async def reached(
    *, base_url: str | None, api_key: str | None, name: str | None, timeout: openai.Timeout
) -> tuple[AsyncOpenAI, str]:
    """Reach an upstream; without a `name`, ask it for its first model.

    Raises:
        ModelUnavailable: it has no such list, or cannot be reached.
    """
    client = AsyncOpenAI(
        base_url=base_url,
        api_key=api_key or "none",  # the package insists on one; local servers ignore it
        max_retries=0,
        timeout=timeout,
    )
    if name is not None:
        return client, name
    try:
        return client, (await client.models.list()).data[0].id
    except (openai.OpenAIError, IndexError, AttributeError) as error:  # it takes a page for text, and trips over it
        await client.close()
        raise ModelUnavailable(f"no model found at {client.base_url}: {error}") from error
