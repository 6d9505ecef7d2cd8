"""agent.responses_input: a chat as the Responses API takes it."""

from typing import Any

from app.agent.prompt import Prompt
from tests.responses_upstream import provider, whole


async def test_a_conversation_becomes_items() -> None:
    """Calls and what came of them are items of their own; the system's message is the instructions."""
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Be kind."}, {"role": "user", "content": "Rain?"},
        {"role": "assistant", "content": "I look.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "no"}, {"role": "assistant", "content": "No."},
        {"role": "assistant", "content": None, "tool_calls": [call | {"id": "c2"}]},
        {"role": "tool", "tool_call_id": "c2", "content": ""}, {"role": "user", "content": "Sure?"},
    ]  # fmt: skip
    async with provider() as up:
        await whole(up, Prompt(messages))
        function = {"type": "function_call", "name": "weather", "arguments": "{}"}
        assert up.created[0]["instructions"] == "Be kind."
        assert up.created[0]["input"] == [
            {"type": "message", "role": "user", "content": "Rain?"},
            {"type": "message", "role": "assistant", "content": "I look."}, function | {"call_id": "c1"},
            {"type": "function_call_output", "call_id": "c1", "output": "no"},
            {"type": "message", "role": "assistant", "content": "No."}, function | {"call_id": "c2"},
            {"type": "function_call_output", "call_id": "c2", "output": ""},
            {"type": "message", "role": "user", "content": "Sure?"},
        ]  # fmt: skip
