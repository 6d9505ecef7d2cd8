"""The plots of `docs/performance.md`, as PNG. The only module that needs matplotlib."""

import math
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from bench.report import Report
from bench.scenarios.capacity import LIMITS_MS

PROCESSES: Final = {"A": "#3b6ea5", "B": "#7fb069", "Redis": "#c8553d"}
COLOURS: Final = ("#1f77b4", "#17becf", "#d62728", "#9467bd", "#8c564b", "#e377c2")
SIZE: Final = (8.0, 3.6)
DPI: Final = 130
MOST_MS: Final = 2_000
SESSIONS: Final = (12, 25, 50, 100, 200, 400, 800)
MS: Final = (1, 3, 10, 30, 100, 250, 1000)
PLAIN: Final = StrMethodFormatter("{x:.0f}")


def draw(report: Report, folder: Path) -> list[Path]:
    """Draw what there are results for; return the files."""
    mpl.use("agg")
    drawings = {"tokens": _tokens, "capacity": _capacity, "resume": _resume, "history": _history}
    files = []
    for scenario, drawing in drawings.items():
        if report.results.cases(scenario):
            figure = Figure(figsize=SIZE, layout="constrained")
            drawing(report, figure.subplots())
            files.append(folder / f"performance-{scenario}.png")
            figure.savefig(files[-1], dpi=DPI)
    return files


def _systems(report: Report, scenario: str, case: str) -> dict[str, dict[str, float]]:
    """The medians of a case by system, of those that have any."""
    found = {name: report.results.spread(scenario, case, name) for name in report.systems}
    return {name: {figure: one.middle for figure, one in spread.items()} for name, spread in found.items() if spread}


def _tokens(report: Report, axes: Axes) -> None:
    """What a token costs, by process; the case with the most sessions."""
    case = report.results.cases("tokens")[-1]
    found = _systems(report, "tokens", case)
    left = [0.0] * len(found)
    for process, colour in PROCESSES.items():
        widths = [figures[f"µs {process}"] for figures in found.values()]
        axes.barh(list(found), widths, left=left, color=colour, label=process)
        left = [at + width for at, width in zip(left, widths, strict=True)]
    for row, total in enumerate(left):
        axes.annotate(f"{total:.0f}", (total, row), xytext=(4, 0), textcoords="offset points", va="center")
    axes.margins(x=0.1)
    axes.invert_yaxis()
    axes.set_xlabel(f"µs of CPU per token, {case} at 50 tokens/s")
    axes.legend(frameon=False)


def _capacity(report: Report, axes: Axes) -> None:
    """The 99th percentile of delays by the number of sessions."""
    case = report.results.cases("capacity")[0]
    for colour, (name, figures) in zip(COLOURS, _systems(report, "capacity", case).items(), strict=False):
        steps = {int(key.rsplit(" ", 1)[1]): value for key, value in figures.items() if key.startswith("p99 at ")}
        known = {sessions: p99 for sessions, p99 in sorted(steps.items()) if math.isfinite(p99)}
        axes.plot(list(known), list(known.values()), marker="o", markersize=3, color=colour, label=name)
    for limit in LIMITS_MS:
        axes.axhline(limit, color="grey", linewidth=0.8, linestyle="--")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(top=MOST_MS)
    for axis, ticks in ((axes.xaxis, SESSIONS), (axes.yaxis, MS)):
        axis.set_major_formatter(PLAIN)
        axis.set_minor_formatter(NullFormatter())
        axis.set_ticks(ticks)
    axes.set_xlabel("sessions at 50 tokens/s, nodes and Redis on one core")
    axes.set_ylabel("p99 from due to delivered, ms")
    axes.legend(frameon=False)


def _resume(report: Report, axes: Axes) -> None:
    """How long until the first missed text."""
    case = report.results.cases("resume")[0]
    found = _systems(report, "resume", case)
    for offset, (words, figure) in enumerate({"p50": "p50 ms", "p99": "p99 ms"}.items()):
        rows = [row + 0.4 * offset - 0.2 for row in range(len(found))]
        axes.barh(rows, [figures[figure] for figures in found.values()], 0.4, color=COLOURS[offset], label=words)
    axes.set_yticks(range(len(found)), list(found))
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("ms until the first missed text, back on the other node")
    axes.legend(frameon=False)


def _history(report: Report, axes: Axes) -> None:
    """What a session costs by the length of its history."""
    cases = report.results.cases("history")
    turns = [int(case.split()[0]) for case in cases]
    found = [report.results.spread("history", case, "ours") for case in cases]
    for colour, figure in zip(COLOURS, ("µs per exchange", "µs per open", "µs per append"), strict=False):
        middles = [spread[figure].middle for spread in found]
        axes.plot(turns, middles, marker="o", markersize=3, color=colour, label=figure)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("turns in the history")
    axes.set_ylabel("µs of CPU")
    axes.legend(frameon=False, loc="center right")
