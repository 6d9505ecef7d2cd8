"""What a model is asked, as a whole, from all that is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.agent.llm import Model
from app.agent.prompt import Prompt, messages
from app.agent.request import AgentRequest, RequestContextBuilder
from app.agent.steps import Step
from app.agent.tools.toolbox import Toolbox
from app.state.outcomes import Carry


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds where a session says nothing: how many turns before the question are shown, and the temperature."""

    window: int = 10
    temperature: float = 0.1


class Prompts:
    """Makes prompts."""

    def __init__(self, requests: RequestContextBuilder, model: Model, toolbox: Toolbox, defaults: Defaults) -> None:
        self._requests = requests
        self._model = model
        self._toolbox = toolbox
        self._defaults = defaults

    async def request(self, carry: Carry) -> AgentRequest:
        """What a run is to answer, and all that it is asked in."""
        return await self._requests.of_run(carry)

    def of(
        self, request: AgentRequest, model: str, *, steps: Sequence[Step] = (), further: Sequence[str] = (),
        may_call: bool = True,
    ) -> Prompt:  # fmt: skip
        """What a request asks of a model, after the `steps` that were taken; of tools it has those of the node, and
        `further` ones.
        """
        can = self._model.abilities(model)
        tools = self._toolbox.schemas(further) if can.tools else ()
        asked = messages(
            request, self._defaults.window, can.prompt_tokens, steps=steps, tools=bool(tools),
            thoughts=can.thoughts and bool(tools),
        )  # fmt: skip
        default = self._defaults.temperature if can.temperature is None else can.temperature
        return Prompt(asked, _temperature(request.session_context, default), tools, may_call=may_call)


def _temperature(settings: dict[str, Any], default: float) -> float:
    own = settings.get("temperature")
    return float(own) if isinstance(own, int | float) and not isinstance(own, bool) and 0 <= own <= 2 else default
