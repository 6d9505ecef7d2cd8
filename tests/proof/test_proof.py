"""The laws hold, whatever happens: the scripts, on a real Redis, under random rules."""

import time

import pytest

from tests.proof.line import sources
from tests.proof.trial import redis_line, try_laws

LONG_SECONDS = 600


def test_the_laws_hold_whatever_happens() -> None:
    """Nodes die, calls and answers get lost, clocks step back, Redis fails over: nothing of a session is lost."""
    with redis_line() as line:
        try_laws(line, sources(), examples=160)


@pytest.mark.soak
@pytest.mark.timeout(LONG_SECONDS * 2)
def test_the_laws_hold_for_long() -> None:
    """The same for ten minutes, and with longer lives."""
    until = time.monotonic() + LONG_SECONDS
    with redis_line() as line:
        while time.monotonic() < until:
            try_laws(line, sources(), examples=300, steps=100)
