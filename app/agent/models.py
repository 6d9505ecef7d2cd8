"""Several models under their names, from a TOML file of `[[model]]` tables.

    [[model]]
    name = "llama3.2"                        # what clients ask for, and what the upstream calls it
    base_url = "http://127.0.0.1:11434/v1"   # left out: the upstream of the `openai` package
    key_env = "OLLAMA_KEY"                   # the variable of the environment that holds its key, if it wants one
    context_tokens = 8192                    # where the model is small: how much it can be shown, its answer included
    answer_tokens = 1024                     # and how much of that an answer may take
    takeover = "restart"                     # how an answer goes on: restart, continue (after its text) or fail
    prefix = "trailing"                      # how it is asked to continue: trailing (llama.cpp), continue_final_message
                                             # (vLLM, SGLang) or prefix (DeepSeek, Mistral)

The first is the default.
"""

import tomllib
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

import msgspec

from app.agent.flow import Flow, Piece
from app.agent.llm import Abilities, Limits, OpenAIModel
from app.agent.prompt import Prompt
from app.core.breaker import Breaker
from app.core.model import Dialect, Takeover


class WrongModels(Exception):
    """The file is not there, or not right; the message says where and what was expected."""


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[model]]`."""

    name: str
    base_url: str | None = None
    key_env: str | None = None
    context_tokens: int | None = None
    answer_tokens: int | None = None
    takeover: Takeover = "restart"
    prefix: Dialect = "trailing"


class Entries(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file."""

    model: list[Entry]


class Models:
    """Several models as one."""

    def __init__(self, models: Mapping[str, OpenAIModel]) -> None:
        self._models = models
        self.names = tuple(models)

    @classmethod
    async def connect(cls, file: Path, environ: Mapping[str, str], limits: Limits, *, titles: bool = False) -> "Models":
        """Read the file, and make its models; none of them is asked yet. `titles`: they make titles.

        Raises:
            WrongModels
        """
        models: dict[str, OpenAIModel] = {}
        breakers: defaultdict[str | None, Breaker] = defaultdict(Breaker)
        for entry in entries(file):
            if entry.key_env is not None and not environ.get(entry.key_env):
                raise WrongModels(f"model {entry.name!r} has its key in {entry.key_env}, which is not set")
            models[entry.name] = await OpenAIModel.connect(
                base_url=entry.base_url,
                api_key=environ[entry.key_env] if entry.key_env else None,
                name=entry.name,
                limits=limits,
                abilities=Abilities(entry.takeover, entry.prefix, entry.context_tokens, entry.answer_tokens, titles),
                breaker=breakers[entry.base_url],
            )
        return cls(models)

    @property
    def breakers(self) -> Mapping[str, Breaker]:
        """One for each upstream; see `llm.Model`."""
        return {where: breaker for model in self._models.values() for where, breaker in model.breakers.items()}

    def abilities(self, name: str) -> Abilities:
        """What the model of that name can; see `llm.Model`."""
        return self._models[name].abilities(name) if name in self._models else Abilities()

    def stream(self, name: str, prompt: Prompt) -> AsyncGenerator[Piece, None]:
        """Ask the model of that name; see `llm.Model`."""
        return self._models[name].stream(name, prompt)

    async def ask(self, name: str, prompt: Prompt) -> Flow:
        """Ask the model of that name; see `flow.Asks`."""
        return await self._models[name].ask(name, prompt)

    async def close(self) -> None:
        """Close the connections to all upstreams."""
        for model in self._models.values():
            await model.close()


def entries(file: Path) -> list[Entry]:
    """Read the file.

    Raises:
        WrongModels
    """
    try:
        found = msgspec.convert(tomllib.loads(file.read_text()), Entries).model
    except OSError as error:
        raise WrongModels(f"cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise WrongModels(f"is not right: {error}") from error
    names = [entry.name for entry in found]
    if not names or len(set(names)) < len(names):
        raise WrongModels("has no model, or two of one name; expected [[model]] tables with names of their own")
    return found
