"""The proof: whatever happens, in any order, breaks no law."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.proof.line import Line, loaded, sources
from tests.proof.machine import Machine
from tests.proof.scene import small_bounds
from tests.servers import redis_server


@contextmanager
def machine(texts: dict[str, str]) -> Iterator[None]:
    """Have the machine play with these scripts, on a Redis of its own."""
    with redis_server() as url, small_bounds(), closing(Line(url)) as line:
        Machine.line, Machine.shas = line, loaded(line, texts)
        yield


def play(examples: int, steps: int) -> None:
    """Play so many games of so many steps."""
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck),
            database=None, print_blob=True,
        ),
    )  # fmt: skip


def test_no_law_is_broken() -> None:
    """On the scripts as they are."""
    with machine(sources()):
        play(150, 50)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_no_law_is_broken_in_ten_minutes() -> None:
    """The same, at length."""
    with machine(sources()):
        play(6_000, 60)
