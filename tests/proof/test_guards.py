"""The proof of the proof: with any guard of any script taken away, a law is broken.

All of them take long, by hand: `pytest -m soak tests/proof`. Here some are drawn, of those that are found within a few
games.
"""

import random
from contextlib import redirect_stdout
from io import StringIO
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.proof.guards import GUARDS, Guard
from tests.proof.laws import Broken
from tests.proof.line import sources
from tests.proof.machine import Machine
from tests.proof.test_proof import machine

DRAWN: Final = 12
GAMES: Final = 400
LONG_GAMES: Final = 3_000
RARE: Final = {  # script and guard: found late, or never yet
    ("append", "a repeated append renews"),
    ("append", "an append is stored once"),
    ("append", "an append's cursors are kept"),
    ("attempt", "a repeated attempt renews"),
    ("attempt", "an attempt after a loss is refused"),
    ("attempt", "an attempt is begun once"),
    ("attempt", "an attempt renews"),
    ("attempt", "an attempt's cursors are kept"),
    ("claim", "a claim is given again"),
    ("claim", "a claim is not given again once it was written to"),
    ("claim", "a model that cannot go on does not"),
    ("claim", "a run past its deadline is not answered"),
    ("claim", "attempts are bounded"),
    ("claim", "nor does it later"),
    ("claim", "the index is told of runs that are over"),
    ("delete", "a deletion is after the log"),
    ("end", "an end after a loss is refused"),
    ("end", "an end is given the next run again"),
    ("end", "an end is noted"),
    ("history", "a turn that is not there is not found"),
    ("meta", "a session renews its lifetime: meta"),
    ("prelude", "a restarted run is given again"),
    ("prelude", "a run is given again to its writer"),
    ("prelude", "a run to be continued or ended is not given to a say"),
    ("prelude", "older turns are told of"),
    ("prelude", "the incarnation is compared"),
    ("prelude", "the log's clock never falls"),
    ("prelude", "the run is compared"),
    ("prelude", "there is at least one turn"),
    ("prelude", "turns have a bound of bytes"),
    ("read", "a cursor of before the boundary was trimmed"),
    ("read", "a read ends with the log"),
    ("read", "a read gives at least one"),
    ("read", "a read goes on where it was"),
    ("read", "a read has a bound of bytes"),
    ("read", "a read has a bound of entries"),
    ("read", "a read takes no more than is left"),
    ("read", "one after it in number was not"),
    ("read", "one after it in time was not"),
    ("read", "the start is not of before the session"),
    ("release", "a release is its writer's"),
    ("renew", "a renewal renews"),
    ("restore", "a restoration is its writer's"),
    ("restore", "a restored append's cursors are kept"),
    ("restore", "ids that are taken are not given again"),
    ("restore", "only what is missing is restored"),
    ("restore", "readers at the start of the loss are told"),
    ("restore", "what is restored is counted"),
    ("restore", "what is there is not restored"),
    ("restore", "what was restored is not moved"),
    ("say", "a say is given its own run only"),
    ("say", "the queue's size may be whole"),
    ("stop", "a run that is over may be stopped"),
}


def found(guard: Guard, games: int) -> str:
    """What breaks without a guard; empty if nothing does in so many games."""
    texts = sources()
    texts[guard.script] = texts[guard.script].replace(guard.text, guard.instead)
    play = settings(
        max_examples=games, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck),
        database=None, phases=[Phase.generate], report_multiple_bugs=False,
    )  # fmt: skip
    try:
        with machine(texts), redirect_stdout(StringIO()):
            run_state_machine_as_test(Machine, settings=play)
    except Broken as broken:
        return broken.law
    except AssertionError as error:
        return str(error)
    return ""


def test_each_guard_stands_once_in_its_script() -> None:
    """So that the list does not rot; and what is there without it is something else."""
    texts = sources()
    assert [guard.what for guard in GUARDS if texts[guard.script].count(guard.text) != 1] == []
    assert [guard.what for guard in GUARDS if guard.text == guard.instead] == []
    assert len({(guard.script, guard.what) for guard in GUARDS}) == len(GUARDS)
    assert {(guard.script, guard.what) for guard in GUARDS} >= RARE


def test_without_a_guard_a_law_is_broken() -> None:
    """Some, drawn anew each time."""
    often = [guard for guard in GUARDS if (guard.script, guard.what) not in RARE]
    for guard in random.SystemRandom().sample(often, DRAWN):
        law = found(guard, GAMES)
        print(f"{guard.script}: {guard.what}: {law}")
        assert law, f"{guard.script}: {guard.what}: taken away, and nothing broke in {GAMES} games"


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: f"{guard.script}-{guard.what}".replace(" ", "_"))
def test_without_any_guard_a_law_is_broken(guard: Guard) -> None:
    """All of them."""
    assert found(guard, LONG_GAMES)
