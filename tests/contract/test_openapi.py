"""`GET /openapi.json` says what is served, and nothing else."""

from typing import Any

import httpx
import schemathesis
from schemathesis.core.result import Ok

from app.edge.routes import Guarded
from tests.servers import Script, serving

METHODS = {"get", "post", "patch", "delete", "put"}


async def test_it_has_each_door(redis_url: str, model: Script) -> None:
    """With the identity that it needs, its path's parameters, and a body where there is one."""
    async with serving(redis_url, model) as served, httpx.AsyncClient(trust_env=False) as client:
        told: dict[str, Any] = (await client.get(f"{served.http}/openapi.json")).json()
        said = {(method.upper(), path) for path, item in told["paths"].items() for method in item if method in METHODS}
        assert {(door.method, door.path) for door in served.site.doors} == said
        for door in served.site.doors:
            operation = told["paths"][door.path][door.method.lower()]
            assert ("security" in operation) is isinstance(door, Guarded)
            named = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"}
            assert named == {part[1:-1] for part in door.path.split("/") if part.startswith("{")}
            assert {"403"} <= operation["responses"].keys()


async def test_it_is_an_openapi_document(redis_url: str, model: Script) -> None:
    """As others read it."""
    async with serving(redis_url, model) as served, httpx.AsyncClient(trust_env=False) as client:
        schema = schemathesis.openapi.from_dict((await client.get(f"{served.http}/openapi.json")).json())
        operations = list(schema.get_all_operations())
        assert [type(found) for found in operations] == [Ok] * len(served.site.doors)
