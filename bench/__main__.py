"""The command line: `python -m bench [SCENARIO …]`, `python -m bench --quick`, `python -m bench --report FILE …`.

Without a scenario, all are measured of all systems, five times in turn (ours, a peer, ours, a peer, …), and
`docs/performance.md` is written. Exit codes: 0 done, 1 worse than allowed, 2 not measurable here.
"""

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import platformdirs
import uvloop

from bench import profile, quick, scaling
from bench.machine import ROOT, Cores, Unmeasurable, load_core
from bench.numbers import Figures
from bench.report import Report
from bench.results import Result, Results
from bench.scenarios import Case, capacity, fanout, footprint, history, idle, resume, tokens
from bench.systems import System
from bench.systems.handwritten import Handwritten
from bench.systems.ours import Ours, OursJson
from bench.systems.resumable import Resumable
from bench.systems.socketio import SocketIO

SYSTEMS: Final[dict[str, type[System]]] = {
    system.name: system for system in (Ours, OursJson, Handwritten, SocketIO, Resumable)
}
SCENARIOS: Final[dict[str, Callable[[], list[Case]]]] = {
    "tokens": tokens.cases, "capacity": capacity.cases, "resume": resume.cases, "idle": idle.cases,
    "fanout": fanout.cases, "history": history.cases, "footprint": footprint.cases,
}  # fmt: skip
RUNS: Final = 5
TRIES: Final = 3
PAGE: Final = ROOT / "docs" / "performance.md"
SCALING: Final = ROOT / "docs" / "scaling.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        if options.report:
            return write(Results.read(options.report))
        cores = Cores.of_this_machine()
        if options.quick:
            return gate(cores)
        results = measure(options, cores)
        return write(results) if not options.scenario else 0
    except Unmeasurable as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="What we cost, and what our peers do.")
    parser.add_argument("scenario", nargs="*", help=f"of {', '.join(SCENARIOS)}; without one: all, and the page")
    parser.add_argument("--system", default=",".join(SYSTEMS), metavar="NAMES", help=f"of {', '.join(SYSTEMS)}")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"how often ({RUNS})")
    parser.add_argument("--sessions", default="", help="for tokens: how many, comma-separated (25,100)")
    parser.add_argument("--seconds", type=float, default=tokens.SECONDS, help="for tokens: for how long")
    parser.add_argument("--set", action="append", default=[], metavar="KNOB=VALUE", help="a setting of our nodes")
    parser.add_argument("--busy", action="store_true", help="for tokens: count costs although delays are not right")
    parser.add_argument("--profile", action="store_true", help="for tokens: have py-spy look at the nodes")
    parser.add_argument("--save", type=Path, metavar="FILE", help="where results go (a new file in the user's cache)")
    parser.add_argument("--quick", action="store_true", help="the gate: ours against the hand-written baseline")
    parser.add_argument("--report", type=Path, nargs="+", metavar="FILE", help="write the page from saved results")
    return parser


def _cases(options: argparse.Namespace) -> list[Case]:
    """What is to be measured."""
    unknown = set(options.scenario) - set(SCENARIOS)
    if unknown:
        raise Unmeasurable(f"no scenario {', '.join(unknown)}; expected {', '.join(SCENARIOS)}")
    sessions = tuple(map(int, options.sessions.split(","))) if options.sessions else tokens.SESSIONS
    watch = profile.watch if options.profile else None
    told = tokens.cases(sessions, options.seconds, delays=not options.busy, watch=watch)
    wanted = options.scenario or list(SCENARIOS)
    return [case for name in wanted for case in (told if name == "tokens" else SCENARIOS[name]())]


def _systems(options: argparse.Namespace) -> list[System]:
    """Of what: those that are asked for, and that this machine can run."""
    settings = dict(pair.split("=", 1) for pair in options.set)
    chosen: list[System] = []
    for name in options.system.split(","):
        if name not in SYSTEMS:
            raise Unmeasurable(f"no system {name}; expected {', '.join(SYSTEMS)}")
        kind = SYSTEMS[name]
        system = kind(**settings) if issubclass(kind, Ours) else kind()
        if lacking := system.missing():
            print(f"{system.title} is left out: {lacking}")
        else:
            chosen.append(system)
    return chosen


def measure(options: argparse.Namespace, cores: Cores) -> Results:
    """Measure each case of each system in turn, so many times; print and save each result."""
    cases, systems = _cases(options), _systems(options)
    stamp = "latest" if options.scenario else "all"
    file = options.save or platformdirs.user_cache_path("chat") / "bench" / f"results-{stamp}.jsonl"
    results = Results.begin(file)
    for run in range(options.runs):
        for case in cases:
            for system in systems:
                if case.of(system):
                    figures = once(case, system, cores)
                    if figures is not None:
                        results.add(Result(case.scenario, case.name, system.name, figures), file)
                        print(f"{run + 1}/{options.runs} {case.scenario}, {case.name}, {system.name}: {words(figures)}")
                        sys.stdout.flush()
    print(f"results: {file}")
    return results


def once(case: Case, system: System, cores: Cores) -> Figures | None:
    """Measure a case, again where that could not be; say so if it never can."""
    for _ in range(TRIES):
        try:
            with load_core(cores):
                return uvloop.run(case.measure(system, cores))
        except Unmeasurable as error:
            print(f"not counted: {case.scenario}, {case.name}: {error}", file=sys.stderr)
    return None


def words(figures: Figures) -> str:
    """Write figures on a line."""
    return "; ".join(f"{name} {_short(value)}" for name, value in figures.items())


def _short(value: float) -> str:
    if math.isinf(value) or value == 0:
        return f"{value:g}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def gate(cores: Cores) -> int:
    """Compare ours with the baseline."""
    with load_core(cores):
        verdict = uvloop.run(quick.compare(cores))
    print(verdict)
    return 0 if verdict.good else 1


def write(results: Results) -> int:
    """Write the page and its plots."""
    from bench.plots import draw  # only this needs matplotlib

    report = Report(results, SYSTEMS)
    report.write(PAGE)
    scaling.write(results, SCALING)
    for file in draw(report, PAGE.parent):
        print(file.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
