"""Fixtures: one Redis for each of two workers, emptied before each test. A file's tests are one worker's."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_package

from tests.servers import Script, redis_server

os.environ.setdefault("PYTHONASYNCIODEBUG", "1")
TESTS = Path(__file__).parent
# What measures time, or looks at all processes of the machine: never two of these at once.
MACHINE = (
    "faults", "soak", "test_bench.py", "browser/test_speed.py", "browser/test_markdown.py", "fuzz/test_decoders.py",
    "fuzz/test_serves_as_before.py", "test_local.py", "test_processes.py", "test_embedded.py",
    "test_start.py", "test_serve.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say which tests stay together."""
    for item in items:
        path = item.path.relative_to(TESTS)
        alone = str(path).startswith(MACHINE)
        item.add_marker(pytest.mark.xdist_group("machine" if alone else str(path)))


@pytest.fixture(scope="session")
def redis_of_run() -> Iterator[str]:
    """One Redis for all tests."""
    with redis_server() as url:
        yield url


@pytest.fixture
def redis_url(redis_of_run: str) -> str:
    """The Redis, empty."""
    with redis_package.Redis.from_url(redis_of_run) as client:
        client.flushall()
    return redis_of_run


@pytest.fixture
def redis(redis_url: str) -> Iterator[redis_package.Redis]:
    """A plain client, to look at what is there."""
    with redis_package.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def model() -> Script:
    """The model that all nodes of a test ask."""
    return Script()
