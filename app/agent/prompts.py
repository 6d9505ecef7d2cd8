"""What a model is asked, as a whole, from all that is known."""

from dataclasses import dataclass
from typing import Any

from app.agent.llm import Model
from app.agent.prompt import Prompt, messages
from app.agent.request import AgentRequest, RequestContextBuilder
from app.state.outcomes import Carry


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds where a session says nothing: how many turns before the question are shown, and the temperature."""

    window: int = 10
    temperature: float = 0.1


class Prompts:
    """Makes prompts."""

    def __init__(self, requests: RequestContextBuilder, model: Model, defaults: Defaults) -> None:
        self._requests = requests
        self._model = model
        self._defaults = defaults

    async def of_run(self, carry: Carry) -> Prompt:
        """What a run asks."""
        return self.of(await self._requests.of_run(carry), carry.request.model)

    def of(self, request: AgentRequest, model: str) -> Prompt:
        """What a request asks of a model."""
        asked = messages(request, self._defaults.window, self._model.abilities(model).prompt_tokens)
        return Prompt(asked, _temperature(request.session_context, self._defaults.temperature))


def _temperature(settings: dict[str, Any], default: float) -> float:
    own = settings.get("temperature")
    return float(own) if isinstance(own, int | float) and not isinstance(own, bool) and 0 <= own <= 2 else default
