"""What a node tells of itself, in Prometheus's words. Counters are kept where things happen, and only read here."""

import asyncio
import time
from collections.abc import Iterator, Sized
from typing import Final

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from app.node import Node

LOOK_SECONDS: Final = 0.25
LAGS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
STATES: Final = ("closed", "half_open", "open")


class Metrics:
    """The metrics of one node."""

    def __init__(self, node: Node, sockets: Sized) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Node(node, sockets))
        ProcessCollector(registry=self._registry)
        self._lag = Histogram(
            "chat_loop_lag_seconds", "How late the event loop woke a timer.", buckets=LAGS, registry=self._registry
        )

    def text(self) -> bytes:
        """All of them, in the text format."""
        return generate_latest(self._registry)

    async def watch(self) -> None:
        """Measure how late the event loop is, until cancelled."""
        while True:
            due = time.monotonic() + LOOK_SECONDS
            await asyncio.sleep(LOOK_SECONDS)
            self._lag.observe(max(0.0, time.monotonic() - due))


class _Node(Collector):
    """Reads a node's counters when it is asked."""

    def __init__(self, node: Node, sockets: Sized) -> None:
        self._node = node
        self._sockets = sockets

    def collect(self) -> Iterator[Metric]:
        """Give each metric."""
        node = self._node
        yield _gauge("chat_sockets", "WebSockets that are open here.", len(self._sockets))
        yield _gauge("chat_sessions_followed", "Sessions that somebody follows here.", node.hub.rooms)
        yield _gauge("chat_draining", "1 while the node drains.", int(node.draining))
        yield _gauge("chat_runs", "Runs that are carried here.", node.runner.running)
        yield _gauge("chat_lease_age_seconds", "Since the oldest lease held here was renewed.", node.runner.lease_age_s)
        yield _counter("chat_runs_ended", "Runs that were ended here, by their state.", "state", node.runner.ended)
        yield _counter("chat_takeovers", "Runs that were claimed here, by what was done.", "kind", node.rescue.claimed)
        yield _counted("chat_appends", "Appends to logs.", node.state.runs.appends)
        yield _counted("chat_gaps_healed", "Gaps in what was heard that were read from a log.", node.hub.tally.healed)
        yield _counter("chat_resets", "Readers that had to begin again, by why.", "why", node.hub.tally.resets)
        yield _counter("chat_damaged", "Values that could not be read, and were left out.", "kind", node.state.damaged)
        yield _counter(
            "chat_refused", "What was refused, by the limit that it passed.", "limit", node.state.rates.refused
        )
        yield _counted("chat_divergences", "Texts of readers that were not the log's: must stay 0.", node.differing)
        states = GaugeMetricFamily(
            "chat_breaker", "1 for the state in which a dependency's breaker is.", labels=("dependency", "state")
        )
        opened = CounterMetricFamily("chat_breaker_opened", "How often a breaker opened.", labels=("dependency",))
        for dependency, breaker in ({"redis": node.state.pipe.breaker} | dict(node.model.breakers)).items():
            opened.add_metric((dependency,), breaker.opened)
            for state in STATES:
                states.add_metric((dependency, state), int(breaker.state == state))
        yield states
        yield opened


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _counted(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def _counter(name: str, text: str, label: str, values: dict[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=(label,))
    for value, count in values.items():
        family.add_metric((value,), count)
    return family
