"""Results: one line of JSON for each run of each case, on a file that is only ever added to."""

import importlib.metadata
import json
import platform
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bench.numbers import Figures, Spread

PACKAGES: Final = ("uvicorn", "uvloop", "websockets", "starlette", "redis", "hiredis", "openai", "msgpack", "msgspec")


@dataclass(frozen=True, slots=True)
class Result:
    """What one run of one case gave."""

    scenario: str
    case: str
    system: str
    figures: Figures


@dataclass(frozen=True, slots=True)
class Machine:
    """Where and when it was measured."""

    date: str
    cpu: str
    kernel: str
    versions: dict[str, str]

    @classmethod
    def this(cls) -> "Machine":
        """Describe this one."""
        models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        versions = {"Python": platform.python_version()}
        versions |= {program: _version(program) for program in ("redis-server", "node") if shutil.which(program)}
        versions |= {package: importlib.metadata.version(package) for package in PACKAGES}
        cpu = f"{len(models)} cores of {models[0].partition(': ')[2]}"
        return cls(datetime.now(UTC).strftime("%Y-%m-%d"), cpu, platform.release(), versions)

    def __str__(self) -> str:
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return f"{self.date}, {self.cpu}, Linux {self.kernel}; {versions}"


def _version(program: str) -> str:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout  # noqa: S603
    return next(word.removeprefix("v=").removeprefix("v") for word in said.split() if any(map(str.isdigit, word)))


@dataclass(slots=True)
class Results:
    """All results of one file."""

    machine: Machine
    results: list[Result] = field(default_factory=list)

    @classmethod
    def begin(cls, file: Path) -> "Results":
        """Begin a file, with what is measured on."""
        file.parent.mkdir(parents=True, exist_ok=True)
        made = cls(Machine.this())
        file.write_text(json.dumps(asdict(made.machine)) + "\n")
        return made

    @classmethod
    def read(cls, files: Iterable[Path]) -> "Results":
        """Read files that were measured on one machine; the first tells which."""
        lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
        machine = next(Machine(**line) for line in lines if "cpu" in line)
        return cls(machine, [Result(**line) for line in lines if "figures" in line])

    def add(self, result: Result, file: Path) -> None:
        """Add a result."""
        self.results.append(result)
        with file.open("a") as out:
            out.write(json.dumps(asdict(result)) + "\n")

    def spread(self, scenario: str, case: str, system: str) -> dict[str, Spread]:
        """Each figure of a case over all its runs; none if there was no run."""
        values: defaultdict[str, list[float]] = defaultdict(list)
        for result in self.results:
            if (result.scenario, result.case, result.system) == (scenario, case, system):
                for name, value in result.figures.items():
                    values[name].append(value)
        return {name: Spread.of(found) for name, found in values.items()}

    def cases(self, scenario: str) -> list[str]:
        """The cases of a scenario, in the order in which they were measured."""
        return list(dict.fromkeys(result.case for result in self.results if result.scenario == scenario))
