"""Counters and health in the text format of Prometheus (extra `metrics`), made when they are asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from venuekit.host.health import WELL, NodeHealth
from venuekit.runtime.counter_names import Family, family_of

PREFIX = "venuekit_"
CONTENT_TYPE = CONTENT_TYPE_LATEST


def metric_name(family: Family) -> str:
    """`session.ended.<how>` is `venuekit_session_ended` (a scraper adds `_total`); `<how>` is a label."""
    fixed = [word for word in family.name.split(".") if not word.startswith("<")]
    return PREFIX + re.sub(r"[^a-z0-9_]", "_", "_".join(fixed).lower())


def exposition(counters: Mapping[str, Mapping[str, int]], health: NodeHealth) -> bytes:
    """The whole page: every counter by venue, and what `/health` says as gauges."""
    return generate_latest(_Reading(counters, health))


class _Reading(Collector):
    """One moment."""

    def __init__(self, counters: Mapping[str, Mapping[str, int]], health: NodeHealth) -> None:
        self._counters = counters
        self._health = health

    def collect(self) -> Iterator[Metric]:
        """Counters, then gauges."""
        yield from _counted(self._counters)
        yield from _gauges(self._health)


def _counted(counters: Mapping[str, Mapping[str, int]]) -> Iterator[Metric]:
    # Two names that a plugin made up may become one metric: their labels tell them apart, or they are added.
    values: dict[str, dict[tuple[str, ...], int]] = {}
    families: dict[str, tuple[str, tuple[str, ...]]] = {}
    for venue, table in counters.items():
        for counter, value in table.items():
            family = family_of(counter)
            labels = ("venue", *(label for label, _ in family.labels))
            name = metric_name(family)
            known = families.setdefault(name, (family.meaning or "counted by a plugin", labels))
            if known[1] != labels:
                continue  # the catalogue has no such pair: only a plugin's own name can collide here
            row = (venue, *(text for _, text in family.labels))
            rows = values.setdefault(name, {})
            rows[row] = rows.get(row, 0) + value
    for name in sorted(values):
        meaning, labels = families[name]
        made = CounterMetricFamily(name, meaning, labels=labels)
        for row, value in sorted(values[name].items()):
            made.add_metric(row, value)
        yield made


def _gauges(health: NodeHealth) -> Iterator[Metric]:
    uptime = GaugeMetricFamily(f"{PREFIX}uptime_seconds", "since the node was built")
    uptime.add_metric((), health.uptime_secs)
    yield uptime
    streams = GaugeMetricFamily(
        f"{PREFIX}stream_live",
        "1 while the stream is live, or nothing is wanted of it",
        labels=("venue", "stream"),
    )
    ready = GaugeMetricFamily(f"{PREFIX}orders_ready", "1 while submits are allowed", labels=("venue",))
    unresolved = GaugeMetricFamily(
        f"{PREFIX}orders_unresolved", "orders whose submit has no proven outcome", labels=("venue",)
    )
    waiting = GaugeMetricFamily(
        f"{PREFIX}pacing_waiting", "requests that wait for room under a limit", labels=("venue",)
    )
    offset = GaugeMetricFamily(
        f"{PREFIX}clock_offset_seconds", "the venue's time minus this machine's", labels=("venue",)
    )
    error = GaugeMetricFamily(
        f"{PREFIX}clock_error_seconds", "how far from the truth the offset may be", labels=("venue",)
    )
    for key, venue in health.venues.items():
        if venue.clock_offset_ms is not None and venue.clock_error_ms is not None:
            offset.add_metric((key,), venue.clock_offset_ms / 1_000)
            error.add_metric((key,), venue.clock_error_ms / 1_000)
        for stream, state in venue.streams.items():
            streams.add_metric((key, stream), int(state in WELL))
        waiting.add_metric((key,), venue.waiting)
        if venue.orders is not None:
            ready.add_metric((key,), int(venue.orders))
            unresolved.add_metric((key,), venue.unresolved)
    yield from (streams, ready, unresolved, waiting, offset, error)
