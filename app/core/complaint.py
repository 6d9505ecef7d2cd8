"""What is wrong with a frame, in the protocol's words: the validator has its own."""

import re
from typing import Any, Final, get_args, get_type_hints

import msgspec

from app.core.protocol import kind_of

MISSING: Final = re.compile(r"Object missing required field `(\w+)`")
TYPE: Final = re.compile(r"`(\w[\w |]*)`")
WORDS: Final = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "object": "a map",
    "array": "an array",
    "bool": "a boolean",
}
STEP: Final = re.compile(r"(\w+)|\[(\d+)\]")


def complaint(name: str, kind: type[msgspec.Struct], fields: Any, reason: str) -> str:
    """Turn the validator's words into the protocol's: which field, what was expected, what was seen."""
    reason, _, path = reason.partition(" - at `$.")
    path, seen = path.rstrip("`"), fields
    if missing := MISSING.match(reason):
        return f"{name}: {path + '.' if path else ''}{missing[1]} is missing"
    for key, index in STEP.findall(path):
        seen = seen[int(index)] if index else seen.get(key)
    if reason.startswith("Invalid enum value"):
        expected = "one of " + ", ".join(_choices(get_type_hints(kind)[path]))
    else:
        expected = TYPE.sub(lambda found: _words(found[1]), reason.partition(", got ")[0].removeprefix("Expected "))
    return f"{name}: {path}: expected {expected}, got {kind_of(seen)}: {str(seen)[:80]}"


def _choices(hint: Any) -> list[str]:
    """The texts of a `Literal`, wherever it stands in a type."""
    return [hint] if isinstance(hint, str) else [text for part in get_args(hint) for text in _choices(part)]


def _words(types: str) -> str:
    """The validator's names of types, in the protocol's words."""
    return " or ".join(WORDS[name] for name in types.split(" | ") if name != "null")
