"""One trial: the machine, with the scripts as they are, or with a guard taken away, on a Redis of its own."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.proof.guards import Guard
from tests.proof.laws import Broken
from tests.proof.line import Line, loaded, sources
from tests.proof.machine import Machine
from tests.proof.scene import small_bounds
from tests.servers import redis_server


@contextmanager
def redis_line() -> Iterator[Line]:
    """A Redis of one's own, and the scripts called with small bounds."""
    with redis_server() as url, small_bounds(), closing(Line(url)) as line:
        yield line


def try_laws(line: Line, texts: Mapping[str, str], *, examples: int, steps: int = 50, shrinks: bool = True) -> None:
    """Try the laws on scripts.

    Raises:
        Broken: one does not hold; the steps that break it are noted on it, as few as may be if it `shrinks`.
    """
    run_state_machine_as_test(
        type("Machine", (Machine,), {"line": line, "shas": loaded(line, texts)}),
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck),
            database=None, print_blob=shrinks, report_multiple_bugs=False,
            phases=[Phase.generate, *([Phase.shrink] if shrinks else [])],
        ),
    )  # fmt: skip


def broken_without(line: Line, guard: Guard, *, examples: int) -> str | None:
    """Take a guard away; return the law that breaks, or None if all of them hold all the same."""
    texts = sources()
    texts[guard.script] = texts[guard.script].replace(guard.text, guard.instead)
    try:
        try_laws(line, texts, examples=examples, shrinks=False)
    except Broken as broken:
        return broken.law
    except Exception as error:  # noqa: BLE001 - what a node or a reader cannot even read breaks a law as well
        return repr(error)
    return None
