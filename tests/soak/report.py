"""Figures, and the page that has them: tables of `docs/reliability.md`, each between two marks.

What is measured is written by whoever measures it, with the machine, the date and the versions; never by hand.
"""

import os
import platform
import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from tests.servers import ROOT
from tests.soak.long import Ran
from tests.soak.tally import LAWS

PAGE: Final = ROOT / "docs" / "reliability.md"
PACKAGES: Final = ("uvicorn", "websockets", "uvloop", "redis", "openai")

Row = tuple[str, ...]


def quantile(values: Sequence[float], part: float) -> float:
    """The value below which such a part of all lies."""
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def seconds(values: Sequence[float]) -> str:
    """Median, 99th percentile and longest of times."""
    return " / ".join(f"{quantile(values, part):.2f}" for part in (0.5, 0.99, 1.0)) + " s"


def table(head: Row, rows: Iterable[Row]) -> str:
    """Write a table in Markdown."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def circumstances(redis_version: str) -> str:
    """Where, when and with what something was measured."""
    cpu = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    kernel, load = os.uname(), os.getloadavg()[2]
    versions = [f"Python {platform.python_version()}", f"Redis {redis_version}"]
    versions += [f"{package} {version(package)}" for package in PACKAGES]
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {len(cpu)} × {cpu[0]}, {kernel.sysname} {kernel.release} "
        f"{kernel.machine}, load of the last 15 minutes {load:.1f}; {', '.join(versions)}{_commit()}."
    )


def _commit() -> str:
    found = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return f"; commit {found.stdout.strip()}" if found.returncode == 0 else ""


def told(ran: Ran) -> str:
    """Tell what a long run counted."""
    tally, world = ran.tally, ran.world
    quarter, end = ran.memory_mib
    counts = [
        ("fault episodes", f"{tally.episodes.total():,}"),
        ("entries that readers applied", f"{tally.events:,}"),
        *((f"**{law}**: {words}", f"**{tally.broken[law]:,}**") for law, words in LAWS.items()),
        ("texts that differed, as the nodes count them", f"{world.total('chat_divergences_total').total():,}"),
        ("sessions held to the laws from their first entry to their last", f"{tally.sessions:,}"),
        ("sessions deleted in mid-answer, of which nothing was left", f"{tally.deleted:,}"),
        ("runs, by their ends", _by(tally.ends)),
        ("requests to the model", f"{len(world.upstream.requests):,}"),
        ("connections that clients made; tries in vain", f"{tally.connections:,}; {tally.tries:,}"),
        ("gaps in what a node heard, read from the log", f"{world.total('chat_gaps_healed_total').total():,}"),
        ("readers that had to begin again, by why (`expired`: the session was deleted)", _by(tally.resets) or "0"),
        (
            "memory (RSS) of the node that was never killed: at the end of the first quarter, at the end",
            f"{quarter:.1f} MiB, {end:.1f} MiB: {end / quarter - 1:+.1%}",
        ),
    ]
    taken = [(cause, str(len(times)), seconds(times)) for cause, times in sorted(tally.takeovers_s.items())]
    episodes = sorted((what, f"{count:,}") for what, count in tally.episodes.items())
    return "\n\n".join([
        circumstances(world.server["redis_version"]),
        f"Seed {ran.seed}, {ran.seconds:,.0f} s.",
        table(("", "count"), counts),
        table(("the node was", "runs taken over", "after: median / 99 % / longest"), taken),
        table(("episode", "count"), episodes),
    ])  # fmt: skip


def _by(counts: Counter[str]) -> str:
    return ", ".join(f"{what} {count:,}" for what, count in counts.most_common())


def write(mark: str, text: str, page: Path = PAGE) -> None:
    """Put `text` between the marks of that name, instead of what was there."""
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    before, found, rest = page.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    assert found, f"{page} has no {begin}"
    assert closed, f"{page} has no {end}"
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}")
