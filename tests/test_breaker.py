"""core.breaker: who fails in a row is left alone, then tried by one."""

from app.core.breaker import LOOK_SECONDS, Breaker


def failing(breaker: Breaker, times: int, now: float = 0.0) -> None:
    """Fail so many times."""
    for _ in range(times):
        assert breaker.admit(now) == 0.0
        breaker.failed(now)


def test_it_opens_after_five_failures_in_a_row() -> None:
    """A success in between begins the row anew."""
    breaker = Breaker()
    failing(breaker, 4)
    breaker.succeeded()
    failing(breaker, 4)
    assert (breaker.state, breaker.opened) == ("closed", 0)
    breaker.failed(0.0)
    assert (breaker.state, breaker.opened, breaker.wait_s(0.25)) == ("open", 1, 0.75)
    assert breaker.admit(0.25) == 0.75


def test_one_probe_at_a_time() -> None:
    """When its time is over one is let through; the others wait for what becomes of it."""
    breaker = Breaker()
    failing(breaker, 5)
    assert (breaker.admit(1.0), breaker.state) == (0.0, "half_open")
    assert breaker.admit(1.0) == LOOK_SECONDS
    breaker.succeeded()
    assert (breaker.admit(1.0), breaker.state) == (0.0, "closed")


def test_a_probe_that_fails_doubles_the_time_up_to_a_bound() -> None:
    """1, 2, 4, 8, 16, 30, 30 s; a success forgets that."""
    breaker, now, waits = Breaker(), 0.0, []
    failing(breaker, 5)
    for _ in range(7):
        waits.append(breaker.wait_s(now))
        now += waits[-1]
        assert breaker.admit(now) == 0.0
        breaker.failed(now)
    assert (waits, breaker.opened) == ([1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0], 8)
    breaker.admit(now + 30.0)
    breaker.succeeded()
    failing(breaker, 5, now)
    assert breaker.wait_s(now) == 1.0


def test_a_try_that_is_abandoned_counts_for_nothing() -> None:
    """Stop is no failure; if it was the probe, the next one is."""
    breaker = Breaker()
    failing(breaker, 4)
    breaker.admit(0.0)
    breaker.let_go()
    assert breaker.state == "closed"
    breaker.failed(0.0)
    assert breaker.admit(1.0) == 0.0
    breaker.let_go()
    assert (breaker.state, breaker.admit(1.0), breaker.state) == ("open", 0.0, "half_open")


def test_failures_that_come_late_change_nothing() -> None:
    """Those that were under way when it opened do not open it again."""
    breaker = Breaker()
    failing(breaker, 5)
    breaker.failed(0.5)
    assert (breaker.opened, breaker.wait_s(0.5)) == (1, 0.5)
