"""Fixtures: one Redis for the whole run, emptied before each test."""

import os
from collections.abc import Iterator

import pytest
import redis as redis_package

from tests.servers import Script, redis_server

os.environ.setdefault("PYTHONASYNCIODEBUG", "1")


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
