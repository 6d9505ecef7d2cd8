"""The marks by which templates say who speaks and where a message ends: in what comes from outside they are broken up.

A server puts a conversation into one text, and reads these in it wherever they stand, in a tool's result, too. With a
space after their first character they are words as others.
"""

import re
from typing import Any, Final

MARKS: Final = re.compile(
    r"<(?=[|｜]|\w{1,32}[|｜]>"  # ChatML, Llama 3, harmony; with full-width bars DeepSeek; Gemma 4
    r"|/?(?:s|bos|eos|sop|think)>|/?(?:start|end)_of_|/?seed:"  # Llama 2, Gemma, GLM, Qwen, Seed
    r"|/?tool|/?function|</?SYS>>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_(?:CALLS|RESULTS|CONTENT)|THINK)\]"  # Mistral
    r"|(?:BOS|EOS|gMASK)\]|e~\[)|\](?=~!?b[\[\]])",  # Kimi, GLM, MiniMax
    re.IGNORECASE,
)


def broken(value: Any) -> Any:
    """Give a text, or a JSON value with all of its texts, without a mark in it."""
    match value:
        case str():
            return MARKS.sub(r"\g<0> ", value)
        case dict():
            return {broken(key): broken(one) for key, one in value.items()}
        case list():
            return [broken(one) for one in value]
    return value
