# Part of the template: changes belong there (`copier update` merges this file).
"""What `/metrics` tells Prometheus of a server: sessions, tools, verdicts, pools, and the process.

Labels hold names of tools, of functions and of kinds: nothing that a caller chooses.
"""

from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Callable, Iterator, Sized
from itertools import accumulate
from typing import Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from gymkit.grading import Verdict

disable_created_metrics()  # When a counter was made: twice as many lines, and nobody asks.

SECONDS = (0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 300.0)
"""The upper limits of the buckets of durations."""


class Pooled(Protocol):
    """A pool that counts (`gymkit.pool`)."""

    made: int
    failed: int
    waiting: int
    in_use: int

    def __len__(self) -> int: ...


class _Pools(Collector):
    """Reads the pools' own counts, when they are asked for."""

    def __init__(self) -> None:
        self.pools: dict[str, Pooled] = {}

    def collect(self) -> Iterator[Metric]:
        if not self.pools:
            return
        counters = (
            ("started", "Things that have been started.", lambda pool: pool.made),
            ("failed", "Things that could not be started.", lambda pool: pool.failed),
        )
        gauges = (
            ("waiting", "Calls that wait for one.", lambda pool: pool.waiting),
            ("ready", "Things in store.", len),
            ("in_use", "Things that a session has.", lambda pool: pool.in_use),
        )
        for family, each in ((CounterMetricFamily, counters), (GaugeMetricFamily, gauges)):
            for name, text, value in each:
                metric = family(f"gymkit_pool_{name}", text, labels=["pool"])
                for pool_name, pool in self.pools.items():
                    metric.add_metric([pool_name], value(pool))
                yield metric


class _Calls(Collector):
    """Counts tool calls, on the event loop alone.

    The library's own counters take a lock and several checks each: together 4% of a server's calls per second.
    """

    def __init__(self) -> None:
        self.outcomes: Counts[tuple[str, str]] = Counts()
        self.buckets: dict[str, list[int]] = {}
        self.seconds: dict[str, float] = {}

    def add(self, tool: str, outcome: str, seconds: float) -> None:
        if tool not in self.buckets:
            self.buckets[tool], self.seconds[tool] = [0] * (len(SECONDS) + 1), 0.0
        self.outcomes[tool, outcome] += 1
        self.buckets[tool][bisect_left(SECONDS, seconds)] += 1
        self.seconds[tool] += seconds

    def collect(self) -> Iterator[Metric]:
        calls = CounterMetricFamily(
            "gymkit_tool_calls", "Tool calls, by what came of them.", labels=["tool", "outcome"]
        )
        for (tool, outcome), count in self.outcomes.items():
            calls.add_metric([tool, outcome], count)
        yield calls
        durations = HistogramMetricFamily("gymkit_tool_call_seconds", "Duration of tool calls.", labels=["tool"])
        limits = [*map(str, SECONDS), "+Inf"]
        for tool, counts in self.buckets.items():
            durations.add_metric([tool], list(zip(limits, accumulate(counts), strict=True)), self.seconds[tool])
        yield durations


class Metrics:
    """The metrics of one server. They are counted in the process, and cost a call about a microsecond."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._pools = _Pools()
        registry.register(self._pools)
        self._calls = _Calls()
        registry.register(self._calls)
        self.begun = Counter("gymkit_sessions_begun", "Sessions that have begun.", registry=registry)
        self.ended = Counter(
            "gymkit_sessions_ended", "Sessions that have ended, by what.", ["reason"], registry=registry
        )
        self.function_seconds = Histogram(
            "gymkit_function_seconds",
            "Duration of new_episode(), grade() and end_episode().",
            ["function"],
            buckets=SECONDS,
            registry=registry,
        )
        self.verdicts = Counter(
            "gymkit_verdicts",
            "Answers of /verify: by the kind of failure, and whether the sample is masked.",
            ["failure", "masked"],
            registry=registry,
        )

    def watch_sessions(self, sessions: Sized, line: Callable[[], int]) -> None:
        """Show how many sessions are open, and how many seeds wait for a place."""
        self._gauge("gymkit_sessions_open", "Sessions that are open.", sessions.__len__)
        self._gauge("gymkit_seeds_waiting", "Seeds that wait for a place.", line)

    def watch_pool(self, name: str, pool: Pooled) -> None:
        """Show what becomes of the things of a pool; `name` becomes the label `pool`."""
        self._pools.pools[name] = pool

    def _gauge(self, name: str, text: str, value: Callable[[], int]) -> None:
        Gauge(name, text, registry=self.registry).set_function(value)

    def count_call(self, tool: str, outcome: str, seconds: float) -> None:
        """Count a tool's call."""
        self._calls.add(tool, outcome, seconds)

    def count_verdict(self, verdict: Verdict) -> None:
        """Count an answer of `/verify`."""
        self.verdicts.labels(verdict.failure_kind or "none", "true" if verdict.masked else "false").inc()

    def page(self, accept: str) -> tuple[bytes, str]:
        """All of them as Prometheus reads them, and the content type.

        Args:
            accept: The Accept header of the request.
        """
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type
