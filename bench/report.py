"""`docs/performance.md`: its tables, between marks, and its plots. The words around them are people's.

A table stands between `<!-- NAME -->` and `<!-- /NAME -->`. A cell is the median over all runs and, in brackets, the
least and the most. What was not measured is left empty.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.numbers import Spread
from bench.results import Results
from bench.systems import System

Columns = dict[str, tuple[str, int]]  # a column's words → the figure's name, and how many decimals

TOKENS: Final[Columns] = {
    "µs per token": ("µs per token", 0), "A": ("µs A", 0), "B": ("µs B", 0), "Redis": ("µs Redis", 0),
    "tokens/s": ("tokens/s", 0), "p50 ms": ("p50 ms", 1), "p99 ms": ("p99 ms", 1), "max ms": ("max ms", 0),
    "first token p50 ms": ("first p50 ms", 1),
}  # fmt: skip
CAPACITY: Final[Columns] = {
    "p99 ≤ 100 ms": ("sessions at 100 ms", 0), "p99 ≤ 250 ms": ("sessions at 250 ms", 0)
}  # fmt: skip
RESUME: Final[Columns] = {
    "p50 ms": ("p50 ms", 1), "p99 ms": ("p99 ms", 1), "whole, of 100": ("whole", 0),
    "at once: p50 ms": ("at once p50 ms", 1), "p99 ms ": ("at once p99 ms", 1), "whole, of 100 ": ("at once whole", 0),
}  # fmt: skip
IDLE: Final[Columns] = {
    "KiB per socket": ("KiB per socket", 1), "connects/s": ("connects/s", 0), "µs per connect": ("µs per connect", 0),
    "idle, % of a core": ("idle % of a core", 1),
}  # fmt: skip
FANOUT: Final[Columns] = {
    "µs per delivered token": ("µs per delivered token", 1), "p50 ms": ("p50 ms", 1), "p99 ms": ("p99 ms", 1)
}  # fmt: skip
HISTORY: Final[Columns] = {
    "µs per exchange": ("µs per exchange", 0), "µs per open": ("µs per open", 0), "µs per append": ("µs per append", 0)
}  # fmt: skip
TABLES: Final[dict[str, Columns]] = {
    "tokens": TOKENS, "capacity": CAPACITY, "resume": RESUME, "idle": IDLE, "fanout": FANOUT, "history": HISTORY
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Report:
    """Results, and the systems that they are of."""

    results: Results
    systems: dict[str, type[System]]

    def write(self, page: Path) -> None:
        """Put the tables that there are results for into a page."""
        text = between(page.read_text(), "machine", self.measured())
        for scenario in TABLES:
            if self.results.cases(scenario):
                text = between(text, scenario, self.table(scenario))
        page.write_text(text)

    def measured(self) -> str:
        """Where, when and how often."""
        machine = self.results.machine
        return f"Measured {machine}. Medians, with the least and the most, of so many runs as each table says."

    def table(self, scenario: str) -> str:
        """One scenario: a row for each case and system."""
        columns = TABLES[scenario]
        rows = [["case", "system", *(words.strip() for words in columns), "runs"]]
        for case in self.results.cases(scenario):
            for name, system in self.systems.items():
                if spread := self.results.spread(scenario, case, name):
                    cells = [cell(spread.get(figure), decimals) for figure, decimals in columns.values()]
                    runs = max(one.runs for one in spread.values())
                    note = "" if system.parses else " ¹"
                    rows.append([case, f"{system.title}{note}", *cells, str(runs)])
        head, *body = (f"| {' | '.join(row)} |" for row in rows)
        return "\n".join([head, "|" + "---|" * len(rows[0]), *body])


def cell(spread: Spread | None, decimals: int) -> str:
    """Write a figure."""
    if spread is None:
        return ""
    middle, least, most = (
        "∞" if math.isinf(value) else f"{value:,.{decimals}f}" for value in (spread.middle, spread.least, spread.most)
    )
    return middle if least == most else f"{middle} ({least}–{most})"


def between(text: str, mark: str, what: str) -> str:
    """Put something between the two marks of a name.

    Raises:
        ValueError: they are not there.
    """
    found = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- /{mark} -->)", re.S)
    if not found.search(text):
        raise ValueError(f"the page has no marks for {mark}")
    return found.sub(lambda match: f"{match[1]}{what}\n{match[2]}", text)
