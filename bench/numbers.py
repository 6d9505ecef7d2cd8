"""Figures: percentiles of one run, medians and spreads over several."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

Figures = dict[str, float]


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of the sorted values that so many percent of them are not above."""
    return values[min(len(values), max(1, math.ceil(len(values) * percent / 100))) - 1]


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure over several runs."""

    middle: float
    least: float
    most: float
    runs: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Sum up."""
        return cls(median(values), min(values), max(values), len(values))
