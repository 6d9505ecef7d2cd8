"""agent.tools.mcp_schema: what of an untrusted server's schema is held against arguments."""

from typing import Any

import pytest

from app.agent.tools.mcp_schema import PARTS, WrongSchema, plain


def test_what_is_referred_to_is_put_in_its_place() -> None:
    """Within the schema alone; where it contains itself anything is taken; properties of any name stay."""
    tree = {"type": "object", "properties": {"next": {"$ref": "#/$defs/tree"}, "pattern": {"type": "string"}}}
    found = plain(
        {
            "type": "object",
            "properties": {"at": {"$ref": "#/$defs/tree", "description": "where"}, "$ref": {"type": "integer"}},
            "$defs": {"tree": tree},
        }
    )
    at = {"type": "object", "properties": {"next": {}, "pattern": {"type": "string"}}, "description": "where"}
    assert found == {"type": "object", "properties": {"at": at, "$ref": {"type": "integer"}}}


def test_what_could_take_long_is_left_out_and_never_narrows() -> None:
    """No pattern is tried; and what then might be refused wrongly is not checked either."""
    found = plain(
        {
            "properties": {
                "a": {"type": "string", "pattern": "(a+)+$"},
                "b": {"oneOf": [{"pattern": "x"}, {"pattern": "y"}]},
                "c": {"not": {"pattern": "x"}},
                "d": {"type": "object", "patternProperties": {"^x": {}}, "additionalProperties": False},
            },
            "additionalProperties": False,
        }
    )
    properties = {"a": {"type": "string"}, "b": {"anyOf": [{}, {}]}, "c": {}, "d": {"type": "object"}}
    assert found == {"type": "object", "properties": properties, "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"$ref": "http://127.0.0.1:1/x"}, "refer to 'http://127.0.0.1:1/x'; expected a place in themselves"),
        ({"$ref": "file:///etc/passwd"}, "expected a place in themselves"),
        ({"$ref": "#/$defs/none"}, "'#/\\$defs/none', which is not there"),
        ({"$ref": "#/title", "title": "x"}, "which is no schema"),
        ({"type": "string"}, "of type string; expected object"),
        ({"properties": {"a": {"type": "text"}}}, "no JSON Schema"),
        ({"properties": {str(number): {} for number in range(PARTS)}}, f"more than {PARTS} parts"),
        (
            {
                "properties": {"a": {"$ref": "#/$defs/0"}},
                "$defs": {str(n): {"allOf": [{"$ref": f"#/$defs/{n + 1}"}] * 2} for n in range(30)} | {"30": {}},
            },
            "parts",
        ),
    ],
)
def test_a_schema_that_cannot_be_had(schema: dict[str, Any], words: str) -> None:
    """None of another place, none that is endless, none that is not one."""
    with pytest.raises(WrongSchema, match=words):
        plain(schema)
