"""The proof of the proof: with any guard of any script taken away, a law breaks."""

import random
from collections import Counter

import pytest

from tests.proof.guards import GUARDS, NEEDLESS, Guard
from tests.proof.line import sources
from tests.proof.trial import broken_without, redis_line

SOME = 5
EXAMPLES = 1500


def test_each_guard_is_where_the_list_says() -> None:
    """Its text is in its script, once; and no script but the plain ones of a user's list is without one."""
    texts = sources()
    assert [guard for guard in (*GUARDS, *NEEDLESS) if texts[guard.script].count(guard.text) != 1] == []
    assert set(texts) == {guard.script for guard in GUARDS}
    assert [what for what, count in Counter(guard.what for guard in GUARDS).items() if count > 1] == []


def test_some_guards_are_needed() -> None:
    """Five of those that are soon missed, others each time."""
    seed = random.randrange(1_000_000)
    some = random.Random(seed).sample([guard for guard in GUARDS if not guard.rare], SOME)
    with redis_line() as line:
        held = [guard.what for guard in some if broken_without(line, guard, examples=EXAMPLES) is None]
    assert held == [], f"all laws hold without them; seed {seed}"


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.what)
def test_each_guard_is_needed(guard: Guard) -> None:
    """All of them, one after the other: twenty minutes."""
    with redis_line() as line:
        law = broken_without(line, guard, examples=EXAMPLES * 10)
        print(f"{guard.script}: {guard.what}: {law}")
        assert law is not None
