"""Fixtures: one Redis for each of two workers, emptied before each test. A file's tests are one worker's."""

import fcntl
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
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
        path = str(item.path.relative_to(TESTS))
        item.add_marker(pytest.mark.xdist_group("machine" if path.startswith(MACHINE) else path))


@contextmanager
def on_the_machine(locks: Path, *, alone: bool) -> Iterator[None]:
    """Beside the other worker's test, or alone; who waits to be alone is next."""
    with (locks / "turn").open("w") as turn, (locks / "busy").open("w") as busy:
        fcntl.flock(turn, fcntl.LOCK_EX)
        fcntl.flock(busy, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(turn, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(busy, fcntl.LOCK_UN)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Run a test when the machine is free for it."""
    with on_the_machine(item.config.cache.mkdir("machine"), alone=item.get_closest_marker("alone") is not None):
        return (yield)


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
