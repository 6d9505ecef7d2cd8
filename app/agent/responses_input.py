"""A prompt, as the Responses API takes it: the messages of a chat become items, and the system's are instructions.

https://platform.openai.com/docs/guides/migrate-to-responses. A call and its output are items of their own.
"""

from collections.abc import Iterator
from typing import Any

from app.agent.prompt import Message, Prompt

Item = dict[str, Any]


def asked(prompt: Prompt) -> dict[str, Any]:
    """The fields of the request that say what is asked, and which tools may be called."""
    system = "\n\n".join(message["content"] for message in prompt.messages if message["role"] == "system")
    fields: dict[str, Any] = {"input": [item for message in prompt.messages for item in _items(message)]}
    if system:
        fields["instructions"] = system
    if prompt.tools:
        fields["tools"] = [{"type": "function", "strict": False} | schema for schema in prompt.tools]
        if not prompt.may_call:
            fields["tool_choice"] = "none"
    return fields


def _items(message: Message) -> Iterator[Item]:
    role, content = message["role"], message.get("content")
    if role == "system":
        return
    if role == "tool":
        yield {"type": "function_call_output", "call_id": message["tool_call_id"], "output": content or ""}
        return
    if content:
        yield {"type": "message", "role": role, "content": content}
    for call in message.get("tool_calls") or ():
        function = call["function"]
        yield {
            "type": "function_call", "call_id": call["id"], "name": function["name"],
            "arguments": function["arguments"],
        }  # fmt: skip
