"""`python -m app check`: whether state and model are fit, in words."""

import time
from typing import Final

from app.agent.llm import Model
from app.agent.prompt import Prompt
from app.config import SettingError, Settings
from app.core.errors import ChatError
from app.start import parts

CLOCK_MS: Final = 1000.0
SLOW_MS: Final = 5.0
QUESTION: Final = Prompt([{"role": "user", "content": "Say hello in one word."}])


async def check(settings: Settings) -> int:
    """Print what was found, a line each; return the exit code: 0 if all of it is fit, else 1."""
    try:
        async with parts(settings) as (_, fit, upstream):
            age = "append-only file on" if fit.append_only else "no append-only file: a restart of Redis loses chats"
            slow = "" if fit.ping_ms < SLOW_MS else ": slow, every flush of text waits for it"
            off = "" if abs(fit.clock_ms) < CLOCK_MS else ": Redis's clock decides, so only logs look odd"
            print(f"ok    state    {fit.words}, {age}")
            print("ok    policy   noeviction, and scripts run")
            print(f"ok    latency  {fit.ping_ms:.2f} ms a round trip{slow}")
            print(f"ok    clock    this machine's is {fit.clock_ms:+.0f} ms from Redis's{off}")
            print(f"ok    model    {upstream.words}")
            print(f"ok    answer   {await _answer(upstream.model)}")
    except (SettingError, ChatError) as error:
        print(f"wrong {error}")
        return 1
    return 0


async def _answer(model: Model) -> str:
    """Ask something short; say how long its first word took."""
    began, first, text = time.monotonic(), 0.0, ""
    async for piece in model.stream(model.names[0], QUESTION):
        first = first or time.monotonic() - began
        text += piece.text
    return f"first text after {first * 1000:.0f} ms, whole after {(time.monotonic() - began) * 1000:.0f} ms"
