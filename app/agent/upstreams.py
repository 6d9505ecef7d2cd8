"""Which model answers: what the settings name, else what this machine has.

In this order: the models of the file `MODELS`; `OPENAI_BASE_URL` or `OPENAI_API_KEY`; the local model, where its two
packages are installed; an Ollama or a llama-server that answers on its usual local port; a responder that says that it
is none. Whoever names a model with `MODEL_NAME` gets that one, or is told that it is not there.
"""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from app.agent import local, localserver
from app.agent.llm import Abilities, Limits, Model, OpenAIModel
from app.agent.models import Models
from app.agent.responder import Responder
from app.agent.responses import ResponsesModel
from app.core.errors import ModelUnavailable

USUAL: Final = {"Ollama": "http://127.0.0.1:11434/v1", "llama-server": "http://127.0.0.1:8080/v1"}
ANSWER_TOKENS: Final = 1024


@dataclass(frozen=True, slots=True)
class Upstream:
    """A model, in words for people, and whether it is there for trying out only."""

    model: Model
    words: str
    trial: bool = False


@asynccontextmanager
async def chosen(
    *,
    models: Path | None,
    base_url: str | None,
    api_key: str | None,
    name: str | None,
    limits: Limits,
    abilities: Abilities,
    data: Path,
) -> AsyncIterator[Upstream]:
    """Choose the model, and have it at hand.

    Raises:
        WrongModels: the file of models is not right.
        ModelUnavailable: the upstream, or the model, that was named is not there.
        NotStarted, OSError: the local model's server does not come up.
    """
    async with AsyncExitStack() as stack:
        if models is not None:
            several = await Models.connect(models, os.environ, limits, abilities)
            stack.push_async_callback(several.close)
            yield Upstream(several, f"{', '.join(several.names)} of {models}")
            return
        if base_url is not None or api_key is not None:
            kind = ResponsesModel if abilities.takeover == "resume" else OpenAIModel
            upstream = await kind.connect(
                base_url=base_url, api_key=api_key, name=name, limits=limits, abilities=abilities
            )
            stack.push_async_callback(upstream.close)
            yield Upstream(upstream, f"{upstream.names[0]} at {upstream.where}")
            return
        if name in (None, localserver.NAME) and local.installed():
            url = await stack.enter_async_context(local.served(data))
            model = await OpenAIModel.connect(
                base_url=url, api_key=None, name=localserver.NAME, limits=limits,
                abilities=replace(
                    abilities, context_tokens=localserver.CONTEXT_TOKENS, answer_tokens=ANSWER_TOKENS, titles=False,
                    tools=False,
                ),
            )  # fmt: skip
            stack.push_async_callback(model.close)
            yield Upstream(local.Small(model), f"{localserver.NAME}, a small local model for trying out", trial=True)
            return
        for program, url in USUAL.items():
            if names := await local.listed(url):
                model = await OpenAIModel.connect(
                    base_url=url, api_key=None, name=name or names[0], limits=limits, abilities=abilities
                )
                stack.push_async_callback(model.close)
                yield Upstream(model, f"{model.names[0]} of the {program} at {url}")
                return
        if name is not None:
            raise ModelUnavailable(f"MODEL_NAME is {name}, and nothing on this machine serves it")
        yield Upstream(Responder(), "none: a demonstration answers", trial=True)
