"""Our routes against what our own OpenAPI document says of them, as schemathesis sees it."""

from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import ignored_auth

from tests.fuzz.apart import apart
from tests.people import JWT, bearer, operator
from tests.servers import Script

MODES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "guest": ({}, {"X-User-Id": "ada"}),
    "user": (JWT, bearer("ada")),
    "operator": (JWT, operator()),
    "nobody": (JWT, {}),
}
SETTINGS = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("mode", MODES)
def test_what_is_said_is_what_is_done(redis_url: str, model: Script, mode: str) -> None:
    """Statuses, media types and bodies are as the document has them. A guest vouches for themselves."""
    told, who = MODES[mode]
    with apart(redis_url, model, **told) as served:
        document: dict[str, Any] = httpx.get(f"{served.http}/openapi.json", trust_env=False).json()
        schema = schemathesis.openapi.from_dict(document)
        seen = 0
        for found in schema.get_all_operations():
            assert isinstance(found, Ok)
            operation = found.ok()

            @SETTINGS
            @given(operation.as_strategy())
            def tried(case: schemathesis.Case[Any]) -> None:
                nonlocal seen
                answer = case.call(base_url=served.http, headers=who, allow_redirects=False)
                case.validate_response(answer, excluded_checks=[ignored_auth] if mode == "guest" else [])
                seen += 1

            tried()
        assert seen >= 3 * len(served.site.doors)
