"""`GET /openapi.json` says what is served, and nothing else."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final, get_args

import httpx
import schemathesis
from schemathesis.core.result import Ok

from app.core.errors import BY_CODE, ChatError, Retry
from app.edge.routes import Guarded
from tests.servers import Script, Served, serving

METHODS: Final = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}  # OpenAPI 3.1, 4.8.9


@asynccontextmanager
async def documented(redis_url: str, model: Script) -> AsyncIterator[tuple[Served, dict[str, Any]]]:
    """A node, and what it says of itself."""
    async with serving(redis_url, model) as served, httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{served.http}/openapi.json")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        yield served, answer.json()


def kinds(of: type[ChatError]) -> Iterator[type[ChatError]]:
    """A kind of error, and all below it."""
    yield of
    for below in of.__subclasses__():
        yield from kinds(below)


def references(value: Any) -> Iterator[str]:
    """All that a document refers to."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from references(one)


async def test_it_has_each_door(redis_url: str, model: Script) -> None:
    """With its path's parameters, and no other."""
    async with documented(redis_url, model) as (served, told):
        said = {(method.upper(), path) for path, item in told["paths"].items() for method in item.keys() & METHODS}
        assert {(door.method, door.path) for door in served.site.doors} == said
        assert len(served.site.doors) == len(said)
        for door in served.site.doors:
            operation = told["paths"][door.path][door.method.lower()]
            named = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"}
            assert named == {part[1:-1] for part in door.path.split("/") if part.startswith("{")}
            assert operation["summary"]


async def test_it_says_who_needs_to_be_known(redis_url: str, model: Script) -> None:
    """Guarded doors, and they alone: by which means, and what is answered otherwise."""
    async with documented(redis_url, model) as (served, told):
        schemes = told["components"]["securitySchemes"]
        for door in served.site.doors:
            operation = told["paths"][door.path][door.method.lower()]
            needs = {name for one in operation.get("security", ()) for name in one}
            assert needs == (set(schemes) if isinstance(door, Guarded) else set()), door
            refused = {"401", "403"} if isinstance(door, Guarded) else {"403"}
            assert refused <= operation["responses"].keys(), door


async def test_it_says_every_error(redis_url: str, model: Script) -> None:
    """Each code that an error of ours may have, each way to try again, and only statuses that errors have."""
    async with documented(redis_url, model) as (_, told):
        problem = told["components"]["schemas"]["Problem"]["properties"]
        assert set(problem["code"]["enum"]) == {kind.code for kind in kinds(ChatError)} == set(BY_CODE)
        assert set(problem["retry"]["enum"]) == set(get_args(Retry))
        statuses = {str(kind.status) for kind in kinds(ChatError)}
        for path, item in told["paths"].items():
            for method, operation in item.items():
                for status, answer in operation["responses"].items():
                    if "application/problem+json" in answer.get("content", {}):
                        assert status in statuses, (method, path)


async def test_it_is_an_openapi_document(redis_url: str, model: Script) -> None:
    """As others read it: by the schema of OpenAPI 3.1, with no reference to what is not there."""
    async with documented(redis_url, model) as (served, told):
        assert told["openapi"].startswith("3.1.")
        schema = schemathesis.openapi.from_dict(told)
        schema.validate()
        assert [type(found) for found in schema.get_all_operations()] == [Ok] * len(served.site.doors)
        there = {f"#/components/schemas/{name}" for name in told["components"]["schemas"]}
        assert set(references(told)) <= there
