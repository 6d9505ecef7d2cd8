"""The JSON Schema of a tool's parameters, as far as an untrusted server's may be held against arguments in our loop.

A schema is a program: a `pattern` can take years for forty characters, a chain of `$ref` double its work at each link,
and one of another place would have us ask there. So what is kept is plain: what is referred to is put in its place,
up to a size; where it contains itself anything is taken; and what costs more than to look once is left out. All that
only takes more than the server does, never less: it checks what it is sent itself. A model is shown the whole of it,
so the marks of templates are broken up in it, also in names and values.
"""

from typing import Any, Final

import jsonschema

from app.agent.marks import broken
from app.agent.tools.declared import SEEN
from app.agent.tools.toolbox import DEEP, clean

PARTS: Final = 1_000
LITERAL: Final = frozenset({"const", "default", "dependentRequired", "enum", "examples", "required", "type"})
NAMED: Final = frozenset({"dependentSchemas", "properties"})  # of names, each with a schema
NOTES: Final = frozenset({"default", "deprecated", "description", "examples", "title"})  # that check nothing
LEFT_OUT: Final = frozenset(
    {
        "$anchor", "$comment", "$defs", "$dynamicAnchor", "$dynamicRef", "$id", "$recursiveAnchor", "$recursiveRef",
        "$ref", "$schema", "$vocabulary", "definitions", "else", "if", "maxContains", "not", "pattern",
        "patternProperties", "then", "unevaluatedItems", "unevaluatedProperties", "uniqueItems",
    }
)  # fmt: skip


class WrongSchema(Exception):
    """A tool's parameters cannot be had; the message says why."""


def plain(schema: dict[str, Any]) -> dict[str, Any]:
    """Give a server's schema with nothing in it that can be followed, or that takes long.

    Raises:
        WrongSchema
    """
    root = broken(clean(schema))
    found: dict[str, Any] = {"type": "object"} | _Copy(root).schema(root)
    if found["type"] != "object":
        raise WrongSchema(f"they are of type {str(found['type'])[:SEEN]}; expected object")
    try:
        jsonschema.Draft202012Validator.check_schema(found)
    except jsonschema.SchemaError as error:
        raise WrongSchema(f"they are no JSON Schema: {error.message[:SEEN]}") from error
    return found


class _Copy:
    """A schema as it is copied, part by part."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._left = PARTS

    def schema(self, given: dict[str, Any], deep: int = DEEP, within: frozenset[str] = frozenset()) -> dict[str, Any]:
        """Copy a schema, at most so `deep`, and `within` what was referred to on the way."""
        own = {
            ("anyOf" if key == "oneOf" else key): self._part(key, value, deep, within)
            for key, value in given.items()
            if key not in LEFT_OUT
            and not (key == "oneOf" and "anyOf" in given)
            and not (key == "additionalProperties" and "patternProperties" in given)
        }
        where = given.get("$ref")
        if where is None or where in within:
            return own
        match self._part("", self._at(where), deep, within | {where}):
            case True:
                return own
            case dict() as target if own.keys() & target.keys() - NOTES:
                return own | {"allOf": [target, *own.get("allOf", [])]}
            case dict() as target:
                return target | own
        raise WrongSchema(f"they refer to {where[:SEEN]!r}, which is no schema")

    def _part(self, key: str, value: Any, deep: int, within: frozenset[str]) -> Any:
        """Copy what a keyword has."""
        self._left -= 1
        if self._left < 0 or deep < 0:
            raise WrongSchema(f"they have more than {PARTS} parts, or more than {DEEP} in each other")
        match value:
            case _ if key in LITERAL:
                return value
            case dict() if key in NAMED:
                return {name: self._part("", one, deep - 1, within) for name, one in value.items()}
            case dict():
                return self.schema(value, deep - 1, within)
            case list():
                return [self._part("", one, deep - 1, within) for one in value]
        return value

    def _at(self, where: Any) -> Any:
        """What a reference within this schema (RFC 6901) means."""
        if not (isinstance(where, str) and (where == "#" or where.startswith("#/"))):
            raise WrongSchema(f"they refer to {str(where)[:SEEN]!r}; expected a place in themselves")
        found = self._root
        for step in where.split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if not (isinstance(found, dict) and name in found):
                raise WrongSchema(f"they refer to {where[:SEEN]!r}, which is not there")
            found = found[name]
        return found
