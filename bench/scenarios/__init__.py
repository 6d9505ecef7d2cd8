"""What is done to each system, one module each. A case is a scenario with its numbers; it returns named figures."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from bench.machine import Cores
from bench.numbers import Figures
from bench.systems import System


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that is measured, and of which systems: all, or some; also those that differ in their clients only."""

    scenario: str
    name: str
    measure: Callable[[System, Cores], Coroutine[Any, Any, Figures]]
    systems: tuple[str, ...] | None = None
    variants: bool = False

    def of(self, system: System) -> bool:
        """Say whether a system is measured."""
        return (self.systems is None or system.name in self.systems) and (self.variants or not system.variant)
