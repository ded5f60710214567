"""What a running node tells about itself: `/metrics` and `/health` on this machine."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING

from venuekit.errors import ConfigError
from venuekit.host.health import NodeHealth, VenueHealth
from venuekit.runtime.clock import RealClock
from venuekit.runtime.endpoint import Answer, Endpoint
from venuekit.runtime.telemetry import CounterTable

if TYPE_CHECKING:
    from venuekit.host.config import NodeConfig


def need_extra(module: str, extra: str, path: str) -> None:
    """Raise `ConfigError` at `path` when the module of an extra of venuekit is not installed."""
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"needs the module {error.name!r}, which is not installed",
            path=path,
            hint=f"install venuekit[{extra}].",
        ) from error


class Telemetry:
    """`/metrics` and `/health` of a node, on this machine, while it runs."""

    def __init__(
        self,
        config: NodeConfig,
        counters: Mapping[str, CounterTable],
        health: Mapping[str, Callable[[], VenueHealth]],
    ) -> None:
        """`ConfigError` when the extra `metrics` is not installed."""
        need_extra("prometheus_client", "metrics", "metrics.port")
        self._name = config.node.name
        self._wanted = config.metrics.port or 0
        self._tables = dict(counters)
        self._health = dict(health)
        self._clock = RealClock()
        self._since_ns = self._clock.mono_ns()
        self._own = CounterTable()
        self._endpoint = Endpoint(
            {"/metrics": self._metrics, "/health": self._healthy},
            clock=self._clock,
            counters=self._own,
            log=logging.getLogger("venuekit.telemetry"),
        )

    @property
    def port(self) -> int:
        """Where it is served; 0 before the start."""
        return self._endpoint.port

    async def start(self) -> None:
        """Served; raise `ConfigError` when the port is taken."""
        await self._endpoint.start(self._wanted)

    async def stop(self) -> None:
        """Not served any more."""
        await self._endpoint.stop()

    def health(self) -> NodeHealth:
        """How the node is now."""
        uptime_secs = (self._clock.mono_ns() - self._since_ns) // 1_000_000_000
        venues = {key: now() for key, now in self._health.items()}
        return NodeHealth(self._name, version("venuekit"), uptime_secs, venues)

    def _healthy(self) -> Answer:
        health = self.health()
        return Answer(health.as_json(), status=200 if health.ok else 503)

    def _metrics(self) -> Answer:
        from venuekit.host.metrics import CONTENT_TYPE, exposition

        counters = {key: table.snapshot() for key, table in self._tables.items()}
        counters[""] = self._own.snapshot()
        return Answer(exposition(counters, self.health()), CONTENT_TYPE)
