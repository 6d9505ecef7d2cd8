"""Our routes against what our own OpenAPI document says of them, as schemathesis sees it."""

from collections import Counter
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import ignored_auth, negative_data_rejection

from tests.fuzz.apart import apart
from tests.people import JWT, bearer
from tests.servers import Script

MODES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "guest": ({}, {"X-User-Id": "ada"}),
    "user": (JWT, bearer("ada", seconds=3600.0)),
    "operator": (JWT, bearer("root", role="operator", seconds=3600.0)),
    "nobody": (JWT, {}),
}
SETTINGS = settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
LEAST = 3  # cases a door, of all together: some ask for nothing


def cases(operation: Any) -> st.SearchStrategy[Any]:
    """Requests as the document has them; where it asks for something, also such as it rules out."""
    right: st.SearchStrategy[Any] = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    if not (operation.body or operation.path_parameters or operation.query):
        return right
    wrong: st.SearchStrategy[Any] = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
    return right | wrong


@pytest.mark.parametrize("mode", MODES)
def test_what_is_said_is_what_is_done(redis_url: str, model: Script, mode: str) -> None:
    """Statuses, media types and bodies are as the document has them. A guest vouches for themselves.

    What is right by the document is taken. What is not may be taken, too: it promises no refusal.
    """
    told, who = MODES[mode]
    excluded = [negative_data_rejection, *([ignored_auth] if mode == "guest" else [])]
    with apart(redis_url, model, **told) as served:
        document: dict[str, Any] = httpx.get(f"{served.http}/openapi.json", trust_env=False).json()
        schema = schemathesis.openapi.from_dict(document)
        seen: Counter[str] = Counter()
        for found in schema.get_all_operations():
            assert isinstance(found, Ok)
            operation = found.ok()

            @SETTINGS
            @given(cases(operation))
            def tried(case: schemathesis.Case[Any]) -> None:
                answer = case.call(base_url=served.http, headers=who, allow_redirects=False)
                case.validate_response(answer, excluded_checks=excluded)
                seen[case.operation.label] += 1

            tried()
        assert set(seen) == {f"{door.method} {door.path}" for door in served.site.doors}
        assert seen.total() >= LEAST * len(seen)
