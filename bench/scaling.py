"""From what one core does here to what many need: an extrapolation, and a small simulation. Both are arithmetic.

`docs/scaling.md` has its tables from here, between marks, as `docs/performance.md` has its own. What is extrapolated is
linear: it holds while nothing is shared that is not counted, which is why the page says what is shared.
"""

import heapq
import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.numbers import Figures, percentile
from bench.report import between
from bench.results import Results

RATE: Final = 50  # tokens a second of one answer, as all of it was measured
BUSY: Final = 0.6  # of a core, what one plans with
CONNECTIONS: Final = 1_000_000
ANSWERS: Final = 100_000
SESSIONS: Final = 10_000_000
FIRST_SECONDS: Final = 0.5  # the ceiling of the first wait of a client that was cut off
SEED: Final = 7


@dataclass(frozen=True, slots=True)
class Unit:
    """What one of each costs, measured: µs of CPU, bytes."""

    node_us: float  # a token, at both nodes
    redis_us: float
    socket_kib: float
    idle_us: float  # a socket in a second
    connect_us: float
    session_kib: float
    in_bytes: float  # a token, into Redis
    out_bytes: float
    channel_bytes: float

    @classmethod
    def of(cls, results: Results) -> "Unit":
        """Take them from results.

        Raises:
            KeyError: something was not measured.
        """
        tokens, idle, weight = (
            _middles(results, *case)
            for case in (("tokens", "100 sessions"), ("idle", "10000 sockets"), ("footprint", "100 sessions"))
        )
        return cls(
            node_us=tokens["µs A"] + tokens["µs B"], redis_us=tokens["µs Redis"], socket_kib=idle["KiB per socket"],
            idle_us=idle["idle % of a core"] * 1e4 / 10_000, connect_us=idle["µs per connect"],
            session_kib=weight["KiB per session"], in_bytes=weight["bytes in per token"],
            out_bytes=weight["bytes out per token"], channel_bytes=weight["bytes per channel"],
        )  # fmt: skip


def _middles(results: Results, scenario: str, case: str) -> Figures:
    return {name: spread.middle for name, spread in results.spread(scenario, case, "ours").items()}


def needs(unit: Unit) -> list[tuple[str, str, str]]:
    """What a million connections and a hundred thousand answers need: what, how much, and of which knob it is."""
    tokens = ANSWERS * RATE
    node = (tokens * unit.node_us + CONNECTIONS * unit.idle_us) / 1e6
    redis = tokens * unit.redis_us / 1e6
    return [
        ("cores of nodes", f"{node:,.0f} busy, {node / BUSY:,.0f} at {BUSY:.0%}", "`FLUSH_MS`"),
        ("… of these for sockets that only wait", f"{CONNECTIONS * unit.idle_us / 1e6:,.0f}", "none: the heartbeat"),
        ("memory of nodes, for sockets", f"{CONNECTIONS * unit.socket_kib / 2**20:,.0f} GiB", "none"),
        ("cores of Redis", f"{redis:,.1f} busy, so {redis / BUSY:,.0f} shards at {BUSY:.0%}", "`FLUSH_MS`"),
        ("into Redis", f"{tokens * unit.in_bytes * 8 / 1e9:,.1f} Gbit/s", "`FLUSH_MS`"),
        ("out of Redis", f"{tokens * unit.out_bytes * 8 / 1e9:,.1f} Gbit/s", "`FLUSH_MS`"),
        ("memory of Redis, 10 M sessions with one answer each", f"{SESSIONS * unit.session_kib / 2**20:,.0f} GiB",
         "`HISTORY_DAYS`, `HISTORY_TURNS`"),
        ("memory of Redis, for a channel a connection", f"{CONNECTIONS * unit.channel_bytes / 2**30:,.1f} GiB", "none"),
    ]  # fmt: skip


def bounds(unit: Unit) -> list[tuple[str, str]]:
    """What one of each carries, busy to the last."""
    return [
        ("one core of nodes (producing and serving), answers at 50 tokens/s", f"{1e6 / unit.node_us / RATE:,.0f}"),
        ("one Redis, answers at 50 tokens/s", f"{1e6 / unit.redis_us / RATE:,.0f}"),
        ("one core of nodes, connects a second", f"{1e6 / unit.connect_us:,.0f}"),
        ("1 GiB of a node, idle sockets", f"{2**20 / unit.socket_kib:,.0f}"),
        ("1 GiB of Redis, sessions with one answer", f"{2**20 / unit.session_kib:,.0f}"),
    ]


def back(clients: int, nodes: int, connects: float, seed: int = SEED) -> list[float]:
    """Simulate: one of so many nodes dies, its clients come to the others, each of which lets in so many a second.

    Each waits at random first, as clients do; then it stands in line at a node that it chose at random.
    Returns the seconds after which each is back, sorted.
    """
    chance = random.Random(seed)
    free_at = [0.0] * (nodes - 1)
    coming = [(chance.uniform(0, FIRST_SECONDS), chance.randrange(nodes - 1)) for _ in range(clients)]
    heapq.heapify(coming)
    done: list[float] = []
    while coming:
        at, node = heapq.heappop(coming)
        free_at[node] = max(at, free_at[node]) + 1 / connects
        done.append(free_at[node])
    return sorted(done)


def storms(unit: Unit) -> list[tuple[str, ...]]:
    """How long it takes until the clients of a node that died are back, by how many nodes there are."""
    rows = []
    for nodes in (3, 10, 50, 200):
        lost = CONNECTIONS // nodes
        times = back(lost, nodes, 1e6 / unit.connect_us)
        rows.append((f"{nodes}", f"{lost:,}", *(f"{percentile(times, part):.1f} s" for part in (50, 99, 100))))
    return rows


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Write a table in Markdown."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write(results: Results, page: Path) -> None:
    """Put the tables into a page.

    Raises:
        KeyError: something was not measured.
    """
    unit = Unit.of(results)
    units = [
        ("a token, both nodes", f"{unit.node_us:.0f} µs"), ("a token, Redis", f"{unit.redis_us:.1f} µs"),
        ("a token, into Redis and out of it", f"{unit.in_bytes:.0f} and {unit.out_bytes:.0f} bytes"),
        ("an idle socket with a session, a node", f"{unit.socket_kib:.0f} KiB, {unit.idle_us:.1f} µs a second"),
        ("a connect that opens a session", f"{unit.connect_us:.0f} µs"),
        ("a session with one answer of 350 tokens, Redis", f"{unit.session_kib:.0f} KiB"),
        ("a session that a node follows, Redis", f"{unit.channel_bytes:.0f} bytes"),
    ]  # fmt: skip
    text = page.read_text()
    text = between(text, "machine", f"Measured {results.machine}.")
    text = between(text, "units", table(("what", "costs"), units))
    text = between(text, "bounds", table(("bound", "most"), bounds(unit)))
    text = between(text, "needs", table(("of what", "how much", "the knob"), needs(unit)))
    text = between(text, "storms", table(("nodes", "clients of one", "half are back", "99 %", "all"), storms(unit)))
    page.write_text(text)
