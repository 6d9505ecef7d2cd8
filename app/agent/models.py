"""Several models under their names, from a TOML file of `[[model]]` tables.

    [[model]]
    name = "llama3.2"                        # what clients ask for, and what the upstream calls it
    base_url = "http://127.0.0.1:11434/v1"   # left out: the upstream of the `openai` package
    key_env = "OLLAMA_KEY"                   # the variable of the environment that holds its key, if it wants one
    context_tokens = 8192                    # where the model is small: how much it can be shown, its answer included
    answer_tokens = 1024                     # and how much of that an answer may take
    api = "chat"                             # how it is asked: chat (completions), or responses (OpenAI's newer one)
    effort = "medium"                        # with responses: how much it is to think: minimal, low, medium or high
    tools = true                             # whether it is told of tools
    reasoning = "back"                       # with tools: it is given back what it thought (DeepSeek); left out: not
    fallback = ["other"]                     # who is asked in its place, where it fails before its first token
    input_price = 0.15                       # what a million tokens cost that it is shown, and that it says; a turn's
    output_price = 0.60                      # usage has its `cost` then
    temperature = 0.1                        # how freely it chooses its words, where a session does not say
    connect_seconds = 5                      # its own limits on time; left out: the node's
    first_token_seconds = 60
    next_token_seconds = 30
    takeover = "restart"                     # how an answer goes on: restart, continue (after its text), fail, or with
                                             # responses resume: the provider goes on, and is taken up where it was
    prefix = "trailing"                      # how it is asked to continue: trailing (llama.cpp), continue_final_message
                                             # (vLLM, SGLang) or prefix (DeepSeek, Mistral)

The first is the default.
"""

import tomllib
from collections import defaultdict
from collections.abc import AsyncGenerator, Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from app.agent.flow import Flow, Piece
from app.agent.llm import Abilities, Limits, OpenAIModel
from app.agent.prompt import Prompt
from app.agent.responses import ResponsesModel
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
    api: Literal["chat", "responses"] = "chat"
    effort: Literal["minimal", "low", "medium", "high"] | None = None
    tools: bool = True
    reasoning: Literal["back"] | None = None
    fallback: tuple[str, ...] = ()
    input_price: Annotated[float, msgspec.Meta(ge=0)] | None = None
    output_price: Annotated[float, msgspec.Meta(ge=0)] | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    connect_seconds: Annotated[float, msgspec.Meta(gt=0)] | None = None
    first_token_seconds: Annotated[float, msgspec.Meta(gt=0)] | None = None
    next_token_seconds: Annotated[float, msgspec.Meta(gt=0)] | None = None

    def limits(self, usual: Limits) -> Limits:
        """Its own limits on time, and the usual ones."""
        return Limits(
            self.connect_seconds or usual.connect_s,
            self.first_token_seconds or usual.first_s,
            self.next_token_seconds or usual.next_s,
        )

    def abilities(self, usual: Abilities) -> Abilities:
        """What it can."""
        return Abilities(
            self.takeover, self.prefix, self.context_tokens, self.answer_tokens, usual.titles,
            tools=self.tools and usual.tools, thoughts=self.reasoning == "back", fallback=self.fallback,
            temperature=self.temperature, input_price=self.input_price, output_price=self.output_price,
        )  # fmt: skip


class Entries(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file."""

    model: list[Entry]


class Models:
    """Several models as one."""

    def __init__(self, models: Mapping[str, OpenAIModel | ResponsesModel]) -> None:
        self._models = models
        self.names = tuple(models)

    @classmethod
    async def connect(cls, file: Path, environ: Mapping[str, str], limits: Limits, usual: Abilities) -> "Models":
        """Read the file, and make its models; none of them is asked yet. They can what is `usual`, and their own.

        Raises:
            WrongModels
        """
        models: dict[str, OpenAIModel | ResponsesModel] = {}
        breakers: defaultdict[str | None, Breaker] = defaultdict(Breaker)
        for entry in entries(file):
            if entry.key_env is not None and not environ.get(entry.key_env):
                raise WrongModels(f"model {entry.name!r} has its key in {entry.key_env}, which is not set")
            known: dict[str, Any] = {
                "base_url": entry.base_url, "api_key": environ[entry.key_env] if entry.key_env else None,
                "name": entry.name, "limits": entry.limits(limits), "abilities": entry.abilities(usual),
                "breaker": breakers[entry.base_url],
            }  # fmt: skip
            if entry.api == "responses":
                keeps = entry.takeover == "resume"
                models[entry.name] = await ResponsesModel.connect(**known, background=keeps, effort=entry.effort)
            else:
                models[entry.name] = await OpenAIModel.connect(**known)
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

    async def cancel(self, name: str, place: str) -> None:
        """Tell the upstream of the model of that name; see `flow.Keeps`."""
        if isinstance(model := self._models.get(name), ResponsesModel):
            await model.cancel(name, place)

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
    for entry in found:
        if wrong := _wrong(entry, names):
            raise WrongModels(f"is not right: model {entry.name!r}: {wrong}")
    return found


def _wrong(entry: Entry, names: Collection[str]) -> str | None:
    """What of a model does not go together."""
    if unknown := [name for name in entry.fallback if name not in names or name == entry.name]:
        return f"fallback {', '.join(unknown)}: expected others of {', '.join(names)}"
    if entry.api == "responses" and entry.takeover == "continue":
        return 'takeover continue: expected resume, restart or fail with api = "responses"'
    if entry.api == "responses" and entry.reasoning:
        return 'reasoning: expected only with api = "chat"'
    if entry.api != "responses" and (entry.takeover == "resume" or entry.effort):
        return 'takeover resume, and effort: expected only with api = "responses"'
    return None
